"""Silences: mails of an application's alerts, or of one rule, are held back; what happens is written down all the same.

A person opens one for maintenance; a run opens one about itself (`about="run:14"`) and ends it. What still fires when
a silence ends is announced then (services/telling.py).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.refusals import ServiceRefused
from controlplane.registry.models import Application
from monitoring_app.models import Alert, AlertRule, Silence
from monitoring_app.services.permissions import require_change

LONGEST = timedelta(days=7)
OF_A_RUN = "run:"  # how `about` begins where a run opened it


def open_silence(
    *,
    application: Application,
    rule: AlertRule | None,
    ends_at: datetime,
    reason: str,
    by: Any,
    about: str = "",
    now: datetime | None = None,
) -> Silence:
    """Hold mails back from now on. rule: None for all rules of the application. by: a user, or text such as "system".

    With `about` a silence about the same thing that is still open is made longer instead of doubled.
    Raises Forbidden NOT_ALLOWED (a user without the role), ServiceRefused SILENCE_TOO_LONG, SILENCE_OVER,
    SILENCE_NO_REASON, RULE_NOT_FOUND.
    """
    now = now or timezone.now()
    role = require_change(by, application, "silence alerts") if isinstance(by, User) else ""
    reason = " ".join(reason.split())[:300]
    if not reason:
        raise ServiceRefused("SILENCE_NO_REASON", "A silence needs a reason: whoever is not told will ask.", status=400)
    if ends_at <= now:
        raise ServiceRefused("SILENCE_OVER", "This silence would end before it begins.", status=400)
    if ends_at - now > LONGEST:
        raise ServiceRefused(
            "SILENCE_TOO_LONG",
            f"A silence lasts {LONGEST.days} days at most.",
            hint="Switch the rule off where nobody wants to hear of it.",
            status=400,
        )
    if rule is not None and rule.target.application_id != application.pk:
        raise ServiceRefused("RULE_NOT_FOUND", f"{application.name} has no such rule.", status=404)
    with transaction.atomic():
        silence = _open_about(application, rule, about, now) if about else None
        if silence is None:
            silence = Silence(application=application, rule=rule, starts_at=now, about=about, by=_name(by))
        silence.ends_at = max(ends_at, silence.ends_at or ends_at)
        silence.reason = reason
        silence.save()
        record(
            action="silence.opened",
            actor=by,
            role=role,
            obj=silence,
            application=application.name,
            payload={"rule": rule.code if rule else "", "until": silence.ends_at, "reason": reason, "about": about},
        )
    return silence


def end_silence(*, silence: Silence, by: Any, now: datetime) -> None:
    """End one before its time. Raises Forbidden NOT_ALLOWED, ServiceRefused SILENCE_ENDED."""
    role = require_change(by, silence.application, "end a silence") if isinstance(by, User) else ""
    with transaction.atomic():
        _end(Silence.objects.filter(pk=silence.pk), by, role, now, must=True)


def end_silences(*, application: Application, about: str, now: datetime, by: Any = "system") -> int:
    """End all open silences about one thing (`run:14`); how many there were."""
    with transaction.atomic():
        return _end(Silence.objects.filter(application=application, about=about), by, "", now)


def open_now(now: datetime) -> QuerySet[Silence]:
    """The silences that hold mails back at this moment."""
    return Silence.objects.filter(starts_at__lte=now, ends_at__gt=now, ended_at=None)


def planned_ends(application: Application, since: datetime, until: datetime) -> list[datetime]:
    """When runs that kept the application down let it go, oldest first: what failed before says nothing of after."""
    rows = Silence.objects.filter(application=application, about__startswith=OF_A_RUN, starts_at__lte=until)
    return sorted(row.over_at for row in rows if since <= row.over_at <= until)


def silence_of(alert: Alert, now: datetime) -> Silence | None:
    """The silence that holds this alert's mails back now, the one that lasts longest; None when nothing does."""
    rule = alert.rule
    rows = open_now(now).filter(Q(rule=None) | Q(rule=rule), application_id=rule.target.application_id)
    return rows.order_by("-ends_at").first()


def _open_about(application: Application, rule: AlertRule | None, about: str, now: datetime) -> Silence | None:
    rows = open_now(now).select_for_update(of=("self",)).filter(application=application, rule=rule, about=about)
    return rows.first()


def _end(rows: QuerySet[Silence], by: Any, role: str, now: datetime, must: bool = False) -> int:
    still_open = list(rows.filter(ended_at=None, ends_at__gt=now).select_related("application", "rule"))
    ended = [
        silence for silence in still_open if Silence.objects.filter(pk=silence.pk, ended_at=None).update(ended_at=now)
    ]
    if must and not ended:
        raise ServiceRefused("SILENCE_ENDED", "This silence is over already.")
    for silence in ended:
        record(
            action="silence.ended",
            actor=by,
            role=role,
            obj=silence,
            application=silence.application.name,
            payload={"rule": silence.rule.code if silence.rule else "", "about": silence.about},
        )
    return len(ended)


def _name(by: Any) -> str:
    return by if isinstance(by, str) else str(by.get_username())
