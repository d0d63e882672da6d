"""Mode `create`: CHECKs translated, and tried on the rows: SQLite keeps those that came before a check, or around it.

(ALTER TABLE, PRAGMA ignore_check_constraints and writable_schema let them in.) A translated check means the same on
both sides, so SQLite can say beforehand which rows PostgreSQL would refuse.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrations_app.engine.errors import EngineError
from migrations_app.engine.plan import Finding, ObjectPlan
from migrations_app.engine.planning.findings import WARN, Decisions
from migrations_app.engine.planning.plan_objects import ObjectPlanner, TableDraft, quoted
from migrations_app.engine.source.row_keys import key_names, row_key_text
from migrations_app.engine.source.sqlite_ddl import Check, fold, parse_table, tokenize
from migrations_app.engine.source.sqlite_source import Source, quote_name
from migrations_app.engine.sql.translate import NotTranslated, predicate

NOT_VALID, OMIT = "not_valid", "omit"


@dataclass(frozen=True)
class _Translated:
    """`why`: it wasn't."""

    name: str
    check: Check
    sql: str = ""
    why: str = ""


def plan_checks(source: Source, draft: TableDraft, planner: ObjectPlanner) -> None:
    """Each check of a table, to be tried by the loader once the rows are there; NOT VALID where rows break it."""
    found = [_translated(draft, number, each) for number, each in enumerate(parse_table(draft.source.sql).checks, 1)]
    carried = [each for each in found if not each.why]
    broken = dict(zip(carried, _broken_by(source, draft, carried), strict=True))
    for each in found:
        if each.why:
            planner.lost(draft, "check", each.name, each.why, each.check.expression)
            continue
        choice = _ask(source, draft, each, broken[each], planner.decisions) if broken[each] else ""
        detail = {"try": True, "source": each.check.expression, "not_valid": choice == NOT_VALID}
        if choice == OMIT:
            draft.objects.append(ObjectPlan("check", each.name, "", False, "left out, by choice", detail))
            continue
        sql = f"ALTER TABLE {draft.where} ADD CONSTRAINT {quoted(each.name)} CHECK ({each.sql})"
        sql += " NOT VALID" if choice == NOT_VALID else ""
        draft.objects.append(ObjectPlan("check", each.name, sql, detail=detail))


def _translated(draft: TableDraft, number: int, check: Check) -> _Translated:
    name = check.name or f"{draft.source.name}_check{number}"
    try:
        text = predicate(check.expression, draft.scope)
    except NotTranslated as error:
        return _Translated(name, check, why=str(error))
    return _Translated(draft.constraint_names.claim(name), check, text)


def _broken_by(source: Source, draft: TableDraft, checks: Sequence[_Translated]) -> list[int]:
    """How many rows break each, all counted in one pass; one by one where one of them can't be computed."""
    if not checks:
        return []
    try:
        counts = ", ".join(f"sum({_fails(each)})" for each in checks)
        found = next(source.query(f"SELECT {counts} FROM {quote_name(draft.source.name)}"))
        return [int(str(count or 0)) for count in found]
    except EngineError as error:
        if error.code != "SQLITE_FAILED":
            raise
    # An overflow, say, in some row: PostgreSQL will be asked by the load, and a check that it refuses is listed.
    return [0] if len(checks) == 1 else [_broken_by(source, draft, [each])[0] for each in checks]


def _fails(each: _Translated) -> str:
    """1 for a row that breaks the check; NULL passes. On a line of its own, since it may end in a comment."""
    return f"NOT ({each.check.expression}\n)"


def _ask(source: Source, draft: TableDraft, each: _Translated, count: int, decisions: Decisions) -> str:
    table = draft.source
    words = {fold(token.name) for token in tokenize(each.check.expression) if token.kind in ("word", "quoted")}
    read = [column.name for column in table.columns if fold(column.name) in words]
    message = (
        f"{count} row(s) of {table.name} break its CHECK {each.name} ({', '.join(read)}), which SQLite let pass: they"
        " arrive, and the CHECK is created NOT VALID: it holds for rows that are written from then on."
    )
    column = read[0] if len(read) == 1 else ""
    where = (table.name, column, _first(source, draft, each), count)
    return decisions.ask(Finding("CHECK_VIOLATED", WARN, message, *where, (NOT_VALID, OMIT)))


def _first(source: Source, draft: TableDraft, each: _Translated) -> str:
    table, names = draft.source, key_names(draft.source)
    if not names:
        return ""
    key = ", ".join(quote_name(name) for name in table.key) or str(table.rowid_name)
    row = next(source.query(f"SELECT {key} FROM {quote_name(table.name)} WHERE {_fails(each)} ORDER BY {key} LIMIT 1"))
    return row_key_text(names, row)
