"""The end of a replication: every trace of it goes, on both sides."""

from __future__ import annotations

from migrations_app.engine.back import change_queue
from migrations_app.engine.capture import capture
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.errors import Failed
from migrations_app.engine.online.decisions import COPY, END, FLOW_BACK, FOLLOW, NOTHING, decide
from migrations_app.engine.online.looking import look
from migrations_app.engine.replay import obstacles, replication, target_fence
from migrations_app.engine.target.target import application_name, connect, transaction

_MAY_END = frozenset({NOTHING, COPY, FOLLOW, FLOW_BACK, END})
_LOCK = "5s"


def end(pair: Pair, configuration: str, *, busy_timeout_ms: int = 5000) -> None:
    """Remove log, triggers and fence from SQLite, then queue, fence and state from PostgreSQL. Twice is once.

    Rows stay as they are on both sides; the way back, or the way forward, is over. SQLite's side goes first: what
    PostgreSQL keeps then says what is left to do. Raises Failed IN_DOUBT in the middle of a crossing, and what the
    sides raise.
    """
    decision = decide(look(pair, configuration))
    if decision.action not in _MAY_END:
        raise Failed("IN_DOUBT", decision.why, "A crossing is under way: let it end, or mend it, first.")
    if capture.read_state(pair.source) is not None:
        capture.remove(pair.source, pair.identity, busy_timeout_ms=busy_timeout_ms)
    forget_target(pair)


def forget_target(pair: Pair) -> None:
    """PostgreSQL's side alone: queue, fence and state go, rows stay. For a caller who knows that SQLite's is gone.

    Raises Failed IDENTITY_DIFFERS where PostgreSQL keeps another replication, and what connect() raises.
    """
    connection = connect(pair.url, application_name=application_name("end", 0))
    try:
        with transaction(connection, "removing the fence") as cursor:
            cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK}'")
            record = replication.read(cursor)
            if record is not None and record.identity != pair.identity:
                raise Failed(
                    "IDENTITY_DIFFERS",
                    "PostgreSQL keeps the state of another replication.",
                    "Nothing was removed. Check which database and which file belong together.",
                )
            obstacles.put_back(cursor)
            target_fence.drop_fence(cursor, pair)
        with transaction(connection, "validating what was put back") as cursor:
            obstacles.validate(cursor)
    finally:
        connection.close()
    change_queue.disarm(pair.url)
    connection = connect(pair.url, application_name=application_name("end", 0))
    try:
        with transaction(connection, "forgetting the replication") as cursor:
            obstacles.forget(cursor)
            replication.forget(cursor)
    finally:
        connection.close()
