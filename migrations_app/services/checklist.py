"""The checklist: the system's items prove themselves with their step, people record results for the others."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import URLValidator
from django.db import transaction
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.registry.models import Role
from migrations_app.models import ChecklistItem, MigrationRun, RunStep, TestResult
from migrations_app.models.states import ItemState, Phase, RunKind, StepState
from migrations_app.services.checklist_template import TEMPLATE
from migrations_app.services.errors import ServiceRefused
from migrations_app.services.permissions import require_role
from migrations_app.services.signatures import lapse_outdated
from migrations_app.services.transitions import touch_run

_RECORDABLE = (ItemState.PASSED, ItemState.FAILED, ItemState.INCONCLUSIVE, ItemState.NOT_APPLICABLE)
_PROVERS: dict[str, tuple[Role, ...]] = {"qa": (Role.QA,), "ops": (Role.OPS, Role.LEAD)}


def create_items(run: MigrationRun) -> None:
    """Copy the template into a run: of a rehearsal only what the system proves by a step that the run has."""
    steps = set(run.steps.values_list("name", flat=True))
    chosen = [
        item
        for item in TEMPLATE
        if (item.step_name in steps if item.prover == "system" else run.kind == RunKind.PRODUCTION)
    ]
    ChecklistItem.objects.bulk_create(
        ChecklistItem(
            run=run,
            code=item.code,
            phase=item.phase,
            title=item.title,
            criterion=item.criterion,
            prover=item.prover,
            level=item.level,
            step_name=item.step_name,
            position=position,
        )
        for position, item in enumerate(chosen, start=1)
    )


def prove_items(*, run: MigrationRun, step: RunStep, now: datetime) -> None:
    """Set the system's items of a step from its result. Call inside the transaction that records it."""
    state = {
        StepState.SUCCEEDED: ItemState.INCONCLUSIVE if step.evidence.get("inconclusive") else ItemState.PASSED,
        StepState.SKIPPED: ItemState.NOT_APPLICABLE,
        StepState.FAILED: ItemState.FAILED,
    }.get(StepState(step.state), ItemState.INCONCLUSIVE)
    ChecklistItem.objects.filter(run=run, step_name=step.name).update(
        state=state,
        evidence={"step": step.name, "digest": step.evidence_digest, "message": step.message or step.error_message},
        changed_at=now,
    )
    if step.name == "check_application" and step.state == StepState.SUCCEEDED:
        _void_early_results(run, now)


def _void_early_results(run: MigrationRun, now: datetime) -> None:
    """What people saw before the application ran on PostgreSQL says nothing about it there: they look again."""
    early = run.items.filter(prover="qa", phase=Phase.VERIFICATION).exclude(state=ItemState.OPEN)
    early.update(
        state=ItemState.STALE,
        evidence={"message": "Recorded before the application ran on PostgreSQL: look again."},
        changed_at=now,
    )


def record_result(*, actor: Any, item: ChecklistItem, outcome: str, note: str, link: str = "") -> TestResult:
    """Record what a person saw. Raises Forbidden, or ServiceRefused when the note says nothing or the run is over."""
    run = item.run
    if item.prover == "system":
        raise ServiceRefused(
            "PROVED_BY_SYSTEM",
            f"{item.code} is proved by the step “{item.step_name}”; nobody can tick it.",
            hint="If it is wrong, hold the run and look at the step's evidence.",
        )
    role = require_role(actor, run.application, _PROVERS[item.prover], "record results")
    if outcome not in _RECORDABLE:
        raise ServiceRefused("BAD_OUTCOME", f"{outcome!r} is not an outcome that can be recorded.", status=400)
    if len(note.strip()) < 3:
        raise ServiceRefused("NOTE_MISSING", "Say what you saw: a result without a note proves nothing.", status=400)
    _check_link(link)
    now = timezone.now()
    with transaction.atomic():
        run.refresh_from_db(from_queryset=MigrationRun.objects.select_for_update())
        if run.is_finished:
            raise ServiceRefused("RUN_FINISHED", f"Run {run.pk} is {run.get_state_display().lower()}.")
        result = TestResult.objects.create(
            item=item, recorded_by=actor, outcome=outcome, note=note.strip(), link=link, recorded_at=now
        )
        ChecklistItem.objects.filter(pk=item.pk).update(
            state=outcome, evidence={"result": result.pk, "by": actor.get_username()}, changed_at=now
        )
        touch_run(run.pk)
        lapse_outdated(run=run, now=now)
        record(
            action="result.recorded",
            actor=actor,
            role=role,
            obj=item,
            application=run.application.name,
            payload={"run": run.pk, "item": item.code, "outcome": outcome, "note": note.strip()[:500]},
        )
    return result


def _check_link(link: str) -> None:
    if not link:
        return
    try:
        URLValidator(schemes=["http", "https"])(link)
    except ValidationError:
        raise ServiceRefused("BAD_LINK", "The link is not an http(s) address.", status=400) from None
