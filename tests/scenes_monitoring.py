"""Applications under watch in the middle of the night: one burns, one is taken care of, one is well, one is unknown."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from controlplane.mail.models import MailState, OutgoingMail
from controlplane.registry.models import Application
from monitoring_app.models import Alert, AlertRule, Recipient, Round, Sample, Series, Target, Verification
from monitoring_app.services import alerts, markers, silences, targets
from monitoring_app.services.alerts import write_event
from monitoring_app.services.samples import labels_key
from tests import factories as make

Shape = Callable[[float], float]  # from hours ago to a value
CUT_OVER_HOURS = 1.8
ENDPOINTS = ("employees", "genzai", "leave-requests")


def watched(application: Application, **fields: Any) -> Target:
    """Under watch, with the rules that every target begins with."""
    target = targets.watch(application=application, actor="system")
    fields.setdefault("volumes", [{"name": "data", "path": "/srv/data"}, {"name": "archive", "path": "/srv/archive"}])
    fields.setdefault("replicas", ["tokyo-2"])
    Target.objects.filter(pk=target.pk).update(**fields)
    return Target.objects.select_related("application").get(pk=target.pk)


def measured(
    target: Target,
    metric: str,
    shape: Shape,
    *,
    hours: float = 3.2,
    step: int = 30,
    view: str = "full",
    note: str = "",
    silent_for: float = 0.0,
    events: int | None = None,
    **labels: str,
) -> Series:
    """A series with a sample every `step` seconds; the last one `silent_for` hours ago."""
    now = timezone.now()
    series = Series.objects.create(
        target=target, metric=metric, labels=labels, labels_key=labels_key(labels), view=view, note=note, checked_at=now
    )
    dice = random.Random(f"{target.application.name}{metric}{labels_key(labels)}")
    rows = []
    for tick in range(int(hours * 3600 / step)):
        ago = tick * step / 3600
        if ago < silent_for or (0.62 < ago < 0.7 and metric == "pool_used"):
            continue
        value = max(0.0, shape(ago) * (1 + dice.uniform(-0.04, 0.04)))
        at = now - timedelta(hours=ago, seconds=2)
        rows.append(Sample(series=series, at=at, minimum=value, average=value, maximum=value, n=1, events=events))
    Sample.objects.bulk_create(rows)
    Series.objects.filter(pk=series.pk).update(last_at=rows[0].at, last_value=rows[0].average, last_count=events)
    return Series.objects.get(pk=series.pk)


def keep_alive() -> None:
    """As if the monitor had gone on until now: rounds and values of every target whose monitor isn't silent."""
    now = timezone.now()
    alive = now - timedelta(minutes=10)
    targets_alive = Round.objects.filter(part="server", ended_at__gte=alive).values_list("target", flat=True)
    rows = []
    for series in Series.objects.filter(target__in=list(targets_alive), last_at__gte=alive):
        at, value = series.last_at, series.last_value
        assert at is not None and value is not None
        while (at := at + timedelta(seconds=15)) < now:
            rows.append(Sample(series=series, at=at, minimum=value, average=value, maximum=value, n=1))
    Sample.objects.bulk_create(rows, ignore_conflicts=True)
    Series.objects.filter(target__in=list(targets_alive), last_at__gte=alive).update(last_at=now, checked_at=now)
    Round.objects.filter(ended_at__gte=alive).update(ended_at=now - timedelta(seconds=3))


def rounds(target: Target, ago: float = 3.0) -> None:
    """Both parts of the loop ended so many seconds ago; the judging too."""
    now = timezone.now()
    for part in ("server", "host"):
        Round.objects.create(
            target=target, part=part, began_at=now - timedelta(seconds=ago + 1), ended_at=now - timedelta(seconds=ago)
        )
    Round.objects.get_or_create(target=None, part="evaluate", defaults={"ended_at": now - timedelta(seconds=2)})


def burning(
    target: Target, code: str, series: Series, *, minutes: float, value: float, peak: float, told: bool = True
) -> Alert:
    """An alert that fires, told to the people of the application."""
    rule = AlertRule.objects.get(target=target, code=code)
    began = timezone.now() - timedelta(minutes=minutes)
    fired = began + timedelta(seconds=rule.for_seconds)
    alert = Alert.objects.create(
        rule=rule, series=series, state="firing", began_at=began, fired_at=fired, value=value, peak=peak,
        threshold=rule.threshold, told_at=fired, next_telling_at=timezone.now() + timedelta(minutes=16),
    )  # fmt: skip
    write_event(alert, "began", at=began)
    write_event(alert, "fired", at=fired, text=f"{value:g}")
    if told:
        _mails(alert, fired)
        write_event(alert, "told", at=fired, text="ana, ben")
    return Alert.objects.select_related("rule__target__application", "series").get(pk=alert.pk)


def _mails(alert: Alert, at: datetime, **fields: Any) -> None:
    name = alert.rule.target.application.name
    subject = f"[{alert.rule.severity.upper()}] {name}: {alert.rule.title}"
    for who in ("ana", "ben"):
        OutgoingMail.objects.create(
            key=f"alert:{alert.pk}:fired:{at.timestamp():.0f}", recipient=f"scene:{who}", to_name=who,
            to_address=f"{who}@example.com", kind="alert", application=name, about=f"alert:{alert.pk}",
            subject=subject, template="alert", next_attempt_at=at, created_at=at,
            **{"state": MailState.SENT, "sent_at": at, "attempts": 1, **fields},
        )  # fmt: skip


def over(target: Target, code: str, series: Series, *, hours: float, minutes: float, peak: float, owner: str) -> None:
    """An alert that ended."""
    rule = AlertRule.objects.get(target=target, code=code)
    began = timezone.now() - timedelta(hours=hours)
    ended = began + timedelta(minutes=minutes)
    alert = Alert.objects.create(
        rule=rule, series=series, state="resolved", began_at=began, fired_at=began + timedelta(seconds=60),
        resolved_at=ended, value=peak / 2, peak=peak, threshold=rule.threshold, owner=owner,
    )  # fmt: skip
    write_event(alert, "began", at=began)
    write_event(alert, "resolved", at=ended)


@dataclass(frozen=True)
class Night:
    """Names of the applications, and the alert that nobody has."""

    application: str
    well: str
    silent: str
    alert: Alert


def at_night(*, burns: Application, well: Application, silent: Application, who: make.People) -> Night:
    """One that burns (and one alert that ana has), one that is well, one whose monitor is silent."""
    alert = _burns(burns, who)
    _well(well)
    _silent(silent)
    return Night(burns.name, well.name, silent.name, alert)


def _step(before: float, after: float) -> Shape:
    return lambda ago: after if ago < CUT_OVER_HOURS else before


def _rising(before: float, after: float, top: float) -> Shape:
    return lambda ago: before if ago >= CUT_OVER_HOURS else after + max(0.0, top - after) * max(0.0, 1 - ago / 0.5)


def _burns(application: Application, who: make.People) -> Alert:
    target = watched(application)
    cut_over = timezone.now() - timedelta(hours=CUT_OVER_HOURS)
    markers.mark(
        application=application,
        kind=markers.CUT_OVER,
        at=cut_over,
        text="run 14 switched to PostgreSQL",
        about="run:14",
    )
    query = measured(target, "query_time", _rising(40, 120, 640), note="")
    archive = measured(target, "disk_used", lambda ago: 82 - 3 * ago, volume="archive")
    measured(target, "disk_used", lambda ago: 41.0, volume="data")
    pool = measured(target, "pool_used", _step(4, 41), note="41 of 100 connections of the server")
    errors = measured(target, "error_rate", _step(0.08, 0.12), events=2480, source="access log")
    measured(target, "requests", _step(31, 33), source="access log")
    measured(target, "replication_lag", lambda ago: 47e6 if 1.6 < ago < CUT_OVER_HOURS else 3.1e6, replica="tokyo-2")
    measured(target, "database_size", lambda ago: 6.2e9)
    for name, before, after in (("employees", 340, 240), ("genzai", 210, 96), ("leave-requests", 402, 131)):
        measured(target, "endpoint_time", _step(before, after), endpoint=name)
    measured(target, "connections", _step(2, 31), application="yukyu", state="idle")
    measured(target, "connections", _step(1, 9), application="yukyu", state="active")
    measured(target, "transaction_age", lambda ago: 2 + math.sin(ago * 9))
    measured(target, "sequences_behind", lambda ago: 0.0)
    measured(target, "cache_hits", lambda ago: 94.2)
    measured(target, "wraparound", lambda ago: 1.4)
    Series.objects.create(
        target=target, metric="backup_age", view="unknown", note="no backup is known yet", checked_at=timezone.now()
    )
    Application.objects.filter(pk=application.pk).update(
        endpoints=[
            {"name": name, "process": "web", "path": f"/api/{name}"}
            for name in ("employees", "genzai", "leave-requests")
        ]
    )
    Target.objects.filter(pk=target.pk).update(seen=_seen())
    rounds(target)
    alert = burning(target, "query-time", query, minutes=15, value=612, peak=688)
    disk = burning(target, "disk", archive, minutes=26, value=82, peak=82)
    alerts.acknowledge(alert=disk, who=who.ops, note="moving segments", now=timezone.now() - timedelta(minutes=23))
    over(target, "errors", errors, hours=1.75, minutes=2.25, peak=1.8, owner="ana")
    over(target, "pool", pool, hours=1.7, minutes=1.5, peak=84, owner="")
    Recipient.objects.create(
        application=application, name="Night desk", address="night@example.com", severity="critical", escalation=True,
        nonce="a" * 32, confirmed_at=timezone.now() - timedelta(days=3), zone="Asia/Tokyo",
    )  # fmt: skip
    Recipient.objects.create(
        application=application, address="new.person@example.com", nonce="b" * 32, confirmed_at=None
    )
    _verified(target)
    _mails(alert, timezone.now() - timedelta(minutes=4), state=MailState.FAILED, attempts=5, error_code="SMTP_550",
           error="The mail server refused the address (550).")  # fmt: skip
    return alert


def _well(application: Application) -> None:
    target = watched(application, replicas=[])
    measured(target, "query_time", lambda ago: 60, view="partial", note="pg_stat_statements is missing")
    measured(target, "disk_used", lambda ago: 41.0, volume="data")
    measured(target, "disk_used", lambda ago: 12.0, volume="archive")
    measured(target, "pool_used", lambda ago: 22, note="22 of 97 connections of the server")
    measured(target, "error_rate", lambda ago: 0.0, source="access log")
    rounds(target)
    silences.open_silence(
        application=application, rule=None, ends_at=timezone.now() + timedelta(hours=2), reason="rehearsal of run 21",
        by="run 21", about="run:21", now=timezone.now() - timedelta(minutes=12),
    )  # fmt: skip


def _silent(application: Application) -> None:
    target = watched(application, replicas=[], volumes=[])
    measured(target, "query_time", lambda ago: 60, silent_for=0.4)
    measured(target, "pool_used", lambda ago: 22, silent_for=0.4)
    rounds(target, ago=1400)


def _verified(target: Target) -> None:
    today = timezone.now().date()
    checks = [
        {"code": title.lower(), "title": title, "outcome": outcome, "said": said, "view": "full"}
        for title, outcome, said in (
            ("Health", "fine", "PostgreSQL answers; 3 of 3 endpoints"),
            ("Errors", "fine", "0.11% of 214,000 requests"),
            ("Sequences", "fine", "41 of 41 ahead"),
            ("Size and growth", "warning", "6.2 GB, 410 MB more than yesterday"),
            ("Backups", "unknown", "none is known yet"),
        )
    ]  # fmt: skip
    for days, outcome in ((0, "warning"), (1, "fine"), (2, "unknown")):
        at = timezone.now() - timedelta(days=days)
        Verification.objects.create(
            target=target, day=today - timedelta(days=days), began_at=at, ended_at=at, outcome=outcome, checks=checks,
            digest="3f9a01c2" * 8,
        )  # fmt: skip


def _seen() -> dict[str, Any]:
    at = (timezone.now() - timedelta(seconds=4)).isoformat()
    slow = (
        "SELECT employees.id, employees.name_kana FROM employees WHERE employees.name_kana LIKE $1 ORDER BY $2 LIMIT $3"
    )
    other = "UPDATE leave_accounts SET days_left = days_left - $1 WHERE employee_id = $2"

    def statement(text: str, mean: float, lifetime: float, calls: int, share: float) -> dict[str, Any]:
        return {"text": text, "calls": calls, "mean_ms": mean, "total_ms": mean * calls, "share": share,
                "lifetime_calls": calls * 300, "lifetime_mean_ms": lifetime, "entries": 1, "ids": ["1"]}  # fmt: skip

    return {
        "statements": {
            "at": at, "seconds": 15.0, "calls": 1204, "mean_ms": 18.2, "problem": "", "view": "full", "note": "",
            "by_mean": [statement(slow, 601.0, 1.84, 5, 71.0)],
            "by_total": [statement(slow, 601.0, 1.84, 5, 71.0), statement(other, 0.8, 0.7, 820, 12.0)],
        },
        "activity": {
            "at": at, "view": "full", "note": "", "prepared": 0,
            "running": [{"pid": 4711, "application": "yukyu", "user": "yukyu", "state": "active", "seconds": 0.42,
                         "transaction_seconds": 0.5, "idle_seconds": 0.0, "text": slow, "waits": ""}],
            "idle_in_transaction": [{"pid": 4702, "application": "yukyu", "user": "yukyu", "seconds": 41.0,
                                     "state": "idle in transaction", "transaction_seconds": 44.0,
                                     "idle_seconds": 41.0, "text": other, "waits": ""}],
        },
        "blocked": {
            "at": at,
            "sessions": [{"pid": 4713, "application": "yukyu", "user": "yukyu", "text": other, "mode": "ShareLock",
                          "relation": "leave_accounts", "seconds": 38.0,
                          "blockers": [{"pid": 4702, "application": "yukyu", "user": "yukyu", "text": other,
                                        "state": "idle in transaction", "transaction_seconds": 44.0}]}],
        },
    }  # fmt: skip
