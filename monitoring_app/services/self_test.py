"""Does each rule still fire, and does a mail still get out? Tried once a week, so that silence means well, not broken.

Every rule is played on made-up samples in a scratch target of its own, through the code that judges and tells; all of
that is rolled back. What stays is one mail to those who get the daily result, that says what was tried.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db import transaction

from controlplane import doorbell
from controlplane.mail.models import OutgoingMail
from controlplane.mail.outbox import SEND, put_mail
from controlplane.registry.models import Application
from monitoring_app.models import AlertRule, Recipient, Resolution, Sample, Series, Target
from monitoring_app.services import people, wording
from monitoring_app.services.evaluation import evaluate_target
from monitoring_app.services.recipients import mail_id, new_nonce

KIND: Final = "self_test"
STEP: Final = timedelta(seconds=15)
# A rule that waits longer than that is not tried: it would take too many samples.
LONGEST: Final = timedelta(hours=1)


@dataclass(frozen=True)
class Tried:
    """What became of a rule. problem: '' where it fired, was told, ended, and that was told."""

    code: str
    title: str
    problem: str = ""
    skipped: str = ""


def try_rules(target: Target, *, now: datetime) -> list[Tried]:
    """Play every rule that is switched on. Nothing of it stays."""
    return [_try(rule, now) for rule in AlertRule.objects.filter(target=target, enabled=True)]


def run_self_test(target: Target, *, now: datetime, key: str) -> list[Tried]:
    """Try the rules and mail the result, once for each key and person."""
    tried = try_rules(target, now=now)
    with transaction.atomic():
        for person in people.told_of_digest(target.application):
            put_mail(
                key=key,
                to=person.mail,
                kind=KIND,
                subject=f"[{target.application.name}] weekly self-test of alerts: {_sum(tried)}",
                template="digest",
                context=wording.self_test_context(target, _sum(tried), _checks(tried), now, person),
                application=target.application.name,
                about=f"target:{target.pk}",
            )
        doorbell.ring(SEND, target.pk, "common")
    return tried


def run_due(*, now: datetime) -> int:
    """The self-tests that this week has not seen; how many were run."""
    done = 0
    for target in Target.objects.filter(enabled=True).select_related("application"):
        key = key_of_week(target, now)
        if mails_of(key) or not people.told_of_digest(target.application):
            continue
        run_self_test(target, now=now, key=key)
        done += 1
    return done


def mails_of(key: str) -> list[OutgoingMail]:
    """The mails about it: their state says whether the mail server took them."""
    return list(OutgoingMail.objects.filter(kind=KIND, key=key))


def key_of_week(target: Target, now: datetime) -> str:
    year, week, _ = now.isocalendar()
    return f"{KIND}:{target.pk}:{year}-{week}"


def key_of_moment(target: Target, now: datetime) -> str:
    """For a test that somebody asks for: it is made and mailed whatever this week has seen."""
    return f"{KIND}:{target.pk}:{now.timestamp()}"


def _sum(tried: Iterable[Tried]) -> str:
    rows = [one for one in tried if not one.skipped]
    wrong = [one.code for one in rows if one.problem]
    return f"{', '.join(wrong)} did not work" if wrong else f"{len(rows)} rules work"


def _checks(tried: Iterable[Tried]) -> list[dict[str, str]]:
    return [
        {
            "title": one.title,
            "outcome": "critical" if one.problem else "fine",
            "said": one.problem or one.skipped or "It fired, was told, ended, and that was told.",
        }
        for one in tried
    ]


def _try(rule: AlertRule, now: datetime) -> Tried:
    waits = timedelta(seconds=max(rule.for_seconds, rule.keep_seconds) + rule.window_seconds)
    if waits > LONGEST:
        return Tried(rule.code, rule.title, skipped="Not tried: it waits longer than an hour.")
    with transaction.atomic():
        problem = _play(rule, waits + 2 * STEP, now)
        transaction.set_rollback(True)
    return Tried(rule.code, rule.title, problem)


def _play(rule: AlertRule, waits: timedelta, now: datetime) -> str:
    """What went wrong, '' for nothing. Call in a transaction that is rolled back."""
    application = Application.objects.create(name=f"self-test-{secrets.token_hex(8)}", host="nowhere")
    target = Target.objects.create(application=application)
    listener = Recipient.objects.create(
        application=application, address="self-test@causeway.invalid", nonce=new_nonce(), confirmed_at=now
    )
    rule = AlertRule.objects.get(pk=rule.pk)
    rule.pk, rule.target = None, target
    rule.save()
    begin = now - 2 * waits
    turn = now - waits
    series = Series.objects.create(
        target=target, metric=rule.metric, labels=rule.labels, judged_until=begin - STEP, expected_from=begin - STEP
    )
    good, bad = _values(rule)
    _measure(series, bad, begin, turn, rule)
    evaluate_target(target, now=turn)
    if not _told(listener, "alert_fired"):
        return "It did not fire on values beyond its limit."
    _measure(series, good, turn, now, rule)
    evaluate_target(target, now=now)
    if not _told(listener, "alert_resolved"):
        return "It did not end on values within its clear limit."
    return ""


def _values(rule: AlertRule) -> tuple[float, float]:
    """A value that is well, and one that is trouble."""
    far = abs(rule.threshold) / 2 + 1
    return (rule.clear_threshold + far, rule.threshold - far) if rule.below else (0.0, rule.threshold + far)


def _measure(series: Series, value: float, since: datetime, until: datetime, rule: AlertRule) -> None:
    events = None
    if rule.minimum_events or rule.minimum_bad:
        events = max(rule.minimum_events, math.ceil(rule.minimum_bad * 100 / max(rule.threshold, 0.01))) + 1
    moments = [since + STEP * number for number in range(int((until - since) / STEP))]
    Sample.objects.bulk_create(
        Sample(
            series=series, resolution=Resolution.RAW, at=at, minimum=value, average=value, maximum=value, events=events
        )
        for at in moments
    )
    Series.objects.filter(pk=series.pk).update(last_at=moments[-1], checked_at=moments[-1], last_value=value)


def _told(listener: Recipient, kind: str) -> bool:
    return OutgoingMail.objects.filter(recipient=mail_id(listener), kind=kind).exists()
