"""Before and after the cut-over: the same endpoint and query, on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from django.db.models import BooleanField, Case, F, Max, Sum, Value, When

from monitoring_app.models import Resolution, Sample, Series, Target
from monitoring_app.services import drawing, samples
from monitoring_app.services.amounts import series_title, value_text
from monitoring_app.services.boards import is_wanted
from monitoring_app.services.drawing import KEPT

LONGEST: Final = timedelta(days=1)
METRICS: Final = ("endpoint_time", "error_rate", "requests", "query_time")
_MOST = 24
_POINTS = 120  # of a side's picture
_LONG: Final = timedelta(hours=3)  # of both sides together


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


def compare(target: Target, cut_over: datetime, now: datetime, *, drawn: int = 0) -> Comparison:
    """As long before the cut-over as there has been since, at most a day. drawn: so many pairs have points as well."""
    length = min(max(now - cut_over, timedelta(minutes=5)), LONGEST)
    since, until = cut_over - length, min(now, cut_over + length)
    order = {name: place for place, name in enumerate(METRICS)}
    rows = Series.objects.filter(target=target, metric__in=METRICS).order_by("labels_key")
    wanted = sorted((row for row in rows if is_wanted(target, row)), key=lambda row: order[row.metric])[:_MOST]
    figures = _figures(wanted, since, cut_over, until, now)
    measured = [row for row in wanted if (row.pk, False) in figures or (row.pk, True) in figures]
    earlier = drawing.points_of(measured[:drawn], since, cut_over, most=_POINTS)
    later = drawing.points_of(measured[:drawn], cut_over, until, most=_POINTS)
    pairs = []
    for row in measured:
        before = _side(row, figures.get((row.pk, False)), earlier.get(row.pk, []))
        after = _side(row, figures.get((row.pk, True)), later.get(row.pk, []))
        pairs.append(Pair(row, series_title(row.metric, row.labels), before, after, _change(before, after)))
    return Comparison(since, cut_over, until, pairs)


def _figures(
    rows: list[Series], since: datetime, cut_over: datetime, until: datetime, now: datetime
) -> dict[tuple[int, bool], tuple[float, float]]:
    """(mean, highest) by series and side. Of the finest samples that are kept for all of that time; of a long one, of
    five minutes each, as they are rolled up: raw ones only where there are none of those yet."""
    age = now - since
    if age >= KEPT[Resolution.FIVE_MINUTES]:
        return _sums(rows, Resolution.HOUR, since, cut_over, until)
    if until - since < _LONG:
        return _sums(rows, Resolution.RAW, since, cut_over, until)
    found = _sums(rows, Resolution.FIVE_MINUTES, since, cut_over, until)
    if age < KEPT[Resolution.RAW]:
        left = [row for row in rows if (row.pk, False) not in found or (row.pk, True) not in found]
        found |= _sums(left, Resolution.RAW, since, cut_over, until)
    return found


def _sums(
    rows: list[Series], resolution: Resolution, since: datetime, cut_over: datetime, until: datetime
) -> dict[tuple[int, bool], tuple[float, float]]:
    """With one query. A sample over the cut-over would tell of both sides: it counts for none."""
    if not rows:
        return {}
    found = Sample.objects.filter(series__in=rows, resolution=resolution, at__gte=since, at__lt=until)
    if resolution:
        found = found.exclude(at__gt=cut_over - timedelta(seconds=resolution.value), at__lt=cut_over)
    after = Case(When(at__gte=cut_over, then=Value(True)), default=Value(False), output_field=BooleanField())
    sums = found.annotate(after=after).values("series_id", "after").order_by()
    totals = sums.annotate(total=Sum(F("average") * F("n")), count=Sum("n"), highest=Max("maximum"))
    return {
        (row["series_id"], bool(row["after"])): (row["total"] / row["count"], row["highest"])
        for row in totals
        if row["count"]
    }


def _side(series: Series, figures: tuple[float, float] | None, points: list[samples.Point]) -> Side:
    if figures is None:
        return Side("–", "–", None, points)
    mean, peak = figures
    return Side(value_text(series.metric, mean), value_text(series.metric, peak), mean, points)


def _change(before: Side, after: Side) -> float | None:
    if not before.mean or after.mean is None:
        return None
    return 100 * (after.mean - before.mean) / before.mean
