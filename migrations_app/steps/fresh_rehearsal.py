"""Does the last rehearsal allow the crossing? It must be of the same thing, be young enough, and have succeeded.

The last one decides: a rehearsal that failed, was taken down, or is still under way says more of tonight than one that
went well before it. Of the same thing means: plan, source's and target's schema, application's version, strategy, and a
description that has not changed since.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings

from migrations_app.models import MigrationPlan, MigrationRun
from migrations_app.models.states import RunKind, RunState, Strategy

VERSION_FACT = "application_version"  # what the application said of itself when the rehearsal started its second copy
_OF_THE_SAME = {
    "source_schema_digest": "source’s schema",
    "target_schema_digest": "target’s schema",
    "application_version": "application’s version",
}


@dataclass(frozen=True)
class LastRehearsal:
    """The rehearsal that counts, or None and why there is none, as a sentence."""

    run: MigrationRun | None
    why: str = ""


def look_for_rehearsal(plan: MigrationPlan, strategy: str, now: datetime) -> LastRehearsal:
    """By what is stored; what the application's version is at this moment only its host can say: versions.py."""
    last = (
        MigrationRun.objects.filter(
            application=plan.application_id,
            kind=RunKind.REHEARSAL,
            strategy=strategy,
            plan__digest=plan.digest,
            started_at__isnull=False,
        )
        .select_related("plan")
        .order_by("-started_at")
        .first()
    )
    if last is None:
        how = "" if strategy == Strategy.OFFLINE else f" with the strategy {Strategy(strategy).label.lower()}"
        return LastRehearsal(None, f"No rehearsal of this plan{how} has run: rehearse it first.")
    why = _why_not(last, plan, now)
    return LastRehearsal(None, why) if why else LastRehearsal(last)


def _why_not(last: MigrationRun, plan: MigrationPlan, now: datetime) -> str:
    number = f"The last rehearsal of this plan, run {last.pk},"
    if last.state != RunState.COMPLETED or last.finished_at is None:
        active = last.state in (RunState.RUNNING, RunState.ROLLING_BACK)
        return f"{number} is {last.get_state_display().lower()}: {'wait for it' if active else 'rehearse again'}."
    for name, word in _OF_THE_SAME.items():
        if getattr(last.plan, name) != getattr(plan, name):
            return f"{number} was made with another {word}: rehearse again."
    seen = last.facts.get(VERSION_FACT)
    if seen is not None and seen != plan.application_version:
        return f"{number} ran another version of the application than the plan was made for: make a new revision."
    days = settings.CAUSEWAY_REHEARSAL_MAX_DAYS
    if last.finished_at < now - timedelta(days=days):
        return f"{number} is older than {days} days: rehearse again."
    described = plan.application.described_at
    if described is not None and (last.started_at is None or last.started_at < described):
        return f"{number} is older than the application’s description: rehearse again."
    return ""
