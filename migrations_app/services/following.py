"""The follower of live crossings: one short slice of work after another, on the application's host.

Each slice asks the durable facts which way rows flow, lets them flow, and writes down what it saw. A lease on the row
keeps it single; a step that works on both sides itself comes first. Doubled or lost rings change nothing.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.doorbell import send_all
from controlplane.redaction import redact
from migrations_app.applications import configuration
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.control import Control
from migrations_app.engine.conversions.inverse import forms_from_document
from migrations_app.engine.errors import Cancelled, EngineError, Failed
from migrations_app.engine.load import clean
from migrations_app.engine.online import decisions, ending, recovery
from migrations_app.engine.replay.backward import MET, Returner
from migrations_app.engine.replay.forward import Follower
from migrations_app.models import MigrationRun, Replication
from migrations_app.models.states import Direction, ReplicationState, RunKind, RunState, StepState, Strategy
from migrations_app.services import watching
from migrations_app.services.advance import hold
from migrations_app.services.announcements import announce
from migrations_app.services.execution import this_worker
from migrations_app.services.heartbeat import Heartbeat
from migrations_app.services.replication import ended, step_at_work
from migrations_app.services.transitions import touch_run
from migrations_app.steps import workplace
from migrations_app.steps.crossing import live_pair

logger = logging.getLogger("causeway.following")

FOLLOW = "migrations_app.follow"
SLICE_SECONDS = 3.0  # after which a slice that has more to do makes room for others; beat rings again
_TRIED_AGAIN = timedelta(seconds=15)  # how often what is broken is tried
_PASSES = timedelta(seconds=60)  # how long a reason that may pass by itself is waited for before it is told
_SAMPLED = timedelta(seconds=10)
_MOST_POINTS = 360
# Reasons that may be over by themselves: a restart, a lock, a full pool.
_PASSING = frozenset(
    {
        *("TARGET_UNREACHABLE", "TARGET_LOST", "TOO_MANY_CONNECTIONS", "TARGET_LOCKED", "TARGET_ERROR"),
        *("LOCKED", "SQLITE_BUSY", "PHASE_CHANGED", "WAITING"),
        *MET,
    }
)


@dataclass(frozen=True)
class Seen:
    """What a slice saw. fields: of the row. live, sentence: of the decision."""

    direction: Direction
    state: ReplicationState
    fields: dict[str, Any] = field(default_factory=dict)
    applied: int = 0  # rows and deletes that flowed
    over: bool = False  # neither side keeps anything
    error: EngineError | None = None


def ring_followers(*, now: datetime) -> int:
    """Ring for every live replication that is free; answers for how many. Part of beat, every two seconds."""
    failed = Q(state=ReplicationState.BROKEN) | Q(state=ReplicationState.ENDING, error_code__gt="")
    rows = Replication.objects.live().exclude(failed, seen_at__gt=now - _TRIED_AGAIN)
    rows = rows.filter(Q(lease_expires_at__isnull=True) | Q(lease_expires_at__lt=now)).select_related("application")
    rings = [(FOLLOW, row.application_id, row.application.host_queue) for row in rows]
    if rings:
        send_all(rings, expires=4)  # a queue that is behind must not fill with looks at what has passed
    return len(rings)


def follow(*, application_id: int) -> bool:
    """One slice, if the replication is live, free, and no step works on both sides; whether one was worked."""
    row = _claim(application_id, timezone.now())
    if row is None:
        return False
    control = Control()
    with Heartbeat(control, lambda: _renew(row)):
        try:
            seen = _slice(row, control)
        except Cancelled:
            _release(row)
            return False
        except EngineError as error:
            seen = _failed(row, error)
        except Exception as error:  # a bug must show as one: a follower that dies silently is a green light that lies
            logger.exception("following %s errored", row.application.name)
            said = f"A fault of Causeway itself ({type(error).__name__}) stops the follower; see the worker's log."
            seen = _failed(row, Failed("ERRORED", said, "Send the log to whoever maintains Causeway."))
    return _write_down(row, seen, timezone.now())


def _claim(application_id: int, now: datetime) -> Replication | None:
    rows = Replication.objects.live().select_related("application", "plan", "run")
    row = rows.filter(application_id=application_id).first()
    if row is None or (row.lease_expires_at is not None and row.lease_expires_at > now):
        return None
    if step_at_work(application_id) is not None:
        Replication.objects.filter(pk=row.pk, state=ReplicationState.FOLLOWING).update(
            state=ReplicationState.PAUSED, version=F("version") + 1, updated_at=now
        )
        return None
    claimed = Replication.objects.filter(pk=row.pk, lease_token=row.lease_token, identity=row.identity).update(
        lease_token=F("lease_token") + 1,
        lease_holder=this_worker(),
        lease_expires_at=now + timedelta(seconds=settings.CAUSEWAY_LEASE_SECONDS),
    )
    if claimed != 1:
        return None
    row.refresh_from_db()
    if step_at_work(application_id) is not None:  # it began between the two looks
        _release(row)
        return None
    return row


def _renew(row: Replication) -> str:
    """'' while the lease is ours and nobody needs both sides for himself."""
    if step_at_work(row.application_id) is not None:
        return "A step of the crossing takes over."
    kept = _held(row).update(lease_expires_at=timezone.now() + timedelta(seconds=settings.CAUSEWAY_LEASE_SECONDS))
    return "" if kept == 1 else "Another worker follows."


def _held(row: Replication) -> Any:
    return Replication.objects.filter(pk=row.pk, lease_token=row.lease_token)


def _release(row: Replication) -> None:
    _held(row).update(lease_holder="", lease_expires_at=None)


def _slice(row: Replication, control: Control) -> Seen:
    application = row.application
    pair = live_pair(application, row.plan, row.identity)
    word = configuration.current(workplace.describe(application).pointing)
    busy = application.busy_timeout_ms
    if row.state == ReplicationState.ENDING:
        return _end(row, pair, word)
    facts = recovery.look(pair, word)
    decision = recovery.decide(facts)
    if decision.action in (decisions.REVERT, decisions.END):
        recovery.mend(pair, word, busy_timeout_ms=busy)
        facts = recovery.look(pair, word)
        decision = recovery.decide(facts)
    fields: dict[str, Any] = {
        "facts": {
            "sqlite": facts.sqlite,
            "postgresql": facts.postgresql,
            "configuration": facts.configuration,
            "live": decision.live,
            "action": decision.action,
            "sentence": decision.why,
        }
    }
    work = {decisions.FOLLOW: _forward, decisions.FLOW_BACK: _back}.get(decision.action)
    if work is not None:
        return work(row, pair, busy, control, fields)
    if decision.action == decisions.NOTHING:
        return Seen(Direction.NONE, ReplicationState.ENDED, fields, over=True)
    if decision.action in (decisions.ASK, decisions.WAIT):
        waits = decision.action == decisions.WAIT
        code, hint = ("WAITING", "It is tried again.") if waits else ("IN_DOUBT", "Compare both sides by hand.")
        error = Failed(code, decision.why, hint)
        return Seen(Direction(row.direction), ReplicationState.BROKEN, fields, error=error)
    # Before the copy, or in the middle of a crossing whose step goes on with it.
    return Seen(Direction.NONE, ReplicationState.PAUSED, fields)


def _forward(row: Replication, pair: Pair, busy: int, control: Control, fields: dict[str, Any]) -> Seen:
    applied = 0
    # Once a way back was learned, what couldn't return by it doesn't go: the freeze only looks at what comes last.
    forms = forms_from_document(row.inverse_forms, pair.plan) if row.inverse_forms else None
    with Follower(pair, control=control, busy_timeout_ms=busy, forms=forms, waits=False) as follower:
        for _ in _while_there_is_time(control):
            done = follower.catch_up()
            applied += done.rows + done.deletes
            lag = follower.lag()
            if not lag.rows:
                break
    values = {"position": lag.position, "head": lag.head, "lag_rows": lag.rows, "lag_seconds": lag.seconds}
    return Seen(Direction.FORWARD, ReplicationState.FOLLOWING, {**fields, **values, "queue_rows": None}, applied)


def _back(row: Replication, pair: Pair, busy: int, control: Control, fields: dict[str, Any]) -> Seen:
    if not row.inverse_forms:
        raise Failed("NOT_ARMED", "How values return to SQLite was not learned.", "There is no way back by rows.")
    applied = 0
    forms = forms_from_document(row.inverse_forms, pair.plan)
    with Returner(pair, forms, busy_timeout_ms=busy, control=control, waits=False) as returner:
        for _ in _while_there_is_time(control):
            flowed = returner.flow()
            applied += flowed.rows + flowed.deletes
            if not flowed.queue_left:
                break
    waiting = flowed.queue_left
    seconds = 0.0 if not waiting else (row.lag_seconds or 0.0) + _since(row)
    values = {"queue_rows": waiting, "lag_rows": waiting, "lag_seconds": seconds}
    return Seen(Direction.BACK, ReplicationState.FOLLOWING, {**fields, **values}, applied)


def _since(row: Replication) -> float:
    return (timezone.now() - row.seen_at).total_seconds() if row.seen_at else 0.0


def _while_there_is_time(control: Control) -> Iterator[None]:
    until = time.monotonic() + SLICE_SECONDS
    yield
    while time.monotonic() < until:
        control.checkpoint()
        yield


def _end(row: Replication, pair: Pair, word: str) -> Seen:
    """What a person asked for: every trace of it leaves both sides, and the copy leaves PostgreSQL."""
    decision = recovery.decide(recovery.look(pair, word))
    if decision.live == "postgresql" or word == "postgresql":
        raise Failed(
            "POSTGRESQL_IS_LIVE",
            "The application lives on PostgreSQL: ending the replication now would end the way back.",
            "The way back ends with the sign-off of its run.",
        )
    ending.end(pair, word, busy_timeout_ms=row.application.busy_timeout_ms)
    clean.remove_following_copy(pair.url, pair.plan)
    return Seen(Direction.NONE, ReplicationState.ENDED, {}, over=True)


def _failed(row: Replication, error: EngineError) -> Seen:
    return Seen(Direction(row.direction), ReplicationState.BROKEN, {}, error=error)


def _write_down(row: Replication, seen: Seen, now: datetime) -> bool:
    """One transaction: the row, what follows from a change of its state, and a sample. False: the lease is gone."""
    with transaction.atomic():
        before = Replication.objects.select_for_update(of=("self",)).get(pk=row.pk)
        if before.lease_token != row.lease_token:
            return False
        if seen.over:
            before.application = row.application
            ended(row=before, by="system", now=now)
            return True
        fields = {**seen.fields, **_verdict(before, seen, now), **_window(before, seen, now)}
        fields["direction"] = seen.direction
        if seen.applied and seen.direction == Direction.BACK:
            fields["flowed_rows"] = before.flowed_rows + seen.applied
        sampled = _is_due(before, now)
        if sampled and fields["state"] in (ReplicationState.FOLLOWING, ReplicationState.BROKEN):
            fields["trend"] = _trend(before, fields, now)
        if _shows(before, fields):
            fields["version"] = F("version") + 1
        Replication.objects.filter(pk=before.pk).update(
            **fields, seen_at=now, updated_at=now, lease_holder="", lease_expires_at=None
        )
        after = Replication.objects.select_related("application", "run").get(pk=before.pk)
        if "version" in fields and after.run_id is not None:
            touch_run(after.run_id)
        _tell(before, after, now)
    if sampled and after.state in (ReplicationState.FOLLOWING, ReplicationState.BROKEN):
        watching.replication_seen(replication=after, now=now)
    return True


def _verdict(before: Replication, seen: Seen, now: datetime) -> dict[str, Any]:
    """State and error. What may pass by itself is shown at once, and called broken when it has lasted."""
    if seen.error is None:
        none = {"error_code": "", "error_message": "", "error_hint": "", "troubled_since": None}
        return {"state": seen.state, **none}
    error = seen.error
    since = before.troubled_since or now
    lasts = error.code not in _PASSING or now - since >= _PASSES or before.state == ReplicationState.BROKEN
    if before.state == ReplicationState.ENDING and error.code != "POSTGRESQL_IS_LIVE":
        lasts = False  # half of the traces may be gone: only its end is left to go for
    return {
        "state": ReplicationState.BROKEN if lasts else before.state,
        "error_code": error.code,
        "error_message": redact(error.message),
        "error_hint": redact(error.hint),
        "troubled_since": since,
    }


def _window(before: Replication, seen: Seen, now: datetime) -> dict[str, Any]:
    """Whether one can go back without losing a row: while rows flow back, and what waits can."""
    if seen.direction != Direction.BACK:
        return {}
    if seen.error is None:
        if before.window_open and before.window_since is not None:
            return {}
        return {"window_open": True, "window_since": now, "window_reason": ""}
    if seen.error.code in _PASSING or not before.window_open:
        return {}  # nobody knows now; the steps of a fall-back will ask, and lose nothing
    reason = f"The way back ended: {redact(seen.error.message)}"
    return {"window_open": False, "window_since": now, "window_reason": reason}


def _is_due(before: Replication, now: datetime) -> bool:
    last = before.trend[-1][0] if before.trend else 0
    return now.timestamp() - last >= _SAMPLED.total_seconds()


def _trend(before: Replication, fields: dict[str, Any], now: datetime) -> list[list[float]]:
    rows = fields.get("lag_rows", before.lag_rows) or 0
    seconds = fields.get("lag_seconds", before.lag_seconds) or 0.0
    return [*before.trend[-(_MOST_POINTS - 1) :], [round(now.timestamp(), 1), rows, round(seconds, 1)]]


_SHOWN = ("state", "direction", "facts", "position", "head", "lag_rows", "queue_rows", "flowed_rows", "trend")


def _shows(before: Replication, fields: dict[str, Any]) -> bool:
    """Whether a page would show something else: its ETag grows with the version."""
    names = (*_SHOWN, "error_code", "error_message", "window_open", "window_reason")
    return any(name in fields and getattr(before, name) != fields[name] for name in names)


def _tell(before: Replication, after: Replication, now: datetime) -> None:
    """Changes that people must hear of. Broken: the run that relies on it is held."""
    broke = after.state == ReplicationState.BROKEN and before.state != ReplicationState.BROKEN
    closed = before.window_open and not after.window_open and after.direction == Direction.BACK
    if broke or closed:
        detail = {"code": after.error_code, "closed": closed, "back": after.direction == Direction.BACK}
        if after.run is not None:
            announce("replication_broken", after.run, "system", detail)
        _hold_run(after, now)
    for happened, action in (
        (broke, "replication.broken"),
        (closed, "replication.window_closed"),
        (before.state == ReplicationState.BROKEN and after.state == ReplicationState.FOLLOWING, "replication.mended"),
        (bool(before.window_reason) and after.window_open and not before.window_open, "replication.window_opened"),
    ):
        if happened:
            record(
                action=action,
                actor="system",
                obj=after,
                application=after.application.name,
                payload={"identity": after.identity, "code": after.error_code, "direction": after.direction},
            )


def _hold_run(row: Replication, now: datetime) -> None:
    runs = MigrationRun.objects.select_for_update(of=("self",)).select_related("application")
    run = runs.filter(
        application=row.application,
        kind=RunKind.PRODUCTION,
        strategy=Strategy.ONLINE,
        state__in=[RunState.RUNNING, RunState.WAITING],
    ).first()
    if run is None:
        return
    reason = f"The two sides no longer follow one another: {row.error_message}"
    if run.state == RunState.RUNNING and run.steps.filter(state=StepState.RUNNING).exists():
        MigrationRun.objects.filter(pk=run.pk).update(hold_requested=True, held_reason=reason)
    else:
        hold(run=run, reason=reason, now=now)
