"""Rows without a parent that came since the plan was made: its foreign keys would refuse them, at the end of the load.

SQLite lets them in wherever foreign_keys was off. They are told before anything is loaded, with the rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from migrations_app.engine.control import Control
from migrations_app.engine.plan import MODE_CREATE, Finding, MovePlan, TablePlan
from migrations_app.engine.planning.findings import REFUSE
from migrations_app.engine.planning.left_out import LeftOut
from migrations_app.engine.planning.plan_foreign_keys import count_orphans
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.target.target_schema import TargetSchema

_SHOWN = 10  # keys of rows in a message


@dataclass(frozen=True)
class _Key:
    """A foreign key that will hold for all rows, by the target's names."""

    child: TablePlan
    columns: tuple[str, ...]
    parent: str
    parent_columns: tuple[str, ...]


def new_orphans(
    source: Source, plan: MovePlan, control: Control, target: TargetSchema | None = None
) -> Iterator[Finding]:
    """One finding a foreign key that rows of the source break now. target: whose keys count in mode existing; without
    it none are known there."""
    loaded = {table.target_name: table for table in plan.tables if table.is_loaded}
    sources = {table.name: table for table in source.schema.tables}
    left_out = LeftOut(source, {table.name: table.columns for table in loaded.values()}, control)
    for key in _keys(plan, loaded, target):
        control.checkpoint()
        parent = loaded.get(key.parent)
        child_names = _by_target(key.child, key.columns)
        parent_names = _by_target(parent, key.parent_columns) if parent is not None else ()
        if parent is None or not child_names or not parent_names:
            continue
        orphans = count_orphans(
            source, sources[key.child.name], child_names, sources[parent.name], parent_names, left_out
        )
        if orphans.count:
            where = ", ".join(child_names)
            rows = ", ".join(orphans.keys[:_SHOWN]) + (", …" if orphans.count > _SHOWN else "")
            message = (
                f"{orphans.count} row(s) of {key.child.name} refer by {where} to"
                f" {orphans.whose(sources[parent.name])}, and the foreign key would refuse them: {rows}."
            )
            yield Finding("ORPHANS", REFUSE, message, key.child.name, where, orphans.first, orphans.count)


def _keys(plan: MovePlan, loaded: Mapping[str, TablePlan], target: TargetSchema | None) -> Iterator[_Key]:
    if plan.mode == MODE_CREATE:
        for table in loaded.values():
            for each in table.objects:
                if each.kind == "foreign_key" and each.carried and each.sql and not each.detail.get("not_valid"):
                    detail = each.detail
                    yield _Key(table, tuple(detail["columns"]), detail["parent"], tuple(detail["parent_columns"]))
        return
    for there in target.tables if target is not None else ():
        child = loaded.get(there.name)
        loose = {each.name for each in child.objects if each.kind == "foreign_key"} if child is not None else set()
        for key in there.foreign_keys:
            if child is not None and key.validated and key.name not in loose:
                yield _Key(child, tuple(key.columns), key.parent_table, tuple(key.parent_columns))


def _by_target(table: TablePlan, names: tuple[str, ...]) -> tuple[str, ...]:
    """The source's columns of these names of the target; () where one of them isn't loaded."""
    known = {column.target_name: column.name for column in table.loaded_columns}
    return tuple(known[name] for name in names) if set(names) <= known.keys() else ()
