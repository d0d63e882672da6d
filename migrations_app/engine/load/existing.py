"""Mode `existing`: the application made its own tables; what stands in the way of the rows is put aside and put back.

Foreign keys are dropped and user triggers disabled, in the transaction that writes them to the ledger; afterwards
they are restored and the schema is compared with what it was. Rows that the application seeded itself, in tables
that the plan names, are kept in schema `causeway` until the load has ended, so that a failure gives them back.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import psycopg2

from migrations_app.engine.errors import Failed
from migrations_app.engine.load import sequences
from migrations_app.engine.plan import EMPTY_THEN_LOAD, MovePlan, TablePlan
from migrations_app.engine.target import ledger
from migrations_app.engine.target.compare_facts import read_facts
from migrations_app.engine.target.pg_names import LEDGER_SCHEMA, literal, qualified, quote
from migrations_app.engine.target.target import Cursor, rows, scalar
from migrations_app.engine.target.target_catalog import read_schema

FOREIGN_KEY, CHECK, TRIGGER, SEQUENCE = "foreign_key", "check", "trigger", "sequence"
SEED, SNAPSHOT = "seed", "snapshot"
_ENABLE = {"O": "ENABLE", "D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}
_SHOWN = 5


def loaded_tables(plan: MovePlan) -> list[TablePlan]:
    return [table for table in plan.tables if table.is_loaded]


def oids_of(cursor: Cursor, plan: MovePlan) -> dict[str, int]:
    """Of the tables that are loaded and are there, by name."""
    found = rows(
        cursor,
        "SELECT c.relname::text, c.oid::bigint FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relkind IN ('r', 'p')",
        (plan.target_schema,),
    )
    known = dict(found)
    return {table.target_name: known[table.target_name] for table in loaded_tables(plan) if table.target_name in known}


def put_aside(cursor: Cursor, plan: MovePlan, run_key: str) -> None:
    """Write down what is there, then drop foreign keys, disable triggers, empty seeded tables. One transaction."""
    oids = list(oids_of(cursor, plan).values())
    ledger.save(cursor, run_key, SNAPSHOT, plan.target_schema, {"schema": snapshot(cursor, plan.target_schema)})
    for use in sequences.find_sequences(cursor, plan, plan.target_schema):
        ledger.save(cursor, run_key, SEQUENCE, use.sequence, asdict(sequences.current_state(cursor, use.sequence)))
    _save_foreign_keys(cursor, run_key, oids)
    _save_checks(cursor, plan, run_key)
    _save_triggers(cursor, run_key, oids)
    _drop_constraints(cursor, run_key)
    _disable_triggers(cursor, plan)
    _empty_seeded(cursor, plan, run_key)


def snapshot(cursor: Cursor, schema: str) -> dict[str, Any]:
    """The schema as JSON data, without counts of rows or the content of schema-version tables."""
    document = asdict(read_schema(cursor, schema, count_rows=False))
    for table in document["tables"]:
        del table["rows"], table["version_rows"]
    document["facts"] = [asdict(fact) for fact in read_facts(cursor, schema)]
    plain: dict[str, Any] = json.loads(json.dumps(document))
    return plain


def _save_foreign_keys(cursor: Cursor, run_key: str, oids: Sequence[int]) -> None:
    found = rows(
        cursor,
        """SELECT n.nspname::text, c.relname::text, o.conname::text, pg_get_constraintdef(o.oid),
                  obj_description(o.oid, 'pg_constraint')
             FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE o.contype = 'f' AND o.conparentid = 0
              AND (o.conrelid = ANY(%s::oid[]) OR o.confrelid = ANY(%s::oid[]))""",
        (list(oids), list(oids)),
    )
    for schema, table, name, definition, comment in found:
        detail = {"schema": schema, "table": table, "name": name, "definition": definition, "comment": comment}
        ledger.save(cursor, run_key, FOREIGN_KEY, f"{qualified(schema, table)}.{quote(name)}", detail)


def _save_checks(cursor: Cursor, plan: MovePlan, run_key: str) -> None:
    """Only those that come back NOT VALID: the others hold while the rows are loaded."""
    for table, name in sorted(_not_valid(plan, CHECK)):
        found = rows(
            cursor,
            """SELECT pg_get_constraintdef(o.oid), obj_description(o.oid, 'pg_constraint'),
                      pg_get_expr(o.conbin, o.conrelid),
                      (SELECT array_agg(a.attname::text ORDER BY a.attnum) FROM pg_attribute a
                        WHERE a.attrelid = o.conrelid AND a.attnum = ANY(o.conkey))
                 FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid
                 JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE o.contype = 'c' AND n.nspname = %s AND c.relname = %s AND o.conname = %s""",
            (plan.target_schema, table, name),
        )
        for definition, comment, expression, columns in found:
            where = {"schema": plan.target_schema, "table": table, "name": name}
            what = {"definition": definition, "comment": comment, "expression": expression, "columns": columns}
            detail = {**where, **what}
            ledger.save(cursor, run_key, CHECK, f"{qualified(plan.target_schema, table)}.{quote(name)}", detail)


def _save_triggers(cursor: Cursor, run_key: str, oids: Sequence[int]) -> None:
    found = rows(
        cursor,
        """SELECT n.nspname::text, c.relname::text, t.tgname::text, t.tgenabled::text
             FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE NOT t.tgisinternal AND t.tgrelid = ANY(%s::oid[])""",
        (list(oids),),
    )
    for schema, table, name, enabled in found:
        detail = {"schema": schema, "table": table, "name": name, "enabled": enabled}
        ledger.save(cursor, run_key, TRIGGER, f"{qualified(schema, table)}.{quote(name)}", detail)


def _constraints(cursor: Cursor, run_key: str) -> list[dict[str, Any]]:
    return [each for kind in (FOREIGN_KEY, CHECK) for each in ledger.saved(cursor, run_key, kind).values()]


def _drop_constraints(cursor: Cursor, run_key: str) -> None:
    for each in _constraints(cursor, run_key):
        table = qualified(each["schema"], each["table"])
        cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT IF EXISTS {quote(each['name'])}")


def _disable_triggers(cursor: Cursor, plan: MovePlan) -> None:
    for table in loaded_tables(plan):
        cursor.execute(f"ALTER TABLE {qualified(plan.target_schema, table.target_name)} DISABLE TRIGGER USER")


def _seed_table(run_key: str, table: str) -> str:
    return "seed_" + hashlib.sha256(f"{run_key}\n{table}".encode()).hexdigest()[:16]


def _empty_seeded(cursor: Cursor, plan: MovePlan, run_key: str) -> None:
    for table in loaded_tables(plan):
        if table.rule != EMPTY_THEN_LOAD:
            continue
        name, seed = qualified(plan.target_schema, table.target_name), _seed_table(run_key, table.target_name)
        cursor.execute(f"CREATE TABLE {qualified(LEDGER_SCHEMA, seed)} AS TABLE {name}")
        ledger.save(cursor, run_key, SEED, seed, {"table": table.target_name})
        cursor.execute(f"TRUNCATE TABLE {name}")


def put_back(cursor: Cursor, plan: MovePlan, run_key: str, source_sequences: Mapping[str, int]) -> None:
    """After the rows: foreign keys, triggers, sequences, materialized views; then all must be as it was.

    Raises Failed FOREIGN_KEY_VIOLATED (unless a choice says NOT VALID) and SCHEMA_NOT_RESTORED.
    """
    loose = not_valid_keys(plan)
    _restore_constraints(cursor, plan, run_key, loose)
    _restore_triggers(cursor, run_key)
    sequences.set_sequences(cursor, plan, plan.target_schema, source_sequences)
    _refresh_views(cursor, plan.target_schema)
    _compare(cursor, plan, run_key, loose)


def drop_seeds(cursor: Cursor, run_key: str) -> None:
    """The seeded rows that put_aside() kept: undo() could need them as long as the run is in the ledger."""
    for seed in ledger.saved(cursor, run_key, SEED):
        cursor.execute(f"DROP TABLE IF EXISTS {qualified(LEDGER_SCHEMA, seed)}")


def not_valid_keys(plan: MovePlan) -> set[tuple[str, str]]:
    """(target table, constraint) of foreign keys and CHECKs that someone accepted rows against: back as NOT VALID."""
    return _not_valid(plan, FOREIGN_KEY) | _not_valid(plan, CHECK)


def _not_valid(plan: MovePlan, kind: str) -> set[tuple[str, str]]:
    return {
        (table.target_name, each.name)
        for table in loaded_tables(plan)
        for each in table.objects
        if each.kind == kind and (each.detail.get("not_valid") or "NOT VALID" in each.sql)
    }


def _restore_constraints(cursor: Cursor, plan: MovePlan, run_key: str, loose: set[tuple[str, str]]) -> None:
    for each in _constraints(cursor, run_key):
        table, name, definition = qualified(each["schema"], each["table"]), quote(each["name"]), each["definition"]
        if each["schema"] == plan.target_schema and (each["table"], each["name"]) in loose:
            definition = definition.removesuffix(" NOT VALID") + " NOT VALID"
        try:
            cursor.execute(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
        except psycopg2.errors.ForeignKeyViolation:
            raise Failed(
                "FOREIGN_KEY_VIOLATED",
                f"Rows of {each['table']} have no parent under the foreign key {each['name']}.",
                "Plan again and choose not_valid for it, or mend the rows.",
            ) from None
        if each["comment"]:
            cursor.execute(f"COMMENT ON CONSTRAINT {name} ON {table} IS {literal(each['comment'])}")


def _restore_triggers(cursor: Cursor, run_key: str) -> None:
    for each in ledger.saved(cursor, run_key, TRIGGER).values():
        table = qualified(each["schema"], each["table"])
        cursor.execute(f"ALTER TABLE {table} {_ENABLE[each['enabled']]} TRIGGER {quote(each['name'])}")


def _refresh_views(cursor: Cursor, schema: str) -> None:
    """Materialized views hold rows of their own. In the order of their making: one may read another."""
    found = rows(
        cursor,
        "SELECT c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname = %s AND c.relkind = 'm' AND c.relispopulated ORDER BY c.oid",
        (schema,),
    )
    for (name,) in found:
        cursor.execute(f"REFRESH MATERIALIZED VIEW {qualified(schema, name)}")


def _compare(cursor: Cursor, plan: MovePlan, run_key: str, loose: set[tuple[str, str]]) -> None:
    before = ledger.saved(cursor, run_key, SNAPSHOT).get(plan.target_schema, {}).get("schema")
    if before is None:
        return
    changed = changed_tables(before, snapshot(cursor, plan.target_schema), loose)
    if changed:
        raise Failed(
            "SCHEMA_NOT_RESTORED",
            f"The target's schema isn't what it was before the load: {', '.join(changed[:_SHOWN])}.",
            "Someone changed it meanwhile; remove the load and start again.",
        )


def changed_tables(before: dict[str, Any], after: dict[str, Any], loose: set[tuple[str, str]]) -> list[str]:
    """Names of what differs between two snapshots; keys that were accepted as NOT VALID may differ in just that."""
    old = {table["name"]: _strict(table, loose) for table in before["tables"]}
    new = {table["name"]: _strict(table, loose) for table in after["tables"]}
    changed = {name for name in old.keys() | new.keys() if old.get(name) != new.get(name)}
    changed |= {view["name"] for view in [*before["views"], *after["views"]] if _differs(view, before, after)}
    return sorted(changed)


def _differs(view: dict[str, Any], before: dict[str, Any], after: dict[str, Any]) -> bool:
    return not (view in before["views"] and view in after["views"])


def _strict(table: dict[str, Any], loose: set[tuple[str, str]]) -> dict[str, Any]:
    def loosened(constraint: dict[str, Any]) -> dict[str, Any]:
        if (table["name"], constraint["name"]) not in loose:
            return constraint
        return {**constraint, "validated": None, "sql": constraint["sql"].removesuffix(" NOT VALID")}

    return {**table, **{part: [loosened(each) for each in table[part]] for part in ("foreign_keys", "checks")}}


def undo(cursor: Cursor, plan: MovePlan, run_key: str) -> None:
    """The tables that we filled are as they were before: empty, or with their seeded rows; nothing else changed."""
    _disable_triggers(cursor, plan)
    _drop_constraints(cursor, run_key)
    names = [qualified(plan.target_schema, table.target_name) for table in loaded_tables(plan)]
    if names:
        cursor.execute(f"TRUNCATE TABLE {', '.join(names)}")
    for seed, detail in ledger.saved(cursor, run_key, SEED).items():
        _give_back(cursor, plan.target_schema, detail["table"], seed)
    for sequence, state in ledger.saved(cursor, run_key, SEQUENCE).items():
        cursor.execute(
            "SELECT pg_catalog.setval(%s::pg_catalog.regclass, %s, %s)",
            (sequence, state["last_value"], state["is_called"]),
        )
    _restore_constraints(cursor, plan, run_key, set())
    _restore_triggers(cursor, run_key)
    _refresh_views(cursor, plan.target_schema)
    _compare(cursor, plan, run_key, set())


def _give_back(cursor: Cursor, schema: str, table: str, seed: str) -> None:
    if scalar(cursor, "SELECT to_regclass(%s)", (qualified(LEDGER_SCHEMA, seed),)) is None:
        return
    found = rows(
        cursor,
        "SELECT a.attname::text FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND c.relname = %s"
        " AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated = '' ORDER BY a.attnum",
        (schema, table),
    )
    columns = ", ".join(quote(row[0]) for row in found)
    source, target = qualified(LEDGER_SCHEMA, seed), qualified(schema, table)
    cursor.execute(f"INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {source}")
    cursor.execute(f"DROP TABLE {source}")
