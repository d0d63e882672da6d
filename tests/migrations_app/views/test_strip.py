"""The timeline's geometry: where bars, now and the last safe moment stand."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from migrations_app.views.strip import Bar, Picture, draw

NOON = datetime(2030, 1, 1, 12, 0, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


@dataclass(frozen=True)
class Row:
    phase: str
    state: str
    planned_start: datetime | None = None
    planned_end: datetime | None = None
    actual_start: datetime | None = None
    actual_end: datetime | None = None
    title: str = ""
    owner: str = "system"


def _bars(picture: Picture, row: int, kind: str) -> list[Bar]:
    return [bar for bar in picture.rows[row].bars if bar.kind == kind]


def test_a_phase_is_drawn_where_it_happened() -> None:
    rows = [Row("prepare", "succeeded", at(0), at(10), at(0), at(20)), Row("data", "running", at(10), at(40), at(20))]
    picture = draw(rows, now=at(30))
    done, live = _bars(picture, 0, "done")[0], _bars(picture, 1, "live")[0]
    assert done.x == 0
    assert abs(done.x + done.width - live.x) < 0.1
    assert picture.now is not None and abs(live.x + live.width - picture.now.x) < 0.1
    assert [row.current for row in picture.rows] == [False, True]


def test_what_is_left_of_a_phase_is_expected_after_now() -> None:
    picture = draw([Row("data", "running", at(0), at(60), at(0))], now=at(15))
    expected = _bars(picture, 0, "expected")[0]
    assert picture.now is not None and expected.x == picture.now.x


def test_a_second_can_still_be_seen_beside_an_hour() -> None:
    rows = [Row("go", "succeeded", None, None, at(0), at(0.01)), Row("data", "succeeded", None, None, at(1), at(300))]
    assert _bars(draw(rows, now=at(300)), 0, "done")[0].width >= 0.6


def test_a_failed_phase_is_drawn_as_alarm_and_a_finished_run_has_no_now() -> None:
    rows = [Row("data", "failed", at(0), at(10), at(0), at(5))]
    assert _bars(draw(rows, now=at(6)), 0, "alarm")
    over = draw(rows, now=at(600), finished=True)
    assert over.now is None and not any(row.current for row in over.rows)


def test_a_plan_that_was_far_off_does_not_squeeze_what_happened() -> None:
    rows = [
        Row("prepare", "succeeded", at(0), at(35), at(0), at(0.4)),
        Row("data", "succeeded", at(35), at(50), at(0.4), at(0.6)),
    ]
    picture = draw(rows, now=at(600), finished=True)
    assert _bars(picture, 0, "done")[0].width > 50
    assert not _bars(picture, 1, "planned")


def test_a_long_watch_does_not_squeeze_the_crossing() -> None:
    rows = [
        Row("data", "succeeded", at(0), at(10), at(0), at(10)),
        Row("monitoring", "running", at(10), at(1450), at(10)),
    ]
    picture = draw(rows, now=at(12))
    assert _bars(picture, 0, "done")[0].width > 50
    assert all(bar.x + bar.width <= 100.1 for row in picture.rows for bar in row.bars)


def test_the_last_safe_moment_is_marked_where_it_fits() -> None:
    rows = [Row("data", "running", at(0), at(30), at(0))]
    near, far = draw(rows, now=at(5), limit=at(60)), draw(rows, now=at(5), limit=at(6000))
    assert near.limit is not None and "last safe moment" in near.limit.label
    assert far.limit is None


def test_what_was_signed_before_the_start_is_not_drawn() -> None:
    rows = [
        Row("prepare", "succeeded", at(0), at(10), at(-3000), at(10)),
        Row("data", "running", at(10), at(30), at(10)),
    ]
    picture = draw(rows, now=at(20), begin=at(0))
    assert _bars(picture, 0, "done")[0].width > 20
    assert picture.rows[0].reading == "10 min"


def test_a_draft_without_any_time_is_a_list_of_names() -> None:
    picture = draw([Row("prepare", "pending"), Row("data", "pending", owner="lead, ops")], now=at(0))
    assert [row.title for row in picture.rows] == ["Pre-migration", "Data migration"]
    assert picture.rows[1].detail == "Team lead, Ops"
    assert picture.ticks == () and not picture.rows[0].bars


def test_at_most_eight_ticks_whatever_the_span() -> None:
    for minutes in (0.01, 0.5, 3, 45, 200, 3000, 40_000):
        picture = draw([Row("data", "succeeded", None, None, at(0), at(minutes))], now=at(minutes))
        assert 1 <= len(picture.ticks) <= 8, minutes
