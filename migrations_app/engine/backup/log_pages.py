"""What stands in a SQLite write-ahead log: which frame holds which page, and where transactions end.

Read by its documented layout (https://www.sqlite.org/fileformat2.html, section 4.1), not by SQLite: what is found here
bears witness to what SQLite copied. Checksums of frames are left unread. A wrong guess of what counts can only make
pages differ that are equal, never the other way round, and then cells are compared.
"""

from __future__ import annotations

import os
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

_HEADER = 32  # bytes, as the next two
_FRAME_HEADER = 24
_MAGIC = (0x377F0682, 0x377F0683)
_SALTS = slice(16, 24)  # of the log's header
_FRAME_SALTS = slice(8, 16)
MAX_FRAMES = 1_000_000  # 4 GB with usual pages: for more, the list of them would cost too much memory


class LogTooLong(Exception):
    """More than MAX_FRAMES."""


@dataclass(frozen=True)
class Commit:
    """The state of the file after a transaction: frames 0 to `end`, of which its own begin at `start`."""

    start: int
    end: int
    page_count: int


@dataclass
class Log:
    """A log as it stood when it was read; frames are counted from 0. Without a file it has no frames."""

    file: int
    page_size: int
    pages: array[int] = field(default_factory=lambda: array("I"))
    commits: list[Commit] = field(default_factory=list)

    def newest_first(self, page_count: int) -> Iterator[Commit]:
        """The states that had so many pages; the last is the file without its log, whatever its size."""
        yield from (commit for commit in reversed(self.commits) if commit.page_count == page_count)
        yield Commit(0, 0, page_count)

    def frames(self, start: int, end: int) -> dict[int, int]:
        """The last frame of each page among those."""
        return {self.pages[frame]: frame for frame in range(start, end)}

    def page(self, frame: int) -> bytes:
        """Raises OSError."""
        return os.pread(self.file, self.page_size, self._offset(frame) + _FRAME_HEADER)

    def _offset(self, frame: int) -> int:
        return _HEADER + frame * (_FRAME_HEADER + self.page_size)

    def read(self) -> None:
        """Go through the frames of the log's present generation, up to the first of an older one.

        Raises OSError, LogTooLong.
        """
        header = os.pread(self.file, _HEADER, 0)
        if len(header) < _HEADER or int.from_bytes(header[:4], "big") not in _MAGIC:
            return
        start = 0
        while len(found := os.pread(self.file, _FRAME_HEADER, self._offset(len(self.pages)))) == _FRAME_HEADER:
            if found[_FRAME_SALTS] != header[_SALTS]:
                break
            self.pages.append(int.from_bytes(found[:4], "big"))
            if len(self.pages) > MAX_FRAMES:
                raise LogTooLong
            if page_count := int.from_bytes(found[4:8], "big"):
                self.commits.append(Commit(start, len(self.pages), page_count))
                start = len(self.pages)
