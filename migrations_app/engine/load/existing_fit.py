"""Mode `existing`: are the application's tables as they were planned for? Looked at before anything is put aside."""

from __future__ import annotations

from collections.abc import Sequence

from migrations_app.engine.errors import Refused
from migrations_app.engine.load.existing import loaded_tables, oids_of
from migrations_app.engine.plan import EMPTY_THEN_LOAD, MovePlan, TablePlan
from migrations_app.engine.target.pg_names import qualified, quote
from migrations_app.engine.target.target import Cursor, rows, scalar

_SHOWN = 5


def refuse_unfit(cursor: Cursor, plan: MovePlan) -> None:
    """Look only. Raises Refused TARGET_TABLE_MISSING, TARGET_COLUMN_MISSING, NO_RIGHTS, TARGET_NOT_EMPTY."""
    oids = oids_of(cursor, plan)
    for table in loaded_tables(plan):
        if table.target_name not in oids:
            raise Refused(
                "TARGET_TABLE_MISSING",
                f"The target's schema {plan.target_schema} has no table {table.target_name}.",
                "Run the application's own schema command first, or exclude the table.",
            )
        _refuse_columns(cursor, table, oids[table.target_name])
    _refuse_rights(cursor, list(oids.values()))
    full, planned = [], _planned_rows(plan)
    for table in loaded_tables(plan):
        name = qualified(plan.target_schema, table.target_name)
        most = planned.get(table.name, 0) if table.rule == EMPTY_THEN_LOAD else 0
        if table.rule == EMPTY_THEN_LOAD and not most:
            continue
        held = scalar(cursor, f"SELECT count(*) FROM (SELECT 1 FROM {name} LIMIT {most + 1}) few")
        if held > most:
            known = f", {most} when it was planned" if most else ""
            full.append(f"{table.target_name} ({scalar(cursor, f'SELECT count(*) FROM {name}')} rows{known})")
    if full:
        raise Refused(
            "TARGET_NOT_EMPTY",
            f"{len(full)} table(s) of the target hold rows already: {', '.join(full[:_SHOWN])}"
            f"{', …' if len(full) > _SHOWN else ''}.",
            "Empty them, or plan again so that seeded tables are emptied by a rule that the plan shows.",
        )


def _planned_rows(plan: MovePlan) -> dict[str, int]:
    """Rows that the plan saw in tables that it empties. More than those aren't what was agreed to be emptied."""
    return {found.table: found.count for found in plan.findings if found.code == "TARGET_NOT_EMPTY" and found.count}


def _refuse_columns(cursor: Cursor, table: TablePlan, oid: int) -> None:
    found = rows(
        cursor,
        "SELECT attname::text FROM pg_attribute"
        " WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped AND attgenerated = ''",
        (oid,),
    )
    there = {row[0] for row in found}
    for column in table.loaded_columns:
        if column.target_name not in there:
            raise Refused(
                "TARGET_COLUMN_MISSING",
                f"The target's table {table.target_name} has no writable column {column.target_name}.",
                "The target's schema changed since the plan was made: plan again.",
            )


def _refuse_rights(cursor: Cursor, oids: Sequence[int]) -> None:
    """Foreign keys and triggers are the owner's to change, also those of tables that refer to ours."""
    found = rows(
        cursor,
        """SELECT DISTINCT c.oid::regclass::text, r.rolname::text, current_user::text
             FROM pg_class c JOIN pg_roles r ON r.oid = c.relowner
            WHERE (c.oid = ANY(%s::oid[]) OR c.oid IN (SELECT conrelid FROM pg_constraint
                                                        WHERE contype = 'f' AND confrelid = ANY(%s::oid[])))
              AND NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1""",
        (list(oids), list(oids)),
    )
    if found:
        grants = " ".join(sorted({f"GRANT {quote(owner)} TO {quote(role)};" for _, owner, role in found}))
        raise Refused(
            "NO_RIGHTS",
            f"{len(found)} table(s) of the target belong to other roles, the first is {found[0][0]}.",
            f"Connect as their owner, or run: {grants}",
        )
