"""Goes on after any kill: look at the facts, decide by the table, mend what one commit can mend.

mend() holds SQLite's write lock while it works: a freeze that is still under way holds that lock from its first to its
last moment, so nobody's crossing is mended under his hands.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from migrations_app.engine.capture import fence
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.capture.state import CaptureState, state_of
from migrations_app.engine.capture.writing import open_for_writing
from migrations_app.engine.errors import Failed
from migrations_app.engine.load.sequences import SequenceUse
from migrations_app.engine.online import ending
from migrations_app.engine.online.decisions import (
    ASK,
    END,
    FINISH_CROSSING,
    LIFT_FENCE,
    REVERT,
    WAIT,
    Decision,
    decide,
)
from migrations_app.engine.online.facts import (
    FENCED,
    FOLLOWING,
    GIVEN_BACK,
    POSTGRESQL,
    SQLITE,
    TAKEN_OVER,
    Facts,
)
from migrations_app.engine.online.given_ids import raise_given_ids
from migrations_app.engine.online.locking import lock_for_writing
from migrations_app.engine.online.looking import combined, look, queue_waiting
from migrations_app.engine.replay import obstacles, replication, target_fence
from migrations_app.engine.source.sqlite_errors import translate_error
from migrations_app.engine.target.target import (
    Connection,
    application_name,
    connect,
    transaction,
)

__all__ = ["Decision", "Facts", "decide", "lift", "look", "mend", "take_back"]

BUSY_MS = 5000


def mend(pair: Pair, configuration: str, *, busy_timeout_ms: int = BUSY_MS) -> Decision:
    """Do the engine's part of what decide() says, on facts that are read under SQLite's write lock.

    Gives the decision that was carried out; its `configuration` is what the caller's configuration must name now.
    Call again, with the configuration as it is then, until it gives a settled one. Twice is once.
    Raises Failed IN_DOUBT where a person must decide, SIDE_UNREACHABLE where a side can't be asked.
    """
    seen = decide(look(pair, configuration))
    if seen.settled:
        return seen
    if seen.action == END:
        ending.end(pair, configuration, busy_timeout_ms=busy_timeout_ms)
        return seen
    if seen.action in (ASK, WAIT):
        raise _in_doubt(seen)
    with _both_sides(pair, configuration, busy_timeout_ms) as sides:
        decision = decide(sides.facts)
        if decision.action in (ASK, WAIT):
            raise _in_doubt(decision)
        if decision.action == REVERT:
            _follow(sides)
        elif decision.action == LIFT_FENCE:
            _lift(sides)
        elif decision.action == FINISH_CROSSING:
            pass  # decide() has asserted that PostgreSQL holds all; what is left is the configuration
        return decision


def take_back(pair: Pair, *, busy_timeout_ms: int = BUSY_MS) -> None:
    """Undo a crossing whose configuration was never renamed: nobody has written on PostgreSQL. SQLite opens again.

    Afterwards the facts are those of a fall-back that ended: mend() lets PostgreSQL follow. A new copy is needed where
    SQLite's schema was changed. Raises Failed IN_DOUBT where it isn't so.
    """
    with _both_sides(pair, SQLITE, busy_timeout_ms) as sides:
        facts = sides.facts
        unused = (facts.sqlite, facts.postgresql) == (FENCED, TAKEN_OVER) and not facts.queue_waiting
        if not facts.same or not unused or facts.head != facts.position:
            raise _in_doubt(decide(facts))
        with transaction(sides.connection, "taking the crossing back") as cursor:
            target_fence.arm_fence(cursor, pair)
            replication.change_phase(cursor, pair, frozenset({TAKEN_OVER}), GIVEN_BACK)
        _lift(sides)


class _Sides:
    """Both sides held: SQLite's write lock, and a connection to PostgreSQL."""

    def __init__(self, pair: Pair, file: sqlite3.Connection, connection: Connection, configuration: str) -> None:
        self.pair, self.file, self.connection = pair, file, connection
        self.state: CaptureState | None = state_of(file)
        with transaction(connection, "looking at the replication") as cursor:
            self.facts = combined(pair, configuration, self.state, replication.read(cursor), queue_waiting(cursor))


@contextmanager
def _both_sides(pair: Pair, configuration: str, busy_timeout_ms: int) -> Iterator[_Sides]:
    connection = connect(pair.url, application_name=application_name("mend", 0))
    try:
        file = open_for_writing(pair.source, busy_timeout_ms)
        try:
            with _held(pair, configuration, file, connection, busy_timeout_ms) as sides:
                yield sides
        finally:
            file.close()
    finally:
        connection.close()


@contextmanager
def _held(
    pair: Pair, configuration: str, file: sqlite3.Connection, connection: Connection, busy_timeout_ms: int
) -> Iterator[_Sides]:
    """SQLite's write lock, given back in the end with all that wasn't committed."""
    try:
        lock_for_writing(file, pair.source, time.monotonic() + busy_timeout_ms / 1000)
        yield _Sides(pair, file, connection, configuration)
    except sqlite3.Error as error:
        raise translate_error(pair.source, error, "mending the crossing") from error
    finally:
        if file.in_transaction:
            file.execute("ROLLBACK")


def lift(
    pair: Pair,
    file: sqlite3.Connection,
    connection: Connection,
    uses: Sequence[SequenceUse],
    *,
    busy_timeout_ms: int,
) -> None:
    """The last step of a fall-back on the engine's side, with what is open and known already: SQLite opens again.

    Raises Failed IN_DOUBT where the facts aren't those of a fall-back whose PostgreSQL is closed.
    """
    with _held(pair, POSTGRESQL, file, connection, busy_timeout_ms) as sides:
        decision = decide(sides.facts)
        if decision.action != LIFT_FENCE:
            raise _in_doubt(decision)
        _lift(sides, uses)


def _follow(sides: _Sides) -> None:
    with transaction(sides.connection, "letting PostgreSQL follow again") as cursor:
        obstacles.put_aside(cursor, sides.pair)
        target_fence.arm_fence(cursor, sides.pair)
        replication.change_phase(cursor, sides.pair, frozenset({TAKEN_OVER, GIVEN_BACK}), FOLLOWING)


def _lift(sides: _Sides, uses: Sequence[SequenceUse] | None = None) -> None:
    """From the commit on SQLite takes writes, and gives out no number that PostgreSQL gave out."""
    if sides.state is None:
        raise Failed("IN_DOUBT", "The SQLite file keeps nothing of the crossing any more.", "Look at both sides.")
    with transaction(sides.connection, "reading the numbers given out") as cursor:
        fence.lift_fence(sides.file, sides.state)
        raise_given_ids(sides.file, cursor, sides.pair.plan, uses)
    sides.file.execute("COMMIT")


def _in_doubt(decision: Decision) -> Failed:
    if decision.action == WAIT:
        return Failed("SIDE_UNREACHABLE", decision.why, "Bring that side back; nothing is done until then.")
    return Failed(
        "IN_DOUBT",
        decision.why,
        "Look at both databases and at the configuration, and decide which one is right; nothing is done until then.",
    )
