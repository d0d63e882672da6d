"""Asks both sides of a crossing for its facts."""

from __future__ import annotations

from migrations_app.engine.capture.capture import read_state
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.capture.state import CaptureState
from migrations_app.engine.errors import EngineError
from migrations_app.engine.online.facts import NONE, UNKNOWN, Facts
from migrations_app.engine.replay import replication
from migrations_app.engine.target.target import Cursor, application_name, connect, scalar, transaction

_LOOKS = 5  # a freeze that goes on beside us changes SQLite's mode once, or twice when it is given up


def look(pair: Pair, configuration: str) -> Facts:
    """Ask both sides. A side that can't be asked is 'unknown', with the error's code and sentence in `problem`.

    Nothing is locked, so others go on meanwhile: PostgreSQL is asked between two looks at SQLite that show the same
    mode, and the log's head is that of the second, which no position that was read before can be ahead of.
    """
    state, sqlite_problem = _sqlite(pair)
    for _ in range(_LOOKS):
        before = state
        record, waiting, target_problem = _postgresql(pair)
        state, sqlite_problem = _sqlite(pair)
        if (before and before.mode) == (state and state.mode):
            break
    return combined(
        pair, configuration, state, record, waiting, sqlite_problem=sqlite_problem, target_problem=target_problem
    )


def combined(
    pair: Pair,
    configuration: str,
    state: CaptureState | None,
    record: replication.ReplicationRecord | None,
    waiting: bool,
    *,
    sqlite_problem: str = "",
    target_problem: str = "",
) -> Facts:
    """Facts of what the two sides answered."""
    identities = {each for each in (pair.identity, state and state.identity, record and record.identity) if each}
    return Facts(
        sqlite=UNKNOWN if sqlite_problem else state.mode if state else NONE,
        postgresql=UNKNOWN if target_problem else record.phase if record else NONE,
        configuration=configuration,
        head=state.head if state else -1,
        position=record.position if record else -1,
        queue_waiting=waiting,
        same=len(identities) <= 1 and (record is None or record.plan_digest == pair.plan.digest),
        problem=" ".join(each for each in (sqlite_problem, target_problem) if each),
    )


def _sqlite(pair: Pair) -> tuple[CaptureState | None, str]:
    try:
        return read_state(pair.source), ""
    except EngineError as error:
        return None, f"{error.code}: {error.message}"


def _postgresql(pair: Pair) -> tuple[replication.ReplicationRecord | None, bool, str]:
    try:
        connection = connect(pair.url, application_name=application_name("facts", 0))
    except EngineError as error:
        return None, False, f"{error.code}: {error.message}"
    try:
        with transaction(connection, "looking at the replication") as cursor:
            return replication.read(cursor), queue_waiting(cursor), ""
    except EngineError as error:
        return None, False, f"{error.code}: {error.message}"
    finally:
        connection.close()


def queue_waiting(cursor: Cursor) -> bool:
    """Whether a change made on PostgreSQL isn't known to be in SQLite."""
    if scalar(cursor, "SELECT to_regclass('causeway.changes')") is None:
        return False
    return bool(scalar(cursor, "SELECT EXISTS (SELECT 1 FROM causeway.changes)"))
