"""Tables whose own rows the target keeps (schema versions, tables kept by choice): looked at, never a difference.

No row of the source was meant to be there, so nobody can say which rows are right. How many there are on each side, and
whether they are the same, is said all the same: somebody who thought them equal learns that they aren't.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from migrations_app.engine.control import Control
from migrations_app.engine.conversions.conversions import Convert, Unfit, conversion, for_target_type
from migrations_app.engine.plan import KEEP_TARGET, MovePlan, TablePlan
from migrations_app.engine.planning.plan_existing_match import twin
from migrations_app.engine.source.cells import Cell, Row
from migrations_app.engine.source.schema import SourceSchema
from migrations_app.engine.target.pg_names import qualified, quote
from migrations_app.engine.target.target import Cursor, scalar
from migrations_app.engine.target.target_schema import VERSION_TABLES, TargetColumn, TargetSchema, head_columns

MOST = 100_000  # rows on a side; beyond them only their numbers are told
_NAMED = 8
_Texts = tuple[str | None, ...]


class KeptSource(Protocol):
    """A Source or an Export."""

    @property
    def schema(self) -> SourceSchema: ...

    def count(self, table: str) -> int: ...

    def rows(self, table: str, columns: Sequence[str] | None = None) -> Iterator[Row]: ...


@dataclass(frozen=True)
class _Column:
    source: str
    target: str
    convert: Convert


def compare_kept(
    cursor: Cursor, source: KeptSource, plan: MovePlan, actual: TargetSchema, control: Control
) -> list[str]:
    """A sentence for each such table, without values. Holds at most MOST rows of a side in memory, as text."""
    kept = [table for table in plan.tables if table.rule == KEEP_TARGET and actual.has(table.target_name)]
    return [_sentence(cursor, source, plan, table, actual, control) for table in kept]


def _sentence(
    cursor: Cursor, source: KeptSource, plan: MovePlan, table: TablePlan, actual: TargetSchema, control: Control
) -> str:
    where = qualified(plan.target_schema, table.target_name)
    begin = f"{table.name} keeps the target's own rows"
    try:
        ours, theirs = source.count(table.name), int(scalar(cursor, f"SELECT count(*) FROM {where}"))
    except KeyError:
        return f"{begin}; the source that is compared doesn't hold it."
    begin += f": {theirs} there, {ours} in the source"
    columns = _columns(source, table, actual)
    if not columns or max(ours, theirs) > MOST:
        return f"{begin}; {'too many to be compared' if columns else 'no column of both could be compared'}."
    there = Counter(_target_rows(cursor, where, columns))
    here = Counter(_source_rows(source, table, columns, control))
    names = f"{len(columns)} columns" if len(columns) > _NAMED else ", ".join(column.source for column in columns)
    if here == there:
        return f"{begin}, equal in {names}."
    only = f"{(there - here).total()} only there, {(here - there).total()} only in the source"
    return f"{begin}, not the same in {names}: {only}."


def _columns(source: KeptSource, table: TablePlan, actual: TargetSchema) -> list[_Column]:
    """Those that both have and that can be converted; of a schema-version table those that say the version."""
    names = [c.name for c in source.schema.table(table.name).columns if not c.hidden and not c.generated]
    columns = actual.table(table.target_name).columns
    wanted = head_columns(names) if table.name in VERSION_TABLES else names
    pairs = [(name, twin(name, columns, names)) for name in wanted]
    return [_Column(name, found.name, way) for name, found in pairs if found and (way := _way(found))]


def _way(column: TargetColumn) -> Convert | None:
    type_sql = column.base_type_sql or column.type_sql
    name = for_target_type(type_sql, column.enum_labels)
    return conversion(name, type_sql).convert if name else None


def _source_rows(
    source: KeptSource, table: TablePlan, columns: Sequence[_Column], control: Control
) -> Iterator[_Texts]:
    """As PostgreSQL would print them; a value that its column can't hold as what no column prints."""
    for row in source.rows(table.name, [column.source for column in columns]):
        control.checkpoint()
        yield tuple(_text(column.convert, cell) for column, cell in zip(columns, row, strict=True))


def _text(convert: Convert, cell: Cell) -> str | None:
    try:
        return convert(cell)
    except Unfit:
        return "\0"


def _target_rows(cursor: Cursor, where: str, columns: Sequence[_Column]) -> Iterator[_Texts]:
    """By format(), which prints as COPY does: a cast to text would spell booleans out and cut padding off."""
    names = [quote(column.target) for column in columns]
    texts = ", ".join(f"CASE WHEN {name} IS NOT NULL THEN format('%s', {name}) END" for name in names)
    cursor.execute(f"SELECT {texts} FROM {where}")
    yield from cursor
