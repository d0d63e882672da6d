"""Every state has its look, and numbers read as people say them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from controlplane.pages.looks import LOOKS, SHAPES, TONES, look_of
from controlplane.pages.templatetags.causeway import moment, status
from controlplane.pages.words import duration_text, moment_text, relative_text, size_text
from migrations_app.models.states import ApprovalState, GateState, ItemState, PlanState, RunState, StepState

NOW = datetime(2030, 5, 4, 12, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "states"),
    [
        ("run", RunState),
        ("step", StepState),
        ("gate", GateState),
        ("signature", ApprovalState),
        ("item", ItemState),
        ("plan", PlanState),
    ],
)
def test_every_state_has_a_word_a_shape_and_a_tone(kind: str, states: Any) -> None:
    for state in states:
        look = LOOKS[kind][state]
        assert look.word and look.shape in SHAPES and look.tone in TONES


def test_a_shape_of_good_news_is_never_one_of_alarm() -> None:
    shapes = {(look.tone, look.shape) for looks in LOOKS.values() for look in looks.values()}
    good, alarm = ({shape for tone, shape in shapes if tone == wanted} for wanted in ("good", "alarm"))
    assert not good & alarm


def test_an_unknown_state_never_looks_like_success() -> None:
    look = look_of("run", "brand_new")
    assert (look.word, look.tone) == ("Brand new", "care")


def test_a_status_escapes_its_word() -> None:
    assert "&lt;b&gt;" in status("step", "running", "<b>")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (0, "0 s"),
        (0.4, "under 1 s"),
        (8, "8 s"),
        (60, "1 min"),
        (130, "2 min 10 s"),
        (3600, "1 h"),
        (4471, "1 h 14 min"),
        (93_600, "1 d 2 h"),
        (-130, "2 min 10 s"),
    ],
)
def test_durations_read_as_people_say_them(seconds: float | None, text: str) -> None:
    assert duration_text(seconds) == text


@pytest.mark.parametrize(
    ("delta", "text"),
    [
        (timedelta(0), "now"),
        (timedelta(minutes=-4), "4 min ago"),
        (timedelta(minutes=41), "in 41 min"),
        (timedelta(hours=1, minutes=57, seconds=40), "in 1 h 57 min"),
        (timedelta(days=-3, hours=-2), "3 d 2 h ago"),
    ],
)
def test_relative_times_say_one_unit_below_an_hour_and_two_from_there_on(delta: timedelta, text: str) -> None:
    assert relative_text(NOW + delta, NOW) == text


def test_times_name_the_day_unless_it_is_today() -> None:
    with timezone.override("Asia/Tokyo"):
        assert moment_text(NOW, NOW) == "21:00"
        assert moment_text(NOW - timedelta(days=1), NOW) == "3 May 21:00"
        assert moment_text(NOW - timedelta(days=400), NOW) == "30 Mar 2029 21:00"
        assert 'title="2030-05-04 12:00:00 UTC"' in moment(NOW)


@pytest.mark.parametrize(
    ("size", "text"), [(None, "–"), (812, "812 bytes"), (4_100_000_000, "4.1 GB"), (38_000, "38 kB")]
)
def test_sizes_are_of_powers_of_ten(size: int | None, text: str) -> None:
    assert size_text(size) == text
