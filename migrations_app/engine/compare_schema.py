"""The target's schema objects against the plan.

Mode `create`: the plan's own statements are run once more in a scratch schema, inside a transaction that is rolled
back; what PostgreSQL's catalogs then say must be what they say of the target. So nothing depends on how PostgreSQL
words a definition. Mode `existing`: against the snapshot that the ledger took before the load.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from migrations_app.engine import ddl, existing, ledger, sequences
from migrations_app.engine.build import ONE_BY_ONE, STAGES, attempt
from migrations_app.engine.compare_rows import Difference
from migrations_app.engine.ledger import ObjectRecord
from migrations_app.engine.pg_names import in_schema, qualified, quote
from migrations_app.engine.plan import MODE_CREATE, MovePlan
from migrations_app.engine.target import Connection, Cursor, rows, scalar, transaction
from migrations_app.engine.target_catalog import read_schema
from migrations_app.engine.target_schema import TargetSchema, TargetTable

OUR_TRIGGERS = "causeway_"  # change_queue.py; not the application's
_PARTS = ("indexes", "foreign_keys", "checks", "triggers")
_KINDS = {"indexes": "index", "foreign_keys": "foreign_key", "checks": "check", "triggers": "trigger"}


def compare_schema(connection: Connection, plan: MovePlan, known: Sequence[ObjectRecord]) -> tuple[Difference, ...]:
    """`known`: what the load recorded (ledger), () when there is no record."""
    with transaction(connection, "comparing the schema") as cursor:
        actual = read_schema(cursor, plan.target_schema, count_rows=False)
        if plan.mode == MODE_CREATE:
            expected = _expected(cursor, plan, known)
            return tuple(_compare_all(plan, expected, actual))
        return tuple(_compare_existing(cursor, plan, actual))


def _expected(cursor: Cursor, plan: MovePlan, known: Sequence[ObjectRecord]) -> TargetSchema:
    """What the plan makes, in an empty scratch schema that is never committed."""
    refused = {(each.kind, each.table, each.name) for each in known if not each.carried}
    scratch = f"causeway_expect_{secrets.token_hex(6)}"
    cursor.execute("SAVEPOINT expected")
    ddl.create_load_schema(cursor, plan, scratch)
    todo = [("", each) for each in plan.objects] + [
        (table.name, each) for table in plan.tables if table.is_loaded for each in table.objects
    ]
    made = [(t, each) for t, each in todo if each.carried and each.sql and (each.kind, t, each.name) not in refused]
    for kind in (*(kind for stage in STAGES for kind in stage), *ONE_BY_ONE):
        waiting = [each.sql for _, each in made if each.kind == kind]
        while waiting:  # views may need one another
            failed = [sql for sql in waiting if attempt(cursor, in_schema(sql, scratch), scratch)]
            if len(failed) == len(waiting):
                break
            waiting = failed
    expected = read_schema(cursor, scratch, count_rows=False)
    cursor.execute("ROLLBACK TO SAVEPOINT expected")
    return expected


def _compare_all(plan: MovePlan, expected: TargetSchema, actual: TargetSchema) -> Iterator[Difference]:
    names = {table.target_name: table.name for table in plan.tables}
    for table in expected.tables:
        source_name = names.get(table.name, table.name)
        if not actual.has(table.name):
            yield Difference(source_name, "", "", "table_missing", table.name, "")
            continue
        yield from _compare_table(source_name, expected.name, table, actual.name, actual.table(table.name))
    wanted = {view.name: view.sql for view in expected.views}
    there = {view.name: view.sql for view in actual.views}
    for name, sql in wanted.items():
        if there.get(name) != sql:
            yield Difference(
                "", "", name, "view_changed" if name in there else "view_missing", sql, there.get(name, "")
            )


def _compare_table(
    source_name: str, schema: str, expected: TargetTable, actual_schema: str, actual: TargetTable
) -> Iterator[Difference]:
    columns = {column.name: column for column in actual.columns}
    for column in expected.columns:
        there = columns.pop(column.name, None)
        if there is None:
            yield Difference(source_name, "", column.name, "column_missing", column.type_sql, "")
            continue
        for what in ("type_sql", "not_null", "default_sql", "generated_sql", "identity", "collation"):
            one, other = getattr(column, what), getattr(there, what)
            if one != other:
                kind = f"{what.removesuffix('_sql')}_changed"
                yield Difference(source_name, "", column.name, kind, str(one), str(other))
    for name in columns:
        yield Difference(source_name, "", name, "column_extra", "", columns[name].type_sql)
    for part in _PARTS:
        yield from _compare_part(source_name, part, _parts(expected, part, schema), _parts(actual, part, actual_schema))


def _parts(table: TargetTable, part: str, schema: str) -> dict[str, dict[str, Any]]:
    """{name: definition} with the schema's name taken out of the definition."""
    found = {}
    for each in getattr(table, part):
        definition = asdict(each)
        if definition["name"].startswith(OUR_TRIGGERS) and part == "triggers":
            continue
        definition["sql"] = _without_schema(definition["sql"], schema)
        if definition.get("parent_schema") == schema:
            definition["parent_schema"] = ""
        found[definition["name"]] = definition
    return found


def _without_schema(sql: str, schema: str) -> str:
    """pg_get_indexdef and pg_get_triggerdef always name the schema: ' ON schema.table'."""
    for written in (quote(schema), schema):
        sql = sql.replace(f" ON {written}.", " ON ", 1)
    return sql


def _compare_part(
    table: str, part: str, expected: Mapping[str, dict[str, Any]], actual: Mapping[str, dict[str, Any]]
) -> Iterator[Difference]:
    kind = _KINDS[part]
    for name in sorted(expected.keys() | actual.keys()):
        one, other = expected.get(name), actual.get(name)
        if one == other:
            continue
        what = "missing" if other is None else "extra" if one is None else "changed"
        yield Difference(table, "", name, f"{kind}_{what}", one["sql"] if one else "", other["sql"] if other else "")


def _compare_existing(cursor: Cursor, plan: MovePlan, actual: TargetSchema) -> Iterator[Difference]:
    for table in existing.loaded_tables(plan):
        if not actual.has(table.target_name):
            yield Difference(table.name, "", "", "table_missing", table.target_name, "")
    before = _snapshot_before(cursor, plan)
    if before is None:
        return
    after = existing.snapshot(cursor, plan.target_schema)
    for document in (before, after):
        for entry in document["tables"]:
            entry["triggers"] = [t for t in entry["triggers"] if not t["name"].startswith(OUR_TRIGGERS)]
    sources = {table.target_name: table.name for table in plan.tables}
    for name in existing.changed_tables(before, after, existing.not_valid_keys(plan)):
        yield Difference(sources.get(name, name), "", "", "definition_changed", "", "")


def _snapshot_before(cursor: Cursor, plan: MovePlan) -> dict[str, Any] | None:
    record = ledger.latest_run(cursor)
    if record is None or record.plan_digest != plan.digest:
        return None
    kept = ledger.saved(cursor, record.run_key, existing.SNAPSHOT).get(plan.target_schema)
    found: dict[str, Any] | None = kept["schema"] if kept else None
    return found


def count_orphans(cursor: Cursor, plan: MovePlan) -> tuple[Difference, ...]:
    """Rows without a parent, by anti-join, whatever PostgreSQL believes of the key.

    A validated key with orphans is a difference 'orphans' (with their number); one that is NOT VALID says that
    orphans were accepted, and they are listed in the plan.
    """
    found = []
    schema = read_schema(cursor, plan.target_schema, count_rows=False)
    loaded = {table.target_name: table.name for table in existing.loaded_tables(plan)}
    for table in schema.tables:
        if table.name not in loaded:
            continue
        for key in table.foreign_keys:
            if not key.validated:
                continue
            child, parent = qualified(schema.name, table.name), qualified(key.parent_schema, key.parent_table)
            pairs = list(zip(key.columns, key.parent_columns, strict=True))
            given = " AND ".join(f"c.{quote(one)} IS NOT NULL" for one, _ in pairs)
            same = " AND ".join(f"p.{quote(other)} = c.{quote(one)}" for one, other in pairs)
            count = scalar(
                cursor,
                f"SELECT count(*) FROM {child} c WHERE {given} AND NOT EXISTS (SELECT 1 FROM {parent} p WHERE {same})",
            )
            if count:
                found.append(Difference(loaded[table.name], "", key.name, "orphans", "0", str(count)))
    return tuple(found)


def compare_sequences(
    cursor: Cursor, plan: MovePlan, source_sequences: Mapping[str, int], *, may_be_ahead: bool
) -> tuple[Difference, ...]:
    """Each must be as the load leaves it; once rows have changed since the switch, only not behind."""
    found = []
    states = sequences.expected_states(cursor, plan, plan.target_schema, source_sequences)
    for sequence, (use, wanted) in states.items():
        there = sequences.current_state(cursor, sequence)
        ahead = (there.last_value + there.is_called) >= (wanted.last_value + wanted.is_called)
        if there == wanted or (may_be_ahead and ahead):
            continue
        kind = "sequence_changed" if ahead else "sequence_behind"
        found.append(
            Difference(use.table, "", use.column, kind, _state(wanted), _state(there)),
        )
    return tuple(found)


def _state(state: sequences.SequenceState) -> str:
    return f"{state.last_value}, {'called' if state.is_called else 'not called'}"


def table_exists(cursor: Cursor, schema: str, name: str) -> bool:
    return bool(rows(cursor, "SELECT to_regclass(%s)", (qualified(schema, name),))[0][0])
