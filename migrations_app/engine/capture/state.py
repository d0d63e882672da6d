"""What the application's file says of its live crossing."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.source.own_objects import (
    CAPTURE,
    FENCED,
    FLOWING,
    LOG_TABLE,
    STATE_TABLE,
    Entry,
    Select,
    all_entries,
    damaged,
    holds_ours,
    is_ours,
    schema_digest,
    without_ours,
)
from migrations_app.engine.source.sqlite_source import Source

FORMAT = 1


@dataclass(frozen=True)
class CapturedTable:
    """A table whose changes are logged. number: the log's `tbl`; key: the columns whose values are its k1, k2, …"""

    number: int
    name: str
    key: tuple[str, ...]


@dataclass(frozen=True)
class CaptureState:
    """head: the newest position of the log, 0 when nothing was logged yet; oldest: the first one that it still holds.

    schema: digest of the application's own schema when capture was installed; schema_now: as it stands, triggers that
    the fence has put aside included. armed: each of our own objects stands as we made it.
    """

    identity: str
    mode: str  # 'capture' or 'fenced'
    schema: str
    tables: tuple[CapturedTable, ...]
    head: int
    oldest: int
    schema_now: str
    armed: bool

    @property
    def rows(self) -> int:
        """Of the log: it has no gaps."""
        return self.head - self.oldest + 1 if self.head else 0


def state_of(opened: sqlite3.Connection | Source) -> CaptureState | None:
    """What an open file says, as its transaction sees it. None: nothing of ours is in it.

    Raises Refused CAPTURE_DAMAGED, BAD_NAME; sqlite3.Error.
    """
    select = selecting(opened)
    entries = all_entries(select)
    if not holds_ours(entries):
        return None
    values = read_values(select)
    ours = [entry for entry in entries if is_ours(entry)]
    try:
        if values["format"] != FORMAT:
            raise damaged(f"its format is {values['format']!r}, this version reads {FORMAT}")
        tables = tuple(CapturedTable(int(n), str(name), tuple(key)) for n, name, key in json.loads(values["tables"]))
        mode = FENCED if values["mode"] == FLOWING else values["mode"]
        if mode not in (CAPTURE, FENCED):
            raise damaged("its mode is none")
        identity, schema, armed = str(values["identity"]), str(values["schema"]), str(values["objects"])
    except (KeyError, TypeError, ValueError) as error:
        raise damaged(f"it can't be read ({type(error).__name__})") from None
    head, oldest = next(iter(select(f"SELECT (SELECT max(seq) FROM {LOG_TABLE}), (SELECT min(seq) FROM {LOG_TABLE})")))
    return CaptureState(
        identity=identity,
        mode=mode,
        schema=schema,
        tables=tables,
        head=head or 0,
        oldest=oldest or 0,
        schema_now=schema_digest(without_ours(entries, select)),
        armed=objects_digest(ours) == armed,
    )


def schema_now(connection: sqlite3.Connection) -> str:
    """The digest of the application's own schema as it stands, comparable with CaptureState.schema in both modes."""
    select = selecting(connection)
    entries = all_entries(select)
    return schema_digest(without_ours(entries, select) if holds_ours(entries) else entries)


def check_armed(state: CaptureState) -> None:
    """Raise Failed SOURCE_SCHEMA_CHANGED or CAPTURE_LOST where writes may have gone past the log or the fence."""
    if state.schema_now != state.schema:
        raise Failed(
            "SOURCE_SCHEMA_CHANGED",
            "The schema of the SQLite file was changed since its changes are recorded: some may not have been.",
            "End the replication, plan anew, and copy again.",
        )
    if not state.armed:
        raise Failed(
            "CAPTURE_LOST",
            "Triggers that record the changes of the SQLite file, or close it, are gone or altered.",
            "Something has rebuilt a table, or dropped them. End the replication and copy again.",
        )


def selecting(opened: sqlite3.Connection | Source) -> Select:
    return opened.select if isinstance(opened, Source) else opened.execute


def read_values(select: Select) -> dict[str, Any]:
    """The state table's rows. Raises sqlite3.Error."""
    return {str(name): value for name, value in select(f"SELECT name, value FROM {STATE_TABLE}")}


def write_values(connection: sqlite3.Connection, **values: str | int | None) -> None:
    """Set rows of the state table; None takes one away."""
    for name, value in values.items():
        connection.execute(f"DELETE FROM {STATE_TABLE} WHERE name = ?", (name,))
        if value is not None:
            connection.execute(f"INSERT INTO {STATE_TABLE}(name, value) VALUES (?, ?)", (name, value))


def remember_objects(connection: sqlite3.Connection) -> None:
    """Note how our own objects stand now, so that one that somebody drops or rebuilds is missed."""
    ours = [entry for entry in all_entries(connection.execute) if is_ours(entry)]
    write_values(connection, objects=objects_digest(ours))


def objects_digest(ours: Sequence[Entry]) -> str:
    lines = sorted("\x1f".join(entry) for entry in ours)
    return hashlib.sha256("\x1e".join(lines).encode("utf-8", "surrogatepass")).hexdigest()


def same_identity(state: CaptureState, identity: str) -> None:
    """Raise Refused IDENTITY_DIFFERS when the file belongs to another crossing."""
    if state.identity != identity:
        raise Refused(
            "IDENTITY_DIFFERS",
            "The SQLite file belongs to another crossing: it was restored or swapped, or another run has taken it.",
            "Nothing is touched. Check which file the application uses.",
        )
