"""Ranges of a table's rows by rowid."""

from __future__ import annotations

from dataclasses import dataclass

from migrations_app.engine.source.schema import SourceTable


@dataclass(frozen=True)
class Part:
    """Rows of a table with rowids above `after`, up to `last`; None is no bound. `number` counts from 0."""

    table: str
    number: int
    after: int | None = None
    last: int | None = None


def range_condition(table: SourceTable, part: Part) -> str:
    """' WHERE …' for the rows of the part; '' for all."""
    bounds = ((">", part.after), ("<=", part.last))
    used = [f"{table.rowid_name} {sign} {value}" for sign, value in bounds if value is not None]
    return " WHERE " + " AND ".join(used) if used else ""


def bound_condition(table: SourceTable, part: Part) -> tuple[str, tuple[int, ...]]:
    """As range_condition(), the bounds as parameters: a statement that comes again and again is prepared once."""
    bounds = ((">", part.after), ("<=", part.last))
    used = [(f"{table.rowid_name} {sign} ?", value) for sign, value in bounds if value is not None]
    return (" WHERE " + " AND ".join(term for term, _ in used) if used else ""), tuple(value for _, value in used)


def is_by_rowid(table: SourceTable) -> bool:
    """Whether the table's rows can be asked for by ranges of rowids."""
    return table.kind == "table" and bool(table.rowid_name)
