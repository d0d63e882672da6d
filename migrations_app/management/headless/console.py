"""What people see of a headless command: progress on stderr (a bar on a terminal), the result on stdout."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import TextIO

from rich.console import Console as RichConsole
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

from controlplane.redaction import redact
from migrations_app.engine.control import Progress

_WORDS = {
    "copy": "copying",
    "profile": "reading",
    "backup": "backing up",
    "export": "exporting",
    "load": "loading",
    "index": "indexing",
    "verify": "comparing",
}
_LINE_SECONDS = 5.0  # between two lines on the same table, where there is no terminal


def printable(text: str) -> str:
    """`text` fit for a terminal: names come from an untrusted file and may hold escape sequences."""
    return "".join(c if c.isprintable() or c == "\n" else c.encode("unicode_escape").decode() for c in redact(text))


class Console:
    """A sink for progress from any thread; use as a context manager."""

    def __init__(self, stdout: TextIO, stderr: TextIO) -> None:
        self._stdout = stdout
        self._stderr = stderr
        self._sink: _Bars | _Lines = _Bars() if _is_terminal(stderr) else _Lines(self.note)

    def __enter__(self) -> Console:
        self._sink.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._sink.stop()

    def progress(self, progress: Progress) -> None:
        self._sink.show(progress)

    def note(self, text: str) -> None:
        """A line on stderr, beside the progress."""
        self._stderr.write(printable(text) + "\n")
        self._stderr.flush()

    def say(self, text: str) -> None:
        """A line of the result on stdout."""
        self._stdout.write(printable(text) + "\n")


def _is_terminal(stream: TextIO) -> bool:
    return stream.isatty() and sys.stderr.isatty()


def _title(progress: Progress) -> str:
    return printable(f"{_WORDS.get(progress.phase, progress.phase)} {progress.table}".strip())


class _Lines:
    """A line when another table or phase begins, and now and then within one."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._lock = threading.Lock()
        self._shown: dict[tuple[str, str], float] = {}

    def start(self) -> None:
        return None

    def stop(self) -> None:
        return None

    def show(self, progress: Progress) -> None:
        key, now = (progress.phase, progress.table), time.monotonic()
        with self._lock:
            if now - self._shown.get(key, -_LINE_SECONDS) < _LINE_SECONDS:
                return
            self._shown[key] = now
        of = f" of {progress.total:,}" if progress.total > progress.done else ""
        self._write(f"{_title(progress)}: {progress.done:,}{of}")


class _Bars:
    """One bar a phase, named for the table at hand."""

    def __init__(self) -> None:
        self._bars = RichProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=RichConsole(stderr=True),
            transient=True,
        )
        self._tasks: dict[str, TaskID] = {}
        self._lock = threading.Lock()

    def start(self) -> None:
        self._bars.start()

    def stop(self) -> None:
        self._bars.stop()

    def show(self, progress: Progress) -> None:
        with self._lock:
            if progress.phase not in self._tasks:
                self._tasks[progress.phase] = self._bars.add_task(progress.phase, total=None)
        self._bars.update(
            self._tasks[progress.phase],
            description=_title(progress),
            completed=progress.done,
            total=progress.total or None,
        )
