"""Which rows has the application changed on PostgreSQL since the switch? What a way back would lose, known exactly.

Triggers on every loaded table write the keys of changed rows to `causeway.changes`. The functions are SECURITY
DEFINER with every setting fixed: the application's role needs no right on our schema, and its DateStyle or search
path don't matter. Keys are written as PostgreSQL prints them in COPY (format('%s', …) is the type's output function).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrations_app.engine.artefact_files import part_file
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed
from migrations_app.engine.plan import MovePlan, TablePlan
from migrations_app.engine.target.pg_names import LEDGER_SCHEMA, literal, qualified, quote
from migrations_app.engine.target.target import (
    Connection,
    Cursor,
    application_name,
    cancelling,
    connect,
    rows,
    scalar,
    transaction,
)
from migrations_app.engine.target.target_url import TargetUrl

ROW_TRIGGER, TRUNCATE_TRIGGER = "causeway_changes", "causeway_truncates"
_FETCH = 2000  # rows held at once while saving

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
_FIXED = (
    "SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET \"TimeZone\" = 'UTC' SET \"DateStyle\" = 'ISO, YMD'"
    " SET \"IntervalStyle\" = 'postgres' SET extra_float_digits = 3 SET bytea_output = 'hex'"
)


@dataclass(frozen=True)
class TableChanges:
    """`rows`: distinct rows touched; the others count operations. After a TRUNCATE `rows` includes what was there."""

    rows: int
    inserts: int = 0
    updates: int = 0
    deletes: int = 0
    truncates: int = 0


@dataclass(frozen=True)
class ChangeCount:
    """`total`: distinct rows over all tables."""

    total: int
    by_table: dict[str, TableChanges] = field(default_factory=dict)


@dataclass(frozen=True)
class DeltaResult:
    """The saved rows: JSON Lines, one changed row a line ('upsert' with the row, 'delete', or a change's image)."""

    path: Path
    sha256: str
    size: int
    rows: int
    deletes: int


def arm(url: TargetUrl, plan: MovePlan) -> None:
    """Install the triggers on every loaded table, in one transaction. Armed tables stay as they are, with their log."""
    connection = connect(url, application_name=application_name("changes", 0))
    try:
        with transaction(connection, "arming the record of changes") as cursor:
            cursor.execute(_CREATE)
            armed = set(rows(cursor, "SELECT schema_name, table_name FROM causeway.watched"))
            for table in plan.tables:
                if table.is_loaded and (plan.target_schema, table.target_name) not in armed:
                    _arm_table(cursor, plan.target_schema, table)
    finally:
        connection.close()


def _arm_table(cursor: Cursor, schema: str, table: TablePlan) -> None:
    by_name = {column.name: column for column in table.loaded_columns}
    key = [by_name[name] for name in table.key] if all(name in by_name for name in table.key) else []
    name, function = qualified(schema, table.target_name), _function(schema, table.target_name)
    columns = [column.target_name for column in key]
    cursor.execute(_row_function(function, schema, table.target_name, columns))
    cursor.execute(_truncate_function(f"{function}_t", schema, table.target_name))
    for each in (function, f"{function}_t"):
        cursor.execute(f"REVOKE ALL ON FUNCTION {qualified(LEDGER_SCHEMA, each)}() FROM PUBLIC")
    cursor.execute(
        f"CREATE TRIGGER {ROW_TRIGGER} AFTER INSERT OR UPDATE OR DELETE ON {name}"
        f" FOR EACH ROW EXECUTE FUNCTION {qualified(LEDGER_SCHEMA, function)}()"
    )
    cursor.execute(
        f"CREATE TRIGGER {TRUNCATE_TRIGGER} BEFORE TRUNCATE ON {name}"
        f" FOR EACH STATEMENT EXECUTE FUNCTION {qualified(LEDGER_SCHEMA, f'{function}_t')}()"
    )
    cursor.execute(
        "INSERT INTO causeway.watched (schema_name, table_name, key_columns, key_types) VALUES (%s, %s, %s, %s)",
        (schema, table.target_name, columns, _types(cursor, name, columns)),
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


def _row_function(function: str, schema: str, table: str, key: list[str]) -> str:
    """Static SQL for this table: no dynamic statement on the application's path."""

    def note(op: str, row: str) -> str:
        texts = ", ".join(f"format('%s', {row}.{quote(column)})" for column in key)
        key_sql, image = (f"ARRAY[{texts}]", "NULL") if key else ("NULL", f"to_jsonb({row})")
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
    return _create_function(function, body)


def _moved(key: list[str], note_old: str) -> str:
    """An UPDATE that changes the key removes one row and makes another."""
    if not key:
        return ""
    old, new = (f"({', '.join(f'{row}.{quote(column)}' for column in key)})" for row in ("OLD", "NEW"))
    return f"IF {old} IS DISTINCT FROM {new} THEN {note_old} END IF;"


def _truncate_function(function: str, schema: str, table: str) -> str:
    """Before, not after: the rows that are lost can still be counted."""
    body = f"""BEGIN
        INSERT INTO causeway.changes (schema_name, table_name, op, row_count)
        SELECT {literal(schema)}, {literal(table)}, 'T', count(*) FROM {qualified(schema, table)};
        RETURN NULL;
    END"""
    return _create_function(function, body)


def _create_function(function: str, body: str) -> str:
    tag = "$causeway$"
    if tag in body:
        raise Failed("BAD_NAME", "A table or column is named like our own quotation mark.", "Rename it.")
    name = qualified(LEDGER_SCHEMA, function)
    return f"CREATE OR REPLACE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql {_FIXED} AS {tag}{body}{tag}"


def count(url: TargetUrl) -> ChangeCount:
    """Distinct changed rows and operations by table. Raises Failed NOT_ARMED: then it is not known, not zero."""
    connection = connect(url, application_name=application_name("changes", 0))
    try:
        with transaction(connection, "counting changed rows") as cursor:
            _assert_armed(cursor)
            found = rows(
                cursor,
                """SELECT table_name, count(DISTINCT key) + count(*) FILTER (WHERE key IS NULL AND op <> 'T')
                          + coalesce(sum(row_count) FILTER (WHERE op = 'T'), 0),
                          count(*) FILTER (WHERE op = 'I'), count(*) FILTER (WHERE op = 'U'),
                          count(*) FILTER (WHERE op = 'D'), count(*) FILTER (WHERE op = 'T')
                     FROM causeway.changes GROUP BY schema_name, table_name ORDER BY table_name""",
            )
    finally:
        connection.close()
    by_table = {row[0]: TableChanges(*(int(value) for value in row[1:])) for row in found}
    return ChangeCount(sum(each.rows for each in by_table.values()), by_table)


def changed_keys(url: TargetUrl) -> frozenset[tuple[str, str]]:
    """(table, JSON array of the key's texts) of each changed row, as compare.verify() takes them; '' for all rows."""
    connection = connect(url, application_name=application_name("changes", 0))
    try:
        with transaction(connection, "reading changed keys") as cursor:
            _assert_armed(cursor)
            found = rows(cursor, "SELECT DISTINCT table_name, key FROM causeway.changes")
    finally:
        connection.close()
    return frozenset(
        (table, json.dumps(key, ensure_ascii=False, separators=(",", ":")) if key is not None else "")
        for table, key in found
    )


def _assert_armed(cursor: Cursor) -> None:
    if scalar(cursor, "SELECT to_regclass('causeway.changes')") is None:
        raise Failed(
            "NOT_ARMED",
            "The target doesn't record changes of rows, so nobody knows how many there were.",
            "It is armed before the application starts on PostgreSQL.",
        )


def save(url: TargetUrl, path: Path, control: Control | None = None) -> DeltaResult:
    """Write the changed rows as they are now to `path` (part file, fsync, rename), in one snapshot.

    Raises Failed NOT_ARMED, DISK_FULL, FILE_ERROR; Cancelled.
    """
    control = control or Control()
    connection = connect(url, application_name=application_name("changes", 0))
    digest, size, upserts, deletes = hashlib.sha256(), 0, 0, 0
    try:
        connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
        with cancelling(connection, control), transaction(connection, "saving changed rows") as cursor:
            _assert_armed(cursor)
            with part_file(path) as file:
                for entry, row in _entries(connection, cursor):
                    control.checkpoint()
                    line = _line(entry, row)
                    file.write(line)
                    digest.update(line)
                    size += len(line)
                    deletes += entry["op"] in ("delete", "truncate")
                    upserts += entry["op"] not in ("delete", "truncate")
    finally:
        connection.close()
    return DeltaResult(path, digest.hexdigest(), size, upserts, deletes)


def _line(entry: dict[str, Any], row: str | None) -> bytes:
    """The row's JSON goes in as PostgreSQL wrote it: through Python's floats, long decimals would change."""
    text = json.dumps(entry, ensure_ascii=False, separators=(",", ":"))
    if row is not None:
        # A json column keeps the blanks of its text; between tokens a newline is as good as a space.
        text = f'{text[:-1]},"row":{row}}}'.replace("\n", " ").replace("\r", " ")
    return text.encode() + b"\n"


def _entries(connection: Connection, cursor: Cursor) -> Iterator[tuple[dict[str, Any], str | None]]:
    words = {"I": "insert", "U": "update", "D": "delete", "T": "truncate"}
    watched = rows(cursor, "SELECT schema_name, table_name, key_columns, key_types FROM causeway.watched ORDER BY 1, 2")
    for schema, table, columns, types in watched:
        for op, row_count, at, image in _by_cursor(connection, _unkeyed(schema, table)):
            yield {"table": table, "op": words[op], "rows": row_count, "at": at}, image
        if columns:
            for key, found, image in _by_cursor(connection, _keyed(schema, table, columns, types)):
                yield {"table": table, "op": "upsert" if found else "delete", "key": key}, image if found else None


def _unkeyed(schema: str, table: str) -> str:
    return (
        "SELECT op::text, row_count, at::text, image::text FROM causeway.changes WHERE key IS NULL"
        f" AND schema_name = {literal(schema)} AND table_name = {literal(table)} ORDER BY id"
    )


def _keyed(schema: str, table: str, columns: list[str], types: list[str]) -> str:
    """Each changed key with its present row. The key's texts are cast to their types, so that indexes serve."""
    pairs = enumerate(zip(columns, types, strict=True), start=1)
    same = " AND ".join(f"t.{quote(column)} = k.key[{number}]::{type_sql}" for number, (column, type_sql) in pairs)
    return (
        f"SELECT k.key, t.{quote(columns[0])} IS NOT NULL, row_to_json(t)::text"
        " FROM (SELECT DISTINCT key FROM causeway.changes WHERE key IS NOT NULL"
        f" AND schema_name = {literal(schema)} AND table_name = {literal(table)}) k"
        f" LEFT JOIN {qualified(schema, table)} t ON {same} ORDER BY k.key"
    )


def _by_cursor(connection: Connection, sql: str) -> Iterator[tuple[Any, ...]]:
    """Rows through a server-side cursor: memory doesn't grow with the number of changes."""
    with connection.cursor(name="causeway_changes") as cursor:
        cursor.itersize = _FETCH
        cursor.execute(sql)
        yield from cursor


def disarm(url: TargetUrl) -> None:
    """Remove triggers, functions and the log. Nothing happens where nothing is armed."""
    connection = connect(url, application_name=application_name("changes", 0))
    try:
        with transaction(connection, "disarming the record of changes") as cursor:
            if scalar(cursor, "SELECT to_regclass('causeway.watched')") is None:
                return
            for schema, table in rows(cursor, "SELECT schema_name, table_name FROM causeway.watched"):
                _disarm_table(cursor, schema, table)
            cursor.execute("DROP TABLE causeway.changes, causeway.watched")
    finally:
        connection.close()


def _disarm_table(cursor: Cursor, schema: str, table: str) -> None:
    if scalar(cursor, "SELECT to_regclass(%s)", (qualified(schema, table),)) is not None:
        for trigger in (ROW_TRIGGER, TRUNCATE_TRIGGER):
            cursor.execute(f"DROP TRIGGER IF EXISTS {trigger} ON {qualified(schema, table)}")
    function = _function(schema, table)
    for each in (function, f"{function}_t"):
        cursor.execute(f"DROP FUNCTION IF EXISTS {qualified(LEDGER_SCHEMA, each)}()")
