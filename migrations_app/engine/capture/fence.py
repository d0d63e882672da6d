"""The fence: keeps every writer off the application's file once PostgreSQL has taken over.

A lock ends with the process that holds it, and a writer that waits for it writes on release; after chmod an open
writer goes on. Triggers that raise hold for everybody who writes through SQLite, whenever he opened the file.
All functions work inside the caller's write transaction, on open_for_writing()'s connection, and raise sqlite3.Error.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator

from migrations_app.engine.capture.capture_sql import capture_triggers, fence_triggers
from migrations_app.engine.capture.state import (
    CaptureState,
    read_values,
    remember_objects,
    same_identity,
    state_of,
    write_values,
)
from migrations_app.engine.errors import Failed
from migrations_app.engine.source.own_objects import (
    CAPTURE,
    FENCED,
    FLOWING,
    STATE_TABLE,
    Entry,
    all_entries,
    is_ours,
    put_aside,
)
from migrations_app.engine.source.sqlite_ddl import fold, parse_table
from migrations_app.engine.source.sqlite_schema import read_schema
from migrations_app.engine.source.sqlite_source import quote_name


def raise_fence(connection: sqlite3.Connection, state: CaptureState) -> None:
    """capture -> fenced: every table is closed, those too that aren't moved. Raises Failed MODE_DIFFERS.

    The application's triggers on tables are put aside: they would fire for rows that flow back, which bring what such
    triggers do with them.
    """
    _expect(connection, state, CAPTURE)
    entries = all_entries(connection.execute)
    own = [entry for entry in entries if not is_ours(entry)]
    tables = [entry[1] for entry in own if _takes_a_fence(entry)]
    names = {fold(name) for name in tables}
    aside = [entry for entry in own if entry[0] == "trigger" and fold(entry[2]) in names]
    _drop(connection, [entry[1] for entry in entries if entry[0] == "trigger" and is_ours(entry)])
    _drop(connection, [entry[1] for entry in aside])
    for number, table in enumerate(sorted(tables), 1):
        for trigger in fence_triggers(number, table):
            connection.execute(trigger.sql)
    write_values(connection, mode=FENCED, triggers=json.dumps([[name, table, sql] for _, name, table, sql in aside]))
    remember_objects(connection)


def lift_fence(connection: sqlite3.Connection, state: CaptureState) -> None:
    """fenced -> capture: the application's triggers stand again, and each change is logged. Raises MODE_DIFFERS."""
    _expect(connection, state, FENCED)
    restore_triggers(connection)
    write_values(connection, mode=CAPTURE, triggers=None)
    arm(connection, state)
    remember_objects(connection)


@contextlib.contextmanager
def flowing(connection: sqlite3.Connection) -> Iterator[None]:
    """Inside, this transaction's writes pass the fence; nobody else ever sees it open. Raises MODE_DIFFERS."""
    found = connection.execute(f"SELECT value FROM {STATE_TABLE} WHERE name = 'mode'").fetchone()
    if not connection.in_transaction or found != (FENCED,):
        raise _other_mode(FENCED, found[0] if found else "")
    _set_mode(connection, FLOWING)
    try:
        yield
    finally:
        if connection.in_transaction:  # else it was rolled back, and the mode with it
            _set_mode(connection, FENCED)


def restore_triggers(connection: sqlite3.Connection) -> None:
    """Take our triggers away, and make those again that were put aside, in their order: SQLite fires the newest first.

    Left out are those whose table is gone, and those that somebody has made again.
    """
    aside = put_aside(connection.execute)
    entries = all_entries(connection.execute)
    _drop(connection, [entry[1] for entry in entries if entry[0] == "trigger" and is_ours(entry)])
    tables = {fold(entry[1]) for entry in entries if entry[0] == "table"}
    triggers = {fold(entry[1]) for entry in entries if entry[0] == "trigger"}
    for _, name, table, sql in aside:
        if fold(table) in tables and fold(name) not in triggers:
            connection.execute(sql)


def arm(connection: sqlite3.Connection, state: CaptureState) -> None:
    """Make the triggers of capture, after all others: the newest fire first, and one that another ends never fires.

    (RAISE(IGNORE) in an application's trigger ends those behind it.) Raises Failed SOURCE_SCHEMA_CHANGED.
    """
    tables = {table.name: table for table in read_schema(connection).tables}
    for captured in state.tables:
        if captured.name not in tables:
            raise Failed(
                "SOURCE_SCHEMA_CHANGED",
                f"The table {captured.name} is gone from the SQLite file.",
                "Find what has dropped it; nothing was changed.",
            )
        for trigger in capture_triggers(captured.number, tables[captured.name], captured.key):
            connection.execute(trigger.sql)


def _takes_a_fence(entry: Entry) -> bool:
    kind, name, _table, sql = entry
    return kind == "table" and not fold(name).startswith("sqlite_") and not parse_table(sql).module


def _drop(connection: sqlite3.Connection, triggers: list[str]) -> None:
    for name in triggers:
        connection.execute(f"DROP TRIGGER {quote_name(name)}")


def _set_mode(connection: sqlite3.Connection, mode: str) -> None:
    connection.execute(f"UPDATE {STATE_TABLE} SET value = ? WHERE name = 'mode'", (mode,))


def _expect(connection: sqlite3.Connection, state: CaptureState, mode: str) -> None:
    found = read_values(connection.execute) if state_of(connection) else {}
    if found.get("identity") is not None:
        same_identity(state, str(found["identity"]))
    if not connection.in_transaction or found.get("mode") != mode:
        raise _other_mode(mode, str(found.get("mode", "")))


def _other_mode(expected: str, found: str) -> Failed:
    return Failed(
        "MODE_DIFFERS",
        f"The SQLite file is in mode {found or 'none'!r} where {expected!r} was expected.",
        "Look at the replication again: something else has moved it on.",
    )
