"""What comes next in a run: a step is rung for, a gate opens, the run is held, or it ends."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from controlplane.audit.trail import record
from migrations_app import doorbell
from migrations_app.models import Gate, MigrationRun, RollbackRequest, RunStep
from migrations_app.models.states import (
    STEP_HOLDS_RUN,
    GateState,
    Phase,
    RunState,
    StepState,
)
from migrations_app.services.announcements import announce
from migrations_app.services.transitions import change_run

WORK = "migrations_app.work"


def next_step(run: MigrationRun) -> RunStep | None:
    """The first step that isn't done, of the direction in which the run goes; None when all are done.

    While a run rolls back, its forward steps are over; but one that still runs must end first.
    """
    steps = list(run.steps.order_by("position"))
    if run.state == RunState.ROLLING_BACK or _held_on_the_way_back(run, steps):
        still_running = [s for s in steps if s.phase != Phase.ROLLBACK and s.state == StepState.RUNNING]
        if still_running:
            return still_running[0]
        steps = [step for step in steps if step.phase == Phase.ROLLBACK]
    else:
        steps = [step for step in steps if step.phase != Phase.ROLLBACK]
    return next((step for step in steps if not step.is_done), None)


def goes_back(run: MigrationRun) -> bool:
    """Whether the run's way leads back, held or not."""
    return run.steps.filter(phase=Phase.ROLLBACK).exists()


def advance_run(*, run: MigrationRun, now: datetime | None = None) -> None:
    """See what comes next. Call inside the transaction that changed something; idempotent."""
    now = now or timezone.now()
    step = next_step(run)
    if step is None:
        _finish(run, now)
    elif step.state in STEP_HOLDS_RUN:
        hold(run=run, reason=f"{step.title}: {step.error_message or 'its outcome is not known'}", now=now)
    elif run.hold_requested and run.state == RunState.RUNNING and step.state == StepState.PENDING:
        MigrationRun.objects.filter(pk=run.pk).update(hold_requested=False)
        hold(run=run, reason=run.held_reason or "Held on request.", now=now)
    elif step.is_gate:
        _open_gate(run, step, now)
    elif step.state == StepState.PENDING:
        doorbell.ring(WORK, run.pk, step.queue)


def hold(*, run: MigrationRun, reason: str, now: datetime) -> None:
    """Stop here and say why; a person decides how it goes on."""
    back = run.state == RunState.ROLLING_BACK
    change_run(run, RunState.HELD, at=now, held_reason=reason)
    announce("rollback_held" if back else "run_held", run, "system", {"back": back})
    record(
        action="rollback.held" if back else "run.held",
        actor="system",
        obj=run,
        application=run.application.name,
        payload={"run": run.pk, "reason": reason},
    )


def _held_on_the_way_back(run: MigrationRun, steps: list[RunStep]) -> bool:
    return run.state == RunState.HELD and any(step.phase == Phase.ROLLBACK for step in steps)


def _open_gate(run: MigrationRun, step: RunStep, now: datetime) -> None:
    opened = Gate.objects.filter(step=step, state__in=[GateState.CLOSED, GateState.REFUSED]).update(
        state=GateState.OPEN, opened_at=now
    )
    if run.state == RunState.RUNNING:
        change_run(run, RunState.WAITING, at=now)
    if opened:
        RunStep.objects.filter(pk=step.pk).update(started_at=now)
        announce("gate_opened", run, "system", {"gate": step.gate.code})
        record(
            action="gate.opened",
            actor="system",
            obj=step.gate,
            application=run.application.name,
            payload={"run": run.pk, "gate": step.gate.code},
        )


def _finish(run: MigrationRun, now: datetime) -> None:
    if run.state == RunState.ROLLING_BACK:
        change_run(run, RunState.ROLLED_BACK, at=now)
        RollbackRequest.objects.filter(run=run, state=RollbackRequest.State.AGREED).update(
            state=RollbackRequest.State.DONE
        )
        action = "run.rolled_back"
    elif run.state == RunState.RUNNING:
        change_run(run, RunState.COMPLETED, at=now)
        RollbackRequest.objects.filter(run=run, state=RollbackRequest.State.WAITING).update(
            state=RollbackRequest.State.REFUSED
        )
        action = "run.completed"
    else:
        return
    announce("rolled_back" if action == "run.rolled_back" else "run_finished", run, "system")
    record(
        action=action,
        actor="system",
        obj=run,
        application=run.application.name,
        payload={"run": run.pk, "kind": run.kind},
        checkpoint=True,
    )
