"""Mode `create`: views translated, in an order in which each finds those that it reads; triggers listed."""

from __future__ import annotations

from collections.abc import Sequence

from migrations_app.engine.findings import INFO, Decisions
from migrations_app.engine.names import Names
from migrations_app.engine.plan import Finding, ObjectPlan
from migrations_app.engine.plan_objects import TableDraft
from migrations_app.engine.schema import SourceObject
from migrations_app.engine.sqlite_ddl import fold, tokenize
from migrations_app.engine.translate import NotTranslated, ViewScope, view


def plan_views(
    views: Sequence[SourceObject], drafts: Sequence[TableDraft], relations: Names, decisions: Decisions
) -> list[ObjectPlan]:
    """Each view translated, to be tried by the loader in this order, or listed with the reason."""
    names = {fold(item.name): relations.claim(item.name) for item in views}
    scope = _scope(drafts, names)
    plans: list[ObjectPlan] = []
    lost: set[str] = set()
    for item in _in_order(views):
        detail = {"source": item.sql, "try": True, "source_name": item.name}
        try:
            gone = sorted(lost & _words(item))
            if gone:
                raise NotTranslated(f"it reads the view {gone[0]}, which isn't carried over")
            sql = view(item.sql, names[fold(item.name)], scope)
            plans.append(ObjectPlan("view", names[fold(item.name)], sql, detail=detail))
        except NotTranslated as error:
            lost.add(fold(item.name))
            decisions.ask(
                Finding("VIEW_NOT_CARRIED", INFO, f"The view {item.name} isn't carried over: {error}.", item.name)
            )
            plans.append(ObjectPlan("view", item.name, "", False, str(error), detail))
    return plans


def _scope(drafts: Sequence[TableDraft], views: dict[str, str]) -> ViewScope:
    relations = {fold(draft.source.name): draft.target_name for draft in drafts} | views
    columns: dict[str, str] = {}
    booleans: dict[str, bool] = {}
    for draft in drafts:
        for name, column in draft.columns.items():
            columns.setdefault(name, column.target_name)
            booleans[name] = booleans.get(name, True) and column.target_type == "boolean"
    return ViewScope(relations, columns, frozenset(name for name, is_boolean in booleans.items() if is_boolean))


def _words(item: SourceObject) -> set[str]:
    """Folded names that occur in a view's text, its own aside."""
    own = fold(item.name)
    return {fold(token.name) for token in tokenize(item.sql) if token.kind in ("word", "quoted")} - {own}


def _in_order(views: Sequence[SourceObject]) -> list[SourceObject]:
    """Views that others read come first; those that read one another in a ring keep their order by name."""
    waiting = {fold(item.name): item for item in views}
    ordered: list[SourceObject] = []
    while waiting:
        ready = [name for name, item in waiting.items() if not (_words(item) & set(waiting)) - {name}]
        for name in ready or [next(iter(waiting))]:
            ordered.append(waiting.pop(name))
    return ordered


def plan_triggers(triggers: Sequence[SourceObject], decisions: Decisions) -> list[ObjectPlan]:
    """Triggers aren't translated: listed with their source."""
    why = "triggers aren't translated; its source is in the plan"
    for item in triggers:
        message = f"The trigger {item.name} on {item.table} isn't carried over: {why}."
        decisions.ask(Finding("TRIGGER_NOT_CARRIED", INFO, message, item.table, item.name))
    return [
        ObjectPlan("trigger", item.name, "", False, why, {"source": item.sql, "table": item.table}) for item in triggers
    ]
