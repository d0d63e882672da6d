"""Mode `existing`: the target as it was before a load of ours, so that the same command makes the same plan again.

While such a load runs, and after it, the tables hold rows, keys are dropped, triggers sleep. A plan made against that
would be another plan: a killed command could not be taken up, and one that is given twice would find its own rows and,
told to empty what is there, empty them with all that was written since.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from migrations_app.engine.load import existing
from migrations_app.engine.plan import EMPTY_THEN_LOAD, MODE_EXISTING, MovePlan
from migrations_app.engine.target import ledger
from migrations_app.engine.target.compare_snapshot import schema_from_document
from migrations_app.engine.target.target import Cursor
from migrations_app.engine.target.target_rules import CHECK, Rule
from migrations_app.engine.target.target_schema import TargetSchema, TargetTable


def before_our_load(cursor: Cursor, schema: TargetSchema) -> TargetSchema:
    """`schema`, as it is now, with the rows, keys, checks and triggers that it had; itself where we loaded nothing."""
    found = _run(cursor, schema.name)
    if found is None:
        return schema
    run_key, plan = found
    document = ledger.saved(cursor, run_key, existing.SNAPSHOT)[schema.name]["schema"]
    before = {table.name: table for table in schema_from_document(document).tables}
    rows = _rows_before(plan)
    return replace(schema, tables=tuple(_before(table, before.get(table.name), rows) for table in schema.tables))


def checks_aside(cursor: Cursor, schema: str) -> dict[str, tuple[Rule, ...]]:
    """By table, the CHECKs that our load has put aside or brought back NOT VALID, as rules for rows."""
    found = _run(cursor, schema)
    rules: dict[str, list[Rule]] = defaultdict(list)
    if found is not None:
        for each in ledger.saved(cursor, found[0], existing.CHECK).values():
            rules[each["table"]].append(Rule(CHECK, each["name"], tuple(each["columns"]), each["expression"]))
    return {table: tuple(many) for table, many in rules.items()}


def _run(cursor: Cursor, schema: str) -> tuple[str, MovePlan] | None:
    """The latest of our loads into that schema, ended or not."""
    if not ledger.exists(cursor):
        return None
    for run in reversed(ledger.runs(cursor)):
        plan = ledger.read_plan(cursor, run.run_key)
        if plan is not None and plan.mode == MODE_EXISTING and plan.target_schema == schema:
            return run.run_key, plan
    return None


def _rows_before(plan: MovePlan) -> dict[str, int]:
    """Rows of the tables that we load, before: none, or the seeds that the plan saw (-1: over 10,000)."""
    seen = {found.table: found.count or -1 for found in plan.findings if found.code == "TARGET_NOT_EMPTY"}
    return {
        table.target_name: seen.get(table.name, 0) if table.rule == EMPTY_THEN_LOAD else 0
        for table in plan.tables
        if table.is_loaded
    }


def _before(table: TargetTable, before: TargetTable | None, rows: dict[str, int]) -> TargetTable:
    count = rows.get(table.name, table.rows)
    if before is None:
        return replace(table, rows=count)
    kept = {"foreign_keys": before.foreign_keys, "checks": before.checks, "triggers": before.triggers}
    return replace(table, rows=count, **kept)  # type: ignore[arg-type]
