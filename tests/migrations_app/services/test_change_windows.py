"""The next time at which an application may be changed."""

from datetime import UTC, datetime

from migrations_app.services.change_windows import next_window

NIGHTS = {"days": ["sat"], "opens": "22:00", "closes": "04:00", "zone": "Asia/Tokyo"}


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def said(window: dict[str, object], now: str) -> tuple[str, str]:
    found = next_window(window, at(now))
    assert found is not None
    start, end = (moment.astimezone(UTC).isoformat(timespec="minutes")[:16] for moment in found)
    return start, end


def test_a_window_ends_on_the_day_after_and_counts_in_its_own_zone() -> None:
    assert said(NIGHTS, "2026-11-23T06:00") == ("2026-11-28T13:00", "2026-11-28T19:00")


def test_one_that_is_open_now_is_the_next() -> None:
    assert said(NIGHTS, "2026-11-28T18:59") == ("2026-11-28T13:00", "2026-11-28T19:00")
    assert said(NIGHTS, "2026-11-28T19:00")[0] == "2026-12-05T13:00"


def test_a_clock_that_is_put_back_moves_the_window_with_it() -> None:
    berlin = {"days": ["sun"], "opens": "01:00", "closes": "05:00", "zone": "Europe/Berlin"}
    assert said(berlin, "2026-10-24T12:00") == ("2026-10-24T23:00", "2026-10-25T04:00")


def test_without_a_window_any_time_will_do() -> None:
    assert next_window({}, at("2026-11-23T06:00")) is None
