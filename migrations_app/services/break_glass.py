"""A rollback that costs rows, decided by one person because the second can't be reached.

Everyone hears of it at once, and a second person countersigns within a day; until then it stands on the pages.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from controlplane.audit.trail import record
from migrations_app.models import MigrationRun, RollbackRequest
from migrations_app.services.announcements import announce
from migrations_app.services.errors import Forbidden, ServiceRefused, Stale
from migrations_app.services.rollback import file_request, require_second_person, require_way_back
from migrations_app.services.transitions import touch_run


def break_glass(
    *,
    actor: Any,
    run: MigrationRun,
    reason: str,
    typed_name: str,
    rows_typed: int | None = None,
    understood: bool = False,
    reauthenticated: bool = False,
) -> RollbackRequest:
    """Roll back at once, alone. Raises what a request raises, and NOT_UNDERSTOOD without the tick that says so."""
    role = require_way_back(actor, run, typed_name, reauthenticated)
    if not understood:
        raise ServiceRefused(
            "NOT_UNDERSTOOD",
            "Tick that you decide alone what two people should.",
            hint="Everyone of the application is told, and a second person countersigns within a day.",
            status=400,
        )
    return file_request(
        run=run,
        actor=actor,
        name=actor.get_username(),
        role=role,
        reason=reason,
        rows_typed=rows_typed,
        break_glass=True,
    )


def countersign(*, actor: Any, request: RollbackRequest, note: str, reauthenticated: bool = False) -> None:
    """The second person looked at what was decided alone. Raises Forbidden, ServiceRefused, Stale."""
    role = require_second_person(actor, request, "countersign the rollback")
    if not note.strip():
        raise ServiceRefused("REASON_MISSING", "Say what you looked at: it stands beside your name.", status=400)
    if not reauthenticated:
        raise Forbidden("PASSWORD_NEEDED", "Give your password again to countersign.")
    run = request.run
    now = timezone.now()
    with transaction.atomic():
        changed = (
            uncountersigned()
            .filter(pk=request.pk)
            .update(countersigned_by=actor, countersigned_at=now, countersign_note=note.strip())
        )
        if changed != 1:
            raise Stale("This rollback waits for no countersignature.")
        touch_run(run.pk)
        announce("countersigned", run, actor, {"note": note.strip()})
        record(
            action="rollback.countersigned",
            actor=actor,
            role=role,
            obj=run,
            application=run.application.name,
            payload={"run": run.pk, "asked_by": request.requested_by, "note": note.strip()[:500]},
            checkpoint=True,
        )


def uncountersigned() -> QuerySet[RollbackRequest]:
    """The rollbacks that one person decided and nobody countersigned yet, the oldest first."""
    acted = [RollbackRequest.State.AGREED, RollbackRequest.State.DONE]
    rows = RollbackRequest.objects.filter(break_glass=True, countersigned_at__isnull=True, state__in=acted)
    return rows.order_by("created_at")


def remind_of_countersignatures(*, now: datetime) -> int:
    """Tell everyone once of each that is overdue; how many there were. Part of the sweep, safe beside another one."""
    told = 0
    overdue = uncountersigned().filter(countersign_by__lte=now, reminded_at__isnull=True)
    for request in overdue.select_related("run__application"):
        with transaction.atomic():
            if not overdue.filter(pk=request.pk).update(reminded_at=now):
                continue
            run = request.run
            touch_run(run.pk)
            facts = {"requested_by": request.requested_by, "reason": request.reason}
            announce("countersign_overdue", run, "system", facts)
            record(
                action="rollback.countersign_overdue",
                actor="system",
                obj=run,
                application=run.application.name,
                payload={"run": run.pk, "asked_by": request.requested_by},
            )
        told += 1
    return told
