"""The life of an alert, from samples alone: when it begins, when it is certain, when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as some

from monitoring_app.rules import Kind, Phase, Rule, State, What, lack, observations, play

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
POOL = Rule(threshold=80, clear_threshold=70, for_seconds=60, keep_seconds=60)


@dataclass(frozen=True)
class Sample:
    at: datetime
    average: float
    events: int | None = None


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def samples(values: Sequence[float], every: float = 15, events: int | None = None) -> list[Sample]:
    return [Sample(at(number * every), value, events) for number, value in enumerate(values)]


def lived(rule: Rule, points: Sequence[Sample]) -> list[tuple[str, float]]:
    """What happened, with the second of each."""
    _, happened = play(rule, State(), observations(rule, points))
    return [(one.what.value, (one.at - START).total_seconds()) for one in happened]


def test_an_alert_is_certain_when_every_value_was_over_for_long_enough() -> None:
    assert lived(POOL, samples([50, 90, 91, 92, 93, 94])) == [("began", 15), ("fired", 75)]


def test_one_value_that_is_not_over_ends_what_was_pending() -> None:
    assert lived(POOL, samples([90, 90, 90, 80, 90])) == [("began", 0), ("dropped", 45), ("began", 60)]


def test_an_alert_ends_only_after_values_stayed_at_or_under_the_clear_limit() -> None:
    over, between, clear = [90.0] * 5, [75.0] * 20, [70.0] * 5
    assert lived(POOL, samples([*over, *between, *clear])) == [("began", 0), ("fired", 60), ("resolved", 435)]


def test_a_value_over_the_clear_limit_begins_the_wait_anew() -> None:
    values = [90.0] * 5 + [60.0] * 4 + [71.0] + [60.0] * 5
    assert lived(POOL, samples(values))[-1] == ("resolved", 210)


@pytest.mark.parametrize(("for_seconds", "keep_seconds", "fired"), [(0, 0, 30), (5, 60, 1), (60, 60, 0)])
def test_sixty_crossings_in_ten_minutes_fire_once_when_values_must_stay(
    for_seconds: int, keep_seconds: int, fired: int
) -> None:
    rule = Rule(threshold=80, clear_threshold=75, for_seconds=for_seconds, keep_seconds=keep_seconds)
    values = [82.0, 82.0, 60.0, 60.0] * 30  # every 5 s: up and down 60 times in ten minutes
    happened = lived(rule, samples(values, every=5))
    assert [what for what, _ in happened].count("fired") == fired


def test_a_value_that_swings_around_its_limit_fires_once() -> None:
    rule = Rule(threshold=80, clear_threshold=70, for_seconds=15, keep_seconds=60)
    values = [90.0, 90.0, 90.0, 60.0, 60.0] * 30
    happened = [what for what, _ in lived(rule, samples(values, every=10))]
    assert happened.count("fired") == 1 and "resolved" not in happened


def test_a_rule_for_values_that_are_too_low_is_the_mirror() -> None:
    down = Rule(threshold=1, clear_threshold=1, below=True, for_seconds=30, keep_seconds=30)
    happened = lived(down, samples([1, 0, 0, 0, 1, 1, 1]))
    assert happened == [("began", 15), ("fired", 45), ("resolved", 90)]


def test_the_peak_is_the_worst_value() -> None:
    _, (_, fired, *_) = play(POOL, State(), observations(POOL, samples([90, 99, 85, 85, 81])))
    assert (fired.state.peak, fired.state.value) == (99, 81)


def test_no_value_for_too_long_is_an_alert_of_its_own() -> None:
    rule = Rule(threshold=100, clear_threshold=50, no_data_alerts=True, no_data_seconds=180)
    points = [*samples([10, 10]), Sample(at(600), 10), Sample(at(630), 10), Sample(at(660), 10)]
    state, happened = play(rule, State(), observations(rule, points))
    assert [(one.what, one.state.kind, one.at) for one in happened] == [
        (What.FIRED, Kind.NO_DATA, at(195)),
        (What.RESOLVED, Kind.NO_DATA, at(660)),
    ]
    assert state.phase is Phase.QUIET


def test_a_rule_that_keeps_its_state_hears_nothing_of_a_silence() -> None:
    assert lack(POOL, State(seen_at=START), at(86_400)) == (State(seen_at=START), [])


def test_an_alert_about_a_value_burns_on_while_there_is_none() -> None:
    rule = Rule(threshold=100, clear_threshold=50, for_seconds=0, no_data_alerts=True)
    state, _ = play(rule, State(), observations(rule, samples([200])))
    after, happened = lack(rule, state, at(9_000))
    assert (after.phase, after.kind, happened) == (Phase.FIRING, Kind.VALUE, [])


def test_two_values_over_with_nothing_between_them_for_an_hour_are_no_stretch() -> None:
    assert lived(POOL, [Sample(at(0), 90), Sample(at(3600), 90)]) == [("began", 0), ("dropped", 3600), ("began", 3600)]


ERRORS = Rule(1, 0.5, for_seconds=60, keep_seconds=60, window_seconds=300, minimum_events=100, minimum_bad=5)


def test_a_silence_between_two_good_values_is_no_stretch_of_good_ones() -> None:
    points = [*samples([90] * 5), Sample(at(75), 60), Sample(at(3675), 60), Sample(at(3690), 60)]
    assert lived(POOL, points) == [("began", 0), ("fired", 60)]


def test_few_requests_are_no_evidence_of_trouble() -> None:
    assert lived(ERRORS, samples([100.0] * 10, events=1)) == []
    assert lived(ERRORS, samples([2.0] * 3, events=40)) == []  # 120 requests, two or three failures


def test_a_share_of_failures_is_taken_over_all_requests_of_the_window() -> None:
    quiet_then_busy = [Sample(at(0), 100, 1), *[Sample(at(15 * n), 0, 1000) for n in range(1, 12)]]
    assert lived(ERRORS, quiet_then_busy) == []
    happened = lived(ERRORS, samples([0.0, 0.0, *[3.0] * 10], events=100))
    assert happened[:2] == [("began", 45), ("fired", 105)]


def test_no_requests_at_all_leave_an_alert_as_it_is() -> None:
    points = samples([5.0] * 10 + [0.0] * 40, events=100)
    silent = [Sample(one.at, one.average, 0 if number >= 10 else 100) for number, one in enumerate(points)]
    assert lived(ERRORS, silent)[-1][0] == "fired"
    assert lived(ERRORS, points)[-1][0] == "resolved"


@given(
    values=some.lists(some.sampled_from([0.0, 50.0, 69.0, 70.0, 75.0, 80.0, 81.0, 95.0]), min_size=1, max_size=60),
    cuts=some.sets(some.integers(0, 60)),
    for_seconds=some.sampled_from([0, 15, 60]),
    keep_seconds=some.sampled_from([0, 15, 60]),
)
def test_it_makes_no_difference_in_how_many_rounds_samples_are_judged(
    values: list[float], cuts: set[int], for_seconds: int, keep_seconds: int
) -> None:
    rule = Rule(80, 70, for_seconds=for_seconds, keep_seconds=keep_seconds, window_seconds=30)
    points = samples(values)
    once = play(rule, State(), observations(rule, points))
    state, happened, after = State(), [], None
    for cut in [*sorted(cuts), len(points)]:
        state, more = play(rule, state, observations(rule, points[:cut], after))
        happened += more
        after = points[min(cut, len(points)) - 1].at if cut else after
    assert (state, happened) == once


@given(values=some.lists(some.floats(0, 100), max_size=80))
def test_what_fires_was_pending_first_and_only_what_fired_is_resolved(values: list[float]) -> None:
    happened = [what for what, _ in lived(POOL, samples(values))]
    before = "quiet"
    may_follow = {
        "quiet": {"began"},
        "began": {"dropped", "fired"},
        "dropped": {"began"},
        "fired": {"resolved"},
        "resolved": {"began"},
    }
    for what in happened:
        assert what in may_follow[before]
        before = what
