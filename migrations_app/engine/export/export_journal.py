"""The journal of an export under way: which chunks are whole, so that the next attempt can keep them.

`export.journal`, one JSON object a line: a head that names what is exported, then a line a chunk. Each is handed to the
system at once, and synced every second: a chunk whose line a power cut took is written again.
It is removed when the manifest stands. A torn last line (we died while writing it) is ignored.
"""

from __future__ import annotations

import json
import os
import threading
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import BinaryIO

from migrations_app.engine.artefact_files import PART, told
from migrations_app.engine.errors import Refused
from migrations_app.engine.export.manifest import CHUNK_NAME, NAME, ExportFile

JOURNAL = "export.journal"
_SYNC_SECONDS = 1.0  # between two syncs: a sync a chunk keeps everybody waiting, for progress that is cheap to repeat


@dataclass(frozen=True)
class JournalEntry:
    """A finished chunk."""

    table: str
    file: ExportFile


class Journal:
    """Append-only; keeps the file open. Several threads may append."""

    def __init__(self, directory: Path, head: dict[str, str]) -> None:
        self.directory = directory
        self.head = head
        self._file: BinaryIO | None = None
        self._lock = threading.Lock()
        self._synced = time.monotonic()

    def resume(self) -> list[JournalEntry]:
        """Open for appending; the entries of an earlier attempt at the very same export, else none."""
        entries = self._earlier()
        with told(self.directory / JOURNAL):
            self._file = open(self.directory / JOURNAL, "wb")  # noqa: SIM115 closed by close()
            self._write(self.head)
            for entry in entries:
                self._write(asdict(entry), sync=False)
        return entries

    def append(self, entry: JournalEntry) -> None:
        with self._lock, told(self.directory / JOURNAL):
            due = time.monotonic() - self._synced >= _SYNC_SECONDS
            self._write(asdict(entry), sync=due)

    def close(self) -> None:
        """Closing writes what a full disk didn't take before, and fails again. Raises Failed DISK_FULL, FILE_ERROR."""
        if self._file is not None:
            with told(self.directory / JOURNAL):
                self._file.close()

    def _write(self, document: dict[str, object] | dict[str, str], *, sync: bool = True) -> None:
        assert self._file is not None
        self._file.write(json.dumps(document, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        if sync:
            os.fsync(self._file.fileno())
            self._synced = time.monotonic()

    def _earlier(self) -> list[JournalEntry]:
        try:
            lines = (self.directory / JOURNAL).read_bytes().split(b"\n")[:-1]
            if not lines or json.loads(lines[0]) != self.head:
                return []
            return _entries([json.loads(line) for line in lines[1:]])
        except (FileNotFoundError, ValueError, TypeError, KeyError):
            return []  # not ours or damaged: everything is exported again


def _entries(documents: list[dict[str, object]]) -> list[JournalEntry]:
    return [JournalEntry(str(item["table"]), ExportFile(**item["file"])) for item in documents]  # type: ignore[arg-type]


def check_folder(directory: Path) -> None:
    """Raises Refused FOLDER_NOT_EMPTY when the folder holds files that are not an export's: not ours to remove."""
    names = [path.name.removesuffix(PART) for path in directory.iterdir()]
    foreign = [name for name in names if not _is_ours(name)]
    if foreign or (names and not {NAME, JOURNAL}.intersection(names)):
        raise Refused(
            "FOLDER_NOT_EMPTY",
            f"{directory} holds other files ({(foreign or names)[0]}); an export wants a folder of its own.",
            "Name an empty or a new folder.",
        )


def clear_folder(directory: Path, *, keep: set[str]) -> None:
    """Remove what an earlier export left, but for the journal and the chunks to keep."""
    with told(directory / NAME):
        # The manifest goes first: a folder without it is no export, whatever else is there.
        for path in sorted(directory.iterdir(), key=lambda path: path.name != NAME):
            if _is_ours(path.name.removesuffix(PART)) and path.name not in keep and path.name != JOURNAL:
                path.unlink()


def _is_ours(name: str) -> bool:
    return name in (NAME, JOURNAL) or CHUNK_NAME.fullmatch(name) is not None
