"""Tries capture on an empty twin of the schema: whether SQLite, without the application, can write to the tables.

Rows flow back after the switch on a connection of ours. An index, check or generated column that calls a function or
a collation that only the application has can't be kept by us; with a stand-in, the index would be damaged.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence

from migrations_app.engine.capture.capture_sql import capture_triggers, log_sql
from migrations_app.engine.errors import Refused
from migrations_app.engine.source.schema import SourceSchema, SourceTable
from migrations_app.engine.source.sqlite_source import quote_name

_STEPS = 1_000_000
# The DDL is the file's, which may be hostile: it may make tables, indexes and our triggers; statements are only
# compiled, but for those that SQLite itself writes its schema with.
_ALLOWED = frozenset(
    {
        sqlite3.SQLITE_CREATE_TABLE,
        sqlite3.SQLITE_CREATE_INDEX,
        sqlite3.SQLITE_CREATE_TRIGGER,
        sqlite3.SQLITE_REINDEX,
        sqlite3.SQLITE_INSERT,
        sqlite3.SQLITE_UPDATE,
        sqlite3.SQLITE_DELETE,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_TRANSACTION,
    }
)


def trial(
    schema: SourceSchema, tables: Sequence[SourceTable], key_of: Callable[[SourceTable], tuple[str, ...]]
) -> list[tuple[str, Refused]]:
    """For each table that can't be written to or captured: its name and why. Raises what key_of raises."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 10_000_000)
        connection.set_progress_handler(lambda: 1, _STEPS)
        connection.execute(log_sql(max((len(key_of(table)) for table in tables), default=1)))
        _guard(connection)
        found = _make_tables(connection, schema)
        by_themselves = {table.name: _broken_keys(connection, table) for table in tables if table.name not in found}
        for number, table in enumerate(tables, 1):
            if table.name in found:
                continue
            try:
                for trigger in capture_triggers(number, table, key_of(table)):
                    connection.execute(trigger.sql)
                compile_writes(connection, table)
            except (sqlite3.Error, sqlite3.Warning) as error:
                found[table.name] = unfit(table, error)
        for table in [table for table in tables if table.name not in found]:
            broken = _broken_keys(connection, table)
            if broken not in ("", by_themselves[table.name]):
                found[table.name] = _broken(table, broken)
        return [(table.name, found[table.name]) for table in tables if table.name in found]
    finally:
        connection.close()


def _make_tables(connection: sqlite3.Connection, schema: SourceSchema) -> dict[str, Refused]:
    found = {}
    for table in schema.tables:
        if table.kind != "table":
            continue
        try:
            connection.execute(table.sql)
            for index in table.indexes:
                if index.sql:
                    connection.execute(index.sql)
        except (sqlite3.Error, sqlite3.Warning) as error:
            found[table.name] = unfit(table, error)
    return found


def _broken_keys(connection: sqlite3.Connection, table: SourceTable) -> str:
    """What SQLite says of an INSERT where it keeps foreign keys; '' when it takes it.

    A row put alone into a parent table isn't looked at, unless a trigger does more: only then a foreign key that refers
    to columns without a unique index is noticed, and the application's INSERT fails.
    """
    connection.set_authorizer(None)
    connection.execute("PRAGMA foreign_keys=ON")
    try:
        alone = _writes(table)[0].replace("INSERT", "INSERT OR ABORT", 1)  # REPLACE in the schema would do more, too
        connection.execute(f"EXPLAIN {alone}").fetchall()
        return ""
    except sqlite3.Error as error:
        return str(error)
    finally:
        connection.execute("PRAGMA foreign_keys=OFF")
        _guard(connection)


def _guard(connection: sqlite3.Connection) -> None:
    connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY)


def compile_writes(connection: sqlite3.Connection, table: SourceTable) -> None:
    """Have SQLite compile each kind of write to the table, and run none. Raises sqlite3.Error."""
    for statement in _writes(table):
        connection.execute(f"EXPLAIN {statement}").fetchall()


def _writes(table: SourceTable) -> tuple[str, str, str]:
    columns = [quote_name(column.name) for column in table.columns if not column.generated and not column.hidden]
    name = quote_name(table.name)
    return (
        f"INSERT INTO {name}({', '.join(columns)}) VALUES ({', '.join('NULL' for _ in columns)})",
        f"UPDATE {name} SET {', '.join(f'{column} = {column}' for column in columns)}",
        f"DELETE FROM {name}",
    )


def _broken(table: SourceTable, what: str) -> Refused:
    return Refused(
        "ONLINE_FOREIGN_KEY",
        f"Writes to {table.name} would begin to fail while its changes are recorded: {what}.",
        "Give the columns that the foreign key refers to a unique index, or move with the strategy offline.",
    )


def unfit(table: SourceTable, error: sqlite3.Error | sqlite3.Warning) -> Refused:
    return Refused(
        "ONLINE_NEEDS_APPLICATION",
        f"{table.name} can't be written to without the application's own code: {error}.",
        "Move with the strategy offline.",
    )
