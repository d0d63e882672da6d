"""SQLite never gives out a number again that PostgreSQL gave out, even where its row came and went unseen."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator

from migrations_app.engine.load import sequences
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.source.sqlite_ddl import parse_table
from migrations_app.engine.target.target import Cursor


def raise_given_ids(file: sqlite3.Connection, cursor: Cursor, plan: MovePlan) -> None:
    """Raise sqlite_sequence to what PostgreSQL's sequences gave out, in the caller's transaction on the file."""
    if not file.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone():
        return
    for table, last in _given_out(cursor, plan):
        found = file.execute("SELECT max(seq) FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()[0]
        if found is None and _counts(file, table):
            file.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, last))
        elif found is not None and found < last:
            file.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = ?", (last, table))


def _given_out(cursor: Cursor, plan: MovePlan) -> Iterator[tuple[str, int]]:
    """(source table, last number) of sequences that feed the only key column of their table."""
    for use in sequences.find_sequences(cursor, plan, plan.target_schema):
        table = plan.table(use.table)
        source = next((column.name for column in table.columns if column.target_name == use.column), "")
        state = sequences.current_state(cursor, use.sequence)
        if table.key == (source,) and state.is_called:
            yield table.name, state.last_value


def _counts(file: sqlite3.Connection, table: str) -> bool:
    """Whether the table is AUTOINCREMENT: SQLite writes its entry with the first row only."""
    found = file.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone()
    return bool(found) and parse_table(str(found[0])).autoincrement
