"""Mode `create`: generated columns, computed by PostgreSQL where that is sure to give SQLite's values.

A column that is generated stays so when its expression is translated (which is only done where it means the same), when
PostgreSQL takes it (nothing that depends on settings, no other generated column), and when it gives the column's own
type. The verification compares its cells as any others. Else its values are kept in an ordinary column, which new rows
leave empty unless the application fills it.
"""

from __future__ import annotations

from dataclasses import replace

from migrations_app.engine.plan import ColumnPlan, Finding
from migrations_app.engine.planning.findings import INFO, WARN, Decisions
from migrations_app.engine.planning.plan_objects import TableDraft
from migrations_app.engine.source.affinity import REAL, affinity
from migrations_app.engine.source.schema import SourceColumn
from migrations_app.engine.source.sqlite_ddl import fold, tokenize
from migrations_app.engine.sql.sql_values import INTEGERS, REALS, Value, big, double, text
from migrations_app.engine.sql.translate import NotTranslated, expression


def plan_generated(draft: TableDraft, column: SourceColumn, decisions: Decisions) -> ColumnPlan:
    """The column as it will be, with a finding that says which way was taken and why."""
    plan = draft.columns[fold(column.name)]
    where = f"{draft.source.name}.{column.name}"
    try:
        sql = _expression(draft, column)
    except NotTranslated as error:
        message = (
            f"{where} is generated as ({column.generated_sql}), which isn't carried over ({error}):"
            " its values are kept in an ordinary column, which new rows leave empty."
        )
        finding = Finding("GENERATED_AS_VALUES", WARN, message, draft.source.name, column.name, choices=("values",))
        decisions.ask(finding)
        return replace(plan, reason=f"{plan.reason}; generated in SQLite, here an ordinary column")
    message = f"{where} is generated as ({column.generated_sql}), in PostgreSQL as {sql}, stored."
    offered = ("generate", "values")
    finding = Finding("GENERATED_AS_VALUES", INFO, message, draft.source.name, column.name, choices=offered)
    if decisions.ask(finding) == "values":
        return replace(plan, reason=f"{plan.reason}; generated in SQLite, here an ordinary column, by choice")
    reason = f"{plan.reason}; generated in both, compared cell by cell"
    return replace(plan, generated_sql=sql, load=False, reason=reason)


def _expression(draft: TableDraft, column: SourceColumn) -> str:
    generated = {fold(each.name) for each in draft.source.columns if each.generated}
    words = {fold(token.name) for token in tokenize(column.generated_sql) if token.kind in ("word", "quoted")}
    if words & generated:
        raise NotTranslated("it reads a generated column, which PostgreSQL doesn't allow")
    if column.collation != "BINARY" and draft.columns[fold(column.name)].target_type != "text":
        raise NotTranslated("it has a collation, and isn't text")
    found = _as_column(expression(column.generated_sql, draft.scope), draft.scope.columns[fold(column.name)], column)
    if "to_char(" in found:
        raise NotTranslated("it makes text of times, which PostgreSQL doesn't generate")
    return found


def _as_column(value: Value, own: Value, column: SourceColumn) -> str:
    """The expression in the column's own type, as SQLite's affinity would store it."""
    if own.form == "bigint" and value.kinds == INTEGERS:
        return big(value)
    if own.form == "double" and (value.kinds == REALS or (affinity(column.declared_type) == REAL and value.is_number)):
        return double(value)
    if own.form == "boolean" and value.form == "boolean":
        return value.sql
    if own.form == "text" and (value.is_text or (own.affinity == "TEXT" and value.kinds == INTEGERS)):
        return text(value)
    raise NotTranslated("its values may be of another type than the column")
