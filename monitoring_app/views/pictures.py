"""From stored samples to pictures: the limits' strip and the charts of a target."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from operator import attrgetter

from django.utils import timezone
from django.utils.safestring import SafeString, mark_safe

from controlplane.pages.words import moment_text
from monitoring_app import charts
from monitoring_app.metrics import Unit
from monitoring_app.models import AlertRule, Marker, Series, Target
from monitoring_app.services import drawing, samples
from monitoring_app.services.amounts import amount_text, metric_of, series_title, value_text
from monitoring_app.services.boards import Board, Reading, is_wanted
from monitoring_app.services.markers import BACK, CUT_OVER

STRIP_HOURS = 3
STRIP_POINTS = 120
MOST = 150  # points of a line: as many as can be told apart in half a page's width
TABLE_ROWS = 12
_AT = attrgetter("at")
_KINDS = ("spark", "second", "third", "fourth")


@dataclass(frozen=True)
class StripRow:
    """A limit: its words, its picture, and what it reached within the strip's time."""

    reading: Reading
    picture: SafeString
    peak: str


@dataclass(frozen=True)
class ChartTable:
    """The same numbers for those who can't see the picture: a row for each stretch of time."""

    columns: list[str]
    rows: list[tuple[str, list[str]]]


@dataclass(frozen=True)
class Chart:
    metric: str
    title: str
    picture: SafeString
    legend: list[tuple[str, str, str]]  # (kind, name, value now)
    note: str
    table: ChartTable
    is_empty: bool = False


def strips(
    boards: Sequence[Board], now: datetime, *, height: int = 72, most: int = STRIP_POINTS
) -> dict[int, list[StripRow]]:
    """The strip of each board by its target, with the same queries for all; at most `most` points in each picture."""
    since = now - timedelta(hours=STRIP_HOURS)
    shown = [reading.series for board in boards for reading in board.limits if reading.series is not None]
    found = drawing.points_of(shown, since, now, most=most)
    marks = marks_of([board.target for board in boards], since, now)
    return {
        board.target.pk: [
            _strip_row(reading, found, marks.get(board.target.application_id, []), since, now, height, most)
            for reading in board.limits
        ]
        for board in boards
    }


def marks_of(targets: Iterable[Target], since: datetime, until: datetime) -> dict[int, list[charts.Mark]]:
    """What happened to each application in that time, by the application's id."""
    found: dict[int, list[charts.Mark]] = {}
    ids = [target.application_id for target in targets]
    for marker in Marker.objects.filter(application__in=ids, at__gte=since, at__lte=until).order_by("at"):
        strong = marker.kind in (CUT_OVER, BACK)
        text = {CUT_OVER: "cut-over", BACK: "back on SQLite"}.get(marker.kind, marker.text)
        mark = charts.Mark(marker.at, f"{text} {moment_text(marker.at)}", strong)
        found.setdefault(marker.application_id, []).append(mark)
    return found


def chart_of(
    target: Target,
    metric: str,
    rows: Sequence[Series],
    since: datetime,
    until: datetime,
    *,
    marks: Sequence[charts.Mark],
    rules: Sequence[AlertRule],
) -> Chart:
    """All series of one metric in one picture."""
    return charts_of(target, {metric: rows}, since, until, marks=marks, rules=rules)[0]


def charts_of(
    target: Target,
    metrics: Mapping[str, Sequence[Series]],
    since: datetime,
    until: datetime,
    *,
    marks: Sequence[charts.Mark],
    rules: Sequence[AlertRule],
) -> list[Chart]:
    """A picture for each metric, of the four series with the highest newest values; their points read together."""
    shown = {
        metric: sorted((row for row in rows if is_wanted(target, row)), key=lambda row: -(row.last_value or 0))
        for metric, rows in metrics.items()
    }
    drawn = {metric: rows[: len(_KINDS)] for metric, rows in shown.items()}
    found = drawing.points_of([row for rows in drawn.values() for row in rows], since, until, most=MOST)
    by_metric = {rule.metric: rule for rule in reversed(rules) if rule.enabled}
    return [
        draw(metric, rows, [found[row.pk] for row in drawn[metric]], since, until, marks=marks,
             rule=by_metric.get(metric))
        for metric, rows in shown.items()
    ]  # fmt: skip


def draw(
    metric: str,
    rows: Sequence[Series],
    points: Sequence[Sequence[samples.Point]],
    since: datetime,
    until: datetime,
    *,
    marks: Sequence[charts.Mark] = (),
    rule: AlertRule | None = None,
    height: int = 190,
    top: float | None = None,
) -> Chart:
    """A chart of points that were read already."""
    unit = metric_of(metric).unit
    lines = [charts.Line(line, _told(row), kind) for row, line, kind in zip(rows, points, _KINDS, strict=False)]
    limits = [charts.Limit(rule.threshold, f"limit {amount_text(rule.threshold, unit)}")] if rule else []
    over = charts.span(since, until, most=MOST)
    top = top or charts.top_of(lines, limits)
    if unit == Unit.PERCENT and top > 100 and not any(point.maximum > 100 for line in lines for point in line.points):
        top = 100.0
    picture = charts.line_chart(
        lines,
        over,
        say=lambda value: amount_text(value, unit),
        say_time=_time_words(until - since),
        limits=limits,
        marks=marks,
        height=height,
        top=top,
    )
    legend = [(line.kind, line.name, value_text(metric, _newest(line.points))) for line in lines]
    hidden = len(rows) - len(lines)
    notes = sorted({row.note for row in rows if row.note})
    note = " · ".join([*([f"{hidden} more not drawn"] if hidden > 0 else []), *notes[:2]])
    # Safe: charts escapes every text; all else in it are numbers and constants.
    return Chart(
        metric, metric_of(metric).title, mark_safe(picture), legend, note,
        _table(metric, lines, since, until), not any(line.points for line in lines),
    )  # fmt: skip


def _strip_row(
    reading: Reading,
    found: dict[int, list[samples.Point]],
    marks: Sequence[charts.Mark],
    since: datetime,
    now: datetime,
    height: int,
    most: int,
) -> StripRow:
    if reading.series is None:
        return StripRow(reading, mark_safe('<span class="strip-picture"></span>'), "")
    points = found.get(reading.series.pk, [])
    limits = [charts.Limit(reading.rule.threshold, reading.limit)] if reading.rule and reading.rule.enabled else []
    line = charts.Line(points, kind="over" if reading.state == "over" else "spark")
    picture = charts.sparkline(line, charts.span(since, now, most=most), limits=limits, marks=marks, height=height)
    peak = max((point.maximum for point in points), default=None)
    # Safe: charts escapes every text; all else in it are numbers and constants.
    return StripRow(reading, mark_safe(picture), value_text(reading.metric, peak) if peak is not None else "")


def axis(now: datetime, marks: Sequence[charts.Mark]) -> dict[str, object]:
    """What stands above the strip: its begin, the strong marks, now."""
    since = now - timedelta(hours=STRIP_HOURS)
    over = charts.span(since, now)
    strong = [mark for mark in marks if mark.strong][-1:]
    return {
        "since": since,
        "marks": [{"x": round(100 * over.share(mark.at), 2), "text": mark.text} for mark in strong
                  if 0.12 < over.share(mark.at) < 0.85],
    }  # fmt: skip


def _told(series: Series) -> str:
    return ", ".join(str(series.labels[name]) for name in sorted(series.labels)) or metric_of(series.metric).title


def _newest(points: Sequence[charts.Point]) -> float | None:
    return points[-1].average if points else None


def _time_words(length: timedelta) -> charts.SayTime:
    if length <= timedelta(days=2):
        return lambda moment: f"{timezone.localtime(moment):%H:%M}"
    return lambda moment: f"{timezone.localtime(moment).day} {timezone.localtime(moment):%b %H:%M}"


def _table(metric: str, lines: Sequence[charts.Line], since: datetime, until: datetime) -> ChartTable:
    step = (until - since) / TABLE_ROWS
    begins = [since + place * step for place in range(TABLE_ROWS + 1)]
    rows = []
    cuts = [[bisect_left(line.points, begin, key=_AT) for begin in begins] for line in lines]
    for place in range(TABLE_ROWS):
        cells = [_cell(metric, line.points[cut[place] : cut[place + 1]]) for line, cut in zip(lines, cuts, strict=True)]
        rows.append((moment_text(begins[place]), cells))
    return ChartTable([line.name for line in lines], rows)


def _cell(metric: str, points: Sequence[charts.Point]) -> str:
    if not points:
        return "not measured"
    mean = sum(point.average for point in points) / len(points)
    return f"{value_text(metric, mean)} (at most {value_text(metric, max(point.maximum for point in points))})"


def series_titles(rows: Iterable[Series]) -> dict[int, str]:
    return {row.pk: series_title(row.metric, row.labels) for row in rows}
