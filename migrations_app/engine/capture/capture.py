"""Installs capture into the application's file, looks at it, keeps its log short, and removes every trace."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from pathlib import Path

from migrations_app.engine.capture.capture_sql import log_sql
from migrations_app.engine.capture.fence import arm, restore_triggers
from migrations_app.engine.capture.own_trial import compile_writes, unfit
from migrations_app.engine.capture.parent_keys import check_parent_keys
from migrations_app.engine.capture.stable_keys import captured_tables, stable_key
from migrations_app.engine.capture.state import (
    FORMAT,
    CapturedTable,
    CaptureState,
    check_armed,
    remember_objects,
    same_identity,
    schema_now,
    state_of,
    write_values,
)
from migrations_app.engine.capture.writing import is_busy, open_for_writing, short_look, write_transaction
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Refused
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.source.own_objects import (
    CAPTURE,
    FENCED,
    LOG_TABLE,
    STATE_SQL,
    STATE_TABLE,
    all_entries,
    takes_our_name,
)
from migrations_app.engine.source.schema import SourceSchema
from migrations_app.engine.source.sqlite_errors import translate_error
from migrations_app.engine.source.sqlite_schema import read_schema

__all__ = ["CaptureState", "CapturedTable", "check_armed", "install", "prune", "read_state", "remove", "schema_now"]
__all__ += ["state_of"]

_BREATH_SECONDS = 0.01  # between two batches: a writer that waits gets its turn


def install(path: Path, plan: MovePlan, *, busy_timeout_ms: int, control: Control | None = None) -> CaptureState:
    """From the commit of this on, each change of a table that the plan moves leaves its row's key in the log.

    One short write transaction. Where capture of the same tables is installed already, nothing is done.
    Raises Refused SCHEMA_CHANGED, CAPTURE_DIFFERS, ONLINE_NAME_TAKEN, ONLINE_NO_KEY, ONLINE_UNIQUE_UNSEEN,
    ONLINE_NEEDS_APPLICATION, ONLINE_FOREIGN_KEY, LOCKED; Failed CAPTURE_LOST, SOURCE_SCHEMA_CHANGED; Cancelled.
    """
    (control or Control()).checkpoint()
    with write_transaction(path, busy_timeout_ms, "installing capture") as connection:
        state = state_of(connection)
        schema = read_schema(connection)
        tables = _tables(schema, plan)
        if state is not None:
            _check_same(state, plan, tables)
            return state
        if schema.digest != plan.schema_digest:
            raise Refused("SCHEMA_CHANGED", "The source's schema has changed since the plan was made.", "Plan it anew.")
        _make(connection, schema, tables)
        made = state_of(connection)
    assert made is not None
    return made


def read_state(path: Path) -> CaptureState | None:
    """What the file says of its crossing, in a short read. None: nothing of ours is in it.

    Raises Refused NOT_FOUND, LOCKED, CAPTURE_DAMAGED; what translate_error() gives.
    """
    with short_look(path) as connection:
        return state_of(connection)


def prune(path: Path, up_to: int, *, busy_timeout_ms: int, batch: int = 5000) -> int:
    """Take rows of the log away up to a position, and tell how many; the newest stays, so that none is given twice.

    Each batch is a transaction of its own. Seldom and large is best: in WAL mode every commit of ours makes a
    transaction of the application that began by reading fail when it comes to write (SQLITE_BUSY_SNAPSHOT).
    A busy file ends it early: what is left goes next time. Raises Refused NOT_FOUND; what translate_error() gives.
    """
    connection = open_for_writing(path, busy_timeout_ms)
    done = 0
    try:
        while gone := _prune_batch(connection, up_to, batch):
            done += gone
            if gone < batch:
                break
            time.sleep(_BREATH_SECONDS)
    except sqlite3.Error as error:
        if not is_busy(error):
            raise translate_error(path, error, "shortening the log") from error
    finally:
        connection.close()
    return done


def remove(path: Path, identity: str, *, busy_timeout_ms: int) -> None:
    """Take every trace away, in either mode; the application's own triggers stand again. Twice is once.

    Fenced, this opens the file to writers again: only who has given up PostgreSQL's side, or the file, may call it.
    Raises Refused IDENTITY_DIFFERS, CAPTURE_DAMAGED, LOCKED.
    """
    if read_state(path) is None:
        return
    with write_transaction(path, busy_timeout_ms, "removing capture") as connection:
        state = state_of(connection)
        if state is None:
            return
        same_identity(state, identity)
        restore_triggers(connection)
        connection.execute(f"DROP TABLE {LOG_TABLE}")
        connection.execute(f"DROP TABLE {STATE_TABLE}")


def _tables(schema: SourceSchema, plan: MovePlan) -> tuple[CapturedTable, ...]:
    found = []
    for number, table in enumerate(captured_tables(schema.tables, plan), 1):
        found.append(CapturedTable(number, table.name, stable_key(table)))
        check_parent_keys(schema, table, found[-1].key)
    return tuple(found)


def _check_same(state: CaptureState, plan: MovePlan, tables: tuple[CapturedTable, ...]) -> None:
    if state.schema != plan.schema_digest or state.tables != tables or state.mode == FENCED:
        what = "is closed since PostgreSQL took over" if state.mode == FENCED else "is captured for another plan"
        raise Refused("CAPTURE_DIFFERS", f"The SQLite file {what}.", "End that replication first.")
    check_armed(state)


def _make(connection: sqlite3.Connection, schema: SourceSchema, tables: tuple[CapturedTable, ...]) -> None:
    taken = next(filter(takes_our_name, all_entries(connection.execute)), None)
    if taken:
        raise Refused("ONLINE_NAME_TAKEN", f"The file has a {taken[0]} {taken[1]} already.", "Rename it.")
    state = CaptureState(secrets.token_hex(16), CAPTURE, schema.digest, tables, 0, 0, schema.digest, True)
    connection.execute(STATE_SQL)
    connection.execute(log_sql(max((len(table.key) for table in tables), default=1)))
    write_values(
        connection,
        format=FORMAT,
        identity=state.identity,
        mode=CAPTURE,
        schema=schema.digest,
        tables=json.dumps([[table.number, table.name, table.key] for table in tables]),
    )
    arm(connection, state)
    for captured in tables:
        table = schema.table(captured.name)
        try:
            compile_writes(connection, table)  # else the application's own next write would fail
        except sqlite3.Error as error:
            raise unfit(table, error) from error
    remember_objects(connection)


def _prune_batch(connection: sqlite3.Connection, up_to: int, batch: int) -> int:
    """One write transaction; the log has no gaps, so a batch is a range."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        oldest, newest = connection.execute(
            f"SELECT (SELECT min(seq) FROM {LOG_TABLE}), (SELECT max(seq) FROM {LOG_TABLE})"
        ).fetchone()
        gone = 0
        if oldest is not None:
            last = min(up_to, newest - 1, oldest + batch - 1)
            gone = connection.execute(f"DELETE FROM {LOG_TABLE} WHERE seq <= ?", (last,)).rowcount
        connection.execute("COMMIT")
        return gone
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
