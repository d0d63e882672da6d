"""Mode `existing`: the application has made its schema in the target; tables and columns are matched by name.

What real applications do to such a target: they seed rows at their first start, keep a schema-version table that is no
data, have columns that only one dialect knows, and triggers, defaults and types of their own. Each difference is a
finding; nothing in the target is altered but rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from migrations_app.engine.control import Control
from migrations_app.engine.plan import SKIP, ColumnPlan, Finding, ObjectPlan, TablePlan
from migrations_app.engine.planning.findings import INFO, REFUSE, WARN, Decisions
from migrations_app.engine.planning.left_out import LeftOut
from migrations_app.engine.planning.plan_create import Drafted
from migrations_app.engine.planning.plan_existing_around import (
    plan_sequences,
    tell_children,
    tell_extensions,
    tell_triggers,
)
from migrations_app.engine.planning.plan_existing_columns import candidates_for_target, plan_column
from migrations_app.engine.planning.plan_existing_keys import plan_keys
from migrations_app.engine.planning.plan_existing_match import Match, match_tables, twin
from migrations_app.engine.planning.plan_existing_rules import RowRules
from migrations_app.engine.planning.plan_wide_rows import SKIP_ROWS, SKIP_TABLE, ask_for_wide_rows, without_wide_rows
from migrations_app.engine.profile.profile import Candidate, TableProfile, profile_source
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.target.target_schema import TargetSchema, TargetTable


def plan_existing(
    source: Source,
    target: TargetSchema,
    excluded: Sequence[str],
    decisions: Decisions,
    control: Control,
    rules: RowRules | None = None,
) -> Drafted:
    """Match the source with the target's schema; all findings are recorded in `decisions`.

    Without `rules` the target's CHECKs and its like aren't tried: the load may still be refused by one.
    """
    matches = match_tables(source, target, excluded, decisions)
    loaded = [match for match in matches if match.loaded]
    candidates: dict[tuple[str, str], Sequence[Candidate]] = {}
    for match in loaded:
        for column in match.source.columns:
            found = match.target_column(column.name)
            if found is not None and not column.hidden:
                candidates[match.source.name, column.name] = candidates_for_target(found)
    profile = profile_source(source, [match.source.name for match in loaded], candidates, control)
    tables: list[TablePlan] = []
    for match in matches:
        if match.target is not None and match.loaded:
            found_here = profile.table(match.source.name)
            planned = _table(match, match.target, found_here, decisions, tried=rules is not None)
            if planned.is_loaded:
                planned = _without_wide(source, match.source, planned, found_here, decisions, control)
            if rules is not None and planned.is_loaded:
                planned = _under_rules(source, match, planned, found_here, decisions, rules, control)
            tables.append(_with_columns(planned, found_here, decisions))
        else:
            name = match.target.name if match.target else match.source.name
            tables.append(TablePlan(match.source.name, name, match.rule, (), match.source.key, (), match.reason))
    # Whether a table is loaded is known only now, and which of its rows are.
    matches = tuple(replace(match, rule=table.rule) for match, table in zip(matches, tables, strict=True))
    left_out = LeftOut(source, {table.name: table.columns for table in tables}, control)
    tables = [
        _with_keys(source, match, table, matches, left_out, decisions)
        for match, table in zip(matches, tables, strict=True)
    ]
    _target_only(source, target, matches, decisions)
    tell_children(target, matches, decisions)
    tell_triggers(matches, decisions)
    tell_extensions(target.used_extensions, decisions)
    sequences = plan_sequences(target, matches, decisions)
    return Drafted(tuple(tables), (*_objects(source, target, decisions), *sequences), profile)


def _table(match: Match, target: TargetTable, profile: TableProfile, decisions: Decisions, *, tried: bool) -> TablePlan:
    table = match.source
    columns = tuple(
        plan_column(
            table, column, match.target_column(column.name), profile.column(column.name), decisions, tried=tried
        )
        for column in table.columns
        if not column.hidden
    )
    rule = match.rule
    if not _columns_only_there(match, target, decisions):
        rule = SKIP
    return TablePlan(
        name=table.name,
        target_name=target.name,
        rule=rule,
        columns=columns,
        key=_key(table, columns, profile),
        reason=match.reason,
    )


def _with_keys(
    source: Source,
    match: Match,
    planned: TablePlan,
    matches: Sequence[Match],
    left_out: LeftOut,
    decisions: Decisions,
) -> TablePlan:
    if match.target is None or not match.loaded:
        return planned
    keys = plan_keys(source, match, match.target, matches, planned.columns, left_out, decisions)
    return replace(planned, objects=(*keys, *planned.objects))


def _with_columns(planned: TablePlan, profile: TableProfile, decisions: Decisions) -> TablePlan:
    """A table of which no column travels is left out: its rows would be empty ones."""
    if not planned.is_loaded or planned.loaded_columns:
        return planned
    if profile.rows:
        message = f"No column of {planned.name} is moved: its {profile.rows} row(s) have nowhere to go."
        finding = Finding(
            "TABLE_MISSING_IN_TARGET", REFUSE, message, planned.name, count=profile.rows, choices=("skip",)
        )
        decisions.ask(finding)
    return replace(planned, rule=SKIP, objects=(), reason="the target has none of its columns")


def _without_wide(
    source: Source,
    table: SourceTable,
    planned: TablePlan,
    profile: TableProfile,
    decisions: Decisions,
    control: Control,
) -> TablePlan:
    choice = ask_for_wide_rows(source, table, planned.columns, profile, decisions, control)
    if choice == SKIP_TABLE:
        return replace(planned, rule=SKIP, objects=(), reason="its rows are too wide; left out, by choice")
    return replace(planned, columns=without_wide_rows(planned.columns)) if choice == SKIP_ROWS else planned


def _under_rules(
    source: Source,
    match: Match,
    planned: TablePlan,
    profile: TableProfile,
    decisions: Decisions,
    rules: RowRules,
    control: Control,
) -> TablePlan:
    answer = rules.plan(source, match, planned.columns, profile, decisions, control)
    if answer.skip:
        return replace(planned, rule=SKIP, objects=(), reason="left out, by choice")
    columns = tuple(
        replace(column, load=False, reason="left out, by choice") if column.name in answer.dropped else column
        for column in planned.columns
    )
    return replace(planned, columns=columns, objects=(*planned.objects, *answer.loose))


def _columns_only_there(match: Match, target: TargetTable, decisions: Decisions) -> bool:
    """List columns that only the target has. False when the table is left out because of one, by choice."""
    table, known = match.source, match.source_names()
    keep = True
    for column in target.columns:
        if column.name in known:
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


def _key(table: SourceTable, columns: Sequence[ColumnPlan], profile: TableProfile) -> tuple[str, ...]:
    """What identifies a row on both sides: the source's key, where all of it travels and none of it is NULL."""
    moved = {column.name for column in columns if column.load}
    usable = all(name in moved and not profile.column(name).nulls for name in table.key)
    return table.key if usable else ()


def _target_only(source: Source, target: TargetSchema, matches: Sequence[Match], decisions: Decisions) -> None:
    names = [table.name for table in source.schema.tables]
    known = {match.target.name for match in matches if match.target} | set(names)
    for table in target.tables:
        if table.name not in known:
            held = f"; it holds {table.rows} row(s)" if table.rows > 0 else ""
            message = f"Only the target has the table {table.name}{held}: it stays as it is."
            decisions.ask(Finding("TARGET_ONLY_TABLE", INFO, message, table.name))
    ours = [view.name for view in source.schema.views]
    known = {found.name for found in (twin(name, target.views, ours) for name in ours) if found}
    for view in target.views:
        if view.name not in known or view.materialized:
            what = "the materialized view, which is refreshed" if view.materialized else "the view"
            decisions.ask(Finding("TARGET_ONLY_VIEW", INFO, f"Only the target has {what}: {view.name}.", view.name))


def _objects(source: Source, target: TargetSchema, decisions: Decisions) -> tuple[ObjectPlan, ...]:
    """Views and triggers of the source beside those that the application has made in the target."""
    ours = [view.name for view in source.schema.views]
    there = {name for name in ours if twin(name, target.views, ours) is not None}
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
