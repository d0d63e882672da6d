"""What must hold before a gate can be signed; each unmet condition is a sentence with what to do."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.utils import timezone

from migrations_app.models import Gate, MigrationPlan, MigrationRun
from migrations_app.models.states import GateCode, ItemState, RunKind, RunState, StepState
from migrations_app.services.checklist import PROVERS, blocking_items
from migrations_app.services.gaps import why_outdated
from migrations_app.services.permissions import who_can


def missing_conditions(gate: Gate, now: datetime | None = None) -> tuple[str, ...]:
    """The unmet conditions of an open gate, the most important first; () when it can be signed."""
    now = now or timezone.now()
    run = gate.run
    if gate.code == GateCode.PLAN:
        return tuple(_plan(run))
    if gate.code == GateCode.GO:
        return (*_steps_before(gate), *_window(run.plan, now), *_fresh_rehearsal(run, now), *_items(run, gate))
    return (*_steps_before(gate), *_items(run, gate))


def fresh_rehearsal(plan: MigrationPlan, now: datetime) -> MigrationRun | None:
    """The newest completed rehearsal of the same plan, schema and application version, at most seven days old."""
    oldest = now - timedelta(days=settings.CAUSEWAY_REHEARSAL_MAX_DAYS)
    rehearsals = MigrationRun.objects.filter(
        application=plan.application,
        kind=RunKind.REHEARSAL,
        state=RunState.COMPLETED,
        finished_at__gte=oldest,
        plan__digest=plan.digest,
        plan__source_schema_digest=plan.source_schema_digest,
        plan__application_version=plan.application_version,
    )
    if plan.application.described_at is not None:  # what was rehearsed before is not what is described now
        rehearsals = rehearsals.filter(started_at__gte=plan.application.described_at)
    return rehearsals.order_by("-finished_at").first()


def _plan(run: MigrationRun) -> list[str]:
    missing = []
    if run.state != RunState.AWAITING_APPROVAL:
        missing.append(f"The run is {run.get_state_display().lower()}.")
    open_findings = run.plan.findings.filter(severity="refuse", choice="").count()
    if open_findings:
        missing.append(f"{open_findings} findings of the plan still need a choice.")
    if outdated := why_outdated(run.plan):
        missing.append(outdated)
    return missing


def _window(plan: MigrationPlan, now: datetime) -> list[str]:
    if plan.window_start and now < plan.window_start:
        return [f"The window opens at {plan.window_start:%Y-%m-%d %H:%M} UTC."]
    if plan.window_end and now >= plan.window_end:
        return [f"The window closed at {plan.window_end:%Y-%m-%d %H:%M} UTC: make a plan with a new window."]
    return []


def _fresh_rehearsal(run: MigrationRun, now: datetime) -> list[str]:
    if fresh_rehearsal(run.plan, now) is None:
        days = settings.CAUSEWAY_REHEARSAL_MAX_DAYS
        return [f"No successful rehearsal of this plan in the last {days} days: rehearse it first."]
    return []


def _steps_before(gate: Gate) -> list[str]:
    undone = gate.run.steps.filter(position__lt=gate.step.position).exclude(
        state__in=[StepState.SUCCEEDED, StepState.SKIPPED]
    )
    return [f"Step “{step.title}” is {step.get_state_display().lower()}." for step in undone]


def _items(run: MigrationRun, gate: Gate) -> list[str]:
    """Failed ones first: they are what stands against the gate most. What people prove names those who can."""
    items = sorted(blocking_items(run, gate.code), key=lambda item: item.state != ItemState.FAILED)
    who = {
        prover: who_can(run.application, PROVERS[prover]) for prover in {item.prover for item in items} & set(PROVERS)
    }
    return [
        f"{item.code} “{item.title}” is {item.get_state_display().lower()}"
        f"{f'; {who[item.prover]} can record it' if item.prover in who else ''}."
        for item in items
    ]
