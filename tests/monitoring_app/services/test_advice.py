"""What a page shows of advice: from stored rounds, and what is not known is said."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from monitoring_app.models import Series, Target
from monitoring_app.probes.measurement import Measurement
from monitoring_app.services import markers, samples
from monitoring_app.services.advice import advise
from tests import factories as make
from tests.monitoring_app.probes.measuring import execute, measure

pytestmark = pytest.mark.django_db
NOW = timezone.now()


@pytest.fixture
def target() -> Target:
    return Target.objects.create(application=make.application(), application_log={"path": "/srv/app.log"})


def errors(target: Target, since: Any, **counts: int) -> None:
    newest = dict.fromkeys(counts, timezone.now().isoformat())
    target.seen = {**target.seen, "errors": {"since": since.isoformat(), "counts": counts, "newest": newest}}
    target.save()


def test_target_that_was_never_measured_has_no_advice_and_says_that_nothing_is_known(target: Target) -> None:
    report = advise(target=target, now=NOW)
    assert (report.since, report.advices) == (None, ())
    assert len([gap for gap in report.gaps if gap.startswith("Nothing is known")]) == 4


def test_advice_of_a_real_round_puts_the_sequence_first(target: Target, target_url: str) -> None:
    execute(target_url, "CREATE TABLE staff (id serial PRIMARY KEY)", "INSERT INTO staff VALUES (7)")
    target.seen = measure(target_url).seen
    markers.mark(application=target.application, kind=markers.CUT_OVER, at=NOW - timedelta(hours=1), text="switched")
    errors(target, NOW - timedelta(hours=1), **{"42883": 4})
    report = advise(target=target, now=timezone.now())
    assert report.since == NOW - timedelta(hours=1)
    assert report.advices[0].statements[0].startswith("SELECT setval(")
    assert [(one.code, int(one.urgency)) for one in report.of("error")] == [("42883", 0)]
    assert report.of("setting")
    assert any("Query times are not known" in gap for gap in report.gaps)


def test_errors_of_an_earlier_cut_over_are_not_todays(target: Target) -> None:
    markers.mark(application=target.application, kind=markers.CUT_OVER, at=NOW - timedelta(days=9), text="switched")
    errors(target, NOW - timedelta(days=9), **{"23505": 4})
    assert advise(target=target, now=NOW).of("error")
    markers.mark(application=target.application, kind=markers.BACK, at=NOW - timedelta(days=8), text="back")
    assert not advise(target=target, now=NOW).of("error")
    markers.mark(application=target.application, kind=markers.CUT_OVER, at=NOW - timedelta(days=1), text="again")
    assert not advise(target=target, now=NOW).of("error")


def test_pool_is_judged_by_its_worst_of_a_day(target: Target) -> None:
    for hours, value in ((30, 99.0), (3, 91.0), (1, 10.0)):
        moment = NOW - timedelta(hours=hours)
        samples.store(target=target, measurements=[Measurement("pool_used", value)], now=moment)
    target.seen = {"connections": {"limits": [{"limit": "role shop", "used": 5, "usable": 20}]}}
    (pool,) = advise(target=target, now=NOW).of("pool")
    assert "91 %" in pool.why and "20 for role shop" in pool.why
    Series.objects.all().delete()
    assert not advise(target=target, now=NOW).of("pool")


def test_server_that_is_away_leaves_a_gap_not_a_clean_bill(target: Target) -> None:
    target.seen = measure("postgresql://shop:secret@127.0.0.1:1/shop").seen
    report = advise(target=target, now=timezone.now())
    assert not report.advices
    assert any("sequences now: PostgreSQL can't be reached" in gap for gap in report.gaps)


def test_old_sights_are_said_to_be_old(target: Target) -> None:
    target.seen = {"indexes": {"at": (NOW - timedelta(hours=5)).isoformat()}}
    assert any("indexes" in gap and "as of" in gap for gap in advise(target=target, now=NOW).gaps)
