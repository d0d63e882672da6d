"""Rows that no page of PostgreSQL can hold, even with their long values stored apart: found by the columns' types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from migrations_app.engine.control import Control
from migrations_app.engine.conversions.conversions import RowUnfit, row_converter
from migrations_app.engine.conversions.row_width import (
    FEWEST_COLUMNS,
    PAGE_ROOM,
    WIDEST_CELL,
    least_width,
    widest_cell,
)
from migrations_app.engine.plan import FAIL, LOAD, SKIP_WIDE_ROW, ColumnPlan, Finding, TablePlan
from migrations_app.engine.planning.findings import REFUSE, Decisions
from migrations_app.engine.profile.profile import ColumnProfile, TableProfile
from migrations_app.engine.source.row_keys import key_names, row_key_text
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.sqlite_source import Source

SKIP_TABLE, SKIP_ROWS = "skip", "skip_rows"
_LARGEST_LETTER = 4  # bytes, in UTF-8


def ask_for_wide_rows(
    source: Source,
    table: SourceTable,
    columns: Sequence[ColumnPlan],
    profile: TableProfile,
    decisions: Decisions,
    control: Control,
) -> str:
    """What was chosen for rows that are too wide: 'skip_rows', 'skip' (the table), '' for nothing or no such rows."""
    moved = [column for column in columns if column.load]
    if len(moved) < FEWEST_COLUMNS or sum(_most(column, profile.column(column.name)) for column in moved) <= PAGE_ROOM:
        return ""
    count, first = _too_wide(source, table, columns, control)
    if not count:
        return ""
    message = f"{count} row(s) of {table.name} don't fit a page of 8 kB, even with long values kept apart."
    offered = (SKIP_ROWS, SKIP_TABLE)
    return decisions.ask(Finding("ROW_TOO_WIDE", REFUSE, message, table.name, "", first, count, offered))


def without_wide_rows(columns: Sequence[ColumnPlan]) -> tuple[ColumnPlan, ...]:
    """The same with the first column marked on which nothing else is chosen (row_converter then leaves them out).

    Where something is chosen on every column none is marked: the load then stops at the first of these rows.
    """
    marked = next((column.name for column in columns if column.load and column.on_unfit == FAIL), "")
    told = "rows too wide for a page are left out, by choice"
    return tuple(
        replace(column, on_unfit=SKIP_WIDE_ROW, reason=f"{column.reason}; {told}") if column.name == marked else column
        for column in columns
    )


def _most(column: ColumnPlan, profile: ColumnProfile) -> int:
    """The most that a cell of the column can count for."""
    if not profile.kinds:
        return 0
    longest = max(profile.max_chars * _LARGEST_LETTER, profile.max_bytes, WIDEST_CELL * bool(profile.numbers))
    return min(widest_cell(column), 1 + longest)


def _too_wide(source: Source, table: SourceTable, columns: Sequence[ColumnPlan], control: Control) -> tuple[int, str]:
    """How many such rows, and the key of the first. Rows that don't fit their columns are findings of their own."""
    planned = TablePlan(table.name, table.name, LOAD, tuple(columns), ())
    moved = planned.loaded_columns
    convert, width, names = row_converter(planned), least_width(moved), key_names(table)
    count, first = 0, ""
    for place, (key, row) in enumerate(source.rows_with_key(table.name, [column.name for column in moved])):
        if place % 100 == 0:
            control.checkpoint()
        try:
            texts = convert(row)
        except RowUnfit:
            continue
        if texts is not None and width(texts) > PAGE_ROOM:
            count += 1
            first = first or (row_key_text(names, key) if names else "")
    return count, first
