"""Backups of a SQLite file. One counts only after it was restored to a scratch file and found equal, cell by cell.

The copy is SQLite's own online backup inside one read transaction: without that a writer beside us makes it start
over for ever, and `cp` misses the write-ahead log. The writer: in WAL mode it never waits; in a rollback-journal mode
it waits while pages are copied (0.35 s for 200 MB) and, for files up to 64 MiB, while they are compared.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from migrations_app.engine.artefact_files import PART, check_space, make_private_folder, sync_folder, told
from migrations_app.engine.backup.content import Content, digest_content, first_difference
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.source.fingerprint import fingerprint
from migrations_app.engine.source.sqlite_source import Source, open_source

_HOLD_BYTES = 64 << 20  # up to here a rollback-journal writer waits for the comparison too
_BLOCK = 1 << 20
_SIDE_FILES = ("-wal", "-journal")
_ASIDE = ".before-restore"


@dataclass(frozen=True)
class BackupResult:
    """`tables` are rows by table; `content_digest` see content.py.

    compared_with_source: False when the application wrote to a large rollback-journal file meanwhile; then the
    restored copy was compared with the backup only.
    """

    path: Path
    sha256: str
    size: int
    tables: dict[str, int]
    content_digest: str
    compared_with_source: bool = True


def take_backup(source: Path, destination: Path, control: Control) -> BackupResult:
    """Copy, restore to a scratch file, compare; only then does `destination` exist.

    Raises what open_source raises; Refused NO_SPACE, SAME_FILE, CORRUPT; Failed DISK_FULL, BACKUP_DIFFERS,
    BACKUP_FAILED, FILE_ERROR; Cancelled. Whatever is raised, nothing is left behind.
    """
    make_private_folder(destination.parent)
    if destination.exists() and source.exists() and destination.samefile(source):
        raise Refused("SAME_FILE", f"The backup of {source} can't be the file itself.", "Name another destination.")
    part = destination.with_name(destination.name + PART)
    try:
        with _hold(source, control) as held:
            schema = held.schema
            check_space(destination.parent, 2 * schema.page_count * schema.page_size, "The backup and its test")
            _copy(held, part)
            before = held.content(control)
        sha256, size = _hash(part)
        restored = _restore_and_read(part, sha256, destination.parent, control)
        if before is None:
            before = _content_if_still(source, held.fingerprint_digest, control)
        if before is not None and before.digest != restored.digest:
            raise Failed(
                "BACKUP_DIFFERS",
                f"The backup of {source}, restored, is not equal to it: {first_difference(before, restored)}.",
                "Take it again; if it happens again, check the disk.",
            )
        with told(destination):
            os.replace(part, destination)
            sync_folder(destination.parent)
    finally:
        part.unlink(missing_ok=True)
    return BackupResult(destination, sha256, size, restored.tables, restored.digest, before is not None)


class _Held:
    """The source while its read transaction is open; afterwards, what is still known of it."""

    def __init__(self, source: Source, path: Path, control: Control) -> None:
        self.source = source
        self.schema = source.schema
        self.fingerprint_digest = ""
        self._path = path
        self._control = control

    def content(self, control: Control) -> Content | None:
        """Read it now, or, where a writer would wait too long for that, note what it looks like (None)."""
        small = self.schema.page_count * self.schema.page_size <= _HOLD_BYTES
        if small or self.schema.journal_mode == "wal" or self.source.recovered_journal:
            return digest_content(self.source, control)
        self.fingerprint_digest = fingerprint(self._path, self._control).digest
        return None


@contextlib.contextmanager
def _hold(path: Path, control: Control) -> Iterator[_Held]:
    with open_source(path, control) as source:
        yield _Held(source, path, control)


def _content_if_still(path: Path, digest: str, control: Control) -> Content | None:
    """The source's content if it is what it was, None if somebody has written to it."""
    with open_source(path, control) as source:  # from here on nobody can commit
        if fingerprint(path, control).digest != digest:
            return None
        return digest_content(source, control)


def _copy(held: _Held, part: Path) -> None:
    """SQLite's backup into `part`, on disk when we return."""
    with told(part):
        part.unlink(missing_ok=True)
        os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    target = sqlite3.connect(part, isolation_level=None)
    try:
        target.execute("PRAGMA journal_mode=OFF")
        target.execute("PRAGMA synchronous=OFF")  # one fsync at the end does it
        held.source.copy_into(target)
    except sqlite3.Error as error:
        raise _write_error(part, error) from error
    finally:
        target.close()
    with told(part), open(part, "rb") as file:
        os.fsync(file.fileno())


def _write_error(part: Path, error: sqlite3.Error) -> Failed:
    name = str(getattr(error, "sqlite_errorname", ""))
    if name.startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_TRUNCATE")):
        return Failed("DISK_FULL", f"The disk that holds {part.parent} is full.", "Free some space, then run it again.")
    return Failed("BACKUP_FAILED", f"SQLite could not write the backup {part.parent}: {error}.", "See the message.")


def _hash(path: Path) -> tuple[str, int]:
    digest, size = hashlib.sha256(), 0
    with told(path), open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return digest.hexdigest(), size


def _restore_and_read(part: Path, sha256: str, folder: Path, control: Control) -> Content:
    scratch = folder / f".{part.name}.restore-test"
    shutil.rmtree(scratch, ignore_errors=True)  # of an attempt that was killed
    restored = scratch / "restored.sqlite"
    try:
        restore_backup(part, restored, sha256)
        with contextlib.closing(sqlite3.connect(restored, isolation_level=None)) as connection:
            # A WAL file can't be read without writing beside it. No row is read, so nothing of the schema runs; not
            # trusting it would only make SQLite refuse to parse an index on a JSON path.
            connection.execute("PRAGMA journal_mode=DELETE")
        with open_source(restored, control) as source:
            source.check_integrity(control)
            return digest_content(source, control)
    except (sqlite3.Error, Refused) as error:
        if isinstance(error, Refused) and error.code == "NO_SPACE":
            raise
        raise Failed(
            "BACKUP_DIFFERS", f"The backup in {folder}, restored, can't be read back: {error}", "Check the disk."
        ) from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def restore_backup(backup: Path, destination: Path, expected_sha256: str) -> None:
    """Put the backup in the place of `destination`, atomically, with the rights and owner of what was there.

    No process may have `destination` open. A -wal or -journal that belongs to the old file must not survive, since
    SQLite would apply it to the new one: they are set aside before the rename and removed after it, so that whatever
    dies in between, either the old or the new file stands and nothing is lost; run it again then.
    Raises Refused NOT_FOUND, BACKUP_DAMAGED (not the digest expected), NO_SPACE; Failed DISK_FULL, FILE_ERROR.
    """
    if not backup.is_file():
        raise Refused("NOT_FOUND", f"There is no backup {backup}.", "Check the path.")
    make_private_folder(destination.parent)
    check_space(destination.parent, backup.stat().st_size, "The restored file")
    new = destination.with_name(destination.name + ".restoring")
    try:
        _copy_checked(backup, new, expected_sha256)
        with told(destination):
            _take_over_rights(new, destination)
            asides = _set_aside(destination)
            os.replace(new, destination)
            sync_folder(destination.parent)
            for path in (*asides, destination.with_name(destination.name + "-shm")):
                path.unlink(missing_ok=True)
            sync_folder(destination.parent)
    finally:
        new.unlink(missing_ok=True)


def _copy_checked(backup: Path, new: Path, expected_sha256: str) -> None:
    digest = hashlib.sha256()
    with told(new):
        new.unlink(missing_ok=True)
        descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as target, open(backup, "rb") as source:
            while block := source.read(_BLOCK):
                digest.update(block)
                target.write(block)
            target.flush()
            os.fsync(target.fileno())
    if digest.hexdigest() != expected_sha256:
        raise Refused(
            "BACKUP_DAMAGED", f"{backup} is not the file whose digest was recorded.", "Use another backup of the run."
        )


def _take_over_rights(new: Path, old: Path) -> None:
    """The application, perhaps another user than we are, must be able to open what it could open before."""
    if old.exists():
        status = old.stat()
        shutil.copymode(old, new)
    else:
        status = old.parent.stat()
    if os.geteuid() == 0:
        os.chown(new, status.st_uid, status.st_gid)


def _set_aside(destination: Path) -> list[Path]:
    asides = []
    for suffix in _SIDE_FILES:
        path = destination.with_name(destination.name + suffix)
        aside = path.with_name(path.name + _ASIDE)
        if path.exists():
            os.replace(path, aside)
        asides.append(aside)
    return asides
