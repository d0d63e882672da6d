"""The way back: the last changes made on PostgreSQL reach SQLite, which takes over again. Nothing is lost.

Under EXCLUSIVE locks nobody writes on PostgreSQL while the rest of the queue flows; readers go on. The order mirrors
the freeze: PostgreSQL's fence and phase, then SQLite's fence is lifted, then the configuration, the caller's.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

import psycopg2

from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.capture.writing import open_for_writing
from migrations_app.engine.control import Control
from migrations_app.engine.conversions.inverse import InverseForms
from migrations_app.engine.errors import Cancelled, EngineError, Failed
from migrations_app.engine.load.existing import loaded_tables
from migrations_app.engine.load.sequences import find_sequences
from migrations_app.engine.online.calm import Calm
from migrations_app.engine.online.facts import GIVEN_BACK, TAKEN_OVER
from migrations_app.engine.online.freeze import SHARE
from migrations_app.engine.online.looking import queue_waiting
from migrations_app.engine.online.recovery import lift
from migrations_app.engine.replay import replication, target_fence
from migrations_app.engine.replay.backward import MET, Flowed, Returner
from migrations_app.engine.source.sqlite_errors import translate_error
from migrations_app.engine.target.pg_names import qualified
from migrations_app.engine.target.target import (
    Connection,
    Cursor,
    application_name,
    connect,
    database_failed,
    transaction,
)

_ATTEMPTS = 60
# For each table's lock, in ms, more from attempt to attempt: a long transaction needs longer than a deadlock deserves.
# All under PostgreSQL's deadlock_timeout (1 s), so that we are the one who gives way.
_LOCK_MS, _MORE_MS, _MOST_MS = 30, 10, 400
_LOCK_NOT_AVAILABLE, _DEADLOCK, _TOO_LONG = "55P03", "40P01", "57014"


def _nothing(_: str) -> None:
    return None


@dataclass(frozen=True)
class FellBack:
    """`moments`: seconds on time.monotonic()'s clock, by milestone. rows, deletes: what the last flow carried.

    locked_ms: how long a writer on PostgreSQL waited at most before it found the fence. attempts: to get the locks.
    """

    rows: int
    deletes: int
    locked_ms: float
    attempts: int
    rounds: int
    moments: dict[str, float]


def fall_back(
    pair: Pair,
    forms: InverseForms,
    *,
    busy_timeout_ms: int,
    signal_stop: Callable[[], None],
    milestone: Callable[[str], None] = _nothing,
    control: Control | None = None,
) -> FellBack:
    """Let SQLite take over again. Returns when it is open: the caller stops, renames and starts the application.

    busy_timeout_ms: how long SQLite's lock is waited for, and (60 % of it) how long a writer on PostgreSQL is kept
    waiting. signal_stop: as in cross_over(); called once nothing can fail on our side any more but PostgreSQL's commit.
    Raises Failed QUEUE_TOO_LARGE, FALL_BACK_GAVE_UP (PostgreSQL goes on, nothing is lost), NO_WAY_BACK_FOR_VALUE,
    PHASE_CHANGED, and what the Returner raises; Cancelled.
    """
    work = _FallBack(pair, forms, busy_timeout_ms, signal_stop, milestone, control or Control())
    try:
        return work.run()
    except sqlite3.Error as error:
        raise translate_error(pair.source, error, "opening it again") from error


class _FallBack:
    def __init__(
        self,
        pair: Pair,
        forms: InverseForms,
        busy_timeout_ms: int,
        signal_stop: Callable[[], None],
        milestone: Callable[[str], None],
        control: Control,
    ) -> None:
        self.pair, self.busy_timeout_ms, self.control = pair, busy_timeout_ms, control
        self.signal_stop, self._milestone = signal_stop, milestone
        self.returner = Returner(pair, forms, busy_timeout_ms=busy_timeout_ms, control=control)
        self.limit = busy_timeout_ms / 1000 * SHARE  # seconds
        self.moments: dict[str, float] = {}
        self.order = [qualified(pair.plan.target_schema, table.target_name) for table in loaded_tables(pair.plan)]

    def reached(self, name: str) -> None:
        self.moments[name] = time.monotonic()
        self._milestone(name)

    def run(self) -> FellBack:
        """Whatever can be opened or looked up before the locks is."""
        with ExitStack() as opened:
            connection = connect(self.pair.url, application_name=application_name("fall-back", 0))
            opened.callback(connection.close)
            with transaction(connection, "looking at the sequences") as cursor:
                uses = find_sequences(cursor, self.pair.plan, self.pair.plan.target_schema)
            target_fence.prepare_fence(connection, self.pair)
            file = open_for_writing(self.pair.source, self.busy_timeout_ms)
            opened.callback(file.close)
            opened.enter_context(self.returner)
            rounds = self._flow_down()
            self.reached("flowed")
            flowed, locked, attempts = self._locked(connection)
            lift(self.pair, file, connection, uses, busy_timeout_ms=self.busy_timeout_ms)
        self.reached("lifted")
        return FellBack(flowed.rows, flowed.deletes, round(locked * 1000, 1), attempts, rounds, self.moments)

    def _flow_down(self) -> int:
        """Until what is left in the queue takes a moment only. Gives the number of rounds."""
        calm = Calm(self.limit)
        while True:
            self.control.checkpoint()
            flowed = self.returner.flow()
            if calm.after(flowed.queue_left, flowed.seconds):
                return calm.rounds
            if calm.hopeless:
                raise Failed(
                    "QUEUE_TOO_LARGE",
                    f"SQLite doesn't come close enough to PostgreSQL: a step takes {flowed.seconds:.1f} s, and then"
                    f" {flowed.queue_left} changes wait again.",
                    "Try again when the application writes less.",
                )

    def _locked(self, connection: Connection) -> tuple[Flowed, float, int]:
        """One transaction of PostgreSQL, tried again where the application's own locks are in the way."""
        for attempt in range(1, _ATTEMPTS + 1):
            self.control.checkpoint()
            try:
                with connection.cursor() as cursor:
                    began = self._lock(cursor, attempt)
                    flowed = self._give_back(connection, cursor, began)
                connection.commit()
            except psycopg2.Error as error:
                self._roll_back(connection)
                if error.pgcode == _TOO_LONG:
                    raise self._gave_up() from None
                if error.pgcode not in (_LOCK_NOT_AVAILABLE, _DEADLOCK):
                    raise database_failed(error, "giving PostgreSQL back") from None
                self.returner.flow()  # what was written meanwhile, so that little is left for the last flow
                continue
            except EngineError as error:
                self._roll_back(connection)
                if isinstance(error, Cancelled):  # a COPY that the statement's timeout ended says so, too
                    self.control.checkpoint()
                    raise self._gave_up() from None
                if error.code not in MET:
                    raise
                self.returner.flow()
                continue
            ended = time.monotonic()
            self.reached("given_back")
            return flowed, ended - began, attempt
        raise Failed(
            "FALL_BACK_GAVE_UP",
            f"Other sessions held locks on the tables each of {_ATTEMPTS} times. PostgreSQL goes on; nothing is lost.",
            "End long transactions on PostgreSQL, then try again.",
        )

    @staticmethod
    def _roll_back(connection: Connection) -> None:
        if not connection.closed:
            connection.rollback()

    def _lock(self, cursor: Cursor, attempt: int) -> float:
        """Every table, one after the other; the moment from which on the first writer may have been waiting.

        A writer that holds a table that we want may be waiting for one that we hold: somebody must give way, and soon,
        since others wait too. The table that couldn't be had comes first from then on: so our order becomes the order
        in which the application itself takes them, where it has one.
        """
        cursor.execute(f"SET LOCAL lock_timeout = '{min(_LOCK_MS + attempt * _MORE_MS, _MOST_MS)}ms'")
        began = time.monotonic()
        for place, name in enumerate(self.order):
            try:
                cursor.execute(f"LOCK TABLE {name} IN EXCLUSIVE MODE")
            except psycopg2.Error:
                self.order.insert(0, self.order.pop(place))
                raise
        self.reached("locked")
        return began

    def _give_back(self, connection: Connection, cursor: Cursor, began: float) -> Flowed:
        cursor.execute(f"SET LOCAL statement_timeout = '{max(1, int(self.limit * 1000))}ms'")
        flowed = self.returner.flow_from(connection)
        self.reached("last_flow")
        if queue_waiting(cursor):
            raise Failed("QUEUE_LEFT", "Changes are left in PostgreSQL's queue after the last flow.", "Try again.")
        target_fence.arm_fence(cursor, self.pair)
        replication.change_phase(cursor, self.pair, frozenset({TAKEN_OVER}), GIVEN_BACK)
        if time.monotonic() - began > self.limit:
            raise self._gave_up()
        self.control.checkpoint()
        self.signal_stop()
        self.reached("stop_signalled")
        return flowed

    def _gave_up(self) -> Failed:
        return Failed(
            "FALL_BACK_GAVE_UP",
            f"The last changes didn't reach SQLite within {self.limit:.1f} s. PostgreSQL goes on; nothing is lost.",
            "Try again when there is less load.",
        )
