"""Mode `create`: views translated, in an order in which each finds those that it reads; triggers listed."""

from __future__ import annotations

from collections.abc import Sequence

from migrations_app.engine.plan import Finding, ObjectPlan
from migrations_app.engine.planning.findings import INFO, Decisions
from migrations_app.engine.planning.plan_objects import TableDraft
from migrations_app.engine.source.schema import SourceObject, SourceSchema, SourceTable
from migrations_app.engine.source.sqlite_ddl import fold, tokenize
from migrations_app.engine.sql.names import Names
from migrations_app.engine.sql.sql_relations import Relation
from migrations_app.engine.sql.sqlite_views import EmptyTwin
from migrations_app.engine.sql.translate import NotTranslated, ViewScope, view


def plan_views(
    schema: SourceSchema, drafts: Sequence[TableDraft], relations: Names, decisions: Decisions
) -> list[ObjectPlan]:
    """Each view translated, to be tried by the loader in this order, or listed with the reason."""
    names = {fold(item.name): relations.claim(item.name) for item in schema.views}
    known = {fold(draft.source.name): _relation(draft) for draft in drafts}
    scope = ViewScope(known, schema.encoding != "UTF-8")
    plans: list[ObjectPlan] = []
    with EmptyTwin(
        [(table.name, _named(table), table.rowid_alias) for table in schema.tables if table.columns]
    ) as twin:
        for item in _in_order(schema.views):
            name = names[fold(item.name)]
            detail = {"source": item.sql, "try": True, "source_name": item.name}
            try:
                sql, known[fold(item.name)] = view(item.sql, name, twin.columns(item.name, item.sql), scope)
                plans.append(ObjectPlan("view", name, sql, detail=detail))
            except NotTranslated as error:
                message = f"The view {item.name} isn't carried over: {error}."
                decisions.ask(Finding("VIEW_NOT_CARRIED", INFO, message, item.name))
                plans.append(ObjectPlan("view", item.name, "", False, str(error), detail))
    return plans


def _named(table: SourceTable) -> list[tuple[str, str]]:
    return [(column.name, column.declared_type) for column in table.columns if not column.hidden]


def _relation(draft: TableDraft) -> Relation:
    scope = draft.scope
    columns = tuple((name, scope.columns[fold(name)]) for name, _declared in _named(draft.source))
    keys = (frozenset(names) for names in draft.unique_sets if all(draft.columns[name].not_null for name in names))
    return Relation(draft.where, columns, tuple(keys), draft.source.rowid_alias or "")


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
