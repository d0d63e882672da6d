"""Opens SQLite files for reading, those too that must be recovered first."""

from __future__ import annotations

import os
import sqlite3
import stat
import tempfile
import urllib.parse
from pathlib import Path

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Refused
from migrations_app.engine.source.address import Address, identity_of
from migrations_app.engine.source.guards import load_schema
from migrations_app.engine.source.source_copy import copy_with_journal
from migrations_app.engine.source.sqlite_errors import corrupt, translate_error, truncated
from migrations_app.engine.source.sqlite_source import BUSY_SECONDS, Source

_FEW_PAGES = 2000  # KiB


def open_source(path: Path, control: Control | None = None) -> Source:
    """Open a SQLite file for reading, in one read transaction that lasts as long as the Source.

    A hot journal (the application died in a transaction) is rolled back in a scratch copy: the file itself stays as
    it is. A file in WAL mode in a folder that we can't write to is read from a scratch copy too.
    Raises Refused: NOT_FOUND, NOT_A_FILE, EMPTY_FILE, UNREADABLE, NOT_SQLITE, TRUNCATED, LOCKED, CORRUPT.
    """
    path = Path(os.path.abspath(path)) if "\0" not in str(path) else path
    control = control or Control()
    _check_file(path)
    try:
        source = open_at(path, path, control)
    except sqlite3.Error as error:
        raise translate_error(path, error, "opening it") from error
    except Refused as error:
        if error.code != "UNREADABLE":
            raise
        return _open_copy(path, control)
    pages = source.schema.page_count * source.schema.page_size
    if source.schema.journal_mode != "wal" and path.stat().st_size < pages:
        source.close()
        raise truncated(path) or corrupt(path, "it is shorter than its header says")
    return source


def open_again(address: Address, control: Control) -> Source:
    """A file that another process holds open, read from start to end: its pages are kept only shortly.

    Whether both see the same snapshot, the other one says: Source.is_alone(). Raises as open_source() does.
    """
    try:
        source = open_at(address.path, address.shown, control)
    except sqlite3.Error as error:
        raise translate_error(address.shown, error, "opening it once more") from error
    source.keep_pages(_FEW_PAGES)
    return source


def _open_copy(path: Path, control: Control) -> Source:
    """Read a copy, made with its -journal or -wal, in which SQLite recovers what is unfinished."""
    scratch = tempfile.TemporaryDirectory(prefix="causeway-recover-")
    try:
        copy = copy_with_journal(path, Path(scratch.name), control)
        try:
            recover = sqlite3.connect(copy, isolation_level=None, timeout=BUSY_SECONDS)
            try:
                load_schema(recover)  # reads the first page, and so recovers what is unfinished
            finally:
                recover.close()
        except sqlite3.Error as error:
            raise translate_error(path, error, "recovering a copy") from error
        source = open_at(copy, path, control)
    except BaseException:
        scratch.cleanup()
        raise
    source.attach_copy(scratch.cleanup)
    source.recovered_journal = True
    return source


def _check_file(path: Path) -> None:
    """Look at the file without opening it: a FIFO would block for ever. Raises Refused."""
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise Refused("NOT_FOUND", f"There is no file {path}.", "Check the path.") from error
    except (OSError, ValueError) as error:
        raise Refused("UNREADABLE", f"{str(path)!r} can't be read.", "Check the path and its rights.") from error
    if not stat.S_ISREG(found.st_mode):
        raise Refused("NOT_A_FILE", f"{path} is no ordinary file.", "Give the SQLite database file itself.")
    if found.st_size == 0:
        raise Refused("EMPTY_FILE", f"{path} has 0 bytes: there is nothing to move.", "Check the path.")
    if not os.access(path, os.R_OK):
        raise Refused("UNREADABLE", f"{path} can't be read by this user.", "Check its rights.")


def _connect(path: Path) -> tuple[sqlite3.Connection, str]:
    uri = f"file:{urllib.parse.quote(str(path))}?mode=ro"
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False, cached_statements=16
    )
    return connection, uri


def open_at(path: Path, shown: Path, control: Control) -> Source:
    """The file at `path`, called `shown` wherever it is spoken of. Raises Refused BAD_NAME; sqlite3.Error."""
    found = identity_of(path)
    connection, uri = _connect(path)
    try:
        source = Source(shown, connection, control, uri)
    except UnicodeDecodeError:
        # SQLite's complaint about its schema quotes a name that is no text, and sqlite3 fails to say it.
        connection.close()
        raise Refused(
            "BAD_NAME",
            f"{shown} holds a name or definition that isn't valid text.",
            "Rename it in the source, or salvage the file with the sqlite3 shell's .recover.",
        ) from None
    except BaseException:
        connection.close()
        raise
    source.identity = found
    return source
