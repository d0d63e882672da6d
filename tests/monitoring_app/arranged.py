"""A watched application, and values of it as if probes had measured them, second by second."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from django.contrib.auth.models import User

from controlplane.registry.models import Role
from monitoring_app.models import AlertRule, Recipient, Series, Target
from monitoring_app.probes.measurement import Measurement
from monitoring_app.services import samples, targets
from monitoring_app.services.evaluation import evaluate
from monitoring_app.services.recipients import new_nonce
from tests import factories as make

START = datetime(2026, 11, 22, 12, 0, 0, tzinfo=UTC)
STEP = 15


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def watched(name: str = "yukyu") -> Target:
    """An application with its default rules; everything it measures is expected since long before START."""
    return targets.watch(application=make.application(name), actor="system")


def person(target: Target, name: str, *roles: str) -> User:
    one = make.user(name, email=f"{name}@example.org")
    make.member(target.application, one, *roles)
    return one


def on_call(target: Target) -> User:
    return person(target, "ana", Role.OPS)


def rule(target: Target, code: str, **values: Any) -> AlertRule:
    """The target's rule, with other numbers where some are given."""
    AlertRule.objects.filter(target=target, code=code).update(**values)
    return AlertRule.objects.get(target=target, code=code)


def measured(target: Target, second: float, *measurements: Measurement) -> None:
    """A round of probes."""
    samples.store(target=target, measurements=measurements, now=at(second))
    Series.objects.filter(target=target, expected_from__gt=START).update(expected_from=START)


def value(
    metric: str, number: float | None, labels: dict[str, str] | None = None, count: int | None = None
) -> Measurement:
    if number is None:
        return Measurement.unknown(metric, "it did not answer", labels)
    return Measurement(metric, number, labels or {}, count=count)


def live(
    target: Target,
    metric: str,
    values: Iterable[float | None],
    *,
    start: float = 0,
    labels: dict[str, str] | None = None,
    count: int | None = None,
    every: float = STEP,
) -> float:
    """Measure and judge every 15 seconds, or as said; the second of the round after the last."""
    second = start
    for number in values:
        measured(target, second, value(metric, number, labels, count))
        evaluate(now=at(second))
        second += every
    return second


def recipient(target: Target, address: str = "night@example.org", **fields: Any) -> Recipient:
    """Somebody without an account, who has confirmed."""
    described = {"nonce": new_nonce(), "confirmed_at": START, **fields}
    return Recipient.objects.create(application=target.application, address=address, **described)
