"""Charts as SVG, drawn on the server: a line with the band from least to most, a sparkline, bars.

Paths live in a nested picture of 1000 units that stretches with the page; words and lines stand beside it at per cents,
so that no letter is stretched. Colours come from the page's stylesheet by class: no style is written here, and every
text is escaped. What was not measured is a grey band with no line through it: a gap never looks like a value.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from html import escape
from math import floor, log10
from operator import attrgetter
from typing import Final, Protocol

WIDE: Final = 1000  # units of the stretched picture
_ROOM: Final = 1.18  # above the highest value or limit
_GAP_LEAST: Final = 60.0  # seconds: four rounds
_AT: Final = attrgetter("at")
_MAXIMUM: Final = attrgetter("maximum")


class Point(Protocol):
    """What a line is made of: the values from `at` on."""

    @property
    def at(self) -> datetime: ...
    @property
    def minimum(self) -> float: ...
    @property
    def average(self) -> float: ...
    @property
    def maximum(self) -> float: ...


@dataclass(frozen=True)
class Line:
    """One series. kind: a class of the stylesheet, `spark` plain, `over` beyond its limit, `second` … for others."""

    points: Sequence[Point]
    name: str = ""
    kind: str = "spark"


@dataclass(frozen=True)
class Limit:
    value: float
    text: str


@dataclass(frozen=True)
class Mark:
    """A change that crosses the chart. strong: the cut-over and the way back; others are drawn faintly."""

    at: datetime
    text: str
    strong: bool = True


@dataclass(frozen=True)
class Span:
    """The time that a chart shows. gap_seconds: a longer silence than this is no line but a gap."""

    since: datetime
    until: datetime
    gap_seconds: float = _GAP_LEAST

    @property
    def seconds(self) -> float:
        return max(1.0, (self.until - self.since).total_seconds())

    def share(self, moment: datetime) -> float:
        """0 at the begin, 1 at the end; beyond them outside."""
        return (moment - self.since).total_seconds() / self.seconds


Say = Callable[[float], str]
SayTime = Callable[[datetime], str]


def span(since: datetime, until: datetime, *, step: float = 15.0, most: int = 400) -> Span:
    """A span for at most `most` points that are measured every `step` seconds: what counts as a gap follows."""
    return Span(since, until, max(_GAP_LEAST, 2.5 * max(step, (until - since).total_seconds() / most)))


def sparkline(
    line: Line, over: Span, *, limits: Sequence[Limit] = (), marks: Sequence[Mark] = (), height: int = 72
) -> str:
    """A row of the limits' strip: line and band, limit, marks, the newest value as a dot. Words stand beside it."""
    inner = _Area(10, height - 16)  # above it: the words of a limit that lies high
    top = top_of([line], limits)
    parts = [
        *_gaps([line], over, inner),
        _stretched(inner, _paths(line, over, inner, top, filled=True, banded=True)),
        *_limit_lines(limits, inner, top),
        *_mark_lines(marks, over, "100%"),
        *_dot(line, over, inner, top),
    ]
    return _svg("strip-picture spark", height, parts)


def line_chart(
    lines: Sequence[Line],
    over: Span,
    *,
    say: Say,
    say_time: SayTime,
    limits: Sequence[Limit] = (),
    marks: Sequence[Mark] = (),
    height: int = 190,
    top: float | None = None,
) -> str:
    """A chart with both axes, two pictures. top: the value at its upper edge, for two that share a scale."""
    inner = _Area(20, height - 42)
    top = top or top_of(lines, limits)
    parts = [
        *_gaps(lines, over, inner),
        *_grid(inner, top),
        *_times(over, inner, say_time),
        *(_stretched(inner, _paths(line, over, inner, top, banded=True)) for line in lines),
        *_limit_lines(limits, inner, top),
        *_mark_lines(marks, over, str(inner.bottom), labels=True),
        *(dot for line in lines for dot in _dot(line, over, inner, top)),
    ]
    scale = _svg("chart chart-scale", height, _scale(inner, top, say))
    return f'<div class="chart-box">{_svg("chart", height, parts)}{scale}</div>'


def bars(values: Sequence[tuple[str, float]], *, most: float | None = None, kind: str = "bar-done") -> list[str]:
    """A bar for each value, all against the largest: one small picture a row of a table."""
    scale = most or max((value for _, value in values), default=0) or 1.0
    return [
        _svg("bar", 10, [f'<rect class="{kind}" x="0" y="1" height="8" rx="2" width="{_number(100 * v / scale)}%"/>'])
        for _, v in values
    ]


def top_of(lines: Iterable[Line], limits: Iterable[Limit] = ()) -> float:
    """The value at the upper edge: a round number above all that is drawn, never 0."""
    highest = max(
        [max(map(_MAXIMUM, line.points)) for line in lines if line.points] + [limit.value for limit in limits],
        default=0.0,
    )
    return rounded_up(highest * _ROOM)


def rounded_up(value: float) -> float:
    """The next of 1, 1.5, 2, 2.5, 3, 4, 5, 6, 8 times a power of ten; 1 for nothing."""
    if value <= 0:
        return 1.0
    power = 10.0 ** floor(log10(value))
    return next((step * power for step in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if step * power >= value), value)


# --- parts ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Area:
    """Where values are drawn, in pixels from the picture's upper edge."""

    y: float
    height: float

    @property
    def bottom(self) -> float:
        return self.y + self.height

    def level(self, value: float, top: float) -> float:
        return self.bottom - min(max(value / top, 0.0), 1.0) * self.height


def _svg(kind: str, height: float, parts: Iterable[str]) -> str:
    return f'<svg class="{kind}" width="100%" height="{_number(height)}" aria-hidden="true">{"".join(parts)}</svg>'


def _stretched(area: _Area, paths: Iterable[str]) -> str:
    size = _number(area.height)
    return (
        f'<svg x="0" y="{_number(area.y)}" width="100%" height="{size}" viewBox="0 0 {WIDE} {size}" '
        f'preserveAspectRatio="none">{"".join(paths)}</svg>'
    )


def _runs(points: Sequence[Point], over: Span) -> list[list[Point]]:
    """The points between gaps."""
    runs: list[list[Point]] = []
    longest = timedelta(seconds=over.gap_seconds)
    begun, reached = over.since, None
    for point in points:
        at = point.at
        if not begun <= at <= over.until:
            continue
        if reached is not None and at - reached <= longest:
            runs[-1].append(point)
        else:
            runs.append([point])
        reached = at
    return runs


def _paths(line: Line, over: Span, area: _Area, top: float, *, filled: bool = False, banded: bool = False) -> list[str]:
    """The line, run by run, over what is filled below it or the band around it."""
    found = []
    for run in _runs(line.points, over):
        xs = _across(run, over)
        track = _track(xs, _heights([point.average for point in run], area.height, top))
        if banded and len(run) > 1 and any(point.maximum > point.minimum for point in run):
            high = _track(xs, _heights([point.maximum for point in run], area.height, top))
            low = _track(xs[::-1], _heights([point.minimum for point in reversed(run)], area.height, top))
            found.append(f'<path class="chart-band chart-band-{line.kind}" d="M{high}L{low}z"/>')
        if filled and len(run) > 1:
            base = _number(area.height)
            found.append(f'<path class="spark-area" d="M{track}L{xs[-1]} {base}L{xs[0]} {base}z"/>')
        end = "" if len(run) > 1 else "h.01"  # one value alone: a dot, by its round end
        found.append(f'<path class="spark-line spark-{line.kind}" d="M{track}{end}"/>')
    return found


# Four figures: a tenth of a pixel or less, and half as long to write as all of them.
def _across(run: Sequence[Point], over: Span) -> list[str]:
    since, unit = over.since, WIDE / over.seconds
    return [f"{(point.at - since).total_seconds() * unit:.4g}" for point in run]


def _heights(values: Sequence[float], height: float, top: float) -> list[str]:
    """From the upper edge of an area of that height."""
    unit = height / top
    return [f"{height - min(max(value * unit, 0.0), height):.4g}" for value in values]


def _track(xs: Sequence[str], ys: Sequence[str]) -> str:
    return "L".join(map(" ".join, zip(xs, ys, strict=True)))


def _gaps(lines: Sequence[Line], over: Span, area: _Area) -> list[str]:
    """Grey where no line has a value. Nothing at all measured: the whole width."""
    merged = lines[0].points if len(lines) == 1 else sorted((p for line in lines for p in line.points), key=_AT)
    edges: list[tuple[float, float]] = []
    reached = 0.0
    step = over.gap_seconds / over.seconds
    for run in _runs(merged, over):
        begin, end = over.share(run[0].at), over.share(run[-1].at)
        if begin - reached > step:
            edges.append((reached, begin))
        reached = end
    if 1 - reached > step:
        edges.append((reached, 1.0))
    return [
        f'<rect class="chart-gap" x="{_number(100 * a)}%" width="{_number(100 * (b - a))}%" y="{_number(area.y)}" '
        f'height="{_number(area.height)}"/>'
        for a, b in edges
    ]


def _limit_lines(limits: Sequence[Limit], area: _Area, top: float) -> list[str]:
    found = []
    for limit in limits:
        y = area.level(limit.value, top)
        found.append(f'<line class="spark-limit" x1="0" x2="100%" y1="{_number(y)}" y2="{_number(y)}"/>')
        found.append(f'<text class="text-limit" x="4" y="{_number(y - 4)}">{escape(limit.text)}</text>')
    return found


def _mark_lines(marks: Sequence[Mark], over: Span, bottom: str, labels: bool = False) -> list[str]:
    found = []
    for mark in marks:
        share = over.share(mark.at)
        if not 0 <= share <= 1:
            continue
        kind, x = ("line-now" if mark.strong else "line-mark"), _number(100 * share)
        found.append(f'<line class="{kind}" x1="{x}%" x2="{x}%" y1="0" y2="{bottom}"/>')
        if labels and mark.strong:
            anchor, shift = ("end", -4) if share > 0.7 else ("start", 4)
            found.append(
                f'<text class="text-now" x="{x}%" dx="{shift}" y="12" text-anchor="{anchor}">{escape(mark.text)}</text>'
            )
    return found


def _dot(line: Line, over: Span, area: _Area, top: float) -> list[str]:
    """The newest value, where it is of now: an old one is no dot at the end."""
    newest = next((point for point in reversed(line.points) if over.since <= point.at <= over.until), None)
    if newest is None or (over.until - newest.at).total_seconds() > over.gap_seconds:
        return []
    kind = " spark-dot-over" if line.kind == "over" else ""
    x, y = _number(100 * over.share(newest.at)), _number(area.level(newest.average, top))
    return [f'<circle class="spark-dot{kind}" cx="{x}%" cy="{y}" r="3" transform="translate(-3 0)"/>']


_LEVELS: Final = (0.0, 0.5, 1.0)


def _grid(area: _Area, top: float) -> list[str]:
    levels = [_number(area.level(top * part, top)) for part in _LEVELS]
    return [f'<line class="grid-line" x1="0" x2="100%" y1="{y}" y2="{y}"/>' for y in levels]


def _scale(area: _Area, top: float, say: Say) -> list[str]:
    """What the levels mean, in a picture of its own beside the chart: no line runs through its words."""
    return [
        f'<text x="0" y="{_number(area.level(top * part, top))}" dy="4">{escape(say(top * part))}</text>'
        for part in _LEVELS
    ]


def _times(over: Span, area: _Area, say_time: SayTime) -> list[str]:
    """The begin, the end and two between."""
    found = []
    for place, anchor in ((0.0, "start"), (1 / 3, "middle"), (2 / 3, "middle"), (1.0, "end")):
        moment = over.since + timedelta(seconds=over.seconds * place)
        found.append(
            f'<text x="{_number(100 * place)}%" y="{_number(area.bottom + 16)}" text-anchor="{anchor}">'
            f"{escape(say_time(moment))}</text>"
        )
    return found


def _number(value: float) -> str:
    """At most two decimals: half a hundredth of a pixel is nothing, and pages stay small."""
    text = f"{value:.2f}".rstrip("0").rstrip(".")
    return "0" if text in ("", "-0") else text
