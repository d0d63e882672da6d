"""What mails about alerts say: plain facts, written down with the mail; links that act are added when it is sent."""

from __future__ import annotations

import zoneinfo
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from django.conf import settings

from controlplane.pages.words import duration_text
from monitoring_app.metrics import Unit
from monitoring_app.models import Alert, AlertKind, Marker, Severity, Target, Verification
from monitoring_app.services.amounts import metric_of, series_title, value_text
from monitoring_app.services.people import Person


class Said(StrEnum):
    """What a mail tells of an alert."""

    FIRED = "fired"
    AGAIN = "again"
    ESCALATED = "escalated"
    RESOLVED = "resolved"
    LATE = "late"  # it began and ended while nobody judged


EVENTS: Mapping[Said, str] = {
    Said.FIRED: "told",
    Said.AGAIN: "told_again",
    Said.ESCALATED: "escalated",
    Said.RESOLVED: "told_over",
    Said.LATE: "told_late",
}
_OVER = (Said.RESOLVED, Said.LATE)


def subject(alert: Alert, said: Said) -> str:
    """[CRITICAL] yukyu: Disk nearly full (archive)."""
    word = "RESOLVED" if said in _OVER else alert.rule.severity.upper()
    first = {Said.AGAIN: "still: ", Said.ESCALATED: "nobody has it: "}.get(said, "")
    return f"[{word}] {alert.rule.target.application.name}: {first}{title_of(alert)}"


def title_of(alert: Alert) -> str:
    """What burns, in one line."""
    if alert.kind == AlertKind.NO_DATA:
        return f"No data: {series_title(alert.series.metric, alert.series.labels)}"
    told = ", ".join(str(alert.series.labels[name]) for name in sorted(alert.series.labels))
    return f"{alert.rule.title} ({told})" if told else alert.rule.title


def now_text(alert: Alert) -> str:
    """What it is now, where a number says more than the title; else ''."""
    if alert.kind == AlertKind.NO_DATA or not _has_amount(alert):
        return ""
    metric = alert.series.metric
    return f"{value_text(metric, alert.value)}, limit {value_text(metric, alert.rule.threshold)}"


def facts_of(alert: Alert, said: Said, now: datetime) -> dict[str, Any]:
    """What is the same for everyone who is told."""
    marker = Marker.objects.filter(application=alert.rule.target.application, at__lte=now).order_by("-at").first()
    return {
        "headline": title_of(alert),
        "sentence": _sentence(alert, said, now),
        "marker": marker,
        "lasted": duration_text((now - alert.began_at).total_seconds()),
        "now": now,
    }


def context(
    alert: Alert, said: Said, facts: Mapping[str, Any], person: Person, others: Sequence[str]
) -> dict[str, Any]:
    """For templates/mails/alert: plain JSON. alert, recipient: what links are made for at the moment of sending."""
    over = said in _OVER
    application = alert.rule.target.application
    return {
        "application": application.title or application.name,
        "word": "Resolved" if over else alert.rule.get_severity_display(),
        "tone": "good" if over else "alarm" if alert.rule.severity == Severity.CRITICAL else "care",
        "headline": facts["headline"],
        "sentence": facts["sentence"],
        "facts": _facts(alert, said, facts, person, others),
        "first_thing": "" if over else alert.rule.first_thing,
        "runbook_url": "" if over else alert.rule.runbook_url,
        "alert": alert.pk,
        "path": f"/alerts/{alert.pk}/",
        "is_over": over,
        "said": said.value,
        "recipient": person.recipient_id,
        "why": person.why,
    }


def _sentence(alert: Alert, said: Said, now: datetime) -> str:
    title = series_title(alert.series.metric, alert.series.labels)
    if said is Said.LATE:
        return f"{title} was over its limit while Causeway did not look. It is well again."
    if said is Said.RESOLVED:
        reason = alert.events.filter(what="resolved").values_list("text", flat=True).first()
        return reason or _well_again(alert, title)
    waits = {
        Said.AGAIN: " Nobody has taken charge of it.",
        Said.ESCALATED: " Those who were told have not taken charge of it.",
    }.get(said, "")
    if alert.kind == AlertKind.NO_DATA:
        lasted = duration_text((now - alert.began_at).total_seconds())
        note = f" ({alert.series.note})" if alert.series.note else ""
        return f"{title} has not been measured for {lasted}{note}.{waits}"
    value = value_text(alert.series.metric, alert.value)
    limit = value_text(alert.series.metric, alert.rule.threshold)
    beyond = "under" if alert.rule.below else "over"
    return f"{title}: {value}, {beyond} the limit of {limit}.{waits}" if _has_amount(alert) else f"{title}: no.{waits}"


def _well_again(alert: Alert, title: str) -> str:
    if alert.kind == AlertKind.NO_DATA:
        return f"{title} is measured again."
    stayed = f", and has been for {duration_text(alert.rule.keep_seconds)}" if alert.rule.keep_seconds else ""
    if not _has_amount(alert):
        return f"{title}: yes{stayed}."
    return f"{title}: {value_text(alert.series.metric, alert.value)}, within its limit{stayed}."


def _facts(
    alert: Alert, said: Said, facts: Mapping[str, Any], person: Person, others: Sequence[str]
) -> list[list[str]]:
    metric, rule = alert.series.metric, alert.rule
    rows: list[tuple[str, str]] = []
    if alert.kind == AlertKind.VALUE and _has_amount(alert):
        peak = value_text(metric, alert.peak)
        rows.append(("Worst", peak) if said in _OVER else ("Now", f"{value_text(metric, alert.value)}, worst {peak}"))
        clear = value_text(metric, rule.clear_threshold)
        side = "or more" if rule.below else "or less"
        rows.append(("Limit", f"{value_text(metric, rule.threshold)}; it ends at {clear} {side}"))
    rows.append(("Since", moment(alert.began_at, person.zone)))
    if said in _OVER and alert.resolved_at is not None:
        rows.append(("Until", moment(alert.resolved_at, person.zone)))
    lasted = ((alert.resolved_at or facts["now"]) - alert.began_at).total_seconds()
    rows.append(("Lasted" if said in _OVER else "For", duration_text(lasted)))
    if alert.owner:
        rows.append(("Who has it" if said not in _OVER else "Who had it", alert.owner))
    marker: Marker | None = facts["marker"]
    if marker is not None:
        rows.append(("Last change", f"{marker.text}, {moment(marker.at, person.zone)}"))
    if alert.series.view == "partial" and alert.series.note:
        rows.append(("Seen in part", alert.series.note))
    rows.append(("Also told", ", ".join(others) or "nobody else"))
    return [list(row) for row in rows]


def _has_amount(alert: Alert) -> bool:
    """Of a state (answers, or doesn't) a value and a limit say nothing that the title doesn't."""
    return metric_of(alert.series.metric).unit is not Unit.STATE


def moment(at: datetime, zone: str) -> str:
    """22 Nov 21:04:10 JST (12:04:10 UTC)."""
    local = at.astimezone(zoneinfo.ZoneInfo(zone or settings.TIME_ZONE))
    utc = at.astimezone(UTC)
    text = f"{local.day} {local:%b %H:%M:%S} {local.tzname()}"
    return text if local.utcoffset() == utc.utcoffset() else f"{text} ({utc:%H:%M:%S} UTC)"


_OUTCOMES = {"fine": "fine", "warning": "warning", "critical": "critical", "unknown": "not all could be looked at"}
_TONES = {"fine": "good", "warning": "care", "critical": "alarm", "unknown": "care"}


def digest_subject(verification: Verification) -> str:
    """[yukyu] daily verification of 22 November: fine."""
    day = verification.day
    outcome = _OUTCOMES.get(verification.outcome, verification.outcome)
    return f"[{verification.target.application.name}] daily verification of {day.day} {day:%B}: {outcome}"


def digest_context(verification: Verification, person: Person) -> dict[str, Any]:
    application = verification.target.application
    return {
        "application": application.title or application.name,
        "tone": _TONES.get(verification.outcome, "care"),
        "headline": f"Daily verification: {_OUTCOMES.get(verification.outcome, verification.outcome)}",
        "day": f"{verification.day.day} {verification.day:%B %Y}",
        "ended": moment(verification.ended_at or verification.began_at, person.zone),
        "checks": [
            {name: str(check.get(name, "")) for name in ("title", "outcome", "said")} for check in verification.checks
        ],
        "digest": verification.digest,
        "path": f"/health/{application.name}/",
        "recipient": person.recipient_id,
        "why": person.why if person.recipient_id is None else "You asked for it.",
    }


def self_test_context(
    target: Target, said: str, checks: Sequence[Mapping[str, str]], now: datetime, person: Person
) -> dict[str, Any]:
    """For templates/mails/digest: that this mail arrived is half of the proof."""
    application = target.application
    wrong = any(check["outcome"] != "fine" for check in checks)
    return {
        "application": application.title or application.name,
        "tone": "alarm" if wrong else "good",
        "headline": f"Weekly self-test of alerts: {said}",
        "day": f"{now.day} {now:%B %Y}",
        "ended": moment(now, person.zone),
        "checks": [dict(check) for check in checks],
        "digest": "",
        "path": f"/health/{application.name}/rules/",
        "recipient": person.recipient_id,
        "why": person.why if person.recipient_id is None else "You asked for it.",
    }
