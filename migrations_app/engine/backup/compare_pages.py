"""Is a copy of a SQLite file, page for page, what the source holds? In a process of its own, past SQLite.

In the process that holds the snapshot, closing any descriptor of the file would end SQLite's locks on it (see
source_copy.py). While they are held, in a rollback-journal mode nobody changes the file. In WAL mode transactions may
be added to the log, and others be brought into the file, but only those that the snapshot sees too: so the copy must
equal the file overlaid with the log up to the end of one transaction.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from migrations_app.engine.backup.log_pages import Commit, Log, LogTooLong
from migrations_app.engine.control import Control
from migrations_app.engine.side_process import Channel

_BLOCK = 1 << 20  # a multiple of every page size
# No page begins here: its bytes belong to the locks of Windows, and SQLite never reads or writes them.
_LOCK_BYTE = 0x40000000
_STATES = 16  # of a log that are compared in full, before it is left to the cells
# What the copy says of itself in the first page (fileformat2.html, section 1.3): change counter, schema cookie, the
# counter for which the next number is valid, the version of SQLite that wrote it.
_OF_THE_COPY = (slice(24, 28), slice(40, 44), slice(92, 100))
_FILE_VERSIONS = slice(18, 20)  # 1 or 2: rollback journal or log
_SIZE_IN_HEADER = slice(28, 32)  # in pages; old versions of SQLite left it 0, and a backup sets it right


@dataclass(frozen=True)
class PagesTask:
    """`identity` is device and inode of the file that the snapshot is of; the sizes are those of the snapshot."""

    source: Path
    identity: tuple[int, int]
    copy: Path
    page_size: int
    page_count: int
    wal: bool


@dataclass(frozen=True)
class PagesVerdict:
    """'unsure': the pages could not be told. `sha256` is of the copy, where equal; `page` the first that differs."""

    outcome: Literal["equal", "different", "unsure"]
    sha256: str = ""
    page: int = 0


def compare_pages(channel: Channel, control: Control) -> None:
    """The helper's work: one PagesTask, one PagesVerdict."""
    channel.send(judge(channel.receive(), control))


def judge(task: PagesTask, control: Control) -> PagesVerdict:
    """Raises Cancelled."""
    try:
        with _opened(task.source) as source, _opened(task.copy) as copy, _log(task) as log:
            status = os.fstat(source)
            if (status.st_dev, status.st_ino) != task.identity:
                return PagesVerdict("unsure")  # the path names another file now
            size = os.fstat(copy).st_size
            if size != task.page_count * task.page_size:
                return PagesVerdict("different", page=min(size // task.page_size, task.page_count) + 1)
            return _Comparison(task, source, copy, log, control).judge()
    except (OSError, LogTooLong):
        return PagesVerdict("unsure")


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO must not block us
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _log(task: PagesTask) -> Iterator[Log]:
    path = task.source.with_name(task.source.name + "-wal")
    if not (task.wal and path.exists()):
        yield Log(-1, task.page_size)
        return
    with _opened(path) as file:
        log = Log(file, task.page_size)
        log.read()
        yield log


@dataclass(frozen=True)
class _Comparison:
    task: PagesTask
    source: int
    copy: int
    log: Log
    control: Control

    def judge(self) -> PagesVerdict:
        likely = (commit for commit in self.log.newest_first(self.task.page_count) if self._holds(commit))
        verdict = PagesVerdict("unsure")
        for commit in itertools.islice(likely, _STATES):
            verdict = self._compare(commit)
            if verdict.outcome == "equal":
                return verdict
        return PagesVerdict("unsure") if self.task.wal else verdict

    def _holds(self, commit: Commit) -> bool:
        """Whether the copy has what that transaction wrote last: a quick look, before all pages are compared."""
        self.control.checkpoint()
        written = self.log.frames(commit.start, commit.end)
        return all(self._has(page, frame) for page, frame in written.items() if page <= self.task.page_count)

    def _has(self, page: int, frame: int) -> bool:
        found = os.pread(self.copy, self.task.page_size, (page - 1) * self.task.page_size)
        expected = bytearray(self.log.page(frame))
        if page == 1:
            self._allow(expected, found)
        return expected == found

    def _compare(self, commit: Commit) -> PagesVerdict:
        frames = self.log.frames(0, commit.end)
        digest = hashlib.sha256()
        for offset in range(0, self.task.page_count * self.task.page_size, _BLOCK):
            self.control.checkpoint()
            found = os.pread(self.copy, _BLOCK, offset)
            expected = self._expected(offset, len(found), frames)
            if offset == 0:
                self._allow(expected, found)
            if offset <= _LOCK_BYTE < offset + len(found):
                start = _LOCK_BYTE - offset
                expected[start : start + self.task.page_size] = found[start : start + self.task.page_size]
            if expected != found:
                return PagesVerdict("different", page=self._first_difference(offset, expected, found))
            digest.update(found)
        return PagesVerdict("equal", sha256=digest.hexdigest())

    def _expected(self, offset: int, length: int, frames: dict[int, int]) -> bytearray:
        """What the source holds there. Of what the file hasn't got yet, the log must have all but zeros."""
        size = self.task.page_size
        expected = bytearray(os.pread(self.source, length, offset).ljust(length, b"\0"))
        first = offset // size + 1
        for page in range(first, first + length // size) if frames else ():
            if page in frames:
                start = (page - first) * size
                expected[start : start + size] = self.log.page(frames[page])
        return expected

    def _allow(self, expected: bytearray, found: bytes) -> None:
        """Take over into the first page what a copy may have of its own."""
        allowed = list(_OF_THE_COPY)
        if set(found[_FILE_VERSIONS]) <= {1, 2}:
            allowed.append(_FILE_VERSIONS)
        if int.from_bytes(found[_SIZE_IN_HEADER], "big") == self.task.page_count:
            allowed.append(_SIZE_IN_HEADER)
        for place in allowed:
            expected[place] = found[place]

    def _first_difference(self, offset: int, expected: bytearray, found: bytes) -> int:
        size = self.task.page_size
        starts = range(0, len(found), size)
        at = next((start for start in starts if expected[start : start + size] != found[start : start + size]), 0)
        return (offset + at) // size + 1
