"""The crossing itself: in one write transaction of SQLite the last changes reach PostgreSQL, which takes over.

The order makes every kill recoverable (decisions.py): PostgreSQL's phase, then SQLite's fence, then the configuration,
which is the caller's. While SQLite's write lock is held nobody has written in between; after its commit the fence lets
nobody write. The application's writers wait meanwhile in their busy timeout; readers go on.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass

from migrations_app.engine.capture import fence
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.capture.state import CaptureState, check_armed, state_of
from migrations_app.engine.capture.writing import open_for_writing
from migrations_app.engine.control import Control
from migrations_app.engine.conversions.inverse import InverseForms
from migrations_app.engine.errors import EngineError, Failed, Refused
from migrations_app.engine.load import sequences
from migrations_app.engine.online.calm import Calm
from migrations_app.engine.online.deadline import Deadline, gave_up
from migrations_app.engine.online.facts import CAPTURE, FENCED, FOLLOWING, SQLITE, TAKEN_OVER
from migrations_app.engine.online.locking import commit, lock_for_writing
from migrations_app.engine.online.recovery import mend
from migrations_app.engine.replay import obstacles, replication, target_fence
from migrations_app.engine.replay.forward import Applied, Follower
from migrations_app.engine.source.sqlite_errors import translate_error
from migrations_app.engine.target.target import Cursor

SHARE = 0.6  # of the application's busy timeout after which a freeze is given up
_FOR_COMMIT = 0.2  # of that time, on top of it, for a commit that waits for readers


def _nothing(_: str) -> None:
    return None


@dataclass(frozen=True)
class Crossed:
    """What the freeze did. `moments`: seconds on time.monotonic()'s clock, by milestone.

    locked_ms: from the write lock to the commit that closed SQLite: how long a writer waited at
    most, to find the fence then. waited_ms: for the lock. rows, deletes: what the last apply carried.
    """

    position: int
    rows: int
    deletes: int
    locked_ms: float
    waited_ms: float
    rounds: int  # of catching up before
    moments: dict[str, float]


def cross_over(
    pair: Pair,
    *,
    busy_timeout_ms: int,
    signal_stop: Callable[[], None],
    milestone: Callable[[str], None] = _nothing,
    control: Control | None = None,
    forms: InverseForms | None = None,
) -> Crossed:
    """Let PostgreSQL take over. Returns when SQLite is fenced: the caller stops, renames and starts the application.

    busy_timeout_ms: the application's own; the freeze is given up at 60 % of it, measured from the lock.
    signal_stop: tells the application to stop and returns at once; called just before SQLite's commit, since the fence
    looks like an integrity error to it. Where the commit then fails, the application was told and must be started again
    on SQLite. milestone: hears the name of each point that is reached. forms: of the way back; given, a value that
    they couldn't bring back is refused (NO_WAY_BACK_FOR_VALUE).
    Raises Refused BUSY_TIMEOUT_ZERO; Failed LAG_TOO_LARGE, FREEZE_GAVE_UP (SQLite goes on, nothing is lost),
    SOURCE_SCHEMA_CHANGED, IDENTITY_DIFFERS, PHASE_CHANGED, and what the Follower raises; Cancelled.
    """
    control = control or Control()
    if busy_timeout_ms <= 0:
        raise Refused(
            "BUSY_TIMEOUT_ZERO",
            "The application doesn't wait for SQLite's lock at all (its busy timeout is 0).",
            "Set a busy timeout of some seconds in the application, and say so in its entry.",
        )
    freeze = _Freeze(pair, busy_timeout_ms / 1000 * SHARE, signal_stop, milestone, control, forms)
    try:
        return freeze.run()
    except Failed as error:
        if error.code != "SQLITE_BUSY":
            raise
        raise Failed(
            "FREEZE_GAVE_UP", f"{error.message} SQLite goes on as it was; nothing is lost.", error.hint
        ) from error
    except sqlite3.Error as error:
        raise translate_error(pair.source, error, "closing it for the crossing") from error


class _Freeze:
    def __init__(
        self,
        pair: Pair,
        seconds: float,
        signal_stop: Callable[[], None],
        milestone: Callable[[str], None],
        control: Control,
        forms: InverseForms | None,
    ) -> None:
        self.pair, self.seconds, self.control, self.forms = pair, seconds, control, forms
        self.signal_stop, self._milestone = signal_stop, milestone
        self.moments: dict[str, float] = {}
        self.uses: tuple[sequences.SequenceUse, ...] = ()
        self.asides = False  # whether constraints stand aside
        self.taken_over = False  # whether PostgreSQL may have been told so

    def reached(self, name: str) -> None:
        self.moments[name] = time.monotonic()
        self._milestone(name)

    def run(self) -> Crossed:
        with Follower(self.pair, control=self.control, forms=self.forms) as follower:
            self._look_ahead(follower)
            file = open_for_writing(self.pair.source, int(self.seconds * 1000))
            try:
                rounds = self._catch_up(follower)
                self.reached("caught_up")
                with Deadline(self.seconds, file, follower.connection) as deadline:
                    return self._frozen(follower, file, deadline, rounds)
            finally:
                if file.in_transaction:
                    file.execute("ROLLBACK")
                file.close()
                self._undo()

    def _catch_up(self, follower: Follower) -> int:
        """Until what is left takes a moment only. Gives the number of rounds."""
        calm = Calm(self.seconds)
        while True:
            self.control.checkpoint()
            began = time.monotonic()
            follower.catch_up()
            took = time.monotonic() - began
            waiting = follower.lag().rows
            if calm.after(waiting, took):
                return calm.rounds
            if calm.hopeless:
                raise Failed(
                    "LAG_TOO_LARGE",
                    f"PostgreSQL doesn't come close enough to SQLite: a step takes {took:.1f} s, and then {waiting}"
                    " changes wait again.",
                    "Try again when the application writes less, with PostgreSQL nearer to it, or with a longer busy"
                    " timeout of the application.",
                )

    def _look_ahead(self, follower: Follower) -> None:
        """What needs PostgreSQL's catalog is asked before the lock."""
        with follower.connection.cursor() as cursor:
            self.uses = sequences.find_sequences(cursor, self.pair.plan, self.pair.plan.target_schema)
            self.asides = any(not each.standing for each in obstacles.aside(cursor))
        follower.connection.commit()
        follower.prepare()

    def _frozen(self, follower: Follower, file: sqlite3.Connection, deadline: Deadline, rounds: int) -> Crossed:
        asked = time.monotonic()
        lock_for_writing(file, self.pair.source, asked + self.seconds)
        began = time.monotonic()
        deadline.start()
        self.reached("locked")
        state = self._assert_ours(file)
        applied = self._take_over(follower, file, state, deadline)
        self.control.checkpoint()
        deadline.passed()
        self.signal_stop()
        self.reached("stop_signalled")
        fence.raise_fence(file, state)
        self.reached("fence_raised")
        commit(file, self.pair.source, deadline.until + self.seconds * _FOR_COMMIT)
        ended = time.monotonic()
        self.taken_over = False  # it is true now, and stays
        self.reached("fenced")
        return Crossed(
            position=state.head,
            rows=applied.rows,
            deletes=applied.deletes,
            locked_ms=round((ended - began) * 1000, 1),
            waited_ms=round((began - asked) * 1000, 1),
            rounds=rounds,
            moments=self.moments,
        )

    def _assert_ours(self, file: sqlite3.Connection) -> CaptureState:
        state = state_of(file)
        if state is None or state.mode != CAPTURE or state.identity != self.pair.identity:
            raise Failed(
                "IDENTITY_DIFFERS",
                f"{self.pair.source} isn't the file that PostgreSQL follows.",
                "It was restored or swapped: end the replication and begin anew.",
            )
        check_armed(state)
        return state

    def _take_over(
        self, follower: Follower, file: sqlite3.Connection, state: CaptureState, deadline: Deadline
    ) -> Applied:
        """Last changes, read back, sequences and phase: one transaction of PostgreSQL."""
        given_out = _given_out(file)

        def before_commit(cursor: Cursor) -> None:
            self.reached("applied")
            sequences.set_at_once(cursor, self.pair.plan, self.uses, given_out)
            if self.asides:
                obstacles.put_back(cursor)
            target_fence.disarm_fence(cursor, self.pair)
            replication.change_phase(cursor, self.pair, frozenset({FOLLOWING}), TAKEN_OVER)
            self.taken_over = True

        try:
            applied = follower.apply_from(file, state.head, before_commit=before_commit)
        except (EngineError, sqlite3.Error) as error:
            if deadline.expired:
                raise gave_up(self.seconds) from error
            raise
        self.reached("taken_over")
        return applied

    def _undo(self) -> None:
        """Given up after PostgreSQL was told: it follows again. Where it can't be asked, recovery does this later."""
        if not self.taken_over:
            return
        try:
            mend(self.pair, SQLITE)
        except EngineError:
            return  # PostgreSQL is away. The facts stay those of a freeze that died: mend() reverts them later.


def _given_out(file: sqlite3.Connection) -> dict[str, int]:
    """sqlite_sequence: the highest number given out by table."""
    if not file.execute("SELECT 1 FROM sqlite_master WHERE name = 'sqlite_sequence'").fetchone():
        return {}
    found = file.execute("SELECT name, seq FROM sqlite_sequence WHERE typeof(seq) = 'integer'").fetchall()
    return {_text(name): int(last) for name, last in found}


def _text(name: str | bytes) -> str:
    return name.decode() if isinstance(name, bytes) else name


def confirm_stopped(pair: Pair, *, busy_timeout_ms: int = 5000) -> None:
    """Once the application is proved to be stopped: nothing slipped past the fence.

    Triggers can't refuse CREATE TABLE. Raises Failed SOURCE_SCHEMA_CHANGED (then recovery.take_back() undoes the
    crossing), IDENTITY_DIFFERS.
    """
    file = open_for_writing(pair.source, busy_timeout_ms)
    try:
        state = state_of(file)
        if state is None or state.mode != FENCED or state.identity != pair.identity:
            raise Failed(
                "IDENTITY_DIFFERS",
                f"{pair.source} isn't the file that was closed for the crossing.",
                "Look at both sides before anything is started.",
            )
        check_armed(state)
    except sqlite3.Error as error:
        raise translate_error(pair.source, error, "looking at it after the stop") from error
    finally:
        file.close()
