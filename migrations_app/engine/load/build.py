"""Keys, indexes, foreign keys, checks and views: made after the rows, each recorded in the transaction that made it."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import psycopg2

from migrations_app.engine.control import Control
from migrations_app.engine.crew import run_threads
from migrations_app.engine.errors import Failed
from migrations_app.engine.load.load_rows import Loading
from migrations_app.engine.plan import ObjectPlan, TablePlan
from migrations_app.engine.target import ledger
from migrations_app.engine.target.lease import assert_held
from migrations_app.engine.target.ledger import ObjectRecord
from migrations_app.engine.target.pg_names import in_schema, qualified, quote
from migrations_app.engine.target.target import (
    Connection,
    Cursor,
    cancelling,
    database_failed,
    transaction,
)

# Kinds in the order in which they are made; each stage is finished before the next begins.
STAGES: tuple[tuple[str, ...], ...] = (("primary_key",), ("unique", "index"))
ONE_BY_ONE = ("foreign_key", "check", "default", "view")  # these lock two tables, or need one another
TRIED = ("check", "view")  # translated SQL: what PostgreSQL refuses is listed as not carried
# SQLSTATE classes that say "this statement can't be", not "the server is in trouble".
_REFUSALS = ("0A", "22", "23", "42", "54")


@dataclass(frozen=True)
class Item:
    """An object of the plan with the source table that it belongs to ('' for views)."""

    table: str
    target_table: str
    plan: ObjectPlan

    @property
    def tried(self) -> bool:
        return self.plan.kind in TRIED or bool(self.plan.detail.get("try"))

    def record(self, carried: bool, why: str = "") -> ObjectRecord:
        return ObjectRecord(self.plan.kind, self.table, self.plan.name, carried, why)


def items(loading: Loading) -> list[Item]:
    """Every object of the tables that are loaded, and the views and triggers."""
    found = [
        Item(table.name, table.target_name, each)
        for table in loading.plan.tables
        if table.is_loaded
        for each in table.objects
    ]
    return found + [Item("", "", each) for each in loading.plan.objects]


def build_objects(loading: Loading, *, jobs: int, control: Control) -> None:
    """Make what the plan carries and isn't made yet; record what it doesn't carry.

    Raises Failed OBJECT_REFUSED for a key or index that can't be made; tried ones are recorded as not carried.
    """
    every = items(loading)
    connection = loading.connect()
    try:
        with transaction(connection, "reading the ledger") as cursor:
            known = {(each.kind, each.table, each.name) for each in ledger.objects(cursor, loading.run_key)}
            for item in every:
                if not (item.plan.carried and item.plan.sql):
                    ledger.record_object(cursor, loading.run_key, item.record(item.plan.carried, item.plan.why))
            loaded = ledger.chunks_done(cursor, loading.run_key)
        todo = [i for i in every if i.plan.sql and i.plan.carried and (i.plan.kind, i.table, i.plan.name) not in known]
        # The largest first: begun last, one long index would keep a single connection busy at the end.
        todo.sort(key=lambda item: -sum(loaded.get(item.table, {}).values()))
        for kinds in STAGES:
            stage = [_Job(i.table, partial(_build_one, loading, i)) for i in todo if i.plan.kind in kinds]
            _in_parallel(loading, stage, jobs, control)
        with cancelling(connection, control):
            for kind in ONE_BY_ONE:
                _build_one_by_one(connection, loading, [item for item in todo if item.plan.kind == kind], control)
    finally:
        connection.close()


@dataclass(frozen=True)
class _Job:
    table: str
    work: Callable[[Connection], object]


def _in_parallel(loading: Loading, todo: Sequence[_Job], jobs: int, control: Control) -> None:
    """Do all of `todo`, in that order, on several connections."""
    queue, lock, finished = deque(todo), threading.Lock(), [0]

    def worker(inner: Control) -> None:
        connection = loading.connect()
        try:
            with cancelling(connection, inner):
                while True:
                    with lock:
                        if not queue:
                            return
                        job = queue.popleft()
                    inner.checkpoint()
                    job.work(connection)
                    with lock:
                        finished[0] += 1
                        control.progress("index", job.table, finished[0], len(todo))
        finally:
            connection.close()

    if todo:
        run_threads([worker] * max(1, min(jobs, len(todo))), control)


def _build_one_by_one(connection: Connection, loading: Loading, todo: list[Item], control: Control) -> None:
    """Views may need one another: those that fail are tried again as long as another one succeeded."""
    while todo:
        failed = []
        for item in todo:
            control.checkpoint()
            if not build(connection, loading, item):
                failed.append(item)
        if len(failed) == len(todo):
            return
        todo = failed


def build(connection: Connection, loading: Loading, item: Item) -> bool:
    """One transaction: fence, statement in a savepoint, record. False when a tried object was refused."""
    doing = f"making {item.plan.kind.replace('_', ' ')} {item.plan.name} of {item.table or 'the target'}"
    with transaction(connection, doing) as cursor:
        if loading.lease is not None:
            assert_held(cursor, loading.lease)
        why = attempt(cursor, in_schema(item.plan.sql, loading.schema), loading.schema, doing)
        if why and not item.tried:
            raise Failed(
                "OBJECT_REFUSED",
                f"PostgreSQL refused the {item.plan.kind} {item.plan.name} of table {item.table}: {why}.",
                "Plan again, and choose what shall happen to it.",
            )
        ledger.record_object(cursor, loading.run_key, item.record(not why, why))
    return not why


def attempt(cursor: Cursor, sql: str, schema: str, doing: str = "making an object") -> str:
    """Run one statement in a savepoint, unqualified names meaning `schema`; '' or, in words, why it was refused.

    Raises what database_failed() makes of an error that doesn't speak of the statement; `doing` says what it was.
    """
    cursor.execute("SAVEPOINT attempt")
    try:
        cursor.execute(f"SET LOCAL search_path = {quote(schema)}")
        cursor.execute(sql)
        cursor.execute("SET LOCAL search_path = pg_catalog, pg_temp")
        cursor.execute("RELEASE SAVEPOINT attempt")
    except psycopg2.Error as error:
        if (error.pgcode or "")[:2] not in _REFUSALS:
            raise database_failed(error, doing) from None
        cursor.execute("ROLLBACK TO SAVEPOINT attempt")
        return _in_words(error)
    return ""


def _in_words(error: psycopg2.Error) -> str:
    """PostgreSQL's sentence where it speaks of SQL; where it may quote rows, only what kind of trouble it is."""
    state = error.pgcode or ""
    if state.startswith("23"):
        return f"rows of the table violate it (SQLSTATE {state})"
    if state.startswith("22"):
        return f"it can't be computed for some row (SQLSTATE {state})"
    return (error.diag.message_primary or f"SQLSTATE {state}").strip()


def _build_one(loading: Loading, item: Item, connection: Connection) -> None:
    build(connection, loading, item)


def analyze(loading: Loading, jobs: int, control: Control) -> None:
    """Statistics for the planner: without them the first queries after the switch are slow."""
    tables = [table for table in loading.plan.tables if table.is_loaded]
    todo = [_Job(table.name, partial(_analyze, loading, table)) for table in tables]
    _in_parallel(loading, todo, jobs, control)


def _analyze(loading: Loading, table: TablePlan, connection: Connection) -> None:
    with transaction(connection, f"analysing table {table.target_name}") as cursor:
        cursor.execute(f"ANALYZE {qualified(loading.schema, table.target_name)}")
