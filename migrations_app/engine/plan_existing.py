"""Mode `existing`: the application has made its schema in the target; tables and columns are matched by exact name.

What real applications do to such a target: they seed rows at their first start, keep a schema-version table that is no
data, have columns that only one dialect knows, and triggers, defaults and types of their own. Each difference is a
finding; nothing in the target is altered but rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrations_app.engine.control import Control
from migrations_app.engine.findings import INFO, REFUSE, WARN, Decisions
from migrations_app.engine.plan import (
    EMPTY_THEN_LOAD,
    KEEP_TARGET,
    LOAD,
    SKIP,
    ColumnPlan,
    Finding,
    ObjectPlan,
    TablePlan,
)
from migrations_app.engine.plan_create import Drafted
from migrations_app.engine.plan_existing_columns import candidates_for_target, plan_column
from migrations_app.engine.plan_existing_keys import plan_keys
from migrations_app.engine.profile import Candidate, TableProfile, profile_source
from migrations_app.engine.schema import SourceTable
from migrations_app.engine.sqlite_source import Source
from migrations_app.engine.target_schema import (
    FOREIGN,
    VERSION_TABLES,
    TargetColumn,
    TargetSchema,
    TargetTable,
)

# Columns that say which schema migration a row of a version table is; its other columns differ from place to place.
_HEAD_COLUMNS = (("version_num",), ("app", "name"), ("version",), ("migration_name",), ("name",), ("MigrationId",))


@dataclass(frozen=True)
class _Match:
    """What happens to one source table. `target` is None for tables that are left out."""

    source: SourceTable
    target: TargetTable | None
    rule: str
    reason: str = ""


def plan_existing(
    source: Source, target: TargetSchema, excluded: Sequence[str], decisions: Decisions, control: Control
) -> Drafted:
    """Match the source with the target's schema; all findings are recorded in `decisions`."""
    matches = [_match(source, table, target, table.name in excluded, decisions) for table in source.schema.tables]
    loaded = [item for item in matches if item.rule in (LOAD, EMPTY_THEN_LOAD) and item.target is not None]
    candidates: dict[tuple[str, str], Sequence[Candidate]] = {}
    for item in loaded:
        for column in item.source.columns:
            found = _target_column(item.target, column.name)
            if found is not None and not column.hidden:
                candidates[item.source.name, column.name] = candidates_for_target(found)
    profile = profile_source(source, [item.source.name for item in loaded], candidates, control)
    tables: list[TablePlan] = []
    for item in matches:
        if item.target is not None and item.rule in (LOAD, EMPTY_THEN_LOAD):
            tables.append(_table(source, item.source, item.target, item, profile.table(item.source.name), decisions))
        else:
            name = item.target.name if item.target else item.source.name
            tables.append(TablePlan(item.source.name, name, item.rule, (), item.source.key, (), item.reason))
    _target_only(source, target, decisions)
    return Drafted(tuple(tables), _objects(source, target, decisions), profile)


def _target_column(table: TargetTable | None, name: str) -> TargetColumn | None:
    return next((column for column in table.columns if column.name == name), None) if table else None


def _match(source: Source, table: SourceTable, target: TargetSchema, excluded: bool, decisions: Decisions) -> _Match:
    if excluded:
        return _Match(table, None, SKIP, "left out with --exclude")
    if table.kind != "table":
        return _virtual(table, decisions)
    if not target.has(table.name):
        return _missing(source, table, decisions)
    found = target.table(table.name)
    if table.name in VERSION_TABLES:
        return _version_table(source, table, found, decisions)
    if found.kind == FOREIGN:
        message = f"{table.name} is a foreign table in the target."
        decisions.ask(Finding("TARGET_KIND", REFUSE, message, table.name, choices=("skip",)))
        return _Match(table, found, SKIP, "a foreign table in the target")
    rule, reason = _rows_there(source, found, decisions)
    return _Match(table, found, rule, reason)


def _virtual(table: SourceTable, decisions: Decisions) -> _Match:
    code = "SHADOW_TABLE" if table.kind == "shadow" else "VIRTUAL_TABLE"
    choices = () if table.kind == "shadow" else ("skip",)
    message = f"{table.name} is or belongs to a virtual table: the application's own schema has its ways of searching."
    decisions.ask(Finding(code, INFO, message, table.name, choices=choices))
    return _Match(table, None, SKIP, "a virtual table, or part of one")


def _missing(source: Source, table: SourceTable, decisions: Decisions) -> _Match:
    rows = source.count(table.name)
    message = f"The target has no table {table.name}; the source's has {rows} row(s)."
    severity = REFUSE if rows else INFO
    decisions.ask(Finding("TABLE_MISSING_IN_TARGET", severity, message, table.name, count=rows, choices=("skip",)))
    return _Match(table, None, SKIP, "the target has no such table")


def _rows_there(source: Source, table: TargetTable, decisions: Decisions) -> tuple[str, str]:
    """The rule for a table of the target that may hold rows already."""
    if table.rows <= 0:
        return LOAD, ""
    finding = Finding(
        "TARGET_NOT_EMPTY",
        REFUSE,
        f"The target's table {table.name} holds {table.rows} row(s) already.",
        table.name,
        count=table.rows,
        choices=("empty", "keep", "skip"),
    )
    choice = decisions.ask(finding)
    if choice == "keep":
        return KEEP_TARGET, "the target's rows are kept, by choice"
    if choice == "skip":
        return SKIP, "left out, by choice"
    return EMPTY_THEN_LOAD, f"{table.rows} row(s) that are there are emptied first" if choice else ""


def _version_table(source: Source, table: SourceTable, target: TargetTable, decisions: Decisions) -> _Match:
    """A schema-version table is no data: the target's rows stay, and are compared with the source's."""
    names = [column.name for column in table.columns]
    heads = next((head for head in _HEAD_COLUMNS if set(head) <= set(names)), tuple(names))
    ours = {tuple(_text(cell) for cell in row) for row in source.rows(table.name, heads)}
    places = [i for i, column in enumerate(target.columns) if column.name in heads]
    order = [column.name for column in target.columns if column.name in heads]
    theirs = {
        tuple(dict(zip(order, (row[i] for i in places), strict=True)).get(name, "") for name in heads)
        for row in target.version_rows
    }
    reason = "a schema-version table: the target's rows stay"
    if ours == theirs:
        decisions.ask(Finding("VERSION_TABLE_KEPT", INFO, f"{table.name} is {reason}; both agree.", table.name))
    else:
        lacking = ", ".join(sorted("/".join(head) for head in ours - theirs)[:5]) or "nothing"
        extra = ", ".join(sorted("/".join(head) for head in theirs - ours)[:5]) or "nothing"
        message = f"The schema versions in {table.name} differ: only the source has {lacking}, only the target {extra}."
        finding = Finding("VERSIONS_DIFFER", REFUSE, message, table.name, choices=("keep_target",))
        decisions.ask(finding)
    return _Match(table, target, KEEP_TARGET, reason)


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)


def _table(
    source: Source,
    table: SourceTable,
    target: TargetTable,
    match: _Match,
    profile: TableProfile,
    decisions: Decisions,
) -> TablePlan:
    columns = tuple(
        plan_column(table, column, _target_column(target, column.name), profile.column(column.name), decisions)
        for column in table.columns
        if not column.hidden
    )
    rule = match.rule
    if not _columns_only_there(table, target, decisions):
        rule = SKIP
    objects = plan_keys(source, table, target, columns, decisions) if rule != SKIP else ()
    return TablePlan(
        name=table.name,
        target_name=target.name,
        rule=rule,
        columns=columns,
        key=_key(table, target, columns, profile),
        objects=objects,
        reason=match.reason,
    )


def _columns_only_there(table: SourceTable, target: TargetTable, decisions: Decisions) -> bool:
    """List columns that only the target has. False when the table is left out because of one, by choice."""
    names = {column.name for column in table.columns}
    keep = True
    for column in target.columns:
        if column.name in names:
            continue
        filled = column.generated or column.identity or column.default_sql is not None or not column.not_null
        if filled:
            message = f"Only the target has {target.name}.{column.name}: it gets its default, NULL or generated value."
            decisions.ask(Finding("TARGET_COLUMN_DEFAULTS", INFO, message, table.name, column.name))
            continue
        message = (
            f"The target's column {target.name}.{column.name} is NOT NULL without default, and the source lacks it."
        )
        finding = Finding("COLUMN_WITHOUT_SOURCE", REFUSE, message, table.name, column.name, choices=("skip",))
        keep = decisions.ask(finding) != "skip" and keep
    return keep


def _key(
    table: SourceTable, target: TargetTable, columns: Sequence[ColumnPlan], profile: TableProfile
) -> tuple[str, ...]:
    """What identifies a row on both sides: the source's key, where all of it travels and none of it is NULL."""
    moved = {column.name for column in columns if column.load}
    usable = all(name in moved and not profile.column(name).nulls for name in table.key)
    return table.key if usable else ()


def _target_only(source: Source, target: TargetSchema, decisions: Decisions) -> None:
    names = {table.name for table in source.schema.tables}
    for table in target.tables:
        if table.name not in names:
            held = f"; it holds {table.rows} row(s)" if table.rows > 0 else ""
            message = f"Only the target has the table {table.name}{held}: it stays as it is."
            decisions.ask(Finding("TARGET_ONLY_TABLE", INFO, message, table.name))
    views = {view.name for view in source.schema.views}
    for view in target.views:
        if view.name not in views or view.materialized:
            what = "the materialized view, which is refreshed" if view.materialized else "the view"
            decisions.ask(Finding("TARGET_ONLY_VIEW", INFO, f"Only the target has {what}: {view.name}.", view.name))


def _objects(source: Source, target: TargetSchema, decisions: Decisions) -> tuple[ObjectPlan, ...]:
    """Views and triggers of the source beside those that the application has made in the target."""
    there = {view.name for view in target.views}
    plans = [
        ObjectPlan("view", view.name, "", view.name in there, "" if view.name in there else "the target has none")
        for view in source.schema.views
    ]
    for view in source.schema.views:
        if view.name not in there:
            message = f"The target has no view {view.name}: the application makes its own."
            decisions.ask(Finding("VIEW_NOT_CARRIED", INFO, message, view.name))
    triggers = {trigger.name for table in target.tables for trigger in table.triggers}
    for trigger in source.schema.triggers:
        has = trigger.name in triggers
        plans.append(
            ObjectPlan(
                "trigger",
                trigger.name,
                "",
                has,
                "" if has else "the target has none of that name",
                {"table": trigger.table},
            )
        )
        if not has:
            message = f"The target has no trigger {trigger.name} (on {trigger.table} in the source)."
            decisions.ask(Finding("TRIGGER_NOT_CARRIED", WARN, message, trigger.table, trigger.name))
    return tuple(plans)
