"""Proving a system's item once more: the step that proves it is run again, where that is harmless.

A command was mended, an endpoint was slow for a moment: nobody can tick such an item, and a whole run for its sake
would be much. Only steps that look and change nothing, and only before somebody has relied on them: between the gate
that was passed last and the one that is open.
"""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.registry.models import Role
from migrations_app.models import ChecklistItem, Gate, MigrationRun, RunStep
from migrations_app.models.checklist import Prover
from migrations_app.models.states import GateState, ItemState, RunState, StepState
from migrations_app.services.advance import advance_run
from migrations_app.services.errors import ServiceRefused, Stale
from migrations_app.services.permissions import require_role
from migrations_app.services.transitions import change_run, change_step

MAY = (Role.OPS, Role.QA)
# They ask the application, or read the target; all else moves, makes or stops something.
_HARMLESS = frozenset({"baseline", "own_checks", "check_integrity", "check_performance"})
_WORTH_IT = frozenset({ItemState.FAILED, ItemState.INCONCLUSIVE, ItemState.WAIVED})


def why_not_again(run: MigrationRun, item: ChecklistItem) -> str:
    """'' when the item's step can be run again now, else the reason in words."""
    if item.prover != Prover.SYSTEM or not item.step_name:
        return f"{item.code} is not proved by a step."
    if item.state not in _WORTH_IT:
        return f"{item.code} is {item.get_state_display().lower()}."
    if item.step_name not in _HARMLESS:
        return "Its step does more than look: it is not run again for one item."
    if run.state != RunState.WAITING:
        return f"The run is {run.get_state_display().lower()}: only at a gate is there time for it."
    step = run.steps.filter(name=item.step_name).first()
    if step is None or step.state != StepState.SUCCEEDED:
        return "Its step has not ended in a way that can be repeated."
    return "" if _is_before_the_open_gate(run, step) else "A gate was passed on the strength of it."


def prove_again(*, actor: Any, item: ChecklistItem, reason: str) -> None:
    """Run the item's step again: all that it proves goes stale and is proved anew, and the gate waits for it.

    Raises Forbidden, ServiceRefused CANT_PROVE_AGAIN, Stale.
    """
    role = require_role(actor, item.run.application, MAY, f"have {item.code} proved again")
    if len(reason.strip()) < 3:
        raise ServiceRefused("REASON_MISSING", "Say what was mended: it stands beside your name for good.", status=400)
    now = timezone.now()
    with transaction.atomic():
        MigrationRun.objects.select_for_update().get(pk=item.run_id)
        run = MigrationRun.objects.select_related("application", "plan").get(pk=item.run_id)
        item.refresh_from_db()
        why = why_not_again(run, item)
        if why:
            raise ServiceRefused("CANT_PROVE_AGAIN", why)
        step = run.steps.get(name=item.step_name)
        if not change_step(step, StepState.PENDING, attempts=0, finished_at=None, message=""):
            raise Stale(f"Run {run.pk} has changed in the meantime.")
        run.refresh_from_db()
        change_run(run, RunState.RUNNING, at=now)
        record(
            action="step.retried",
            actor=actor,
            role=role,
            obj=step,
            application=run.application.name,
            payload={"run": run.pk, "step": step.name, "item": item.code, "reason": reason.strip()[:500]},
        )
        advance_run(run=run, now=now)


def _is_before_the_open_gate(run: MigrationRun, step: RunStep) -> bool:
    gates = Gate.objects.filter(run=run).select_related("step")
    passed = max((gate.step.position for gate in gates if gate.state == GateState.PASSED), default=0)
    waiting = min((gate.step.position for gate in gates if gate.state == GateState.OPEN), default=0)
    return passed < step.position < waiting
