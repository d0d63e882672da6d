"""What a rule would have done is what evaluation then does, on the same samples."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from controlplane.refusals import FieldsRefused, Forbidden, Stale
from controlplane.registry.models import Role
from monitoring_app.models import Alert, AlertRule, AlertState, Target
from monitoring_app.probes.measurement import Measurement
from monitoring_app.services import rules
from monitoring_app.services.evaluation import evaluate
from tests.monitoring_app.arranged import at, live, measured, on_call, person, rule, value, watched

pytestmark = pytest.mark.django_db
_LEVELS = [0.0, 69.0, 70.0, 75.0, 80.0, 81.0, 95.0, None]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=some.lists(some.sampled_from(_LEVELS), min_size=1, max_size=25),
    judged=some.sets(some.integers(0, 25)),
    for_seconds=some.sampled_from([0, 30, 60]),
    keep_seconds=some.sampled_from([0, 30, 60]),
    no_data=some.sampled_from(["alert", "keep"]),
)
def test_a_preview_says_what_evaluation_then_does(
    db: None,
    values: list[float | None],
    judged: set[int],
    for_seconds: int,
    keep_seconds: int,
    no_data: str,
) -> None:
    with transaction.atomic():
        target = watched()
        numbers = {"for_seconds": for_seconds, "keep_seconds": keep_seconds, "no_data": no_data}
        one = rule(target, "pool", **numbers, no_data_seconds=60)
        # The first value is there: a series that never had one is judged by when it was made, not by samples.
        for number, used in enumerate([10.0, *values]):
            measured(target, number * 15, value("pool_used", used))
            if number in judged:
                evaluate(now=at(number * 15))
        evaluate(now=at(len(values) * 15))
        told = rules.preview(rule_values=one, target=target, since=at(0), until=at(len(values) * 15 + 1))
        rows = Alert.objects.exclude(state=AlertState.PENDING).order_by("fired_at", "pk")
        did = [(row.kind, row.began_at, row.fired_at, row.resolved_at, row.peak) for row in rows]
        assert [(one.kind, one.began, one.fired, one.ended, one.peak) for one in told.alerts] == did
        assert told.times_fired == len(did)
        transaction.set_rollback(True)


@pytest.fixture
def target() -> Target:
    return watched()


def test_a_preview_of_other_numbers_changes_nothing(target: Target) -> None:
    next_round = live(target, "pool_used", [50, 90, 90, 90, 90, 90, 60, 60, 60, 60, 60])
    one = rule(target, "pool")
    Alert.objects.all()
    one.threshold, one.clear_threshold = 95, 90
    quiet = rules.preview(rule_values=one, target=target, since=at(0), until=at(next_round))
    assert (quiet.times_fired, quiet.seconds_firing, quiet.measured) == (0, 0, True)
    one.threshold, one.clear_threshold = 55, 40
    loud = rules.preview(rule_values=one, target=target, since=at(0), until=at(next_round))
    assert loud.times_fired == 1 and loud.alerts[0].ended is None
    assert rule(target, "pool").threshold == 80


def test_a_preview_without_any_samples_says_so(target: Target) -> None:
    seen = rules.preview(rule_values=rule(target, "disk"), target=target, since=at(0), until=at(600))
    assert (seen.times_fired, seen.measured) == (0, False)


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"clear_threshold": 90}, "clear_threshold"),
        ({"threshold": float("nan")}, "threshold"),
        ({"for_seconds": 8 * 24 * 3600}, "for_seconds"),
        ({"window_seconds": 7200}, "window_seconds"),
        ({"no_data": "alert", "no_data_seconds": 5}, "no_data_seconds"),
        ({"repeat_seconds": 10}, "repeat_seconds"),
        ({"severity": "loud"}, "severity"),
        ({"runbook_url": "javascript:alert(1)"}, "runbook_url"),
    ],
)
def test_numbers_that_make_no_rule_are_refused_where_they_stand(
    target: Target, values: dict[str, Any], field: str
) -> None:
    ana = on_call(target)
    with pytest.raises(FieldsRefused) as refused:
        rules.change(rule=rule(target, "pool"), values=values, actor=ana)
    assert field in refused.value.fields
    assert rule(target, "pool").version == 0


def test_a_changed_rule_counts_and_a_page_that_was_open_is_told(target: Target) -> None:
    ana = on_call(target)
    one = rule(target, "pool")
    rules.change(rule=one, values={"threshold": 90, "clear_threshold": 85, "version": 0}, actor=ana)
    with pytest.raises(Stale):
        rules.change(rule=one, values={"threshold": 70, "clear_threshold": 60, "version": 0}, actor=ana)
    live(target, "pool_used", [88] * 8)
    assert not Alert.objects.exists()


@pytest.mark.parametrize("role", [Role.QA, Role.VIEWER])
def test_who_only_looks_on_changes_no_rule(target: Target, role: str) -> None:
    with pytest.raises(Forbidden) as refused:
        rules.change(rule=rule(target, "pool"), values={"threshold": 99}, actor=person(target, "chika", role))
    assert "ops" in refused.value.who


def test_watching_twice_adds_only_what_is_missing(target: Target) -> None:
    rule(target, "pool", threshold=60)
    AlertRule.objects.filter(target=target, code="disk").delete()
    rules.install_defaults(target)
    assert rule(target, "pool").threshold == 60 and rule(target, "disk").threshold == 80


def test_every_default_makes_sense(target: Target) -> None:
    for one in AlertRule.objects.filter(target=target):
        rules.check(one)
        assert one.first_thing and (one.enabled or one.why_off), asdict(rules.as_pure(one))


def test_values_that_are_missing_because_causeway_was_down_are_no_alert_of_a_preview(target: Target) -> None:
    pool = rule(target, "pool", no_data="alert", no_data_seconds=60)
    for second in (0, 15, 30, *range(900, 1000, 15)):
        tick = Measurement("loop_age", 1.0, {"part": "server"})
        measured(target, second, tick, value("pool_used", 10.0))
    told = rules.preview(rule_values=pool, target=target, since=at(0), until=at(1000))
    assert told.measured and not told.alerts


def test_values_that_are_missing_while_causeway_looked_are_an_alert_of_a_preview(target: Target) -> None:
    pool = rule(target, "pool", no_data="alert", no_data_seconds=60)
    for second in range(0, 1000, 15):
        tick = Measurement("loop_age", 1.0, {"part": "server"})
        found = [value("pool_used", 10.0)] if second < 45 or second >= 900 else []
        measured(target, second, tick, *found)
    told = rules.preview(rule_values=pool, target=target, since=at(0), until=at(1000))
    assert [(one.kind, one.began, one.fired) for one in told.alerts] == [("no_data", at(30), at(90))]
