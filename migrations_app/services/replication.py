"""An application's replication as people and steps change it: begun, copied, turned, ended. Its follower: following.py.

The row says what was seen last; the durable facts on both sides decide (engine/online/decisions.py).
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import F
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.registry.models import Application, Role
from migrations_app.models import MigrationRun, Replication, RunStep
from migrations_app.models.states import Direction, ReplicationState, RunKind, StepState, Strategy
from migrations_app.services import watching
from migrations_app.services.errors import Forbidden, ServiceRefused, Stale
from migrations_app.services.permissions import require_role

# Steps that work on both sides themselves: the follower stands aside while one of them runs.
WORKING_ON_BOTH_SIDES = frozenset(
    {
        *("install_capture", "snapshot_online", "copy_online", "catch_up", "full_check", "arm_back", "cut_over"),
        *("back_fall_back", "back_keep_following", "back_stop_following", "complete"),
    }
)


def of(application: Application) -> Replication | None:
    """The application's replication, also one that has ended; None where there never was one."""
    return Replication.objects.select_related("plan", "run", "application").filter(application=application).first()


def step_at_work(application_id: int) -> RunStep | None:
    """The step of a production run that works on both sides of the application now."""
    return RunStep.objects.filter(
        run__application_id=application_id,
        run__kind=RunKind.PRODUCTION,
        run__strategy=Strategy.ONLINE,
        state=StepState.RUNNING,
        name__in=sorted(WORKING_ON_BOTH_SIDES),
    ).first()


def end_replication(
    *, actor: Any, application: Application, reason: str, typed_name: str, reauthenticated: bool = False
) -> None:
    """Ask the worker on the host to remove every trace from both sides, and the copy from PostgreSQL.

    Only while SQLite is live and no run uses it: whoever rolls a run back, or completes it, needs no other end.
    Raises Forbidden, ServiceRefused REPLICATION_NOT_LIVE, REPLICATION_IN_USE, POSTGRESQL_IS_LIVE; Stale.
    """
    role = require_role(actor, application, (Role.OPS,), "end the replication")
    if not reauthenticated:
        raise Forbidden("PASSWORD_NEEDED", "Give your password again to end the replication.")
    if typed_name != application.name:
        raise ServiceRefused("NAME_NOT_TYPED", f"Type the application's name, {application.name}.", status=400)
    if not reason.strip():
        raise ServiceRefused("REASON_MISSING", "Say why it is ended.", status=400)
    row = of(application)
    if row is None or row.state in (ReplicationState.ENDED, ReplicationState.ENDING):
        raise ServiceRefused("REPLICATION_NOT_LIVE", f"Nothing of {application.name} is replicated.")
    _require_unused(row)
    with transaction.atomic():
        changed = Replication.objects.filter(pk=row.pk, version=row.version).update(
            state=ReplicationState.ENDING,
            ended_by=actor.get_username(),
            end_reason=reason.strip(),
            version=F("version") + 1,
            updated_at=timezone.now(),
        )
        if changed != 1:
            raise Stale("The replication has changed in the meantime.")
        record(
            action="replication.end_requested",
            actor=actor,
            role=role,
            obj=row,
            application=application.name,
            payload={"identity": row.identity, "reason": reason.strip()[:500]},
        )


def _require_unused(row: Replication) -> None:
    run = MigrationRun.objects.active().filter(
        application=row.application, kind=RunKind.PRODUCTION, strategy=Strategy.ONLINE
    )
    if (active := run.first()) is not None:
        raise ServiceRefused(
            "REPLICATION_IN_USE",
            f"Run {active.pk} uses the replication.",
            hint="Roll the run back, or complete it; a replication that is left over can be ended then.",
        )
    if row.facts.get("live") == "postgresql" or row.direction == Direction.BACK:
        raise ServiceRefused(
            "POSTGRESQL_IS_LIVE",
            f"{row.application.name} lives on PostgreSQL: ending the replication would end the way back.",
            hint="The way back ends with the sign-off of its run.",
        )


def require_no_end(run: MigrationRun) -> None:
    """A run can't count on a replication whose traces are being removed. Raises ServiceRefused REPLICATION_ENDING."""
    if run.kind != RunKind.PRODUCTION or run.strategy != Strategy.ONLINE:
        return
    if Replication.objects.filter(application=run.application, state=ReplicationState.ENDING).exists():
        raise ServiceRefused(
            "REPLICATION_ENDING",
            f"The replication of {run.application.name} is being ended.",
            hint="Wait until its traces are removed; its page says what stands against it.",
        )


def step_ended(*, run: MigrationRun, step: RunStep, now: datetime) -> None:
    """What a step of a production run changed on both sides is written down. Call in the result's transaction."""
    if run.kind != RunKind.PRODUCTION or run.strategy != Strategy.ONLINE or step.state != StepState.SUCCEEDED:
        return
    note = _NOTES.get(step.name)
    if note is not None:
        note(run, step, now)


def _captured(run: MigrationRun, step: RunStep, now: datetime) -> None:
    identity = step.evidence["identity"]
    row = Replication.objects.filter(application=run.application).first()
    if row is not None and row.identity == identity and row.is_live:
        _change(row, now, run=run, plan=run.plan, inverse_forms={})
        return
    values: dict[str, Any] = {
        "plan": run.plan,
        "run": run,
        "identity": identity,
        "state": ReplicationState.PAUSED,
        "begun_at": now,
    }
    if row is None:
        row = Replication.objects.create(application=run.application, **values)
    else:
        _change(row, now, **{**_blank(), **values})
    _record("replication.began", run, row, {"tables": len(step.evidence.get("tables", []))})


def _blank() -> dict[str, Any]:
    """The defaults of everything that a replication before this one may have left in the row."""
    kept = {"id", "application", "plan", "run", "identity", "state", "begun_at", "version", "updated_at", "lease_token"}
    return {field.name: field.get_default() for field in Replication._meta.fields if field.name not in kept}


def _copied(run: MigrationRun, step: RunStep, now: datetime) -> None:
    row = _row(run)
    continued = bool(step.evidence.get("continued"))
    _change(
        row,
        now,
        state=ReplicationState.FOLLOWING,
        direction=Direction.FORWARD,
        copied_at=row.copied_at if continued and row.copied_at else now,
        position=step.evidence.get("position"),
        **_NO_ERROR,
    )
    _record("replication.copied", run, row, {"position": step.evidence.get("position"), "continued": continued})


def _checked(run: MigrationRun, step: RunStep, now: datetime) -> None:
    row = _row(run)
    position = step.evidence.get("position")
    _change(row, now, checked_at=now, checked_position=position, checked_digest=step.evidence_digest)
    _record("replication.checked", run, row, {"position": position, "evidence": step.evidence_digest})


def _armed(run: MigrationRun, step: RunStep, now: datetime) -> None:
    _change(_row(run), now, inverse_forms=step.evidence.get("forms", {}))


def _crossed(run: MigrationRun, step: RunStep, now: datetime) -> None:
    row = _row(run)
    _change(
        row,
        now,
        state=ReplicationState.FOLLOWING,
        direction=Direction.BACK,
        run=run,
        flowed_rows=0,
        queue_rows=None,
        window_open=True,
        window_since=run.switched_at or now,
        window_reason="",
        trend=[],
        **_NO_ERROR,
    )
    _record("replication.turned", run, row, {"direction": Direction.BACK})


def _fell_back(run: MigrationRun, step: RunStep, now: datetime) -> None:
    if step.evidence.get("crossed") is False:
        return
    row = _row(run)
    if step.evidence.get("gave_up"):
        why = "The way back was given up: rows that had not flowed back stay in PostgreSQL."
        _change(row, now, window_open=False, window_reason=why)
        return
    _change(
        row,
        now,
        state=ReplicationState.FOLLOWING,
        direction=Direction.FORWARD,
        window_open=False,
        window_since=None,
        window_reason="",
        inverse_forms={},  # the next crossing learns them anew; until then no value needs a way back
        queue_rows=None,
        trend=[],
        **_NO_ERROR,
    )
    _record("replication.turned", run, row, {"direction": Direction.FORWARD})


def _kept_or_ended(run: MigrationRun, step: RunStep, now: datetime) -> None:
    row = Replication.objects.filter(application=run.application).first()
    if step.evidence.get("ended"):
        ended(row=row, by="system", now=now)
    elif row is not None:
        _change(row, now, inverse_forms={})


def _completed(run: MigrationRun, step: RunStep, now: datetime) -> None:
    ended(row=Replication.objects.filter(application=run.application).first(), by="system", now=now)


def ended(*, row: Replication | None, by: str, now: datetime) -> None:
    """Both sides are clean. Call inside a transaction."""
    if row is None or row.state == ReplicationState.ENDED:
        return
    reason = row.end_reason
    _change(
        row,
        now,
        state=ReplicationState.ENDED,
        direction=Direction.NONE,
        window_open=False,
        ended_at=now,
        ended_by=row.ended_by or by,
        **_NO_ERROR,
    )
    watching.replication_over(application=row.application, now=now)
    record(
        action="replication.ended",
        actor="system",
        obj=row,
        application=row.application.name,
        payload={"identity": row.identity, "asked_by": row.ended_by, "reason": reason[:500]},
    )


_NO_ERROR: dict[str, Any] = {"error_code": "", "error_message": "", "error_hint": "", "troubled_since": None}
_NOTES = {
    "install_capture": _captured,
    "copy_online": _copied,
    "full_check": _checked,
    "arm_back": _armed,
    "cut_over": _crossed,
    "back_fall_back": _fell_back,
    "back_keep_following": _kept_or_ended,
    "back_stop_following": _kept_or_ended,
    "complete": _completed,
}


def _row(run: MigrationRun) -> Replication:
    return Replication.objects.select_related("application").get(application=run.application)


def _change(row: Replication, now: datetime, **fields: Any) -> None:
    """The token grows with it: a follower that still works on what was true before can't record it any more."""
    values = {"lease_token": F("lease_token") + 1, "lease_holder": "", "lease_expires_at": None, **fields}
    Replication.objects.filter(pk=row.pk).update(version=F("version") + 1, updated_at=now, **values)
    row.refresh_from_db()


def _record(action: str, run: MigrationRun, row: Replication, payload: dict[str, Any]) -> None:
    record(
        action=action,
        actor="system",
        obj=row,
        application=run.application.name,
        payload={"run": run.pk, "identity": row.identity, **payload},
    )
