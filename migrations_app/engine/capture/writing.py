"""Opens the application's file for writing: the only place of the engine that does.

Through SQLite alone, never past it: closing any other descriptor of the file would drop this process's locks on it
(https://www.sqlite.org/howtocorrupt.html, section 2.2).
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
import urllib.parse
from collections.abc import Iterator
from pathlib import Path

from migrations_app.engine.errors import Refused
from migrations_app.engine.source.guards import authorize, load_schema
from migrations_app.engine.source.sqlite_errors import MAX_CELL_BYTES, translate_error
from migrations_app.engine.source.sqlite_source import decode_utf8

_LOOK_SECONDS = 5.0
_PAUSE = 0.0005  # seconds between two tries


def open_for_writing(path: Path, busy_timeout_ms: int) -> sqlite3.Connection:
    """Autocommit mode, foreign keys and recursive triggers off; text that isn't valid UTF-8 comes as InvalidText.

    What it commits is on the disk. Any thread may use it, one at a time.
    Raises Refused NOT_FOUND; what translate_error() gives.
    """
    connection = _open(path, "rw", busy_timeout_ms / 1000)
    try:
        for pragma in ("foreign_keys=OFF", "recursive_triggers=OFF", "synchronous=EXTRA", "cell_size_check=ON"):
            connection.execute(f"PRAGMA {pragma}")
        # On, or an index on json_extract() couldn't be kept. No function here has effects, extensions being off.
        connection.execute("PRAGMA trusted_schema=ON")
        load_schema(connection)
    except sqlite3.Error as error:
        connection.close()
        raise translate_error(path, error, "opening it for writing") from error
    return connection


@contextlib.contextmanager
def write_transaction(path: Path, busy_timeout_ms: int, doing: str) -> Iterator[sqlite3.Connection]:
    """One transaction that holds the file's write lock from its start; rolled back when anything is raised.

    Each of BEGIN and COMMIT is tried for busy_timeout_ms. Raises Refused LOCKED then; what translate_error() gives.
    """
    connection = open_for_writing(path, busy_timeout_ms)
    try:
        connection.execute("PRAGMA busy_timeout=0")
        until_free(connection, "BEGIN IMMEDIATE", time.monotonic() + busy_timeout_ms / 1000)
        yield connection
        until_free(connection, "COMMIT", time.monotonic() + busy_timeout_ms / 1000)
    except sqlite3.Error as error:
        raise translate_error(path, error, doing) from error
    finally:
        with contextlib.suppress(sqlite3.Error):  # closing rolls back, too
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        connection.close()


def until_free(connection: sqlite3.Connection, statement: str, deadline: float) -> None:
    """Try BEGIN IMMEDIATE or COMMIT until it goes through, or `deadline` (time.monotonic()) is over.

    For connections without a busy timeout of their own: SQLite's waiting sleeps longer and longer, up to 100 ms at a
    time, and beside busy writers it never finds the moment between two of them. Outside WAL mode COMMIT waits for
    readers. Raises sqlite3.Error, after the deadline SQLite's own of a busy file.
    """
    while True:
        try:
            connection.execute(statement)
            return
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() >= deadline:
                raise
        time.sleep(_PAUSE)


def is_busy(error: sqlite3.Error) -> bool:
    return str(getattr(error, "sqlite_errorname", "")).startswith(("SQLITE_BUSY", "SQLITE_LOCKED"))


@contextlib.contextmanager
def short_look(path: Path) -> Iterator[sqlite3.Connection]:
    """One read transaction that leaves no trace beside the file, unless it must be recovered to be read.

    Read-only first: the last one to close a file that it may write brings its log into it. A process that died in a
    transaction leaves what only somebody who may write can take back.
    Raises Refused NOT_FOUND; what translate_error() gives.
    """
    try:
        connection = _reading(path, "ro")
    except sqlite3.Error:
        try:
            connection = _reading(path, "rw")
        except sqlite3.Error as error:
            raise translate_error(path, error, "looking into it") from error
    try:
        yield connection
    except sqlite3.Error as error:
        raise translate_error(path, error, "looking into it") from error
    finally:
        connection.close()


def _reading(path: Path, mode: str) -> sqlite3.Connection:
    connection = _open(path, mode, _LOOK_SECONDS)
    try:
        for pragma in ("query_only=ON", "trusted_schema=OFF"):
            connection.execute(f"PRAGMA {pragma}")
        connection.set_authorizer(lambda action, first, second, _, inner: authorize(action, first, second, inner, ()))
        connection.execute("BEGIN")
        load_schema(connection)
    except sqlite3.Error:
        connection.close()
        raise
    return connection


def _open(path: Path, mode: str, seconds: float) -> sqlite3.Connection:
    path = Path(os.path.abspath(path))
    if not path.is_file():
        raise Refused("NOT_FOUND", f"There is no file {path}.", "Check the path.")
    uri = f"file:{urllib.parse.quote(str(path))}?mode={mode}"
    try:
        connection = sqlite3.connect(uri, uri=True, isolation_level=None, timeout=seconds, check_same_thread=False)
    except sqlite3.Error as error:
        raise translate_error(path, error, "opening it") from error
    connection.text_factory = decode_utf8
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_CELL_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    return connection
