"""CPU and memory of a process and all its descendants, from Linux's /proc. Elsewhere nothing is known: None, not 0."""

from __future__ import annotations

import os
import time
from pathlib import Path

_PROC = Path("/proc")
_SETTLE_SECONDS = 5.0


def known() -> bool:
    """Whether this system tells. Needs /proc with lists of children (Linux 4.2 and newer)."""
    return (_PROC / "self" / "task" / str(os.getpid()) / "children").exists()


def descendants(pid: int) -> list[int]:
    """The process and everything below it; what ended meanwhile is left out."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        todo += _children(one)
    return found


def _children(pid: int) -> list[int]:
    children: list[int] = []
    try:
        for task in os.scandir(_PROC / str(pid) / "task"):
            children += [int(child) for child in Path(task.path, "children").read_text().split()]
    except OSError:  # it ended
        return children
    return children


def cpu_seconds(pid: int) -> float:
    """User and system time of the process and its descendants, those that ended and were reaped included."""
    ticks = 0
    for one in descendants(pid):
        try:
            # Behind the name, which may hold anything: state is field 3, utime stime cutime cstime are 14 to 17.
            fields = (_PROC / str(one) / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += sum(int(field) for field in fields[11:15])
    return ticks / os.sysconf("SC_CLK_TCK")


def resident_bytes(pid: int) -> int:
    """Resident memory of the process and its descendants; pages that they share count once for each."""
    pages = 0
    for one in descendants(pid):
        try:
            pages += int((_PROC / str(one) / "statm").read_text().split()[1])
        except (OSError, IndexError):
            continue
    return pages * os.sysconf("SC_PAGE_SIZE")


def wait_for_sessions_to_end(postmaster: int) -> None:
    """A backend's CPU counts once it ended and was reaped, which is a moment after its client closed the connection."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < deadline and any(_is_session(child) for child in _children(postmaster)):
        time.sleep(0.01)


def _is_session(pid: int) -> bool:
    try:
        title = (_PROC / str(pid) / "cmdline").read_bytes()
    except OSError:
        return False
    return b"127.0.0.1(" in title or b"parallel worker" in title
