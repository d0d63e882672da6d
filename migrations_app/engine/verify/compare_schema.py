"""The target's schema objects against what they must be.

Mode `create`: against what the plan's own statements make (compare_expected.py). Mode `existing`: against the snapshot
that the ledger took before the load; without a ledger against the columns that the plan saw.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from migrations_app.engine.load import existing
from migrations_app.engine.plan import MODE_CREATE, ColumnPlan, MovePlan
from migrations_app.engine.target import ledger
from migrations_app.engine.target.compare_facts import DISABLED, Fact, read_facts
from migrations_app.engine.target.compare_snapshot import facts_from_document, loosened, schema_from_document
from migrations_app.engine.target.ledger import ObjectRecord
from migrations_app.engine.target.pg_names import LEDGER_SCHEMA
from migrations_app.engine.target.target import Connection, Cursor, transaction
from migrations_app.engine.target.target_catalog import read_schema
from migrations_app.engine.target.target_schema import TargetColumn, TargetSchema, TargetTable
from migrations_app.engine.verify.compare_expected import Planned, make_expected, planned_objects, try_again
from migrations_app.engine.verify.differences import Difference

OUR_TRIGGERS = "causeway_"  # change_queue.py; not the application's
OBJECT_KINDS = {"primary_key": "index", "unique": "index", "index": "index"}  # others are called as in the plan
NO_RECORD = (
    "The target keeps no record of its schema before the load: indexes, keys, checks, views and triggers that the"
    " application made itself were not compared."
)
_PARTS = {"indexes": "index", "foreign_keys": "foreign_key", "checks": "check", "triggers": "trigger"}
_COLUMN_PARTS = (
    "type_sql",
    "not_null",
    "default_sql",
    "generated_sql",
    "identity",
    "collation",
    "enum_labels",
    "base_type_sql",
)


@dataclass(frozen=True)
class SchemaCheck:
    """`refused`: objects that were found to be refused by the rows, where no ledger says so. `actual`: as it is."""

    differences: tuple[Difference, ...]
    actual: TargetSchema
    refused: tuple[ObjectRecord, ...] = ()
    remarks: tuple[str, ...] = ()


def compare_schema(connection: Connection, plan: MovePlan, known: Sequence[ObjectRecord]) -> SchemaCheck:
    """`known`: what the load recorded (ledger), () when there is no record."""
    with transaction(connection, "comparing the schema") as cursor:
        actual = read_schema(cursor, plan.target_schema, count_rows=False)
        facts = read_facts(cursor, plan.target_schema)
        if plan.mode == MODE_CREATE:
            return _compare_created(cursor, plan, known, actual, facts)
        return _compare_existing(cursor, plan, actual, facts)


def _compare_created(
    cursor: Cursor, plan: MovePlan, known: Sequence[ObjectRecord], actual: TargetSchema, facts: Sequence[Fact]
) -> SchemaCheck:
    expected = make_expected(cursor, plan, known)
    names = {table.target_name: table.name for table in plan.tables}
    found = list(_compare(names, expected.schema, expected.facts, actual, facts))
    found += [_impossible(each) for each, _ in expected.impossible if not each.tried]
    recorded = {(each.kind, each.table, each.name) for each in known}
    refused = [each.refused(why) for each, why in expected.impossible if each.tried and each.identity not in recorded]
    refused += try_again(cursor, plan, _doubtful(plan, found, recorded))
    gone = {_impossible_key(record) for record in refused}
    kept = tuple(each for each in found if (each.table, each.column, each.kind) not in gone)
    return SchemaCheck(kept, actual, tuple(refused))


def _impossible(planned: Planned) -> Difference:
    kind = OBJECT_KINDS.get(planned.object.kind, planned.object.kind)
    return Difference(planned.source_table, "", planned.object.name, f"{kind}_missing", planned.object.sql, "")


def _impossible_key(record: ObjectRecord) -> tuple[str, str, str]:
    return record.table, record.name, f"{OBJECT_KINDS.get(record.kind, record.kind)}_missing"


def _doubtful(plan: MovePlan, found: Sequence[Difference], recorded: set[tuple[str, str, str]]) -> list[Planned]:
    """Objects that aren't there, that the rows may have refused, and of which no record says whether they did."""
    missing = {(each.table, each.column, each.kind) for each in found}
    torn = {each.table for each in found if each.kind in ("table_missing", "column_missing", "type_changed")}
    return [
        each
        for each in planned_objects(plan)
        if each.tried
        and each.identity not in recorded
        and each.source_table not in torn
        and _impossible_key(each.refused("")) in missing
    ]


def _compare_existing(cursor: Cursor, plan: MovePlan, actual: TargetSchema, facts: Sequence[Fact]) -> SchemaCheck:
    names = {table.target_name: table.name for table in plan.tables}
    before = _snapshot_before(cursor, plan)
    if before is None:
        return SchemaCheck(tuple(_compare_planned_columns(plan, actual)), actual, (), (NO_RECORD,))
    loose = existing.not_valid_keys(plan)
    expected, there = loosened(schema_from_document(before), loose), loosened(actual, loose)
    old = facts_from_document(before)
    found = _compare(names, expected, old or (), there, () if old is None else facts)
    return SchemaCheck(tuple(found), actual)


def _snapshot_before(cursor: Cursor, plan: MovePlan) -> dict[str, Any] | None:
    record = ledger.latest_run(cursor)
    if record is None or record.plan_digest != plan.digest:
        return None
    kept = ledger.saved(cursor, record.run_key, existing.SNAPSHOT).get(plan.target_schema)
    found: dict[str, Any] | None = kept["schema"] if kept else None
    return found


def _compare_planned_columns(plan: MovePlan, actual: TargetSchema) -> Iterator[Difference]:
    """What the plan says of the target's columns, where that is all that is known."""
    for table in existing.loaded_tables(plan):
        if not actual.has(table.target_name):
            yield Difference(table.name, "", "", "table_missing", table.target_name, "")
            continue
        columns = {column.name: column for column in actual.table(table.target_name).columns}
        for column in table.loaded_columns:
            there = columns.get(column.target_name)
            if there is None:
                yield Difference(table.name, "", column.target_name, "column_missing", column.target_type, "")
                continue
            yield from _compare_planned_column(table.name, column, there)


def _compare_planned_column(table: str, column: ColumnPlan, there: TargetColumn) -> Iterator[Difference]:
    pairs: tuple[tuple[str, Any, Any], ...] = (
        ("type", column.target_type, there.base_type_sql or there.type_sql),
        ("not_null", column.not_null, there.not_null),
        ("default", column.default_sql, there.default_sql),
        ("identity", column.identity, bool(there.identity)),
    )
    for what, one, other in pairs:
        if one != other:
            yield Difference(table, "", there.name, f"{what}_changed", _text(one), _text(other))


def _compare(
    names: Mapping[str, str],
    expected: TargetSchema,
    expected_facts: Sequence[Fact],
    actual: TargetSchema,
    actual_facts: Sequence[Fact],
) -> Iterator[Difference]:
    """Everything of two schemas. `names`: source tables by target name."""
    found = [*_compare_tables(names, expected, actual), *_compare_views(expected, actual)]
    yield from found
    gone = {each.table for each in found if each.kind in ("table_missing", "table_extra")}
    gone |= {each.column for each in found if not each.table and each.kind in ("view_missing", "view_extra")}
    said = {(each.table, each.column) for each in found}
    for one, other in _pairs(expected_facts, actual_facts):
        fact = one or other
        assert fact is not None
        table = names.get(fact.table, fact.table)
        if table in gone or (table, fact.name) in said:
            continue
        yield _fact_difference(table, one, other)


def _pairs(expected: Sequence[Fact], actual: Sequence[Fact]) -> Iterator[tuple[Fact | None, Fact | None]]:
    """Facts that only one side has, or that read otherwise there."""
    ours, theirs = ({(f.table, f.kind, f.name): f for f in facts} for facts in (expected, actual))
    for key in sorted(ours.keys() | theirs.keys()):
        one, other = ours.get(key), theirs.get(key)
        if one != other:
            yield one, other


def _fact_difference(table: str, one: Fact | None, other: Fact | None) -> Difference:
    fact = one or other
    assert fact is not None
    what = "missing" if other is None else "extra" if one is None else "changed"
    if other is not None and other.text == DISABLED:
        what = "disabled"
    place = ("", fact.table) if fact.kind == "view" else (table, fact.name)
    return Difference(
        place[0], "", place[1], f"{fact.kind}_{what}", one.text if one else "", other.text if other else ""
    )


def _compare_tables(names: Mapping[str, str], expected: TargetSchema, actual: TargetSchema) -> Iterator[Difference]:
    for table in expected.tables:
        source_name = names.get(table.name, table.name)
        if actual.has(table.name):
            yield from _compare_table(source_name, table, actual.table(table.name))
        else:
            yield Difference(source_name, "", "", "table_missing", table.name, "")
    for table in actual.tables:
        if not expected.has(table.name):
            yield Difference(table.name, "", "", "table_extra", "", table.kind)


def _compare_views(expected: TargetSchema, actual: TargetSchema) -> Iterator[Difference]:
    wanted = {view.name: view for view in expected.views}
    there = {view.name: view for view in actual.views}
    for name in sorted(wanted.keys() | there.keys()):
        one, other = wanted.get(name), there.get(name)
        if one != other:
            what = "missing" if other is None else "extra" if one is None else "changed"
            yield Difference("", "", name, f"view_{what}", one.sql if one else "", other.sql if other else "")


def _compare_table(source_name: str, expected: TargetTable, actual: TargetTable) -> Iterator[Difference]:
    if expected.kind != actual.kind:
        yield Difference(source_name, "", "", "kind_changed", expected.kind, actual.kind)
    yield from _compare_columns(source_name, expected, actual)
    for part in _PARTS:
        yield from _compare_part(source_name, part, _parts(expected, part), _parts(actual, part))


def _compare_columns(source_name: str, expected: TargetTable, actual: TargetTable) -> Iterator[Difference]:
    columns = {column.name: column for column in actual.columns}
    common = [column.name for column in expected.columns if column.name in columns]
    for column in expected.columns:
        there = columns.pop(column.name, None)
        if there is None:
            yield Difference(source_name, "", column.name, "column_missing", column.type_sql, "")
            continue
        for what in _COLUMN_PARTS:
            one, other = getattr(column, what), getattr(there, what)
            if one != other:
                kind = f"{what.removesuffix('_sql')}_changed"
                yield Difference(source_name, "", column.name, kind, _text(one), _text(other))
    for name in columns:
        yield Difference(source_name, "", name, "column_extra", "", columns[name].type_sql)
    # Statements that name no columns go by their order.
    order = [column.name for column in actual.columns if column.name in common]
    if order != common:
        yield Difference(source_name, "", "", "column_order_changed", ", ".join(common), ", ".join(order))


def _text(value: object) -> str:
    return "none" if value is None else str(value)


def _parts(table: TargetTable, part: str) -> dict[str, dict[str, Any]]:
    found = {}
    for each in getattr(table, part):
        if part != "triggers" or not is_ours(each.name, each.sql):
            found[each.name] = asdict(each)
    return found


def is_ours(name: str, sql: str) -> bool:
    """Whether a trigger is one of the change queue's: by its name alone a stranger's could pass for ours."""
    return name.startswith(OUR_TRIGGERS) and f" EXECUTE FUNCTION {LEDGER_SCHEMA}." in sql


def _compare_part(
    table: str, part: str, expected: Mapping[str, dict[str, Any]], actual: Mapping[str, dict[str, Any]]
) -> Iterator[Difference]:
    kind = _PARTS[part]
    for name in sorted(expected.keys() | actual.keys()):
        one, other = expected.get(name), actual.get(name)
        if one == other:
            continue
        what = "missing" if other is None else "extra" if one is None else "changed"
        yield Difference(table, "", name, f"{kind}_{what}", one["sql"] if one else "", other["sql"] if other else "")
