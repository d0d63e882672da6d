"""Which rows has the application changed on PostgreSQL since the switch? What a way back would lose, known exactly.

Triggers on every loaded table write the keys of changed rows to `causeway.changes` (queue_triggers.py). Offline, the
rows are counted and saved to a file before a way back; online they flow to SQLite (engine/replay/backward.py).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migrations_app.engine.artefact_files import part_file
from migrations_app.engine.back.queue_triggers import Keys, arm_tables, disarm_tables
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.target.pg_names import literal, qualified, quote
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

_FETCH = 2000  # rows held at once while saving


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


def arm(url: TargetUrl, plan: MovePlan, keys: Keys | None = None) -> None:
    """Install the triggers on every loaded table, in one transaction. Armed tables stay as they are, with their log.

    keys: {source table: source columns} that tell rows apart, for a way back that brings each row home: Refused
    ONLINE_NO_TARGET_KEY where the target can't find rows again by them.
    """
    connection = connect(url, application_name=application_name("changes", 0))
    try:
        with transaction(connection, "arming the record of changes") as cursor:
            arm_tables(cursor, plan, keys)
    finally:
        connection.close()


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
            disarm_tables(cursor)
    finally:
        connection.close()
