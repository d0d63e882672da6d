"""Picks up what was lost: lapsed leases, rings nobody heard, signatures that expired, countersignatures overdue."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import Q

from controlplane.audit.trail import record
from migrations_app import doorbell
from migrations_app.models import MigrationPlan, MigrationRun, RunStep
from migrations_app.models.states import RUN_ACTIVE, OnLapse, Phase, PlanState, RunState, StepState
from migrations_app.services.advance import WORK, advance_run, next_step
from migrations_app.services.automatic_rollback import due_step
from migrations_app.services.break_glass import remind_of_countersignatures
from migrations_app.services.errors import Stale
from migrations_app.services.hosts import ring_for_stale
from migrations_app.services.looks import sweep_looks
from migrations_app.services.signatures import lapse_expired
from migrations_app.services.transitions import change_step

logger = logging.getLogger("causeway.sweep")
MAKE_PLAN = "migrations_app.make_plan"
PROBE = "migrations_app.probe_reality"


def sweep(*, now: datetime) -> dict[str, int]:
    """One round; answers how many steps were reclaimed, how many bells were rung for runs and plans, and how many
    questions to hosts were asked. Safe beside another sweep."""
    reclaimed = sum(_tried(partial(reclaim_step, step_id=step_id, now=now)) for step_id in _lapsed(now))
    lapse_expired(now=now)
    remind_of_countersignatures(now=now)
    rung = 0
    for run in MigrationRun.objects.filter(state__in=sorted(RUN_ACTIVE)).select_related("application", "plan"):
        rung += _tried(partial(_ring_for, run, now))
    for plan in MigrationPlan.objects.filter(state=PlanState.MAKING).filter(
        Q(lease_expires_at__isnull=True) | Q(lease_expires_at__lt=now)
    ):
        with transaction.atomic():
            doorbell.ring(MAKE_PLAN, plan.pk, plan.application.host_queue)
        rung += 1
    asked = sweep_looks(now=now) + ring_for_stale(now=now)
    return {"reclaimed": reclaimed, "rung": rung, "asked": asked}


def reclaim_step(*, step_id: int, now: datetime) -> bool:
    """A step whose worker fell silent: done again, continued, or put before a person, as the step itself declares."""
    with transaction.atomic():
        runs = MigrationRun.objects.select_for_update(of=("self",)).select_related("application")
        run = runs.get(steps__pk=step_id)
        step = RunStep.objects.get(pk=step_id)
        if step.state != StepState.RUNNING or step.lease_expires_at is None or step.lease_expires_at >= now:
            return False
        verdict = _verdict(run, step)
        ended = {} if verdict.state == StepState.PENDING else {"finished_at": now}
        # The token grows with the reclaim, so that the silent worker, should it wake, can record nothing.
        changed = change_step(
            step,
            verdict.state,
            token=step.lease_token,
            lease_holder="",
            lease_expires_at=None,
            lease_token=step.lease_token + 1,
            error_code=verdict.code,
            error_message=verdict.message,
            error_hint=verdict.hint,
            **ended,
        )
        if not changed:
            return False
        if run.state in (RunState.RUNNING, RunState.ROLLING_BACK):
            advance_run(run=run, now=now)
        record(
            action=verdict.action,
            actor="system",
            obj=step,
            application=run.application.name,
            payload={"run": run.pk, "step": step.name, "attempt": step.attempts, "code": step.error_code},
        )
    return True


@dataclass(frozen=True)
class _Verdict:
    """What becomes of a step whose worker fell silent."""

    state: StepState
    action: str
    code: str = ""
    message: str = ""
    hint: str = ""


def _verdict(run: MigrationRun, step: RunStep) -> _Verdict:
    if run.state == RunState.ROLLING_BACK and step.phase != Phase.ROLLBACK:
        said = "Its worker fell silent while the run was rolled back."
        return _Verdict(StepState.FAILED, "step.failed", code="ABANDONED", message=said)
    if step.on_lapse == OnLapse.ASK:
        return _Verdict(
            StepState.IN_DOUBT,
            "step.in_doubt",
            code="WORKER_LOST",
            message="Its worker fell silent; whether it took effect is not known.",
            hint="Look at “What is true now”, then resume (it is done again) or roll back.",
        )
    if step.attempts >= settings.CAUSEWAY_MAX_ATTEMPTS:
        return _Verdict(
            StepState.FAILED,
            "step.failed",
            code="ATTEMPTS_EXHAUSTED",
            message=f"Its worker died {step.attempts} times.",
            hint="Look at the worker's log; then resume or roll back.",
        )
    return _Verdict(StepState.PENDING, "step.reclaimed")


def _tried(look: Callable[[], int]) -> int:
    """One row's look in a transaction of its own: a row that someone else changed meanwhile doesn't stop the others."""
    try:
        with transaction.atomic():
            return look()
    except Stale as stale:
        logger.info("sweep: %s", stale.message)
        return 0


def _lapsed(now: datetime) -> list[int]:
    rows = RunStep.objects.filter(state=StepState.RUNNING, lease_expires_at__lt=now)
    return list(rows.values_list("pk", flat=True))


def _ring_for(run: MigrationRun, now: datetime) -> int:
    if run.reality_at is None or run.reality_at < now - timedelta(seconds=5):
        doorbell.ring(PROBE, run.pk, run.application.host_queue)
    if due_step(run) is not None:  # a worker died between a failed check and what the plan says to do about it
        doorbell.ring(WORK, run.pk, run.application.host_queue)
        return 1
    if run.state not in (RunState.RUNNING, RunState.ROLLING_BACK):
        return 0
    step = next_step(run)
    if step is None or step.is_gate:
        advance_run(run=run, now=now)  # a worker died between its record and what follows
        return 0
    due = step.not_before is None or step.not_before <= now
    if step.state == StepState.PENDING and due:
        doorbell.ring(WORK, run.pk, step.queue)
        return 1
    return 0
