"""Back to SQLite without anybody asking, where the plan says so: a check failed soon after the switch, and nothing is
lost by going back. Where something would be, or it isn't known, the run stays held and people are told why.

The plan's `auto_rollback_seconds` is signed with the plan: those who signed it decided this beforehand.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction

from controlplane.audit.trail import record
from migrations_app.models import MigrationRun, RollbackRequest, RunStep
from migrations_app.models.states import Price, RunKind, RunState, StepState
from migrations_app.services.advance import goes_back
from migrations_app.services.announcements import announce
from migrations_app.services.price import PriceTag, price_of
from migrations_app.services.rollback import start_rollback
from migrations_app.services.transitions import touch_run

SETTING = "auto_rollback_seconds"
# What shows that the application is not well on PostgreSQL. A step that errored shows a fault of ours, not of it.
CRITERIA = frozenset({"start_application", "check_application", "check_integrity", "check_performance", "soak"})
# A decision that comes later than this after the failure is not made: by then a person is at work, or should be asked.
IN_TIME = timedelta(seconds=120)
FACT = "automatic_rollback"


def due_step(run: MigrationRun) -> RunStep | None:
    """The failed check for which the run waits to be decided about; None when there is nothing to decide."""
    seconds = run.plan.setting(SETTING)
    if not seconds or run.kind != RunKind.PRODUCTION or run.state != RunState.HELD or run.switched_at is None:
        return None
    if goes_back(run):
        return None
    step = run.steps.filter(name__in=sorted(CRITERIA), state=StepState.FAILED).order_by("position").first()
    if step is None or step.finished_at is None or step.finished_at - run.switched_at > timedelta(seconds=seconds):
        return None
    return None if run.facts.get(FACT, {}).get("of") == _name_of(step) else step


def decide_automatic_rollback(*, run_id: int, now: datetime) -> str:
    """'started', 'withheld', or '' when there was nothing to decide. Any number of callers decide once."""
    run = MigrationRun.objects.select_related("application", "plan").get(pk=run_id)
    step = due_step(run)
    if step is None:
        return ""
    tag = price_of(run)  # asks the target: not while rows are locked
    with transaction.atomic():
        locked = MigrationRun.objects.select_for_update(of=("self",)).select_related("application", "plan")
        run = locked.get(pk=run_id)
        again = due_step(run)
        if again is None or _name_of(again) != _name_of(step):
            return ""
        why_not = _why_not(run, again, tag, now)
        _remember(run, again, why_not, now)
        if why_not:
            _withhold(run, again, tag, why_not)
        else:
            _start(run, again, tag, now)
    return "withheld" if why_not else "started"


def _why_not(run: MigrationRun, step: RunStep, tag: PriceTag, now: datetime) -> str:
    if step.finished_at is None or now - step.finished_at > IN_TIME:
        return "it could not be decided in time: a person may be at work on it"
    if tag.lossless and tag.people == 1:
        return ""
    if tag.rows is None:
        return "PostgreSQL can't be asked what would be lost"
    return f"{tag.rows:,} rows written since the switch would leave the application"


def _start(run: MigrationRun, step: RunStep, tag: PriceTag, now: datetime) -> None:
    reason = _reason(run, step)
    states = RollbackRequest.State
    # Somebody may have asked while it cost rows; now nothing is lost, and it happens.
    RollbackRequest.objects.filter(run=run, state__in=[states.WAITING, states.AGREED]).update(state=states.REFUSED)
    RollbackRequest.objects.create(
        run=run,
        requested_by="system",
        reason=reason,
        price=tag.price,
        rows_confirmed=tag.rows,
        lossless=tag.price == Price.R3,
        state=states.AGREED,
        created_at=now,
        agreed_at=now,
    )
    record(
        action="rollback.requested",
        actor="system",
        obj=run,
        application=run.application.name,
        payload={**_payload(run, step), "price": tag.price, "rows": tag.rows, "reason": reason, "automatic": True},
        checkpoint=True,
    )
    start_rollback(run=run, now=now, detail={"reason": reason, "automatic": True})


def _withhold(run: MigrationRun, step: RunStep, tag: PriceTag, why: str) -> None:
    said = f"{run.held_reason} It did not go back by itself: {why}."
    MigrationRun.objects.filter(pk=run.pk).update(held_reason=said)
    touch_run(run.pk)
    announce("rollback_withheld", run, "system", {"step": step.title, "code": step.error_code, "reason": why})
    record(
        action="rollback.withheld",
        actor="system",
        obj=run,
        application=run.application.name,
        payload={**_payload(run, step), "price": tag.price, "rows": tag.rows, "reason": why},
    )


def _remember(run: MigrationRun, step: RunStep, why_not: str, now: datetime) -> None:
    decided: Mapping[str, Any] = {"of": _name_of(step), "at": now.isoformat(), "why_not": why_not}
    run.facts = {**run.facts, FACT: decided}
    run.save(update_fields=["facts"])


def _name_of(step: RunStep) -> str:
    """This failure of this step: after a resume it may fail once more, which is decided anew."""
    return f"{step.name}:{step.lease_token}"


def _reason(run: MigrationRun, step: RunStep) -> str:
    assert step.finished_at is not None and run.switched_at is not None  # due_step() saw both
    seconds = (step.finished_at - run.switched_at).total_seconds()
    return (
        f"“{step.title}” failed ({step.error_code}) {seconds:,.0f} s after the switch, and the plan says to go back by "
        f"itself within {run.plan.setting(SETTING):,} s."
    )


def _payload(run: MigrationRun, step: RunStep) -> dict[str, Any]:
    return {"run": run.pk, "step": step.name, "code": step.error_code, "within": run.plan.setting(SETTING)}
