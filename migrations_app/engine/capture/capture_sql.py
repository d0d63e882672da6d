"""The triggers of capture and of the fence, as SQL text: pure functions of a table's definition.

Capture logs keys only, never values: what it writes can't be refused for its size, and rows are read again anyway. It
appends and never looks whether a key is logged already: an INSERT inside a trigger obeys the conflict clause of the
statement outside (https://www.sqlite.org/lang_createtrigger.html), which would drop either the key or the write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrations_app.engine.capture.unique_lookups import Lookup, is_untyped, lookups
from migrations_app.engine.source.own_objects import (
    CAPTURE_PREFIX,
    FENCE_PREFIX,
    FLOWING,
    LOG_SQL,
    LOG_TABLE,
    STATE_TABLE,
)
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.sqlite_source import quote_name

# What an application reads when it writes to the file that it should have left: no quotes in it.
FENCE_MESSAGE = "Causeway: this file is closed, the data has moved to PostgreSQL"


@dataclass(frozen=True)
class Trigger:
    """kind: 'bi' BEFORE INSERT, 'ai' AFTER INSERT, 'bu', 'au' UPDATE, 'bd', 'ad' DELETE."""

    kind: str
    name: str
    sql: str


def log_sql(widest_key: int) -> str:
    """The log's table: columns without a type, so that keys are kept as they are.

    salt: a row tells itself by it from one of the same number and key that a restored file writes in its place.
    """
    return f"{LOG_SQL}, {', '.join(f'k{i}' for i in range(1, widest_key + 1))}, salt DEFAULT (random()))"


def capture_triggers(number: int, table: SourceTable, key: Sequence[str]) -> tuple[Trigger, ...]:
    """Those that log the keys of one table. Raises Refused ONLINE_UNIQUE_UNSEEN."""
    asked = lookups(table, key)
    touched, left = _append(number, _keys("NEW", key)), _append(number, _keys("OLD", key))
    bodies = {
        "bi": ("INSERT", "", [_push_out(number, table, key, lookup) for lookup in asked]),
        "bu": ("UPDATE", _any_changed(asked), [_push_out(number, table, key, lookup, update=True) for lookup in asked]),
        "ai": ("INSERT", "", [touched]),
        "au": ("UPDATE", "", [touched, f"{_append_select(number, _keys('OLD', key))} WHERE {_moved(table, key)}"]),
        "ad": ("DELETE", "", [left]),
    }
    return tuple(
        _trigger(CAPTURE_PREFIX, number, kind, event, table.name, when, body)
        for kind, (event, when, body) in bodies.items()
        if body
    )


def fence_triggers(number: int, table: str) -> tuple[Trigger, ...]:
    """Those that refuse every write to one table, but for a transaction of ours while rows flow back."""
    when = f"(SELECT value FROM {STATE_TABLE} WHERE name = 'mode') IS NOT '{FLOWING}'"
    body = [f"SELECT RAISE(ABORT, '{FENCE_MESSAGE}')"]
    events = {"bi": "INSERT", "bu": "UPDATE", "bd": "DELETE"}
    return tuple(_trigger(FENCE_PREFIX, number, kind, event, table, when, body) for kind, event in events.items())


def _trigger(prefix: str, number: int, kind: str, event: str, table: str, when: str, body: Sequence[str]) -> Trigger:
    name = f"{prefix}{number}_{kind}"
    moment = "BEFORE" if kind.startswith("b") else "AFTER"
    condition = f" WHEN {when}" if when else ""
    statements = "; ".join(body)
    sql = f"CREATE TRIGGER {name} {moment} {event} ON {quote_name(table)}{condition} BEGIN {statements}; END"
    return Trigger(kind, name, sql)


def _keys(row: str, key: Sequence[str]) -> list[str]:
    return [f"{row}.{quote_name(name)}" for name in key]


def _columns(key: Sequence[object]) -> str:
    return ", ".join(["tbl", *(f"k{i}" for i in range(1, len(key) + 1))])


def _append(number: int, key: Sequence[str]) -> str:
    return f"INSERT INTO {LOG_TABLE}({_columns(key)}) VALUES ({', '.join([str(number), *key])})"


def _append_select(number: int, key: Sequence[str]) -> str:
    return f"INSERT INTO {LOG_TABLE}({_columns(key)}) SELECT {', '.join([str(number), *key])}"


def _push_out(number: int, table: SourceTable, key: Sequence[str], lookup: Lookup, *, update: bool = False) -> str:
    only_changed = f" AND ({lookup.changed})" if update else ""
    select = _append_select(number, [quote_name(name) for name in key])
    return f"{select} FROM {quote_name(table.name)} WHERE {lookup.found}{only_changed}"


def _any_changed(asked: Sequence[Lookup]) -> str:
    return " OR ".join(dict.fromkeys(lookup.changed for lookup in asked))


def _moved(table: SourceTable, key: Sequence[str]) -> str:
    """Whether an UPDATE has given the row another key, byte for byte."""
    columns = {column.name: column for column in table.columns}
    terms = []
    for name in key:
        old, new = f"OLD.{quote_name(name)}", f"NEW.{quote_name(name)}"
        terms.append(f"{old} IS NOT {new} COLLATE BINARY")
        if is_untyped(table, columns[name]):
            terms.append(f"quote({old}) IS NOT quote({new})")
    return " OR ".join(terms)
