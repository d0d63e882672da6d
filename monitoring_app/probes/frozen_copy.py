"""Row counts of the SQLite file that was left at the cut-over, and of the same tables in PostgreSQL.

The file is opened read-only and as it stands; nothing is written beside it. It is *frozen* when nothing has written to
it since the cut-over: a file that was, is a finding, since then something of the application still lives on SQLite.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2
from psycopg2 import sql

SECONDS = 60.0  # for all counts of one side
_TABLE_MILLISECONDS = 5000
_OURS = "causeway_"  # tables that a live crossing keeps in the file: nothing of the application's
_CLOCK = 5.0  # seconds by which a file's time may differ from ours


class NotCounted(Exception):
    """Why the file says nothing, in words for a person."""


class WrittenSince(NotCounted):
    """Something wrote to the file after the cut-over."""


@dataclass(frozen=True)
class Compared:
    """One table: rows in the file, rows in PostgreSQL (None: not there, or not counted in time)."""

    table: str
    frozen: int
    now: int | None
    missing: bool = False


def compare_counts(path: Path, cut_over: datetime, dsn: Mapping[str, Any], schema: str) -> list[Compared]:
    """The counts of every table that the file has. Raises NotCounted, WrittenSince."""
    frozen = count_frozen(path, cut_over)
    now = _count_now(dsn, schema, frozen)
    return [Compared(name, rows, now.get(name, None), name not in now) for name, rows in frozen.items()]


def count_frozen(path: Path, cut_over: datetime) -> dict[str, int]:
    """Rows of each table of the file. Raises NotCounted, WrittenSince."""
    try:
        written = datetime.fromtimestamp(path.stat().st_mtime, UTC)
        wal = path.with_name(path.name + "-wal")
        left = wal.stat().st_size if wal.exists() else 0
    except OSError as error:
        raise NotCounted(f"the file can't be read ({error.strerror})") from None
    if (written - cut_over).total_seconds() > _CLOCK:
        raise WrittenSince(f"the file was written to at {written:%Y-%m-%d %H:%M:%S} UTC, after the cut-over")
    if left:
        raise NotCounted("something has the file open: a write-ahead log lies beside it")
    try:
        return _count(path)
    except sqlite3.Error as error:
        raise NotCounted(f"the file can't be counted ({type(error).__name__})") from None


def _count(path: Path) -> dict[str, int]:
    until = time.monotonic() + SECONDS
    # immutable: no lock and no -shm file beside a file that must stay as it is; that nobody writes was looked at.
    with closing(sqlite3.connect(f"file:{quote(str(path))}?mode=ro&immutable=1", uri=True)) as connection:
        connection.set_progress_handler(lambda: time.monotonic() > until, 100_000)
        names = connection.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY 1"
        ).fetchall()
        names = [row for row in names if not row[0].startswith(_OURS)]
        return {
            name: int(connection.execute(f'SELECT count(*) FROM "{name.replace(chr(34), chr(34) * 2)}"').fetchone()[0])
            for (name,) in names
        }


def _count_now(dsn: Mapping[str, Any], schema: str, wanted: Iterable[str]) -> dict[str, int | None]:
    """Rows of each wanted table that is there; None where counting took too long or is not allowed."""
    found: dict[str, int | None] = {}
    until = time.monotonic() + SECONDS
    options = f"-c statement_timeout={_TABLE_MILLISECONDS} -c default_transaction_read_only=on"
    try:
        with closing(
            psycopg2.connect(**dsn, connect_timeout=3, options=options, application_name="causeway daily")
        ) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace "
                    "WHERE n.nspname = %s AND c.relkind IN ('r', 'p')",
                    (schema,),
                )
                there = {name for (name,) in cursor.fetchall()}
                for name in wanted:
                    real = name if name in there else name.lower()
                    if real in there:
                        found[name] = _count_one(cursor, schema, real) if time.monotonic() < until else None
    except psycopg2.Error:
        raise NotCounted("PostgreSQL could not be asked for its counts") from None
    return found


def _count_one(cursor: Any, schema: str, table: str) -> int | None:
    try:
        cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, table)))
        return int(cursor.fetchone()[0])
    except (psycopg2.errors.QueryCanceled, psycopg2.errors.InsufficientPrivilege):
        return None
