"""Makes the plan, and checks later whether the data still fits it. Deterministic: same file, same plan, same digest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Refused
from migrations_app.engine.plan import (
    MODE_CREATE,
    MODE_EXISTING,
    EncryptedColumn,
    Finding,
    MovePlan,
    TablePlan,
)
from migrations_app.engine.planning.findings import REFUSE, Decisions
from migrations_app.engine.planning.plan_create import Drafted, plan_create
from migrations_app.engine.planning.plan_existing import plan_existing
from migrations_app.engine.planning.plan_existing_rules import RowRules
from migrations_app.engine.planning.plan_orphans import new_orphans
from migrations_app.engine.profile.profile import Candidate, Profile, TableProfile, profile_source
from migrations_app.engine.source.sqlite_ddl import fold
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.target.target_schema import TargetSchema


def make_plan(
    source: Source,
    *,
    mode: str,
    target_schema: str = "public",
    target: TargetSchema | None = None,
    choices: Sequence[tuple[str, str]] = (),
    excluded: Sequence[str] = (),
    encrypted: Sequence[EncryptedColumn] = (),
    control: Control | None = None,
    rules: RowRules | None = None,
) -> MovePlan:
    """Plan the move of a whole file, as plan_with_profile() does, for those who need no profile."""
    plan, _profile = plan_with_profile(
        source,
        mode=mode,
        target_schema=target_schema,
        target=target,
        choices=choices,
        excluded=excluded,
        encrypted=encrypted,
        control=control,
        rules=rules,
    )
    return plan


def plan_with_profile(
    source: Source,
    *,
    mode: str,
    target_schema: str = "public",
    target: TargetSchema | None = None,
    choices: Sequence[tuple[str, str]] = (),
    excluded: Sequence[str] = (),
    encrypted: Sequence[EncryptedColumn] = (),
    control: Control | None = None,
    rules: RowRules | None = None,
) -> tuple[MovePlan, Profile]:
    """Plan the move of a whole file. Open findings don't raise: look at MovePlan.open_findings.

    rules: of the target in mode existing; with them its CHECKs are tried on the rows before anything is loaded.
    The profile holds the tables whose values were looked at, some of which the plan may have left out since.
    Raises Refused for choices, tables or columns that aren't there, for names that PostgreSQL can't have, and for a
    file without tables.
    """
    control = control or Control()
    decisions = Decisions(choices)
    if mode == MODE_CREATE:
        decisions.check_places(_places(source))
    _check_encrypted(source, encrypted)
    if not source.schema.tables:
        raise Refused("NO_TABLES", f"{source.path} holds no tables.", "Check that it is the file that you meant.")
    drafted = _draft(source, mode, target, excluded, decisions, control, rules)
    decisions.check_places([*_places(source), *(_target_places(source, target) if target else ())])
    plan = MovePlan(
        mode=mode,
        target_schema=target_schema,
        schema_digest=source.schema.digest,
        encoding=source.schema.encoding,
        tables=drafted.tables,
        objects=drafted.objects,
        findings=tuple(decisions.findings),
        choices=tuple(sorted(choices)),
        excluded=tuple(sorted(excluded)),
        encrypted=tuple(encrypted),
    )
    return plan, drafted.profile


def _draft(
    source: Source,
    mode: str,
    target: TargetSchema | None,
    excluded: Sequence[str],
    decisions: Decisions,
    control: Control,
    rules: RowRules | None,
) -> Drafted:
    if mode == MODE_CREATE:
        return plan_create(source, excluded, decisions, control)
    if mode != MODE_EXISTING:
        raise Refused("UNKNOWN_MODE", f"There is no schema mode {mode!r}.", f"Use {MODE_CREATE} or {MODE_EXISTING}.")
    if target is None:
        raise Refused("NO_TARGET_SCHEMA", "Mode existing needs the target's schema.", "Give the target.")
    return plan_existing(source, target, excluded, decisions, control, rules)


def _places(source: Source) -> list[str]:
    """Every place that a choice may name: tables, table.column, views, and columns joined by commas for keys."""
    places = [view.name for view in source.schema.views]
    for table in source.schema.tables:
        places.append(table.name)
        places += [f"{table.name}.{column.name}" for column in table.columns]
        places += [f"{table.name}.{', '.join(key.columns)}" for key in table.foreign_keys]
        places += [f"{table.name}.{','.join(p.name for p in index.columns if p.name)}" for index in table.indexes]
        places.append(f"{table.name}.{','.join(table.primary_key)}")
    return places


def _target_places(source: Source, target: TargetSchema) -> list[str]:
    """What findings of mode existing may name besides: sequences, and columns and foreign keys that only it has."""
    places = list(target.sequences)
    for table in target.tables:
        for ours in (each for each in source.schema.tables if fold(each.name) == fold(table.name)):
            names = {fold(column.name): column.name for column in ours.columns}
            places += [f"{ours.name}.{column.name}" for column in table.columns]
            for key in table.foreign_keys:
                places.append(f"{ours.name}.{', '.join(names.get(fold(name), name) for name in key.columns)}")
    return places


def _check_encrypted(source: Source, encrypted: Sequence[EncryptedColumn]) -> None:
    for item in encrypted:
        found = any(
            t.name == item.table and any(c.name == item.column for c in t.columns) for t in source.schema.tables
        )
        if not found:
            raise Refused(
                "UNKNOWN_COLUMN",
                f"{item.table}.{item.column} is declared as encrypted, but the source has no such column.",
                "Correct the application's list of encrypted columns.",
            )


def check_plan(plan: MovePlan, source: Source, control: Control | None = None) -> tuple[Finding, ...]:
    """What no longer fits a signed plan: a changed schema, values that came since and don't fit their columns, rows
    that lost their parent.

    An empty tuple means that the plan still holds. Each finding has severity 'refuse'.
    """
    return check_plan_with_profile(plan, source, control)[0]


def check_plan_with_profile(
    plan: MovePlan, source: Source, control: Control | None = None, target: TargetSchema | None = None
) -> tuple[tuple[Finding, ...], Profile]:
    """Like check_plan(), and the profile of the loaded tables. It is empty where the schema has changed.

    target: in mode existing, as it stands: its foreign keys are tried on the rows too.
    """
    control = control or Control()
    if source.schema.digest != plan.schema_digest:
        message = "The source's schema has changed since the plan was made."
        return (Finding("SCHEMA_CHANGED", REFUSE, message),), Profile(())
    moved = [table for table in plan.tables if table.is_loaded]
    candidates = {
        (table.name, column.name): (Candidate(column.conversion, column.target_type, every=True),)
        for table in moved
        for column in table.loaded_columns
    }
    profile = profile_source(source, [table.name for table in moved], candidates, control)
    misfits = [finding for table in moved for finding in _misfits(table, profile.table(table.name))]
    return (*misfits, *new_orphans(source, plan, control, target)), profile


def _misfits(table: TablePlan, profile: TableProfile) -> list[Finding]:
    findings: list[Finding] = []
    for column in table.loaded_columns:
        if column.on_unfit == "skip_row":
            continue
        found = profile.column(column.name)
        fit = found.fit(column.conversion, column.target_type)
        if fit is not None and fit.unfit:
            message = f"{fit.unfit} value(s) of {table.name}.{column.name} don't fit {column.target_type}: {fit.why}."
            findings.append(
                Finding("VALUE_DOES_NOT_FIT", REFUSE, message, table.name, column.name, fit.first_key, fit.unfit)
            )
        if column.not_null and found.nulls:
            message = f"{found.nulls} row(s) of {table.name} have NULL in {column.name}, which is planned NOT NULL."
            findings.append(Finding("NULL_IN_NOT_NULL", REFUSE, message, table.name, column.name, count=found.nulls))
    return findings


def with_encrypted(plan: MovePlan, encrypted: Sequence[EncryptedColumn]) -> MovePlan:
    """The same plan with other encrypted columns."""
    return replace(plan, encrypted=tuple(encrypted))
