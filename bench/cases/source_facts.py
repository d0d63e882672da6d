"""What a SQLite file holds, read by SQLite alone: the yardstick must not be the product that it measures."""

from __future__ import annotations

import contextlib
import re
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.cases.canonical import Stored

_COLLATE = re.compile(r"""COLLATE\s+("[^"]+"|'[^']+'|`[^`]+`|\[[^\]]+\]|\w+)""", re.IGNORECASE)
_OWN_COLLATIONS = {"BINARY", "NOCASE", "RTRIM"}
_SECONDS = 120.0  # a file that keeps SQLite busy for longer is given up


class Unreadable(Exception):
    """SQLite itself can't read the file, or not this part of it."""


@dataclass(frozen=True)
class Table:
    """Ordinary tables only: virtual ones and those that belong to them have no counterpart elsewhere.

    `counter`: the column that gives out numbers (INTEGER PRIMARY KEY), with the highest that it holds.
    """

    name: str
    columns: tuple[str, ...]
    not_null: frozenset[str]
    indexes: int  # all but the primary key's
    foreign_keys: int
    counter: str | None
    rows: int
    highest: int


@dataclass(frozen=True)
class SourceFacts:
    tables: tuple[Table, ...]
    views: int
    triggers: int

    @property
    def rows(self) -> int:
        return sum(table.rows for table in self.tables)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A scratch copy, since SQLite may write beside it. Raises Unreadable for whatever SQLite says in here."""
    deadline = time.monotonic() + _SECONDS
    try:
        connection = sqlite3.connect(path)
        with contextlib.closing(connection):
            connection.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
            connection.set_progress_handler(lambda: time.monotonic() > deadline, 100_000)
            _stand_in_for_collations(connection)
            yield connection
    except sqlite3.Error as error:
        raise Unreadable(str(error)) from None


def _stand_in_for_collations(connection: sqlite3.Connection) -> None:
    """Collations of the application's own decide an order, which nothing here asks for: any will do."""
    for (sql,) in connection.execute("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL").fetchall():
        for name in _COLLATE.findall(sql):
            bare = name.strip("\"'`[]")
            if bare.upper() not in _OWN_COLLATIONS:
                connection.create_collation(bare, lambda one, other: (one > other) - (one < other))


def read_facts(connection: sqlite3.Connection) -> SourceFacts:
    kinds = dict(connection.execute("SELECT name, type FROM pragma_table_list WHERE schema = 'main'"))
    names = [name for name, kind in kinds.items() if kind == "table" and not name.startswith("sqlite_")]
    count = "SELECT count(*) FROM sqlite_schema WHERE type = ?"
    return SourceFacts(
        tables=tuple(_table(connection, name) for name in sorted(names)),
        views=connection.execute(count, ("view",)).fetchone()[0],
        triggers=connection.execute(count, ("trigger",)).fetchone()[0],
    )


def quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _table(connection: sqlite3.Connection, name: str) -> Table:
    columns = connection.execute(
        'SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?) WHERE hidden <> 1', (name,)
    )
    described = columns.fetchall()
    keys = [(column, kind) for column, kind, _not_null, position in described if position]
    counter = keys[0][0] if len(keys) == 1 and keys[0][1].upper() == "INTEGER" else None
    rows = connection.execute(f"SELECT count(*) FROM {quoted(name)} NOT INDEXED").fetchone()[0]
    return Table(
        name=name,
        columns=tuple(column for column, *_rest in described),
        not_null=frozenset(column for column, _kind, not_null, _position in described if not_null),
        indexes=_count(connection, "SELECT count(*) FROM pragma_index_list(?) WHERE origin <> 'pk'", name),
        foreign_keys=_count(connection, "SELECT count(DISTINCT id) FROM pragma_foreign_key_list(?)", name),
        counter=counter,
        rows=rows,
        highest=_highest(connection, name, counter),
    )


def _count(connection: sqlite3.Connection, statement: str, name: str) -> int:
    found: int = connection.execute(statement, (name,)).fetchone()[0]
    return found


def _highest(connection: sqlite3.Connection, name: str, counter: str | None) -> int:
    """What the next number must be above: the largest there is, or was where SQLite remembers it."""
    if counter is None:
        return 0
    highest = connection.execute(f"SELECT max({quoted(counter)}) FROM {quoted(name)}").fetchone()[0] or 0
    remembers = connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'").fetchone()
    if remembers:
        kept = connection.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = ?", (name,)).fetchone()[0]
        highest = max(highest, kept or 0)
    return int(highest)


def read_columns(connection: sqlite3.Connection, table: Table) -> list[list[Stored]]:
    """All values, by column."""
    wanted = ", ".join(quoted(column) for column in table.columns)
    columns: list[list[Stored]] = [[] for _ in table.columns]
    for row in connection.execute(f"SELECT {wanted} FROM {quoted(table.name)} NOT INDEXED"):
        for values, value in zip(columns, row, strict=True):
            values.append(value)
    return columns
