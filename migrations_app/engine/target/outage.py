"""Going on after the target was away: restarted, failed over, or our sessions ended by somebody.

Safe because of two things that stand in the target itself: the ledger says what is in, so that the same work asked
for again does only what is missing, whatever became of a COMMIT that was never answered; and the lease's token is
checked first, so that whoever was overtaken meanwhile stops.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

from migrations_app.engine.control import Control
from migrations_app.engine.errors import EngineError, Failed
from migrations_app.engine.target.lease import OUTAGE_SECONDS, Lease, assert_held
from migrations_app.engine.target.target import Cursor, application_name, connect, rows, scalar, transaction
from migrations_app.engine.target.target_url import TargetUrl

T = TypeVar("T")

MAX_OUTAGES = 5  # in a row without progress: a statement that brings the server down must not do so for ever
_ENDING_SECONDS = 10.0
_LONGEST_PAUSE = 2.0


def through_outages(
    work: Callable[[], T],
    url: TargetUrl,
    control: Control,
    *,
    lease: Lease | None = None,
    done: Callable[[Cursor], int] | None = None,
) -> T:
    """`work()`, called again after each outage. It must be safe to repeat, and its threads must have ended.

    done: how much of it the target holds; outages between which that grows aren't counted together.
    Raises what `work` raises; TARGET_LOST when the target stays away for OUTAGE_SECONDS, or goes away MAX_OUTAGES
    times in a row; Fenced when the lease went to another meanwhile; Cancelled.
    """
    outages, before = 0, -1
    while True:
        try:
            return work()
        except EngineError as error:
            if not is_outage(error, again=outages > 0) or outages >= MAX_OUTAGES:
                raise
            control.checkpoint()
            lost = error
        now = _wait_until_back(url, control, lease, done, lost)
        outages = 1 if now > before else outages + 1
        before = max(before, now)


def is_outage(error: EngineError, *, again: bool = False) -> bool:
    """Whether the target may be back in a moment. `again`: it was away before, and everybody reconnects at once."""
    return error.code in ("TARGET_LOST", "TARGET_UNREACHABLE") or (again and error.code == "TOO_MANY_CONNECTIONS")


def _wait_until_back(
    url: TargetUrl,
    control: Control,
    lease: Lease | None,
    done: Callable[[Cursor], int] | None,
    lost: EngineError,
) -> int:
    until = time.monotonic() + OUTAGE_SECONDS
    pause = 0.1
    while True:
        try:
            return _settle(url, lease, done)
        except EngineError as error:
            if not is_outage(error, again=True):
                raise
            if time.monotonic() >= until:
                raise Failed(
                    "TARGET_LOST",
                    f"{lost.message} It didn't come back within {OUTAGE_SECONDS:.0f} s.",
                    "Start the server, then run it again.",
                ) from None
        control.stop.wait(pause)
        control.checkpoint()
        pause = min(pause * 2, _LONGEST_PAUSE)


def _settle(url: TargetUrl, lease: Lease | None, done: Callable[[Cursor], int] | None) -> int:
    """The target answers, the lease is ours, and nothing of ours from before the outage is still at work there.

    After a broken connection (the server itself being well) a COPY or COMMIT of ours may still be under way: until it
    has ended one way or the other, the ledger doesn't say the last word.
    """
    connection = connect(url, application_name=application_name(lease.run_key if lease else "look", 0))
    try:
        if lease is not None:
            with transaction(connection, "taking up the work again") as cursor:
                assert_held(cursor, lease)
                _end_our_sessions(cursor, lease)
        if done is None:
            return -1
        with transaction(connection, "taking up the work again") as cursor:
            return done(cursor)
    finally:
        connection.close()


def _end_our_sessions(cursor: Cursor, lease: Lease) -> None:
    """Those that are there now: the lease's keeper, ended with them, comes back by itself."""
    mine = "datname = current_database() AND application_name = %s AND pid <> pg_backend_pid()"
    ended = rows(
        cursor,
        f"SELECT pid, pg_terminate_backend(pid) FROM pg_stat_activity WHERE {mine}",
        (lease.application_name,),
    )
    pids = [pid for pid, _ in ended]
    until = time.monotonic() + _ENDING_SECONDS
    while pids and scalar(cursor, "SELECT count(*) FROM pg_stat_activity WHERE pid = ANY(%s)", (pids,)):
        if time.monotonic() > until:
            raise Failed("TARGET_LOST", "An earlier session of this load doesn't end.", "End it by hand; run it again.")
        cursor.execute("SELECT pg_sleep(0.05), pg_stat_clear_snapshot()")
