"""Samples: what goes in comes out, at the finest resolution that still has it, and rolling up loses no extreme."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from django.db.models import Count
from django.utils import timezone

from monitoring_app.models import Resolution, Sample, Series, Target
from monitoring_app.probes.measurement import Measurement
from monitoring_app.services import drawing, rollup, samples
from monitoring_app.services.rollup import roll_up
from monitoring_app.services.samples import Point, points, store, window
from tests import factories as make

pytestmark = pytest.mark.django_db
START = datetime(2026, 11, 1, 0, 0, tzinfo=UTC)


@pytest.fixture
def target() -> Target:
    return Target.objects.create(application=make.application())


def at(**distance: float) -> datetime:
    return START + timedelta(**distance)


def put(target: Target, value: float | None, now: datetime, *, count: int | None = None, **labels: str) -> Series:
    store(target=target, measurements=[Measurement("pool_used", value, labels, count=count)], now=now)
    return Series.objects.get(target=target, metric="pool_used", labels_key=samples.labels_key(labels))


def fill(target: Target, since: datetime, until: datetime, seconds: int = 15) -> Series:
    """A value every `seconds`: the minutes since START, as a series that rises all the time."""
    series = put(target, 0.0, since)
    rows = []
    moment = since + timedelta(seconds=seconds)
    while moment < until:
        value = (moment - START).total_seconds() / 60
        rows.append(Sample(series=series, at=moment, minimum=value, average=value, maximum=value, events=2))
        moment += timedelta(seconds=seconds)
    Sample.objects.bulk_create(rows, 500)
    return series


def test_a_value_is_kept_with_its_events_and_the_series_knows_the_newest(target: Target) -> None:
    series = put(target, 41.0, at(), count=7)
    series = put(target, 42.5, at(seconds=15), count=9)
    assert (series.last_value, series.last_at, series.last_count, series.view) == (42.5, at(seconds=15), 9, "full")
    assert window(series, at(), at(minutes=1)) == [
        Point(at(), 41.0, 41.0, 41.0, 1, 7),
        Point(at(seconds=15), 42.5, 42.5, 42.5, 1, 9),
    ]


@pytest.mark.parametrize("value", [None, math.nan, math.inf])
def test_what_could_not_be_measured_is_no_sample_and_never_a_zero(target: Target, value: float | None) -> None:
    put(target, 5.0, at())
    series = put(target, value, at(seconds=15))
    assert (series.last_value, series.last_at, series.checked_at) == (5.0, at(), at(seconds=15))
    assert [point.average for point in window(series, at(), at(minutes=1))] == [5.0]


def test_labels_make_series_of_their_own_in_any_order_and_length(target: Target) -> None:
    long = {"application": "x" * 400, "state": "idle"}
    one = put(target, 1.0, at(), **long)
    again = put(target, 2.0, at(seconds=15), **dict(reversed(long.items())))
    other = put(target, 3.0, at(), application="x" * 400 + "y", state="idle")
    assert one.pk == again.pk != other.pk


def test_a_probe_that_answers_twice_for_one_series_does_not_break_the_round(target: Target) -> None:
    twice = [Measurement("pool_used", 1.0), Measurement("pool_used", 2.0), Measurement("wraparound", 3.0)]
    store(target=target, measurements=twice, now=at())
    assert Series.objects.get(metric="pool_used").last_value == 1.0
    assert Series.objects.get(metric="wraparound").last_value == 3.0


def test_a_metric_that_nobody_knows_is_refused_before_anything_is_written(target: Target) -> None:
    with pytest.raises(KeyError):
        store(target=target, measurements=[Measurement("pool_used", 1.0), Measurement("made_up", 1.0)], now=at())
    assert not Series.objects.exists()


def test_labels_that_a_client_chooses_do_not_fill_the_database(target: Target) -> None:
    many = [Measurement("connections", 1.0, {"application": f"client-{number}"}) for number in range(600)]
    store(target=target, measurements=many, now=at())
    store(
        target=target, measurements=[Measurement("connections", 2.0, {"application": "client-0"})], now=at(seconds=15)
    )
    assert Series.objects.count() == samples.MOST_SERIES
    assert Series.objects.get(labels_key="application=client-0").last_value == 2.0


def test_rolling_up_keeps_least_greatest_mean_and_number(target: Target) -> None:
    series = put(target, 10.0, at(minutes=1), count=1)
    put(target, 90.0, at(minutes=2), count=2)
    put(target, 20.0, at(minutes=4, seconds=59), count=3)
    put(target, 1.0, at(minutes=5), count=4)
    assert roll_up(now=at(minutes=12))
    rows = Sample.objects.filter(series=series, resolution=Resolution.FIVE_MINUTES).order_by("at")
    assert [(r.at, r.minimum, r.average, r.maximum, r.n, r.events) for r in rows] == [
        (at(), 10.0, 40.0, 90.0, 3, 6),
        (at(minutes=5), 1.0, 1.0, 1.0, 1, 4),
    ]


def test_a_bucket_is_not_rolled_up_before_its_time_is_over(target: Target) -> None:
    series = put(target, 10.0, at(minutes=1))
    roll_up(now=at(minutes=5, seconds=30))  # a round that began at 4:59 may still come
    assert not Sample.objects.filter(series=series, resolution=Resolution.FIVE_MINUTES).exists()


def test_hours_weigh_their_parts_by_the_number_of_values(target: Target) -> None:
    series = put(target, 0.0, at(minutes=1))
    for second in range(0, 300, 15):
        put(target, 100.0, at(minutes=10, seconds=second))
    roll_up(now=at(hours=2))
    hour = Sample.objects.get(series=series, resolution=Resolution.HOUR)
    assert (hour.n, hour.average) == (21, pytest.approx(2000 / 21))


def test_rolling_up_again_changes_nothing(target: Target) -> None:
    fill(target, at(), at(hours=3))
    roll_up(now=at(hours=3))
    before = list(Sample.objects.order_by("pk").values())
    roll_up(now=at(hours=3))
    assert list(Sample.objects.order_by("pk").values()) == before


def test_a_roll_up_that_was_cut_off_is_gone_on_with(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    series = fill(target, at(), at(days=3), seconds=60)
    done: list[int] = []
    write = rollup._write

    def killed(*arguments: object) -> None:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(1)
        write(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(rollup, "_PIECE", 20)
    monkeypatch.setattr(rollup, "_write", killed)
    with pytest.raises(KeyboardInterrupt):
        roll_up(now=at(days=3))
    monkeypatch.setattr(rollup, "_write", write)
    assert roll_up(now=at(days=3))
    n = {
        row["resolution"]: row["n"]
        for row in Sample.objects.filter(series=series).values("resolution").annotate(n=Count("pk"))
    }
    assert n[Resolution.FIVE_MINUTES] == 3 * 288 - 1  # the last one's late rounds may still come
    assert n[Resolution.RAW] == 2 * 1440
    assert sum(row.n for row in Sample.objects.filter(series=series, resolution=Resolution.HOUR)) == 71 * 60


def test_a_roll_up_without_time_does_nothing_and_says_so(target: Target) -> None:
    fill(target, at(), at(hours=1))
    assert not roll_up(now=at(hours=2), seconds=0)


def test_raw_samples_go_after_two_days_and_only_when_they_are_rolled_up(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    series = fill(target, at(), at(hours=2), seconds=60)
    monkeypatch.setattr(rollup, "_roll", lambda *unheard: True)
    roll_up(now=at(days=5))
    assert Sample.objects.filter(series=series).count() == 120
    monkeypatch.undo()
    roll_up(now=at(days=5))
    kept = set(Sample.objects.filter(series=series).values_list("resolution", flat=True))
    assert kept == {Resolution.FIVE_MINUTES, Resolution.HOUR, Resolution.DAY}


def test_days_stay_for_ever(target: Target) -> None:
    series = fill(target, at(), at(hours=2), seconds=60)
    roll_up(now=at(days=800))
    assert list(Sample.objects.filter(series=series).values_list("resolution", "n")) == [(Resolution.DAY, 120)]
    assert [point.n for point in window(series, at(), at(days=800))] == [120]


def test_a_series_that_was_silent_for_long_goes_on_being_rolled_up(target: Target) -> None:
    put(target, 1.0, at())
    roll_up(now=at(minutes=20))
    series = put(target, 2.0, at(days=40))
    assert roll_up(now=at(days=40, minutes=20))
    newest = Sample.objects.filter(series=series, resolution=Resolution.FIVE_MINUTES).latest("at")
    assert (newest.at, newest.average) == (at(days=40), 2.0)


@pytest.mark.parametrize(("since", "until"), [(2, 3), (0, 4), (3.99, 4), (0.5, 0.6), (1.99, 2.01)])
def test_every_value_of_a_window_is_in_exactly_one_point(target: Target, since: float, until: float) -> None:
    """Four days, of which the first two have no raw samples any more."""
    series = fill(target, at(), at(days=4), seconds=60)
    roll_up(now=at(days=4))
    found = window(series, at(days=since), at(days=until))
    assert [point.at for point in found] == sorted({point.at for point in found})
    assert all(at(days=since) <= point.at < at(days=until) for point in found)
    wanted = (until - since) * 1440
    assert abs(sum(point.n for point in found) - wanted) <= 5  # a bucket that begins before is left out


@pytest.mark.parametrize("days", [0.125, 1, 7, 30, 365])
def test_a_chart_has_few_points_no_extreme_lost_and_every_value_once(target: Target, days: float) -> None:
    series = fill(target, at(), at(days=min(days, 8)), seconds=300)
    series = put(target, 1_000_000.0, at(hours=1, seconds=7))
    end = at(days=min(days, 8))
    roll_up(now=end)
    found = points(series, at(), end, most=400)
    assert len(found) <= 400
    assert max(point.maximum for point in found) == 1_000_000.0
    assert sum(point.n for point in found) == int(min(days, 8) * 288) + 1


def test_a_gap_in_the_samples_is_a_gap_in_the_points(target: Target) -> None:
    series = fill(target, at(), at(hours=2))
    fill(target, at(hours=4), at(hours=6))
    roll_up(now=at(hours=6))
    hours = {int((point.at - START).total_seconds() // 3600) for point in points(series, at(), at(hours=6))}
    assert hours == {0, 1, 4, 5}


def test_marking_a_part_unknown_leaves_the_other_part_alone(target: Target) -> None:
    store(target=target, measurements=[Measurement("pool_used", 1.0), Measurement("endpoint_up", 1.0)], now=at())
    samples.mark_unknown(target=target, from_host=False, why="no target yet", now=at(seconds=15))
    assert {s.metric: (s.view, s.note) for s in Series.objects.all()} == {
        "pool_used": ("unknown", "no target yet"),
        "endpoint_up": ("full", ""),
    }


@pytest.mark.parametrize("hours", [2, 24, 24 * 6])
def test_points_that_the_database_joins_are_those_that_are_joined_one_by_one(target: Target, hours: int) -> None:
    """With what is not rolled up yet, of a series that began late and one that fell silent."""
    now = timezone.now().replace(microsecond=0)
    since = now - timedelta(hours=hours)
    rows = [
        fill(target, since, now, 60),
        _filled(target, now - timedelta(hours=hours / 3), now, volume="late"),
        _filled(target, since, now - timedelta(hours=hours / 2), volume="silent"),
    ]
    roll_up(now=now - timedelta(minutes=50))
    found = drawing.points_of(rows, since, now, most=100)
    for row in rows:
        slow, quick = points(row, since, now, most=100), found[row.pk]
        assert [(p.at, p.minimum, p.maximum, p.n, p.events) for p in quick] == [
            (p.at, p.minimum, p.maximum, p.n, p.events) for p in slow
        ]
        assert [p.average for p in quick] == pytest.approx([p.average for p in slow])


def _filled(target: Target, since: datetime, until: datetime, **labels: str) -> Series:
    series = put(target, 0.0, since, **labels)
    moments = [since + timedelta(minutes=place) for place in range(1, int((until - since).total_seconds() / 60))]
    Sample.objects.bulk_create(
        [Sample(series=series, at=at, minimum=i, average=i, maximum=i, events=1) for i, at in enumerate(moments)], 500
    )
    return series
