"""What was added to a log file since the last look: by inode and offset, through rotation and truncation.

The place is kept between rounds as plain JSON: {"inode": …, "offset": …, "begin": …}. `begin` is the digest of the
file's first bytes: a file that was emptied and filled again past the old offset has another. Where a file was rotated
by renaming, what was written to the old one after the last look is read from it, if it still stands beside the new
one under a name that begins with the log's. Compressed files are not read.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MOST_BYTES = 32_000_000  # of one look; what a longer gap left is passed over, and said
_BEGIN = 256  # bytes that tell one file from another with the same inode
_COMPRESSED = (".gz", ".bz2", ".xz", ".zst", ".lz4", ".zip")


class NoLog(Exception):
    """Why the log can't be read, in words for a person."""


@dataclass(frozen=True)
class Added:
    """Whole lines, without their ends. skipped: bytes that were passed over. first: this is the first look."""

    lines: list[bytes] = field(default_factory=list)
    skipped: int = 0
    first: bool = False


def added(path: Path, place: Mapping[str, Any]) -> tuple[Added, dict[str, Any]]:
    """The lines since `place`, and the new place. The first look only takes the place: what came before has no time.

    A last line without its end waits for the next look. Raises NoLog.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NoLog("the file is not there") from None
    except OSError as error:
        raise NoLog(f"the file can't be opened ({error.strerror})") from None
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        raise NoLog("it is not an ordinary file")
    with os.fdopen(descriptor, "rb") as file:
        if not place:
            return Added(first=True), _place(file, status.st_ino, status.st_size)
        before: list[bytes] = []
        skipped = 0
        offset = int(place["offset"])
        if status.st_ino != place["inode"]:
            before, skipped = _rest_of_rotated(path, place)
            offset = 0
        elif status.st_size < offset or not _same_begin(file, place):
            offset = 0  # emptied, and perhaps filled again
        lines, end, more = _whole_lines(file, offset, status.st_size)
        return Added([*before, *lines], skipped + more), _place(file, status.st_ino, end)


def _place(file: Any, inode: int, offset: int) -> dict[str, Any]:
    length = min(offset, _BEGIN)
    return {"inode": inode, "offset": offset, "length": length, "begin": _digest(file, length)}


def _same_begin(file: Any, place: Mapping[str, Any]) -> bool:
    return bool(_digest(file, int(place.get("length", 0))) == place.get("begin", ""))


def _digest(file: Any, length: int) -> str:
    return hashlib.sha256(os.pread(file.fileno(), length, 0)).hexdigest()[:16]


def _whole_lines(file: Any, offset: int, size: int, *, last_too: bool = False) -> tuple[list[bytes], int, int]:
    """Lines from offset on, where the next look begins, and how many bytes were passed over."""
    skipped = max(0, size - offset - MOST_BYTES)
    data = os.pread(file.fileno(), min(size - offset, MOST_BYTES), offset + skipped)
    begin = offset + skipped
    if skipped:  # in the middle of a line, probably
        cut = data.find(b"\n") + 1
        begin, data = begin + cut, data[cut:]
    end = len(data) if last_too else data.rfind(b"\n") + 1
    if not end and len(data) >= MOST_BYTES:  # one line that never ends must not stop the reading for good
        return [], begin + len(data), skipped + len(data)
    return [line.rstrip(b"\r") for line in data[:end].split(b"\n") if line.strip()], begin + end, skipped


def _rest_of_rotated(path: Path, place: Mapping[str, Any]) -> tuple[list[bytes], int]:
    try:
        beside = [entry for entry in os.scandir(path.parent) if entry.name.startswith(path.name)]
    except OSError:
        return [], 0
    for entry in beside:
        if entry.inode() != place["inode"] or entry.name.endswith(_COMPRESSED) or not entry.is_file():
            continue
        try:
            descriptor = os.open(entry.path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return [], 0
        with os.fdopen(descriptor, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size < int(place["offset"]) or not _same_begin(file, place):
                return [], 0
            lines, _, skipped = _whole_lines(file, int(place["offset"]), size, last_too=True)
            return lines, skipped
    return [], 0
