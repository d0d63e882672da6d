"""Columns that held YYYY-MM-DD as text in SQLite still read so in PostgreSQL: as a date, or as the same text.

Which they are is asked of SQLite's values: a column counts when it has values and each of them is such a text. A value
that the application has written since must be one too: code that leant on SQLite's text may now write a time with it.
"""

from __future__ import annotations

from dataclasses import dataclass

from migrations_app.engine.control import Control
from migrations_app.engine.plan import ColumnPlan, MovePlan, TablePlan
from migrations_app.engine.source.sqlite_source import Source, quote_name
from migrations_app.engine.target.pg_names import literal, qualified, quote
from migrations_app.engine.target.target import Cursor, rows

_GLOB = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]"
_PATTERN = r"^\d{4}-\d\d-\d\d$"
_TEXTS = ("text", "character varying", "varchar", "character", "char", "bpchar", "citext")


@dataclass(frozen=True)
class DateColumn:
    """A column of the source whose values are all dates, by the target's names and type."""

    table: str
    column: str
    target_table: str
    target_column: str
    target_type: str


@dataclass(frozen=True)
class DateCheck:
    """values: those that are not NULL; wrong: of them, those that don't read as YYYY-MM-DD. Never a value."""

    table: str
    column: str
    target_type: str
    values: int
    wrong: int


def find_date_columns(source: Source, plan: MovePlan, control: Control) -> tuple[DateColumn, ...]:
    """The loaded columns that are dates as text in SQLite and a date or a text in the target. One pass a table."""
    found: list[DateColumn] = []
    for table in plan.tables:
        control.checkpoint()
        columns = [column for column in table.loaded_columns if _may_be(column)]
        if table.is_loaded and columns:
            found += _of_table(source, table, columns)
    return tuple(found)


def _may_be(column: ColumnPlan) -> bool:
    return column.target_type == "date" or column.target_type.partition("(")[0].strip() in _TEXTS


def _of_table(source: Source, table: TablePlan, columns: list[ColumnPlan]) -> list[DateColumn]:
    names = [quote_name(column.name) for column in columns]
    is_date = "typeof({0}) = 'text' AND length({0}) = 10 AND {0} GLOB '{1}'"
    counted = ", ".join(f"count({name}), sum({is_date.format(name, _GLOB)})" for name in names)
    counts = next(source.query(f"SELECT {counted} FROM {quote_name(table.name)}"))
    pairs = [(int(str(counts[n] or 0)), int(str(counts[n + 1] or 0))) for n in range(0, len(counts), 2)]
    return [
        DateColumn(table.name, column.name, table.target_name, column.target_name, column.target_type)
        for column, (values, dates) in zip(columns, pairs, strict=True)
        if values and values == dates
    ]


def check_dates(cursor: Cursor, schema: str, columns: tuple[DateColumn, ...]) -> tuple[DateCheck, ...]:
    """Every value of each column, by pattern. The session prints dates as ISO; infinity and BC don't read so."""
    by_table: dict[str, list[DateColumn]] = {}
    for column in columns:
        by_table.setdefault(column.target_table, []).append(column)
    checks = []
    for table, its in by_table.items():
        counted = ", ".join(
            f"count({quote(each.target_column)}),"
            f" count(*) FILTER (WHERE {quote(each.target_column)}::text !~ {literal(_PATTERN)})"
            for each in its
        )
        counts = rows(cursor, f"SELECT {counted} FROM {qualified(schema, table)}")[0]
        checks += [
            DateCheck(each.table, each.column, each.target_type, int(counts[2 * place]), int(counts[2 * place + 1]))
            for place, each in enumerate(its)
        ]
    return tuple(checks)
