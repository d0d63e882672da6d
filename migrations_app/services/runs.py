"""A run's life, as people steer it: create, submit, start, hold, resume, cancel, give up."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.registry.models import Role
from migrations_app.models import Gate, MigrationPlan, MigrationRun, RunStep
from migrations_app.models.states import (
    STEP_HOLDS_RUN,
    GateState,
    PlanState,
    RunKind,
    RunState,
    StepState,
    Strategy,
)
from migrations_app.services.advance import advance_run, goes_back
from migrations_app.services.announcements import announce
from migrations_app.services.checklist import create_items
from migrations_app.services.errors import ServiceRefused, Stale
from migrations_app.services.gaps import PRODUCTION, REHEARSAL, require_current, require_described
from migrations_app.services.gate_conditions import fresh_rehearsal, require_rehearsed
from migrations_app.services.gates import open_plan_gate
from migrations_app.services.permissions import require_offer, require_role
from migrations_app.services.plans import submit_plan
from migrations_app.services.replication import require_no_end
from migrations_app.services.schedule import planned_seconds
from migrations_app.services.transitions import change_run, change_step
from migrations_app.steps.sequence import sequence_of


def create_run(*, actor: Any, plan: MigrationPlan, kind: str, strategy: str = Strategy.OFFLINE) -> MigrationRun:
    """Draft a run of a plan, with its steps, gates and checklist."""
    role = require_role(actor, plan.application, (Role.OPS, Role.LEAD), "create a run")
    if strategy not in Strategy.values:
        raise ServiceRefused("STRATEGY_NOT_AVAILABLE", f"There is no strategy {strategy}.", hint="Offline or online.")
    if plan.state not in (PlanState.DRAFT, PlanState.SUBMITTED):
        raise ServiceRefused(
            "PLAN_NOT_READY", f"{plan} is {plan.get_state_display().lower()}.", hint="Choose a plan that is ready."
        )
    require_described(plan.application, REHEARSAL if kind == RunKind.REHEARSAL else PRODUCTION)
    require_current(plan)
    now = timezone.now()
    with transaction.atomic():
        run = MigrationRun.objects.create(
            application=plan.application,
            plan=plan,
            kind=kind,
            strategy=strategy,
            requested_by=actor,
            rehearsal=fresh_rehearsal(plan, now, strategy) if kind == RunKind.PRODUCTION else None,
        )
        create_steps(run)
        create_items(run)
        record(
            action="run.created",
            actor=actor,
            role=role,
            obj=run,
            application=plan.application.name,
            payload={"run": run.pk, "kind": kind, "strategy": strategy, "plan": plan.digest},
        )
    return run


def create_steps(run: MigrationRun) -> None:
    """The run's way as rows: one for each step and gate, planned as long as the rehearsal took."""
    durations = planned_seconds(run)
    for position, spec in enumerate(sequence_of(run.kind, run.strategy), start=1):
        step = RunStep.objects.create(
            run=run,
            position=position,
            name=spec.name,
            title=spec.title,
            phase=spec.phase,
            queue=spec.queue_of(run.application),
            on_lapse=spec.on_lapse,
            owner=spec.owner,
            planned_seconds=durations.get(spec.name),
        )
        if spec.gate:
            Gate.objects.create(run=run, step=step, code=spec.gate)


def submit_run(*, actor: Any, run: MigrationRun) -> None:
    """Freeze the plan and ask for gate 1. Raises ServiceRefused when a finding still needs a choice."""
    role = require_offer(actor, run, "submit")
    require_current(run.plan)
    now = timezone.now()
    with transaction.atomic():
        submit_plan(actor=actor, plan=run.plan, now=now)
        change_run(run, RunState.AWAITING_APPROVAL, at=now)
        RunStep.objects.filter(run=run, name="gate_plan").update(state=StepState.PENDING, finished_at=None)
        open_plan_gate(run, now)
        record(
            action="run.submitted",
            actor=actor,
            role=role,
            obj=run,
            application=run.application.name,
            payload={"run": run.pk, "plan": run.plan.digest},
        )


def start_run(*, actor: Any, run: MigrationRun) -> None:
    """Set an approved run, or a rehearsal, going."""
    role = require_offer(actor, run, "start")
    require_current(run.plan)
    now = timezone.now()
    if run.kind == RunKind.REHEARSAL:
        _require_choices(run.plan)
    require_rehearsed(run, now)
    require_no_end(run)
    try:
        with transaction.atomic():
            change_run(run, RunState.RUNNING, at=now, started_at=now, started_by=actor)
            record(
                action="run.started",
                actor=actor,
                role=role,
                obj=run,
                application=run.application.name,
                payload={"run": run.pk, "kind": run.kind},
            )
            advance_run(run=run, now=now)
    except IntegrityError:
        raise ServiceRefused(
            "ANOTHER_RUN_IS_ACTIVE",
            f"Another {run.get_kind_display().lower()} run of {run.application.name} is under way.",
            hint="Finish it or roll it back first.",
        ) from None


def hold_run(*, actor: Any, run: MigrationRun, reason: str) -> None:
    """Stop at the next safe point: after the step that runs now."""
    role = require_offer(actor, run, "hold")
    now = timezone.now()
    with transaction.atomic():
        asked = MigrationRun.objects.filter(pk=run.pk, state=RunState.RUNNING).update(
            hold_requested=True, held_reason=f"{actor.get_username()}: {reason.strip() or 'held on request'}"
        )
        if asked != 1:
            raise Stale(f"Run {run.pk} has changed in the meantime.")
        run.refresh_from_db()
        if not run.steps.filter(state=StepState.RUNNING).exists():
            advance_run(run=run, now=now)
        record(
            action="run.held",
            actor=actor,
            role=role,
            obj=run,
            application=run.application.name,
            payload={"run": run.pk, "reason": reason.strip()[:500]},
        )


def resume_run(*, actor: Any, run: MigrationRun) -> None:
    """Go on where the run was held: what failed or is in doubt is done again."""
    role = require_offer(actor, run, "resume")
    now = timezone.now()
    with transaction.atomic():
        back = goes_back(run)
        for step in run.steps.filter(state__in=sorted(STEP_HOLDS_RUN)):
            if (step.phase == "rollback") == back:
                change_step(step, StepState.PENDING, attempts=0, finished_at=None)
        Gate.objects.filter(run=run, state=GateState.REFUSED).update(state=GateState.CLOSED, decided_at=None)
        to = RunState.ROLLING_BACK if back else RunState.RUNNING
        change_run(run, to, at=now, held_reason="", hold_requested=False)
        record(
            action="run.resumed",
            actor=actor,
            role=role,
            obj=run,
            application=run.application.name,
            payload={"run": run.pk},
        )
        advance_run(run=run, now=now)


def cancel_run(*, actor: Any, run: MigrationRun, reason: str) -> None:
    """Give up a run that has not begun."""
    _end(actor, run, "cancel", RunState.CANCELLED, "run.cancelled", reason)


def fail_run(*, actor: Any, run: MigrationRun, reason: str) -> None:
    """Declare a held run failed, before anything of the application was stopped or switched."""
    _end(actor, run, "fail", RunState.FAILED, "run.failed", reason)


def _end(actor: Any, run: MigrationRun, offer: str, to: RunState, action: str, reason: str) -> None:
    role = require_offer(actor, run, offer)
    if not reason.strip():
        raise ServiceRefused("REASON_MISSING", "Say why.", status=400)
    now: datetime = timezone.now()
    with transaction.atomic():
        change_run(run, to, at=now, held_reason=reason.strip())
        announce("run_finished", run, actor, {"reason": reason.strip()})
        record(
            action=action,
            actor=actor,
            role=role,
            obj=run,
            application=run.application.name,
            payload={"run": run.pk, "reason": reason.strip()[:500]},
        )


def _require_choices(plan: MigrationPlan) -> None:
    missing = plan.findings.filter(severity="refuse", choice="").count()
    if missing:
        raise ServiceRefused(
            "FINDINGS_WITHOUT_CHOICE",
            f"{missing} findings of the plan need a choice first.",
            hint="Open the plan and choose for each.",
        )
