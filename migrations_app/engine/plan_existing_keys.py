"""Mode `existing`: would the target's own foreign keys and unique keys take the source's rows?"""

from __future__ import annotations

from collections.abc import Sequence

from migrations_app.engine.findings import REFUSE, Decisions
from migrations_app.engine.plan import ColumnPlan, Finding, ObjectPlan
from migrations_app.engine.plan_foreign_keys import count_orphans
from migrations_app.engine.row_keys import row_key_text
from migrations_app.engine.schema import SourceTable
from migrations_app.engine.sqlite_ddl import fold
from migrations_app.engine.sqlite_source import Source, quote_name
from migrations_app.engine.target_schema import TargetForeignKey, TargetIndex, TargetTable


def plan_keys(
    source: Source, table: SourceTable, target: TargetTable, columns: Sequence[ColumnPlan], decisions: Decisions
) -> tuple[ObjectPlan, ...]:
    """Findings on orphans and duplicates; gives the foreign keys that come back NOT VALID, by choice."""
    moved = {column.name for column in columns if column.load}
    for index in target.indexes:
        if index.unique and not index.where and set(index.columns) <= moved and not _unique_in_source(table, index):
            _duplicates(source, table, index, decisions)
    plans = [_foreign_key(source, table, key, moved, decisions) for key in target.foreign_keys]
    return tuple(plan for plan in plans if plan is not None)


def _unique_in_source(table: SourceTable, index: TargetIndex) -> bool:
    wanted = {fold(name) for name in index.columns}
    if table.primary_key and {fold(name) for name in table.primary_key} == wanted:
        return True
    return any(
        found.unique and not found.partial and {fold(part.name or "") for part in found.columns} == wanted
        for found in table.indexes
    )


def _duplicates(source: Source, table: SourceTable, index: TargetIndex, decisions: Decisions) -> None:
    names = ", ".join(quote_name(name) for name in index.columns)
    complete = " AND ".join(f"{quote_name(name)} IS NOT NULL" for name in index.columns)
    query = f"SELECT {names} FROM {quote_name(table.name)} WHERE {complete} GROUP BY {names} HAVING count(*) > 1"
    rows = source.query(query)
    first = next(rows, None)
    if first is None:
        return
    count = 1 + sum(1 for _row in rows)
    message = (
        f"The target's unique index {index.name} on {table.name}({', '.join(index.columns)}) would refuse"
        f" {count} value(s) that occur more than once in the source."
    )
    key = row_key_text(index.columns, first)
    decisions.ask(Finding("DUPLICATE_KEYS", REFUSE, message, table.name, ",".join(index.columns), key, count))


def _foreign_key(
    source: Source, table: SourceTable, key: TargetForeignKey, moved: set[str], decisions: Decisions
) -> ObjectPlan | None:
    parent = next((item for item in source.schema.tables if item.name == key.parent_table), None)
    if parent is None or not set(key.columns) <= moved:
        return None
    if not set(key.parent_columns) <= {column.name for column in parent.columns}:
        return None
    orphans, first = count_orphans(source, table, key.columns, parent, key.parent_columns)
    if not orphans:
        return None
    where = ", ".join(key.columns)
    message = (
        f"{orphans} row(s) of {table.name} refer by {where} to no row of {parent.name}: the target would refuse them."
    )
    finding = Finding("ORPHANS", REFUSE, message, table.name, where, first, orphans, ("not_valid",))
    if decisions.ask(finding) != "not_valid":
        return None
    detail = {"columns": list(key.columns), "parent": key.parent_table, "not_valid": True, "orphans": orphans}
    return ObjectPlan("foreign_key", key.name, "", True, "restored NOT VALID, by choice", detail)
