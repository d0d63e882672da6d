"""A freeze is given up in time, whatever the one who works in it is waiting for.

The application's writers wait for SQLite's write lock no longer than their busy timeout. A PostgreSQL that is slow, or
a network that swallows packets, would keep us in a read for minutes: so a second thread gives the lock back, and shuts
the socket that the first one waits on.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
import threading
import time
from types import TracebackType

import psycopg2

from migrations_app.engine.errors import Failed
from migrations_app.engine.target.target import Connection


class Deadline:
    """From `start()` on, `seconds` until the transaction on `file` is rolled back, unless passed() came first.

    Until passed() the one who works must only read from `file`: a statement that comes after the roll-back would be a
    transaction of its own.
    """

    def __init__(self, seconds: float, file: sqlite3.Connection, connection: Connection) -> None:
        self.seconds = seconds
        self._file, self._connection = file, connection
        self._lock = threading.Lock()
        self._over = threading.Event()
        self._expired = False
        self._until = 0.0
        self._watcher = threading.Thread(target=self._watch, name="causeway-deadline", daemon=True)

    def start(self) -> Deadline:
        self._until = time.monotonic() + self.seconds
        self._watcher.start()
        return self

    def __enter__(self) -> Deadline:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._over.set()
        if self._until:
            self._watcher.join()

    @property
    def until(self) -> float:
        """On time.monotonic()'s clock."""
        return self._until

    @property
    def expired(self) -> bool:
        return self._expired

    def passed(self) -> None:
        """All that may take long is done: from here on nobody else touches `file`. Raises Failed FREEZE_GAVE_UP."""
        with self._lock:
            if self._expired:
                raise gave_up(self.seconds)
            self._over.set()

    def _watch(self) -> None:
        self._over.wait(self._until - time.monotonic())
        with self._lock:
            if self._over.is_set():
                return
            self._expired = True
            with contextlib.suppress(sqlite3.Error):  # no transaction is left: that is what was wanted
                self._file.interrupt()
                self._file.execute("ROLLBACK")
        shut(self._connection)


def shut(connection: Connection) -> None:
    """End the connection from another thread, at once: who waits for an answer gets an error instead."""
    with (
        contextlib.suppress(OSError, ValueError, psycopg2.Error),  # it is closed already
        socket.socket(fileno=os.dup(connection.fileno())) as wire,
    ):
        wire.shutdown(socket.SHUT_RDWR)


def gave_up(seconds: float) -> Failed:
    return Failed(
        "FREEZE_GAVE_UP",
        f"The last changes didn't reach PostgreSQL within {seconds:.1f} s, so the freeze was given up."
        " SQLite goes on as it was; nothing is lost.",
        "Try again when there is less load, or when PostgreSQL answers faster.",
    )
