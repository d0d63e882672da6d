"""What a chart draws: values where there were values, gaps where there were none, and no text that could act."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from xml.etree import ElementTree

import pytest

from monitoring_app import charts

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


@dataclass(frozen=True)
class Value:
    at: datetime
    minimum: float
    average: float
    maximum: float


def values(*pairs: tuple[float, float], spread: float = 0.0) -> list[Value]:
    """(minutes after the start, value)."""
    return [Value(START + timedelta(minutes=m), v - spread, v, v + spread) for m, v in pairs]


def drawn(points: list[Value], **more: object) -> ElementTree.Element:
    over = charts.Span(START, START + timedelta(hours=1), 120)
    text = charts.line_chart(
        [charts.Line(points, "one")], over, say=lambda value: f"{value:g} ms", say_time=lambda at: f"{at:%H:%M}", **more
    )  # type: ignore[arg-type]
    return ElementTree.fromstring(text)


def of_class(root: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [element for element in root.iter() if name in element.get("class", "").split()]


def test_a_silence_is_a_gap_and_no_line_through_it() -> None:
    root = drawn(values(*((m, 10.0) for m in range(0, 20)), *((m, 10.0) for m in range(40, 60))))
    assert len(of_class(root, "spark-line")) == 2
    (gap,) = of_class(root, "chart-gap")
    assert 30 < float(str(gap.get("x")).rstrip("%")) < 33 and 34 < float(str(gap.get("width")).rstrip("%")) < 36


def test_a_monitor_that_stopped_leaves_the_end_grey_and_no_dot_of_now() -> None:
    root = drawn(values(*((m, 10.0) for m in range(0, 30))))
    (gap,) = of_class(root, "chart-gap")
    assert float(str(gap.get("x")).rstrip("%")) + float(str(gap.get("width")).rstrip("%")) == pytest.approx(
        100, abs=0.1
    )
    assert not of_class(root, "spark-dot")


def test_nothing_measured_is_grey_from_end_to_end() -> None:
    root = drawn([])
    (gap,) = of_class(root, "chart-gap")
    assert (gap.get("x"), gap.get("width")) == ("0%", "100%")
    assert not of_class(root, "spark-line")


def test_one_value_alone_is_seen() -> None:
    (line,) = of_class(drawn(values((30, 10.0))), "spark-line")
    assert re.fullmatch(r"M[\d. ]+h\.01", str(line.get("d")))


def test_least_and_most_are_a_band_around_the_mean() -> None:
    root = drawn(values(*((m, 10.0) for m in range(60)), spread=3.0))
    assert len(of_class(root, "chart-band")) == 1
    assert not of_class(drawn(values(*((m, 10.0) for m in range(60)))), "chart-band")


def test_the_limit_is_drawn_even_where_no_value_comes_near() -> None:
    root = drawn(values(*((m, 1.0) for m in range(60))), limits=[charts.Limit(500, "limit 500 ms")])
    (line,) = of_class(root, "spark-limit")
    assert 20 <= float(str(line.get("y1"))) < 148


def test_the_cut_over_crosses_the_chart_at_its_time_and_says_so() -> None:
    root = drawn([], marks=[charts.Mark(START + timedelta(minutes=15), "cut-over 12:15")])
    (line,) = of_class(root, "line-now")
    assert line.get("x1") == "25%"
    assert [text.text for text in of_class(root, "text-now")] == ["cut-over 12:15"]


def test_a_mark_outside_of_the_time_is_not_drawn() -> None:
    assert not of_class(drawn([], marks=[charts.Mark(START - timedelta(minutes=1), "cut-over")]), "line-now")


def test_texts_are_escaped() -> None:
    root = drawn([], limits=[charts.Limit(1, '<script>"&')], marks=[charts.Mark(START, "</svg><b>")])
    assert '<script>"&' in {text.text for text in of_class(root, "text-limit")}
    assert not list(root.iter("script")) and not list(root.iter("b"))


def test_no_style_is_written_into_a_picture() -> None:
    text = ElementTree.tostring(drawn(values(*((m, 10.0) for m in range(60)), spread=2.0)), encoding="unicode")
    assert "style=" not in text and "<style" not in text


@pytest.mark.parametrize(("value", "top"), [(0, 1), (0.12, 0.15), (1, 1), (41, 50), (612, 800), (99_000, 100_000)])
def test_the_scale_ends_at_a_round_number(value: float, top: float) -> None:
    assert charts.rounded_up(value) == pytest.approx(top)
