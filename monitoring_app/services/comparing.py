"""Before and after the cut-over: the same endpoint and query, on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from monitoring_app.models import Series, Target
from monitoring_app.services import samples
from monitoring_app.services.amounts import series_title, value_text
from monitoring_app.services.boards import is_wanted

LONGEST: Final = timedelta(days=1)
METRICS: Final = ("endpoint_time", "error_rate", "requests", "query_time")
_MOST = 24  # series: each takes two reads


@dataclass(frozen=True)
class Side:
    """A stretch of time: the mean of its values and the highest; None where nothing was measured."""

    average: str
    peak: str
    mean: float | None
    points: list[samples.Point]


@dataclass(frozen=True)
class Pair:
    """One series on either side. change: in per cent of what it was before; None where that can't be said."""

    series: Series
    title: str
    before: Side
    after: Side
    change: float | None

    @property
    def change_text(self) -> str:
        if self.change is None:
            return "–"
        sign = "+" if self.change > 0 else "−" if self.change < 0 else "±"
        return f"{sign}{abs(self.change):,.0f}%"


@dataclass(frozen=True)
class Comparison:
    since: datetime
    cut_over: datetime
    until: datetime
    pairs: list[Pair]

    @property
    def seconds(self) -> float:
        return (self.until - self.cut_over).total_seconds()


def compare(target: Target, cut_over: datetime, now: datetime) -> Comparison:
    """As long before the cut-over as there has been since, at most a day."""
    length = min(max(now - cut_over, timedelta(minutes=5)), LONGEST)
    since, until = cut_over - length, min(now, cut_over + length)
    order = {name: place for place, name in enumerate(METRICS)}
    rows = Series.objects.filter(target=target, metric__in=METRICS).order_by("labels_key")
    wanted = sorted((row for row in rows if is_wanted(target, row)), key=lambda row: order[row.metric])
    pairs = [_pair(row, since, cut_over, until) for row in wanted[:_MOST]]
    return Comparison(since, cut_over, until, [pair for pair in pairs if pair is not None])


def _pair(series: Series, since: datetime, cut_over: datetime, until: datetime) -> Pair | None:
    before, after = _side(series, since, cut_over), _side(series, cut_over, until)
    if before.mean is None and after.mean is None:
        return None
    change = None
    if before.mean and after.mean is not None:
        change = 100 * (after.mean - before.mean) / before.mean
    return Pair(series, series_title(series.metric, series.labels), before, after, change)


def _side(series: Series, since: datetime, until: datetime) -> Side:
    points = samples.points(series, since, until, most=120)
    n = sum(point.n for point in points)
    if not n:
        return Side("–", "–", None, [])
    mean = sum(point.average * point.n for point in points) / n
    peak = max(point.maximum for point in points)
    return Side(value_text(series.metric, mean), value_text(series.metric, peak), mean, points)
