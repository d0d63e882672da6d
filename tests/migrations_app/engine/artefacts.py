"""SQLite files and plans that the tests of artefacts (backup, export) share."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from migrations_app.engine.plan import LOAD, MODE_CREATE, ColumnPlan, MovePlan, TablePlan
from migrations_app.engine.source.schema import SourceSchema

EVERY_KIND = """
CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT NOT NULL, wage REAL, photo BLOB, any_value);
CREATE TABLE words (word TEXT PRIMARY KEY, n INTEGER) WITHOUT ROWID;
CREATE TABLE log (line TEXT);
"""


def execute(path: Path, script: str, rows: Sequence[tuple[str, Sequence[object]]] = ()) -> None:
    """Run a script, then statements with parameters, and commit."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executescript(script)
        connection.execute("BEGIN")
        for sql, parameters in rows:
            connection.execute(sql, parameters)
        connection.execute("COMMIT")


def every_kind(path: Path, people: int = 50) -> Path:
    """A file with cells of every storage class, invalid text and infinities among them."""
    infinity = float("inf")
    values: list[object] = [None, -(2**63), 2**63 - 1, 1e16, -0.0, infinity, -infinity, "日本語\0\u2028", b"\0\xff"]
    rows: list[tuple[str, Sequence[object]]] = [
        ("INSERT INTO people VALUES (?, ?, ?, ?, ?)", (i, f"名前 {i}", i / 7, bytes([i % 256]) * 9, values[i % 9]))
        for i in range(1, people + 1)
    ]
    rows.append(("INSERT INTO people VALUES (?, 'bad', 1.0, NULL, CAST(? AS TEXT))", (people + 1, b"\xff\xfe")))
    rows += [("INSERT INTO words VALUES (?, ?)", (word, len(word))) for word in ("b", "a", "", "é", "\U0001f600")]
    rows += [("INSERT INTO log VALUES (?)", (line,)) for line in ("same", "same", None)]
    execute(path, EVERY_KIND, rows)
    return path


def plain_plan(schema: SourceSchema, **types: str) -> MovePlan:
    """A plan that loads all of everything as text, or as the type named for `column`."""
    tables = tuple(
        TablePlan(
            name=table.name,
            target_name=table.name,
            rule=LOAD,
            key=table.key,
            columns=tuple(
                ColumnPlan(c.name, c.name, c.declared_type, types.get(c.name, "text"), types.get(c.name, "text"))
                for c in table.columns
            ),
        )
        for table in schema.tables
    )
    return MovePlan(MODE_CREATE, "public", schema.digest, schema.encoding, tables)
