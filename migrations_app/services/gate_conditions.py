"""What must hold before a gate can be signed; each unmet condition is a sentence with what to do."""

from __future__ import annotations

from datetime import datetime

from django.utils import timezone

from migrations_app.models import Gate, MigrationPlan, MigrationRun
from migrations_app.models.states import GateCode, ItemState, RunKind, RunState, StepState, Strategy
from migrations_app.services.checklist import PROVERS, blocking_items
from migrations_app.services.errors import ServiceRefused
from migrations_app.services.gaps import why_outdated
from migrations_app.services.permissions import who_can
from migrations_app.steps.fresh_rehearsal import look_for_rehearsal


def missing_conditions(gate: Gate, now: datetime | None = None) -> tuple[str, ...]:
    """The unmet conditions of an open gate, the most important first; () when it can be signed."""
    now = now or timezone.now()
    run = gate.run
    if gate.code == GateCode.PLAN:
        return tuple(_plan(run))
    if gate.code == GateCode.GO:
        return (*_steps_before(gate), *_window(run.plan, now), *_fresh_rehearsal(run, now), *_items(run, gate))
    return (*_steps_before(gate), *_items(run, gate))


def fresh_rehearsal(plan: MigrationPlan, now: datetime, strategy: str = Strategy.OFFLINE) -> MigrationRun | None:
    """The rehearsal that allows a crossing with that strategy now: the last one, if it is fresh and succeeded."""
    return look_for_rehearsal(plan, strategy, now).run


def require_rehearsed(run: MigrationRun, now: datetime) -> None:
    """Raises ServiceRefused NO_FRESH_REHEARSAL for a production run. The step on the application's host asks again."""
    why = why_not_rehearsed(run, now)
    if why:
        raise ServiceRefused("NO_FRESH_REHEARSAL", why, hint="Rehearse this plan with this strategy, then start.")


def why_not_rehearsed(run: MigrationRun, now: datetime) -> str:
    """'' when a rehearsal allows the run to begin; a rehearsal itself needs none."""
    return "" if run.kind == RunKind.REHEARSAL else look_for_rehearsal(run.plan, run.strategy, now).why


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
    why = why_not_rehearsed(run, now)
    return [why] if why else []


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
