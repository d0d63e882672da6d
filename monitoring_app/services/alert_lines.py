"""What a page says of alerts: value, limit, since when, the last change, who was told, who has it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Q

from controlplane.mail.models import MailState, OutgoingMail
from monitoring_app.models import Alert, AlertKind, AlertState, Marker, Silence
from monitoring_app.services.amounts import series_title, value_text
from monitoring_app.services.permissions import changeable, visible_alerts, who_can_change_each
from monitoring_app.services.silences import open_now

BURNING: Final = (AlertState.FIRING, AlertState.ACKNOWLEDGED)
KEPT_IN_SIGHT: Final = timedelta(days=7)


@dataclass(frozen=True)
class Told:
    """One round of mails about an alert: to whom, when, and whom it did not reach."""

    at: datetime
    names: str
    failed: str


@dataclass(frozen=True)
class AlertLine:
    """An alert with the words around it."""

    alert: Alert
    title: str
    subject: str
    answer: str
    limit: str
    peak: str
    seconds: float
    told: list[Told]
    last_change: Marker | None
    silence: Silence | None
    may_change: bool
    who_can: str

    @property
    def application(self) -> Any:
        return self.alert.rule.target.application


def burning(user: Any, now: datetime) -> list[AlertLine]:
    """What burns: first what nobody has, the most severe, the oldest."""
    rows = list(visible_alerts(user).filter(state__in=BURNING).order_by("began_at"))
    rows.sort(key=lambda alert: (alert.held_back, alert.state != AlertState.FIRING, alert.rule.severity != "critical"))
    return lines_of(rows, user, now)


def resolved(user: Any, now: datetime, *, before: int | None, limit: int) -> list[AlertLine]:
    """Those that ended in the last days, the newest first; from a row on, all that there were."""
    rows = visible_alerts(user).filter(state=AlertState.RESOLVED, fired_at__isnull=False).order_by("-pk")
    rows = rows.filter(pk__lt=before) if before else rows.filter(resolved_at__gte=now - KEPT_IN_SIGHT)
    return lines_of(list(rows[:limit]), user, now)


def count_nobodys(user: Any) -> int:
    """How many fire that nobody has: the rail's number."""
    return visible_alerts(user).filter(state=AlertState.FIRING, held_back=False).count()


def lines_of(alerts: Sequence[Alert], user: Any, now: datetime) -> list[AlertLine]:
    """The lines, with a handful of queries for all together."""
    applications = {alert.rule.target.application_id: alert.rule.target.application for alert in alerts}
    may = changeable(user, applications.values())
    who = who_can_change_each(one for pk, one in applications.items() if pk not in may)
    told = _told(alerts)
    changes = _changes(alerts)
    silences = list(open_now(now).filter(application__in=list(applications)))
    lines = []
    for alert in alerts:
        application = alert.rule.target.application_id
        lines.append(
            AlertLine(
                alert=alert,
                title=alert.rule.title,
                subject=series_title(alert.series.metric, alert.series.labels),
                answer=_answer(alert),
                limit=value_text(alert.rule.metric, alert.threshold),
                peak=value_text(alert.rule.metric, alert.peak),
                seconds=((alert.resolved_at or now) - alert.began_at).total_seconds(),
                told=told.get(alert.pk, []),
                last_change=next((m for m in changes.get(application, []) if m.at <= alert.began_at), None),
                silence=next((s for s in silences if _covers(s, alert)), None),
                may_change=application in may,
                who_can=who.get(application, ""),
            )
        )
    return lines


def told_of(alert: Alert) -> list[Told]:
    return _told([alert]).get(alert.pk, [])


def _answer(alert: Alert) -> str:
    """'612 ms now, 688 ms at its peak'."""
    metric = alert.rule.metric
    if alert.kind == AlertKind.NO_DATA:
        return "No value" + (f", {value_text(metric, alert.series.last_value)} at last" if alert.series.last_at else "")
    if alert.state == AlertState.RESOLVED:
        return f"{value_text(metric, alert.peak)} at its peak"
    now = value_text(metric, alert.value)
    if alert.peak is None or alert.peak == alert.value:
        return f"{now} now"
    return f"{now} now, {value_text(metric, alert.peak)} at its {'lowest' if alert.rule.below else 'peak'}"


def _told(alerts: Iterable[Alert]) -> dict[int, list[Told]]:
    """Rounds of mails, the newest first: those of one event have one key."""
    by_about = {f"alert:{alert.pk}": alert.pk for alert in alerts}
    rows = OutgoingMail.objects.filter(about__in=list(by_about)).order_by("-created_at", "to_name")
    grouped: dict[int, dict[str, list[OutgoingMail]]] = {}
    for mail in rows.only("key", "about", "created_at", "to_name", "to_address", "recipient", "state"):
        grouped.setdefault(by_about[mail.about], {}).setdefault(mail.key, []).append(mail)
    return {
        pk: [
            Told(
                max(mail.created_at for mail in mails),
                _names(mails),
                _names([mail for mail in mails if mail.state == MailState.FAILED]),
            )
            for mails in rounds.values()
        ]
        for pk, rounds in grouped.items()
    }


def _names(mails: Sequence[OutgoingMail]) -> str:
    return ", ".join(dict.fromkeys(mail.to_name or mail.to_address for mail in mails))


def _changes(alerts: Iterable[Alert]) -> dict[int, list[Marker]]:
    """Markers of the alerts' applications from before the newest of them began, the newest first."""
    newest: dict[int, datetime] = {}
    for alert in alerts:
        pk = alert.rule.target.application_id
        newest[pk] = max(newest.get(pk, alert.began_at), alert.began_at)
    wanted = Q()
    for pk, at in newest.items():
        wanted |= Q(application=pk, at__lte=at)
    found: dict[int, list[Marker]] = {}
    if newest:
        for marker in Marker.objects.filter(wanted).order_by("-at")[:200]:
            found.setdefault(marker.application_id, []).append(marker)
    return found


def _covers(silence: Silence, alert: Alert) -> bool:
    same = silence.application_id == alert.rule.target.application_id
    return same and silence.rule_id in (None, alert.rule_id)
