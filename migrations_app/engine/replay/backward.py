"""SQLite follows PostgreSQL: what its queue of changes names, as it is now, in one transaction of the file.

The order makes it safe. SQLite's write lock comes first, PostgreSQL's snapshot after it: so of two that flow at the
same time the later one has the newer snapshot. Then the rows; then exactly those rows of the queue that the snapshot
shows are taken out of it, SQLite commits, and PostgreSQL commits last. Killed anywhere, what flowed stays in the queue
and flows again, as it is then: twice is once. Never a position: PostgreSQL's transactions don't commit in the order of
their numbers, and a row that is below the last one seen may come later.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from migrations_app.engine.back.target_shape import check_shape
from migrations_app.engine.capture.fence import flowing
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.capture.state import check_armed, same_identity, state_of
from migrations_app.engine.capture.writing import write_transaction
from migrations_app.engine.control import Control
from migrations_app.engine.conversions.inverse import InverseForms, RowInverse
from migrations_app.engine.errors import EngineError, Failed
from migrations_app.engine.replay import replication
from migrations_app.engine.replay.forward import Lag
from migrations_app.engine.replay.replication import TAKEN_OVER
from migrations_app.engine.replay.table_flow import TableFlow
from migrations_app.engine.replay.target_changes import ChangeReader, TableChanges, changed_tables, take_from_queue
from migrations_app.engine.source.own_objects import FENCED
from migrations_app.engine.source.schema import SourceSchema
from migrations_app.engine.source.sqlite_errors import is_full
from migrations_app.engine.source.sqlite_schema import read_schema
from migrations_app.engine.target.outage import is_outage, through_outages
from migrations_app.engine.target.target import Connection, Cursor, cancelling, connect, rows, scalar, transaction

_DOING = "bringing rows back to SQLite"
MET = frozenset({"TARGET_CONFLICT", "QUEUE_CHANGED"})  # two who bring the same rows; nothing is wrong with them
_MEETINGS = 5
_PAUSE = 0.05


@dataclass(frozen=True)
class Flowed:
    """`rows` were written to SQLite, `deletes` keys have no row any more. `queue_left`: changes that came meanwhile."""

    rows: int
    deletes: int
    queue_left: int
    seconds: float


class Returner:
    """Brings to SQLite what the application writes on PostgreSQL. Use as a context manager, in one thread."""

    def __init__(
        self,
        pair: Pair,
        forms: InverseForms,
        *,
        busy_timeout_ms: int,
        control: Control | None = None,
        waits: bool = True,
        application_name: str = "causeway:returner:0",
    ) -> None:
        """Raises ValueError where the forms aren't those of the plan."""
        self.pair, self.control = pair, control or Control()
        self._busy_timeout_ms, self._waits, self._name = busy_timeout_ms, waits, application_name
        self._inverses = _inverses(pair, forms)
        self._connection: Connection | None = None
        self._schema: tuple[int, SourceSchema] | None = None

    def __enter__(self) -> Returner:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def flow(self) -> Flowed:
        """All that is in the queue now. Outages of PostgreSQL are waited for, unless it was told not to.

        Another Returner may be between its two commits: its rows are brought once more, and then they are his. That is
        tried again. Raises Failed NO_WAY_BACK_FOR_VALUE, TARGET_MIGRATED, CHANGES_UNRECORDED, NOT_ARMED,
        QUEUE_NOT_OURS, QUEUE_CHANGED, TARGET_CONFLICT, NOT_FOLLOWING, PHASE_CHANGED, MODE_DIFFERS,
        SOURCE_SCHEMA_CHANGED, CAPTURE_LOST, DISK_FULL, TARGET_LOST …; Refused IDENTITY_DIFFERS, LOCKED; Cancelled.
        """
        for _ in range(_MEETINGS):
            try:
                return self._through_outages()
            except Failed as error:
                if error.code not in MET:
                    raise
                self.control.stop.wait(_PAUSE)
                self.control.checkpoint()
        return self._through_outages()

    def _through_outages(self) -> Flowed:
        return through_outages(self._flow, self.pair.url, self.control) if self._waits else self._flow()

    def flow_from(self, connection: Connection) -> Flowed:
        """As flow(), in the caller's transaction of PostgreSQL, which holds EXCLUSIVE locks on the plan's tables.

        SQLite has committed when it returns; the queue is empty with the caller's commit. It must be READ COMMITTED: a
        snapshot from before the locks wouldn't show what was written until they were held. Waits for no outage.
        """
        started = time.monotonic()
        with connection.cursor() as cursor:
            if scalar(cursor, "SHOW transaction_isolation") != "read committed":
                raise ValueError("the last flow needs a READ COMMITTED transaction")
            rows_written, deletes = self._bring(connection, cursor)
            return Flowed(rows_written, deletes, _waiting(cursor), time.monotonic() - started)

    def lag(self) -> Lag:
        """`rows` of the queue wait, the oldest since `seconds`. Raises Failed NOT_ARMED, TARGET_LOST …"""
        with transaction(self._connected(), "reading how far SQLite is") as cursor:
            _assert_armed(cursor)
            waiting, seconds = rows(
                cursor,
                "SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(at)), 0)::double precision"
                " FROM causeway.changes",
            )[0]
        return Lag(waiting, max(0.0, seconds), 0, 0)

    def _connected(self) -> Connection:
        if self._connection is None or self._connection.closed:
            self._connection = connect(self.pair.url, application_name=self._name)
            self._connection.set_session(isolation_level="REPEATABLE READ")
        return self._connection

    def _flow(self) -> Flowed:
        started = time.monotonic()
        connection = self._connected()
        rows_written = deletes = 0
        try:
            with cancelling(connection, self.control):
                with transaction(connection, _DOING) as cursor:
                    _assert_armed(cursor)
                    check_shape(cursor, self.pair.plan)  # rows of a new table never come to the queue
                    anything = _waiting(cursor)
                if anything:
                    with transaction(connection, _DOING) as cursor:
                        rows_written, deletes = self._bring(connection, cursor)
                with transaction(connection, _DOING) as cursor:
                    left = _waiting(cursor) if anything else 0
        except EngineError as error:
            if is_outage(error):
                self.close()
            raise
        return Flowed(rows_written, deletes, left, time.monotonic() - started)

    def _bring(self, connection: Connection, cursor: Cursor) -> tuple[int, int]:
        """SQLite has committed, PostgreSQL hasn't yet. `cursor`: of a transaction that has no snapshot yet."""
        written = deletes = 0
        with self._file() as file, flowing(file):
            self._assert_phase(cursor)
            changes = changed_tables(cursor, self.pair.plan)
            check_shape(cursor, self.pair.plan)
            schema = self._schema_of(file)
            for each in changes:
                flowed = self._table_flow(connection, file, schema, each).bring()
                written += flowed.rows
                deletes += flowed.deletes
            taken, expected = take_from_queue(cursor), sum(each.waiting for each in changes)
            if taken != expected:
                raise Failed(
                    "QUEUE_CHANGED",
                    f"PostgreSQL's record of changes had {expected} rows, and then {taken}.",
                    "Somebody wrote to the tables, or took rows of it away. Try again.",
                )
        return written, deletes

    def _table_flow(
        self, connection: Connection, file: sqlite3.Connection, schema: SourceSchema, changes: TableChanges
    ) -> TableFlow:
        name = changes.table.name
        reader = ChangeReader(connection, self.pair.plan, changes, self.control)
        inverse = self._inverses[name]
        return TableFlow(
            file, schema.table(name), schema.encoding, self.pair.plan, changes, inverse, reader, self.control
        )

    @contextmanager
    def _file(self) -> Iterator[sqlite3.Connection]:
        """The application's file inside a write transaction: closed to all others, and this crossing's."""
        path = self.pair.source
        with write_transaction(path, self._busy_timeout_ms, _DOING) as file:
            state = state_of(file)
            if state is None or state.mode != FENCED:
                found = state.mode if state is not None else "none"
                raise Failed(
                    "MODE_DIFFERS",
                    f"The SQLite file is in mode {found!r} where {FENCED!r} was expected.",
                    "Look at the replication again: something else has moved it on.",
                )
            same_identity(state, self.pair.identity)
            check_armed(state)
            try:
                yield file
            except sqlite3.Error as error:
                if is_full(error):
                    raise Failed("DISK_FULL", f"The disk that holds {path} is full.", "Free some space.") from error
                raise

    def _schema_of(self, file: sqlite3.Connection) -> SourceSchema:
        version = int(file.execute("PRAGMA schema_version").fetchone()[0])
        if self._schema is None or self._schema[0] != version:
            self._schema = version, read_schema(file)
        return self._schema[1]

    def _assert_phase(self, cursor: Cursor) -> None:
        record = replication.read(cursor)
        if record is None:
            raise Failed("NOT_FOLLOWING", "The target holds no copy of this crossing.", "Look at its state first.")
        if record.identity != self.pair.identity:
            raise Failed(
                "IDENTITY_DIFFERS",
                "The target belongs to another crossing than the SQLite file.",
                "Nothing is touched. Check which database the application uses.",
            )
        if record.phase != TAKEN_OVER:
            raise Failed(
                "PHASE_CHANGED",
                f"The target is in the phase {record.phase}, where {TAKEN_OVER} was expected.",
                "Somebody else went on with the crossing: look at its state before anything is done.",
            )


def _inverses(pair: Pair, forms: InverseForms) -> dict[str, RowInverse]:
    if forms.plan_digest != pair.plan.digest:
        raise ValueError("these inverse forms belong to another plan")
    found = {table.name: forms.of_table(table) for table in pair.plan.tables if table.is_loaded}
    for table in pair.plan.tables:
        if table.is_loaded and found[table.name].columns != table.loaded_columns:
            raise ValueError(f"not every column of {table.name} has an inverse form")
    return found


def _assert_armed(cursor: Cursor) -> None:
    if scalar(cursor, "SELECT to_regclass('causeway.changes')") is None:
        raise Failed(
            "NOT_ARMED",
            "Changes of rows aren't recorded in the target.",
            "It is armed before the application starts on PostgreSQL.",
        )


def _waiting(cursor: Cursor) -> int:
    """Rows of the queue."""
    return int(scalar(cursor, "SELECT count(*) FROM causeway.changes"))
