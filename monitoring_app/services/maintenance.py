"""VACUUM ANALYZE of a target: asked for by a person, done by a worker, its progress and result in a row."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any, Final

from django.db import IntegrityError, transaction
from django.utils import timezone

from controlplane import doorbell
from controlplane.audit.trail import record
from controlplane.refusals import ServiceRefused
from monitoring_app.models import Maintenance, MaintenanceState, Silence, Target
from monitoring_app.probes.vacuum import TABLE_SECONDS, Progress, VacuumFailed, vacuum
from monitoring_app.services import markers
from monitoring_app.services.permissions import require_change
from monitoring_app.services.targets import TargetUnusable, dsn_of_application

logger = logging.getLogger("causeway.monitoring")
VACUUM: Final = "monitoring_app.vacuum"
QUEUE: Final = "common"
_OPEN = (MaintenanceState.ASKED, MaintenanceState.RUNNING)
_CLAIM = timedelta(seconds=TABLE_SECONDS + 120)  # renewed before each table
_UNHEARD: Final = timedelta(seconds=20)
_GONE: Final = "the worker that did it is gone; tables done until then are done"


class _Lost(Exception):
    """Another worker has declared this one gone and the row is no longer ours."""


def start_vacuum(*, target: Target, actor: Any, now: datetime | None = None) -> Maintenance:
    """Ask for it. Where it was asked for already and no worker came yet, the bell rings again.

    Raises Forbidden NOT_ALLOWED, ServiceRefused MAINTENANCE_RUNNING, MAINTENANCE_DURING_RUN, TARGET_UNUSABLE.
    """
    now = now or timezone.now()
    application = target.application
    role = require_change(actor, application, "vacuum the database")
    _require_usable(target)
    _refuse_during_a_run(target, now)
    with transaction.atomic():
        open_one = Maintenance.objects.select_for_update().filter(target=target, state__in=_OPEN).first()
        if open_one is not None and open_one.state == MaintenanceState.ASKED:
            doorbell.ring(VACUUM, open_one.pk, QUEUE)
            return open_one
        if open_one is not None and not _lapsed(open_one, now):
            raise _running(open_one)
        if open_one is not None:
            _end(open_one.pk, MaintenanceState.FAILED, now, problem=_GONE)
        try:
            with transaction.atomic():
                row = Maintenance.objects.create(target=target, asked_by=actor.get_username(), asked_at=now)
        except IntegrityError:  # somebody was faster by a moment
            raise _running(None) from None
        doorbell.ring(VACUUM, row.pk, QUEUE)
        record(action="maintenance.asked", actor=actor, role=role, obj=row, application=application.name, at=now)
    return row


def ring_again(*, now: datetime) -> int:
    """For what was asked for and no worker took: a bell may be lost. Part of the loop's tick; how many there were."""
    waiting = Maintenance.objects.filter(state=MaintenanceState.ASKED, asked_at__lt=now - _UNHEARD)
    rings = [(VACUUM, pk, QUEUE) for pk in waiting.values_list("pk", flat=True)]
    if rings:
        doorbell.send_all(rings)
    return len(rings)


def work_on_vacuum(*, maintenance_id: int, clock: Callable[[], datetime] = timezone.now) -> bool:
    """Do it, if nobody does; whether this call did. A second bell, or one that comes late, changes nothing."""
    now = clock()
    claimed = Maintenance.objects.filter(pk=maintenance_id, state=MaintenanceState.ASKED).update(
        state=MaintenanceState.RUNNING, began_at=now, claimed_until=now + _CLAIM
    )
    if not claimed:
        return False
    row = Maintenance.objects.select_related("target__application").get(pk=maintenance_id)
    application = row.target.application
    text = f"VACUUM ANALYZE, asked for by {row.asked_by}"
    markers.mark(application=application, kind=markers.OTHER, at=now, text=text, about=f"maintenance:{row.pk}")
    try:
        last = vacuum(
            dsn_of_application(application), application.target_schema, lambda progress: _tell(row, progress, clock())
        )
        _tell(row, last, clock())
        state, problem = MaintenanceState.DONE, ""
    except TargetUnusable as why:
        state, problem = MaintenanceState.FAILED, why.message
    except VacuumFailed as why:
        state, problem = MaintenanceState.FAILED, str(why)
    except _Lost:
        logger.warning("maintenance %s was taken from this worker", row.pk)
        return False
    with transaction.atomic():
        if _end(row.pk, state, clock(), problem):
            row.refresh_from_db()
            record(
                action="maintenance.ended",
                actor="system",
                obj=row,
                application=application.name,
                payload={"state": str(state), "done": row.done, "left_out": len(row.skipped), "problem": problem},
            )
    return True


def newest(target: Target, now: datetime | None = None) -> Maintenance | None:
    """The last one asked for, for the page; one whose worker is gone reads as failed, though nothing is written."""
    row = Maintenance.objects.filter(target=target).first()
    if row is not None and _lapsed(row, now or timezone.now()):
        row.state, row.problem = MaintenanceState.FAILED, _GONE
    return row


def _lapsed(row: Maintenance, now: datetime) -> bool:
    until = row.claimed_until
    return row.state == MaintenanceState.RUNNING and until is not None and until < now


def _tell(row: Maintenance, progress: Progress, now: datetime) -> None:
    mine = Maintenance.objects.filter(pk=row.pk, state=MaintenanceState.RUNNING)
    told = mine.update(
        tables=progress.tables,
        done=progress.done,
        current=progress.current[:130],
        skipped=[{"table": table, "why": why} for table, why in progress.skipped],
        claimed_until=now + _CLAIM,
    )
    if not told:
        raise _Lost


def _end(pk: int, state: MaintenanceState, now: datetime, problem: str) -> bool:
    running = Maintenance.objects.filter(pk=pk, state=MaintenanceState.RUNNING)
    return bool(running.update(state=state, ended_at=now, claimed_until=None, current="", problem=problem[:300]))


def _require_usable(target: Target) -> None:
    try:
        dsn_of_application(target.application)
    except TargetUnusable as why:
        raise ServiceRefused(why.code, why.message, hint=why.hint) from None


def _refuse_during_a_run(target: Target, now: datetime) -> None:
    """A run silences its application's alerts while it works: then the target is its own."""
    silence = Silence.objects.filter(
        application=target.application, about__startswith="run:", ended_at=None, starts_at__lte=now, ends_at__gt=now
    ).first()
    if silence is not None:
        raise ServiceRefused(
            "MAINTENANCE_DURING_RUN",
            f"Run {silence.about.partition(':')[2]} of {target.application.name} is at work on this database.",
            hint="Wait until it has ended.",
        )


def _running(row: Maintenance | None) -> ServiceRefused:
    by = f", asked for by {row.asked_by}" if row is not None else ""
    return ServiceRefused("MAINTENANCE_RUNNING", f"VACUUM ANALYZE is running already{by}.", hint="Wait for its end.")
