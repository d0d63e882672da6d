"""How long work reports progress and learns that it must stop, without knowing who asked for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

from migrations_app.engine.errors import Cancelled


@dataclass(frozen=True)
class Progress:
    """One report. phase: 'copy', 'profile', 'backup', 'export', 'load', 'index', 'verify'. total 0 means unknown."""

    phase: str
    table: str
    done: int  # rows, or pages in a backup
    total: int


def _silent(progress: Progress) -> None:
    return None


@dataclass
class Control:
    """Handed down through the engine. `stop` may be set from another thread (the watchdog, a signal handler)."""

    report: Callable[[Progress], None] = _silent
    stop: threading.Event = field(default_factory=threading.Event)
    stop_reason: str = ""

    def checkpoint(self) -> None:
        """Raise Cancelled when someone asked to stop. Called at least once a chunk."""
        if self.stop.is_set():
            raise Cancelled(self.stop_reason or "Stopped before the end, as asked.")

    def progress(self, phase: str, table: str, done: int, total: int) -> None:
        self.checkpoint()
        self.report(Progress(phase, table, done, total))
