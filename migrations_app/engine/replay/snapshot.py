"""Moments of the application's SQLite file: short read transactions, taken while the application goes on writing.

Outside WAL mode nobody can commit while we read, and where a writer waits, SQLite lets no reader begin: so we ask again
and again, at once, where SQLite's own busy handler would sleep longer each time and never be let in.
"""

from __future__ import annotations

import sqlite3
import time
import urllib.parse
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from migrations_app.engine.capture.state import CaptureState, state_of
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Cancelled
from migrations_app.engine.source.address import identity_of
from migrations_app.engine.source.guards import authorize, load_schema
from migrations_app.engine.source.sqlite_errors import MAX_CELL_BYTES, translate_error
from migrations_app.engine.source.sqlite_source import Source, decode_utf8

Parameter = int | float | str | bytes | None

_PAUSE_SECONDS = 0.0007
_PROGRESS_STEPS = 200_000  # virtual machine steps between two looks at the stop flag: a few milliseconds
_CACHE_KIB = 16_000  # pages kept, and what SQLite sorts in memory before it goes to a file


@dataclass(frozen=True)
class Snapshot:
    """One moment of a file; whoever opened it holds its transaction open, and has it decode text by decode_utf8().

    `path` is what the file is called in errors. `wal`: whether others may commit meanwhile.
    """

    path: Path
    opened: sqlite3.Connection | Source
    encoding: str
    wal: bool

    def select(self, sql: str, parameters: Sequence[Parameter] = ()) -> sqlite3.Cursor:
        """One of the engine's own SELECTs. Raises sqlite3.Error."""
        if isinstance(self.opened, Source):
            return self.opened.select(sql, parameters)
        return self.opened.execute(sql, tuple(parameters))

    def state(self) -> CaptureState | None:
        """What the file says of its crossing. Raises Refused CAPTURE_DAMAGED, BAD_NAME; as errors() does."""
        with self.errors("reading what is recorded of it"):
            return state_of(self.opened)

    def value(self, sql: str, parameters: Sequence[Parameter] = ()) -> Parameter:
        """The first cell of the first row, None where there is none. Raises as errors() does."""
        with self.errors("reading the log of changes"):
            found = self.select(sql, parameters).fetchone()
        return found[0] if found else None

    @contextmanager
    def errors(self, doing: str) -> Iterator[None]:
        """Turn sqlite3's errors into ours."""
        with _told(self.path, doing):
            yield


def snapshot_of(path: Path, opened: sqlite3.Connection | Source) -> Snapshot:
    """The moment that an open Source sees, or a connection of ours inside its transaction. Raises as errors() does."""
    if isinstance(opened, Source):
        return Snapshot(path, opened, opened.schema.encoding, opened.schema.journal_mode == "wal")
    with _told(path, "reading how it is kept"):
        encoding = str(opened.execute("PRAGMA encoding").fetchone()[0])
        wal = opened.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
    return Snapshot(path, opened, encoding, wal)


class LiveFile:
    """The application's file, looked at again and again. Use as a context manager.

    Opened for writing, though nothing is written: a transaction that a crash left unfinished can then be rolled back,
    as the application itself would. When the path comes to name another file, that one is opened.
    """

    def __init__(self, path: Path, control: Control, busy_timeout_ms: int) -> None:
        self.path = path
        self._control = control
        self._busy_seconds = busy_timeout_ms / 1000
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)

    def __enter__(self) -> LiveFile:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def reading(self) -> Iterator[Snapshot]:
        """One read transaction. Raises Refused LOCKED, UNREADABLE …, Failed SQLITE_FAILED, Cancelled."""
        with _told(self.path, "reading the log of changes", self._control):
            connection = self._current()
            self._begin(connection)
        try:
            yield snapshot_of(self.path, connection)
        finally:
            if connection.in_transaction:
                connection.execute("ROLLBACK")

    def _current(self) -> sqlite3.Connection:
        identity = identity_of(self.path)
        if self._connection is not None and identity != self._identity:
            self.close()
        if self._connection is None:
            self._connection = self._open()
            self._identity = identity
        return self._connection

    def _open(self) -> sqlite3.Connection:
        uri = f"file:{urllib.parse.quote(str(self.path))}?mode=rw"
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=0, check_same_thread=False)
        try:
            connection.text_factory = decode_utf8
            connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_CELL_BYTES)
            connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
            connection.set_progress_handler(self._must_stop, _PROGRESS_STEPS)
            for pragma in ("query_only=ON", "trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0"):
                connection.execute(f"PRAGMA {pragma}")
            connection.set_authorizer(lambda action, one, two, _, inner: authorize(action, one, two, inner, ()))
        except BaseException:
            connection.close()
            raise
        return connection

    def _begin(self, connection: sqlite3.Connection) -> None:
        until = time.monotonic() + self._busy_seconds
        while True:
            self._control.checkpoint()
            try:
                connection.execute("BEGIN")
                load_schema(connection)
                connection.execute(f"PRAGMA cache_size=-{_CACHE_KIB}")  # reads the schema: not before we may read
                return
            except sqlite3.OperationalError as error:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                busy = str(getattr(error, "sqlite_errorname", "")).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))
                if not busy or time.monotonic() > until:
                    raise
            time.sleep(_PAUSE_SECONDS)

    def _must_stop(self) -> int:
        return 1 if self._control.stop.is_set() else 0


@contextmanager
def _told(path: Path, doing: str, control: Control | None = None) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        if control is not None and control.stop.is_set():
            raise Cancelled(control.stop_reason or "Stopped before the end, as asked.") from error
        raise translate_error(path, error, doing) from error
