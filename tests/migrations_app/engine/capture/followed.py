"""An application's file with capture, its twin without, and a copy that is kept by the log alone."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from migrations_app.engine.capture.capture import CaptureState, install
from migrations_app.engine.capture.own_trial import trial
from migrations_app.engine.capture.parent_keys import check_parent_keys
from migrations_app.engine.capture.stable_keys import stable_key
from migrations_app.engine.capture.unique_lookups import lookups
from migrations_app.engine.errors import Refused
from migrations_app.engine.plan import LOAD, MODE_CREATE, SKIP, MovePlan, TablePlan
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.source.schema import SourceSchema, SourceTable
from tests.migrations_app.engine.capture.random_statements import Application, Step, quote

Key = tuple[Any, ...]
Contents = dict[Key, Any]


def plan_of(path: Path, left_out: tuple[str, ...] = ()) -> MovePlan:
    """A plan that moves each table that can be followed. Only what capture asks of a plan is in it."""
    with open_source(path) as source:
        schema = source.schema
    fit = [table for table in schema.tables if table.name not in left_out and _followed(schema, table)]
    refused = {name for name, _why in trial(schema, fit, stable_key)}
    rules = {table.name: LOAD for table in fit if table.name not in refused}
    tables = tuple(TablePlan(t.name, t.name, rules.get(t.name, SKIP), (), ()) for t in schema.tables)
    return MovePlan(MODE_CREATE, "public", schema.digest, schema.encoding, tables)


def _followed(schema: SourceSchema, table: SourceTable) -> bool:
    try:
        key = stable_key(table)
        lookups(table, key)
        check_parent_keys(schema, table, key)
    except Refused:
        return False
    return table.kind == "table"


def exactly(value: Any) -> Any:
    """A cell such that only the very same cell equals it: 1, 1.0 and -0.0 apart, and each text by its bytes."""
    return (type(value).__name__, repr(value))


def contents(connection: sqlite3.Connection, prefix: str, table: str, key: tuple[str, ...]) -> Contents:
    """Rows by their key; those with NULL in it are left out, since no log can name them."""
    names = ", ".join(quote(name) for name in key)
    found = {}
    for row in connection.execute(f"SELECT {names}, * FROM {prefix}{quote(table)}"):
        if None not in row[: len(key)]:
            found[tuple(map(exactly, row[: len(key)]))] = tuple(map(exactly, row[len(key) :]))
    return found


@dataclass
class Follower:
    """Knows the captured tables as they were at `position`, and only by the log what has changed since."""

    state: CaptureState
    position: int = 0
    copy: dict[str, Contents] = field(default_factory=dict)

    def dirty(self, connection: sqlite3.Connection, prefix: str = "") -> dict[str, set[Key]]:
        """The keys that the log names since `position`, as the connection's transaction sees it."""
        found: dict[str, set[Key]] = {table.name: set() for table in self.state.tables}
        by_number = {table.number: table for table in self.state.tables}
        for row in connection.execute(f"SELECT * FROM {prefix}causeway_log WHERE seq > ?", (self.position,)):
            table = by_number[row[1]]
            found[table.name].add(tuple(map(exactly, row[2 : 2 + len(table.key)])))
        return found

    def check(self, connection: sqlite3.Connection, prefix: str, told: object) -> None:
        """Every row that isn't as it was at `position` is named by the log."""
        dirty = self.dirty(connection, prefix)
        for table in self.state.tables:
            now, then = contents(connection, prefix, table.name, table.key), self.copy.get(table.name, {})
            changed = {key for key in now.keys() | then.keys() if now.get(key) != then.get(key)}
            assert changed <= dirty[table.name], f"{told}: {table.name} changed unseen in {changed - dirty[table.name]}"

    def follow(self, connection: sqlite3.Connection) -> None:
        """Take over what the log names, as a transaction of its own."""
        connection.execute("BEGIN")
        dirty = self.dirty(connection)
        for table in self.state.tables:
            copy, now = self.copy.setdefault(table.name, {}), contents(connection, "", table.name, table.key)
            for key in dirty[table.name]:
                copy.pop(key, None)
                if key in now:
                    copy[key] = now[key]
            assert copy == now, table.name
        self.position = connection.execute("SELECT coalesce(max(seq), 0) FROM causeway_log").fetchone()[0]
        connection.execute("COMMIT")


@dataclass(frozen=True)
class Outcome:
    """What an application sees of one statement."""

    error: str
    rows: int
    returned: str
    changes: int
    last_rowid: int
    in_transaction: bool


def run(connection: sqlite3.Connection, step: Step) -> Outcome:
    error, rows, returned = "", -1, ""
    try:
        cursor = connection.execute(step.sql)
        returned, rows = repr(cursor.fetchall()), cursor.rowcount
    except sqlite3.Error as problem:
        error = f"{type(problem).__name__}: {problem}"
    changes, last_rowid = connection.execute("SELECT changes(), last_insert_rowid()").fetchone()
    return Outcome(error, rows, returned, changes, last_rowid, connection.in_transaction)


def _can_read(connection: sqlite3.Connection, prefix: str) -> bool:
    """Outside WAL mode a COMMIT that waits for readers lets no new ones in."""
    try:
        connection.execute(f"SELECT count(*) FROM {prefix}sqlite_schema").fetchone()
    except sqlite3.OperationalError as error:
        assert "locked" in str(error)
        return False
    return True


@contextlib.contextmanager
def _opened(application: Application, path: Path) -> Iterator[list[sqlite3.Connection]]:
    opened = application.connections(path)
    try:
        yield opened
    finally:
        for connection in opened:
            connection.close()


def play(application: Application, folder: Path, weaken: Callable[[Path], None] | None = None) -> int:
    """Run an application on both files: the same outcomes and contents with and without capture, nothing unseen.

    weaken: does something to the captured file's capture. Gives back how many tables were captured.
    """
    path, twin = application.build(folder / "with.sqlite"), application.build(folder / "without.sqlite")
    plan = plan_of(path)
    if not any(table.is_loaded for table in plan.tables):
        return 0
    state = install(path, plan, busy_timeout_ms=1000)
    if weaken:
        weaken(path)
    follower, vacuumed = Follower(state), set[int]()
    with _opened(application, path) as mine, _opened(application, twin) as theirs:
        for table in state.tables:
            follower.copy[table.name] = contents(mine[0], "", table.name, table.key)
        for step in application.steps:
            prefix = "theirs." if step.connection == 2 else ""
            seen, expected = run(mine[step.connection], step), run(theirs[step.connection], step)
            if step.sql == "VACUUM":  # leaves last_insert_rowid() at the number of triggers and views
                vacuumed.add(step.connection)
            if step.connection in vacuumed:
                seen, expected = replace(seen, last_rowid=0), replace(expected, last_rowid=0)
            assert seen == expected, (step, seen, expected)
            readable = [_can_read(at[step.connection], prefix) for at in (mine, theirs)]
            assert readable[0] == readable[1], step
            if not readable[0]:
                continue
            follower.check(mine[step.connection], prefix, step)
            if "datatype mismatch" in seen.error:
                break  # without a trigger SQLite 3.40 leaves what the failed statement has written so far
            for table in plan.tables:  # read on both, since a read may keep a lock
                everything = f"SELECT * FROM {prefix}{quote(table.name)}"
                rows = [sorted(map(repr, at[step.connection].execute(everything))) for at in (mine, theirs)]
                assert rows[0] == rows[1], (step, table.name)
            if step.sql == "COMMIT" and not any(connection.in_transaction for connection in mine):
                follower.follow(mine[0])
        for connection in mine:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        follower.follow(mine[0])
    return len(state.tables)
