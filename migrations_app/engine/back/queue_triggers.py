"""The triggers that note which rows the application changes on PostgreSQL, and their making and removal.

They stand in the application's transactions, so they do little: one row with the key's texts a changed row. They fire
in the replica role, too, which a subscription or a restore may write in: the applier is known by `causeway.applier`.

The functions are SECURITY DEFINER with every setting fixed that the printed form of a key depends on: the
application's role needs no right on our schema, and its DateStyle or search path don't matter. Keys are written as
PostgreSQL prints them in COPY (format('%s', …) is the type's output function).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence

from migrations_app.engine.back.target_shape import ROW_TRIGGER, TRUNCATE_TRIGGER, forget_shape, remember_shape
from migrations_app.engine.conversions.type_parts import type_parts
from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.plan import MovePlan, TablePlan
from migrations_app.engine.target.pg_names import LEDGER_SCHEMA, literal, qualified, quote
from migrations_app.engine.target.target import Cursor, rows, scalar

# True for everybody but the applier.
NOT_THE_APPLIER = "current_setting('causeway.applier', true) IS DISTINCT FROM 'on'"

_CREATE = """
CREATE SCHEMA IF NOT EXISTS causeway;
CREATE TABLE IF NOT EXISTS causeway.watched (
    schema_name text NOT NULL, table_name text NOT NULL, key_columns text[] NOT NULL, key_types text[] NOT NULL,
    armed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (schema_name, table_name)
);
CREATE TABLE IF NOT EXISTS causeway.changes (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema_name text NOT NULL, table_name text NOT NULL,
    op "char" NOT NULL,
    key text[],
    image jsonb,
    row_count bigint NOT NULL DEFAULT 1,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
"""
_OWNED = "SECURITY DEFINER SET search_path = pg_catalog, pg_temp"
_PRINTED = (
    " SET \"TimeZone\" = 'UTC' SET \"DateStyle\" = 'ISO, YMD' SET \"IntervalStyle\" = 'postgres'"
    " SET extra_float_digits = 3 SET bytea_output = 'hex'"
)
# Types that are printed alike whatever the session's settings: each setting that a function fixes costs its caller.
_PLAIN_TYPES = frozenset({"smallint", "integer", "bigint", "uuid", "text", "character varying", "boolean", "numeric"})

# Parameters: table, columns, table, table, columns. What inherits from a table has keys of its own.
_IS_KEY = """
SELECT EXISTS (SELECT 1 FROM pg_index i
                WHERE i.indrelid = to_regclass(%s) AND i.indisunique AND i.indisvalid
                  AND i.indpred IS NULL AND i.indexprs IS NULL
                  AND (SELECT array_agg(a.attname::text)
                         FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(number, place)
                         JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.number
                        WHERE k.place <= i.indnkeyatts) <@ %s::text[])
   AND NOT EXISTS (SELECT 1 FROM pg_inherits h JOIN pg_class p ON p.oid = h.inhparent
                    WHERE p.oid = to_regclass(%s) AND p.relkind = 'r')
   AND NOT EXISTS (SELECT 1 FROM pg_attribute a
                    WHERE a.attrelid = to_regclass(%s) AND NOT a.attnotnull AND a.attname = ANY(%s::text[]))
"""

Keys = Mapping[str, Sequence[str]]  # {source table: source columns}


def arm_tables(cursor: Cursor, plan: MovePlan, keys: Keys | None) -> None:
    """Triggers on every loaded table. The log of tables that are armed already stays.

    keys: the columns that tell a table's rows apart, where each row must be found again; Refused ONLINE_NO_TARGET_KEY
    where the target doesn't hold them to be unique and not null. Then triggers are made anew, should somebody have
    touched them. None: the plan's keys; a row without one is noted whole, and what is armed stays as it is.
    """
    cursor.execute(_CREATE)
    armed = set(rows(cursor, "SELECT schema_name, table_name FROM causeway.watched"))
    for table in plan.tables:
        if not table.is_loaded:
            continue
        columns = _key_columns(table, table.key if keys is None else keys.get(table.name, ()))
        if keys is not None:
            _assert_unique(cursor, plan.target_schema, table, columns)
        if keys is not None or (plan.target_schema, table.target_name) not in armed:
            _arm_table(cursor, plan.target_schema, table.target_name, columns)
    if keys is not None:
        remember_shape(cursor, plan)


def _key_columns(table: TablePlan, key: Sequence[str]) -> list[str]:
    """The target's names; [] where a column of the key isn't loaded."""
    by_name = {column.name: column.target_name for column in table.loaded_columns}
    return [by_name[name] for name in key] if all(name in by_name for name in key) else []


def _assert_unique(cursor: Cursor, schema: str, table: TablePlan, columns: list[str]) -> None:
    name = qualified(schema, table.target_name)
    if not columns or not scalar(cursor, _IS_KEY, (name, columns, name, name, columns)):
        key = ", ".join(columns) or "no column that is loaded"
        raise Refused(
            "ONLINE_NO_TARGET_KEY",
            f"The target's table {table.target_name} has no unique, not-null key that rows of {table.name} could be"
            f" found again by ({key}).",
            "Give it a primary key, leave the table out, or take the offline strategy.",
        )


def _arm_table(cursor: Cursor, schema: str, table: str, columns: list[str]) -> None:
    name, function = qualified(schema, table), _function(schema, table)
    types = _types(cursor, name, columns)
    settings = _OWNED if all(type_parts(each).base in _PLAIN_TYPES for each in types) else _OWNED + _PRINTED
    # A row that is noted whole may hold values of any type.
    cursor.execute(_row_function(function, schema, table, columns, settings if columns else _OWNED + _PRINTED))
    cursor.execute(_truncate_function(f"{function}_t", schema, table))
    for each in (function, f"{function}_t"):
        cursor.execute(f"REVOKE ALL ON FUNCTION {qualified(LEDGER_SCHEMA, each)}() FROM PUBLIC")
    cursor.execute(
        f"CREATE OR REPLACE TRIGGER {ROW_TRIGGER} AFTER INSERT OR UPDATE OR DELETE ON {name}"
        f" FOR EACH ROW WHEN ({NOT_THE_APPLIER}) EXECUTE FUNCTION {qualified(LEDGER_SCHEMA, function)}()"
    )
    cursor.execute(f"ALTER TABLE {name} ENABLE ALWAYS TRIGGER {ROW_TRIGGER}")
    for relation in with_partitions(cursor, [name]):
        cursor.execute(
            f"CREATE OR REPLACE TRIGGER {TRUNCATE_TRIGGER} BEFORE TRUNCATE ON {relation}"
            f" FOR EACH STATEMENT WHEN ({NOT_THE_APPLIER})"
            f" EXECUTE FUNCTION {qualified(LEDGER_SCHEMA, f'{function}_t')}()"
        )
        cursor.execute(f"ALTER TABLE ONLY {relation} ENABLE ALWAYS TRIGGER {TRUNCATE_TRIGGER}")
    cursor.execute(
        "INSERT INTO causeway.watched (schema_name, table_name, key_columns, key_types) VALUES (%s, %s, %s, %s)"
        " ON CONFLICT (schema_name, table_name) DO UPDATE SET key_columns = EXCLUDED.key_columns,"
        " key_types = EXCLUDED.key_types",
        (schema, table, columns, types),
    )


def _types(cursor: Cursor, qualified_name: str, columns: list[str]) -> list[str]:
    """The columns' types as SQL, qualified where our search path needs it."""
    found = dict(
        rows(
            cursor,
            "SELECT attname::text, format_type(atttypid, atttypmod) FROM pg_attribute"
            " WHERE attrelid = to_regclass(%s) AND attnum > 0 AND NOT attisdropped",
            (qualified_name,),
        )
    )
    return [found[column] for column in columns]


def _function(schema: str, table: str) -> str:
    return "note_" + hashlib.sha256(f"{schema}\n{table}".encode()).hexdigest()[:16]


def _row_function(function: str, schema: str, table: str, key: list[str], settings: str) -> str:
    """Static SQL for this table: no dynamic statement on the application's path."""

    def note(op: str, row: str) -> str:
        key_sql, image = (_texts(row, key), "NULL") if key else ("NULL", f"to_jsonb({row})")
        return (
            "INSERT INTO causeway.changes (schema_name, table_name, op, key, image)"
            f" VALUES ({literal(schema)}, {literal(table)}, '{op}', {key_sql}, {image});"
        )

    body = f"""BEGIN
        IF TG_OP = 'INSERT' THEN {note("I", "NEW")}
        ELSIF TG_OP = 'DELETE' THEN {note("D", "OLD")}
        ELSE
            {note("U", "NEW")}
            {_moved(key, note("D", "OLD"))}
        END IF;
        RETURN NULL;
    END"""
    return _create_function(function, body, settings)


def _texts(row: str, key: list[str]) -> str:
    texts = ", ".join(f"format('%s', {row}.{quote(column)})" for column in key)
    return f"ARRAY[{texts}]"


def _moved(key: list[str], note_old: str) -> str:
    """An UPDATE that changes the key removes one row and makes another. By what is printed: 1.0 and 1.00 are equal as
    numbers, and 'a' and 'A' in a citext, but not as keys of SQLite."""
    return f"IF {_texts('OLD', key)} <> {_texts('NEW', key)} THEN {note_old} END IF;" if key else ""


def _truncate_function(function: str, schema: str, table: str) -> str:
    """Before, not after: the rows that are lost can still be counted. Each partition counts its own."""
    body = f"""DECLARE n bigint; BEGIN
        EXECUTE format('SELECT count(*) FROM ONLY %I.%I', TG_TABLE_SCHEMA, TG_TABLE_NAME) INTO n;
        INSERT INTO causeway.changes (schema_name, table_name, op, row_count)
        VALUES ({literal(schema)}, {literal(table)}, 'T', n);
        RETURN NULL;
    END"""
    return _create_function(function, body, _OWNED)


def _create_function(function: str, body: str, settings: str) -> str:
    tag = "$causeway$"
    if tag in body:
        raise Failed("BAD_NAME", "A table or column is named like our own quotation mark.", "Rename it.")
    name = qualified(LEDGER_SCHEMA, function)
    return f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql {settings} AS {tag}{body}{tag}"


def disarm_tables(cursor: Cursor) -> None:
    """Remove triggers, functions and the log. Nothing happens where nothing is armed."""
    if scalar(cursor, "SELECT to_regclass('causeway.watched')") is None:
        return
    for schema, table in rows(cursor, "SELECT schema_name, table_name FROM causeway.watched"):
        _disarm_table(cursor, schema, table)
    cursor.execute("DROP TABLE causeway.changes, causeway.watched")
    forget_shape(cursor)


def _disarm_table(cursor: Cursor, schema: str, table: str) -> None:
    """By what the triggers call: a table may have been renamed, a partition detached."""
    function = _function(schema, table)
    for each in (f"{qualified(LEDGER_SCHEMA, name)}()" for name in (function, f"{function}_t")):
        found = rows(
            cursor,
            "SELECT n.nspname::text, c.relname::text, t.tgname::text FROM pg_trigger t"
            " JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
            " WHERE t.tgfoid = to_regprocedure(%s) AND t.tgparentid = 0",  # those of a parent go with it
            (each,),
        )
        for relation_schema, relation, trigger in found:
            cursor.execute(f"DROP TRIGGER {quote(trigger)} ON {qualified(relation_schema, relation)}")
        cursor.execute(f"DROP FUNCTION IF EXISTS {each}")


def with_partitions(cursor: Cursor, tables: Sequence[str]) -> list[str]:
    """Those that are there, and of a partitioned one its partitions, too, qualified: a statement on a partition doesn't
    fire its parent's triggers."""
    found = rows(
        cursor,
        "SELECT n.nspname::text, c.relname::text FROM unnest(%s::text[]) WITH ORDINALITY AS t(name, place)"
        " CROSS JOIN LATERAL (SELECT to_regclass(t.name)::oid UNION"
        " SELECT relid::oid FROM pg_partition_tree(to_regclass(t.name))) AS r(relation)"
        " JOIN pg_class c ON c.oid = r.relation JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE c.relkind IN ('r', 'p') ORDER BY t.place, c.relispartition, 1, 2",
        (list(tables),),
    )
    return [qualified(*each) for each in found]
