"""Mode `existing`: would the target's own foreign keys and unique keys take the source's rows?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from migrations_app.engine.plan import ColumnPlan, Finding, ObjectPlan
from migrations_app.engine.planning.findings import REFUSE, WARN, Decisions
from migrations_app.engine.planning.left_out import LeftOut
from migrations_app.engine.planning.plan_existing_match import Match, tell_not_tried
from migrations_app.engine.planning.plan_foreign_keys import count_orphans
from migrations_app.engine.source.row_keys import row_key_text
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.sqlite_ddl import fold
from migrations_app.engine.source.sqlite_source import Source, quote_name
from migrations_app.engine.target.target_schema import TargetForeignKey, TargetIndex, TargetTable

_NULLS_ALIKE = " NULLS NOT DISTINCT"
_NOT_VALID = "not_valid"


def plan_keys(
    source: Source,
    match: Match,
    target: TargetTable,
    matches: Sequence[Match],
    columns: Sequence[ColumnPlan],
    left_out: LeftOut,
    decisions: Decisions,
) -> tuple[ObjectPlan, ...]:
    """Findings on orphans and duplicates; gives the foreign keys that come back NOT VALID, by choice.

    matches: as it was decided at last which tables are loaded.
    """
    moved = {column.target_name: column.name for column in columns if column.load}
    for index in target.indexes:
        # The others are rules for rows (target_rules.py); '' stands for an expression.
        plain = index.unique and not index.where and all(index.columns) and _NULLS_ALIKE not in index.sql
        if plain and not set(index.columns) <= moved.keys():
            tell_not_tried(match, f"The target's unique index {index.name}", index.columns, moved.keys(), decisions)
        elif plain:
            names = [moved[name] for name in index.columns]
            if not _unique_in_source(match.source, names):
                _duplicates(source, match.source, index, names, left_out, decisions)
    plans = [
        _foreign_key(source, match.source, key, moved, matches, left_out, decisions) for key in target.foreign_keys
    ]
    return tuple(plan for plan in plans if plan is not None)


def _unique_in_source(table: SourceTable, names: Sequence[str]) -> bool:
    wanted = {fold(name) for name in names}
    if table.primary_key and {fold(name) for name in table.primary_key} == wanted:
        return True
    return any(
        found.unique and not found.partial and {fold(part.name or "") for part in found.columns} == wanted
        for found in table.indexes
    )


def _duplicates(
    source: Source,
    table: SourceTable,
    index: TargetIndex,
    columns: Sequence[str],
    left_out: LeftOut,
    decisions: Decisions,
) -> None:
    names = ", ".join(quote_name(name) for name in columns)
    complete = " AND ".join(f"{quote_name(name)} IS NOT NULL" for name in columns)
    kept = f"{complete}{left_out.kept(table)}"
    query = f"SELECT {names} FROM {quote_name(table.name)} WHERE {kept} GROUP BY {names} HAVING count(*) > 1"
    rows = source.query(query)
    first = next(rows, None)
    if first is None:
        return
    count = 1 + sum(1 for _row in rows)
    message = (
        f"The target's unique index {index.name} on {table.name}({', '.join(columns)}) would refuse"
        f" {count} value(s) that occur more than once in the source."
    )
    key = row_key_text(columns, first)
    decisions.ask(Finding("DUPLICATE_KEYS", REFUSE, message, table.name, ",".join(columns), key, count))


def _foreign_key(
    source: Source,
    table: SourceTable,
    key: TargetForeignKey,
    moved: Mapping[str, str],
    matches: Sequence[Match],
    left_out: LeftOut,
    decisions: Decisions,
) -> ObjectPlan | None:
    above = next((item for item in matches if item.target and item.target.name == key.parent_table), None)
    if above is None or not set(key.columns) <= moved.keys():
        return None
    known = above.source_names()
    if not set(key.parent_columns) <= known.keys():
        return None
    columns = [moved[name] for name in key.columns]
    if not above.loaded:
        return _not_moved(table, key, columns, decisions)
    parents = [known[name] for name in key.parent_columns]
    orphans = count_orphans(source, table, columns, above.source, parents, left_out)
    if not orphans.count:
        return None
    where = ", ".join(columns)
    message = (
        f"{orphans.count} row(s) of {table.name} refer by {where} to {orphans.whose(above.source)}."
        " The target would refuse them."
    )
    finding = Finding("ORPHANS", REFUSE, message, table.name, where, orphans.first, orphans.count, (_NOT_VALID,))
    return _loose(key) if decisions.ask(finding) == _NOT_VALID else None


def _not_moved(
    table: SourceTable, key: TargetForeignKey, columns: Sequence[str], decisions: Decisions
) -> ObjectPlan | None:
    """Which rows the target keeps isn't looked at: people say whether all parents are among them."""
    where = ", ".join(columns)
    message = (
        f"Rows of {table.name} refer by {where} to {key.parent_table}, where the target's rows stay:"
        f" each must find its parent there, or the load fails and gives everything back; {_NOT_VALID} lets all arrive."
    )
    finding = Finding("PARENT_NOT_MOVED", WARN, message, table.name, where, choices=("create", _NOT_VALID))
    return _loose(key) if decisions.ask(finding) == _NOT_VALID else None


def _loose(key: TargetForeignKey) -> ObjectPlan:
    detail = {"columns": list(key.columns), "parent": key.parent_table, "not_valid": True}
    return ObjectPlan("foreign_key", key.name, "", True, "restored NOT VALID, by choice", detail)
