"""SQLite never gives out a number again that PostgreSQL gave out, even where its row came and went unseen."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from migrations_app.engine.load.sequences import SequenceUse, find_sequences
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.source.sqlite_ddl import parse_table
from migrations_app.engine.target.pg_names import literal
from migrations_app.engine.target.target import Cursor, rows


def raise_given_ids(
    file: sqlite3.Connection, cursor: Cursor, plan: MovePlan, uses: Sequence[SequenceUse] | None = None
) -> None:
    """Raise sqlite_sequence to what PostgreSQL's sequences gave out, in the caller's transaction on the file.

    uses: what find_sequences() found before, for who is in a hurry.
    """
    if not file.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone():
        return
    for table, last in _given_out(
        cursor, plan, find_sequences(cursor, plan, plan.target_schema) if uses is None else uses
    ):
        # An application may have set the entry itself: to NULL, which counts as 0, or to a number as text.
        raised = "UPDATE sqlite_sequence SET seq = max(coalesce(CAST(seq AS INTEGER), 0), ?) WHERE name = ?"
        if not file.execute(raised, (last, table)).rowcount and _counts(file, table):
            file.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, last))


def _given_out(cursor: Cursor, plan: MovePlan, uses: Sequence[SequenceUse]) -> list[tuple[str, int]]:
    """(source table, last number) of sequences that feed the only key column of their table, in one question."""
    questions = [
        f"SELECT {literal(use.table)}, last_value FROM {use.sequence} WHERE is_called"
        for use in uses
        if plan.table(use.table).key == (_source_column(plan, use),)
    ]
    return [(str(table), int(last)) for table, last in rows(cursor, " UNION ALL ".join(questions))] if questions else []


def _source_column(plan: MovePlan, use: SequenceUse) -> str:
    return next((each.name for each in plan.table(use.table).columns if each.target_name == use.column), "")


def _counts(file: sqlite3.Connection, table: str) -> bool:
    """Whether the table is AUTOINCREMENT: SQLite writes its entry with the first row only."""
    found = file.execute("SELECT sql FROM sqlite_master WHERE type = 'table' AND name = ?", (table,)).fetchone()
    return bool(found) and parse_table(str(found[0])).autoincrement
