"""The daily verification: once a day from the set hour on, later the same day where the installation was off.

It is made by the worker of the application's host, which alone can read the frozen SQLite file. A host that doesn't
answer in time gets its verification from a common worker, which says what it could not see. A day that passed without
one stays without: nothing that is looked at now would speak of it.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable
from datetime import date, datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from controlplane import doorbell
from controlplane.audit.trail import record
from monitoring_app.models import Target, Verification
from monitoring_app.services import loop, telling
from monitoring_app.services.daily_checks import Check, look, outcome_of

logger = logging.getLogger("causeway.monitoring")
VERIFY = "monitoring_app.verify_target"
PART = "daily"
WAIT_FOR_HOST = timedelta(minutes=30)
_LEASE = timedelta(minutes=5)  # longer than all counts of both sides together


def day_due(now: datetime) -> date | None:
    """The day whose verification is due at `now`, in the installation's zone; None before the set hour."""
    local = timezone.localtime(now)
    return local.date() if local.hour >= settings.CAUSEWAY_DAILY_HOUR else None


def verify_due(*, now: datetime) -> int:
    """Ask the hosts for what is due; do it here for those that have not answered. How many are due."""
    day = day_due(now)
    if day is None:
        return 0
    missing = Target.objects.filter(enabled=True).exclude(verifications__day=day).select_related("application")
    targets = list(missing)
    doorbell.send_all([(VERIFY, target.pk, target.application.host_queue) for target in targets], expires=300)
    opened = timezone.localtime(now).replace(hour=settings.CAUSEWAY_DAILY_HOUR, minute=0, second=0, microsecond=0)
    if now - opened >= WAIT_FOR_HOST:
        for target in targets:
            if loop.age_of(target, loop.HOST, now) >= WAIT_FOR_HOST:
                verify(target_id=target.pk, on_host=False, clock=lambda: now)
    return len(targets)


def verify(*, target_id: int, on_host: bool, clock: Callable[[], datetime] = timezone.now) -> Verification | None:
    """Look now and record it; None when it is not due, done already, or under way elsewhere."""
    began = clock()
    day = day_due(began)
    target = Target.objects.select_related("application").filter(pk=target_id, enabled=True).first()
    if day is None or target is None or Verification.objects.filter(target=target, day=day).exists():
        return None
    held = loop.claim(part=PART, target=target, now=began, lease=_LEASE)
    if held is None:
        return None
    try:
        checks = look(target, began, on_host=on_host)
    except Exception as error:  # a part that broke must not hold the day's claim; the next beat tries again
        logger.exception("the daily verification of %s broke", target.application.name)
        loop.finish(held=held, now=clock(), problem=f"broke ({type(error).__name__}): see the worker's log")
        return None
    with transaction.atomic():
        if not loop.finish(held=held, now=clock()):
            return None
        return _record(target, day, checks, began, clock())


def _record(target: Target, day: date, checks: list[Check], began: datetime, ended: datetime) -> Verification:
    documents = [check.to_document() for check in checks]
    outcome = outcome_of(checks)
    name = target.application.name
    made = Verification.objects.create(
        target=target,
        day=day,
        began_at=began,
        ended_at=ended,
        outcome=outcome,
        checks=documents,
        digest=digest_of(name, day, outcome, documents),
    )
    telling.send_digest(made, now=ended)
    record(
        action="verification.recorded",
        actor="system",
        obj=made,
        application=name,
        payload={"day": day.isoformat(), "outcome": outcome, "digest": made.digest},
    )
    return made


def digest_of(application: str, day: date, outcome: str, checks: list[dict[str, object]]) -> str:
    """SHA-256 over the verification as canonical JSON: what the trail signs."""
    document = {"application": application, "day": day.isoformat(), "outcome": outcome, "checks": checks}
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()
