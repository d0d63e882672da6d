"""Takes SQLite's write lock quickly: SQLite's own waiting sleeps longer and longer, up to 100 ms at a time."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from migrations_app.engine.errors import Failed

_PAUSE = 0.0005  # seconds


def is_busy(error: sqlite3.Error) -> bool:
    return str(getattr(error, "sqlite_errorname", "")).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


def lock_for_writing(connection: sqlite3.Connection, path: Path, deadline: float) -> None:
    """BEGIN IMMEDIATE, tried until `deadline` (time.monotonic()). Leaves the connection without waiting of its own.

    Raises Failed SQLITE_BUSY; sqlite3.Error.
    """
    connection.execute("PRAGMA busy_timeout=0")
    _retry(connection, "BEGIN IMMEDIATE", path, deadline)


def commit(connection: sqlite3.Connection, path: Path, deadline: float) -> None:
    """COMMIT, tried until `deadline`: outside WAL mode a reader makes it wait. Raises as lock_for_writing()."""
    _retry(connection, "COMMIT", path, deadline)


def _retry(connection: sqlite3.Connection, statement: str, path: Path, deadline: float) -> None:
    while True:
        try:
            connection.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error):
                raise
            if time.monotonic() >= deadline:
                raise Failed(
                    "SQLITE_BUSY",
                    f"{path} was held by other connections for too long ({statement}).",
                    "End long transactions of the application, then try again.",
                ) from error
        time.sleep(_PAUSE)
