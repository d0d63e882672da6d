"""Write down what a step answered, and everything that follows from it, in one transaction."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from controlplane.audit.trail import record
from controlplane.redaction import redact
from migrations_app.models import Artifact, MigrationRun, RunStep
from migrations_app.models.states import RunState, StepState
from migrations_app.services import replication, watching
from migrations_app.services.advance import advance_run
from migrations_app.services.checklist import prove_items
from migrations_app.services.evidence import digest_of
from migrations_app.services.signatures import lapse_outdated
from migrations_app.services.transitions import change_step, touch_run
from migrations_app.steps.base import StepResult

_ACTIONS = {
    StepState.SUCCEEDED: "step.succeeded",
    StepState.FAILED: "step.failed",
    StepState.ERRORED: "step.errored",
    StepState.SKIPPED: "step.skipped",
    StepState.IN_DOUBT: "step.in_doubt",
}


def record_result(*, step: RunStep, token: int, result: StepResult, now: datetime) -> bool:
    """Record a result; False when the token is no longer the step's, and then nothing was written."""
    with transaction.atomic():
        run = MigrationRun.objects.select_for_update(of=("self",)).select_related("application").get(pk=step.run_id)
        step = RunStep.objects.get(pk=step.pk)
        if not _still_holds(step, token):
            return False
        if result.outcome == "again":
            _record_again(step, result, now)
        else:
            _record_end(step, token, result, now)
        _remember(run, step, result)
        if result.outcome == "again":
            touch_run(run.pk)
            if run.hold_requested:  # between two looks of a soak is a safe point too
                advance_run(run=run, now=now)
            return True
        state = StepState(step.state)
        watching.step_ended(run=run, step=step, now=now)
        replication.step_ended(run=run, step=step, now=now)
        prove_items(run=run, step=step, now=now)
        lapse_outdated(run=run, now=now)
        record(
            action=_ACTIONS[state],
            actor="system",
            obj=step,
            application=run.application.name,
            payload={
                "run": run.pk,
                "step": step.name,
                "evidence": step.evidence_digest,
                "message": step.message or step.error_message,
                "code": step.error_code,
                "seconds": round((now - (step.started_at or now)).total_seconds(), 1),
            },
        )
        if run.state in (RunState.RUNNING, RunState.ROLLING_BACK):
            advance_run(run=run, now=now)
    return True


def _still_holds(step: RunStep, token: int) -> bool:
    return step.lease_token == token and step.state == StepState.RUNNING


def _record_again(step: RunStep, result: StepResult, now: datetime) -> None:
    change_step(
        step,
        StepState.PENDING,
        attempts=0,
        not_before=now + timedelta(seconds=result.again_after),
        message=result.message,
        evidence=dict(result.evidence),
        lease_holder="",
        lease_expires_at=None,
    )


def _record_end(step: RunStep, token: int, result: StepResult, now: datetime) -> None:
    state = {
        "succeeded": StepState.SUCCEEDED,
        "skipped": StepState.SKIPPED,
        "failed": StepState.ERRORED if result.code == "ERRORED" else StepState.FAILED,
        "in_doubt": StepState.IN_DOUBT,
    }[result.outcome]
    fine = state in (StepState.SUCCEEDED, StepState.SKIPPED)
    evidence = dict(result.evidence)
    change_step(
        step,
        state,
        token=token,
        finished_at=now,
        lease_holder="",
        lease_expires_at=None,
        not_before=None,
        message=redact(result.message) if fine else "",
        evidence=evidence,
        evidence_digest=digest_of({"step": step.name, "state": state, "evidence": evidence}),
        error_code="" if fine else result.code,
        error_message="" if fine else redact(result.message),
        error_hint="" if fine else redact(result.hint),
    )


def _remember(run: MigrationRun, step: RunStep, result: StepResult) -> None:
    fields = ["facts"]
    run.facts = {**run.facts, **result.facts}
    for name, moment in result.moments.items():
        setattr(run, name, moment)
        fields.append(name)
    run.save(update_fields=fields)
    for made in result.files:
        Artifact.objects.create(
            run=run, step=step, kind=made.kind, path=str(made.path), sha256=made.sha256, size=made.size
        )
