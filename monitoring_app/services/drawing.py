"""Points of many series for a page's charts: joined by the database, with a query for each resolution.

A day of a dozen series is some hundred thousand raw rows. Read one by one they cost a page most of its time; what is
drawn of them is a point for each share of the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db.models import F, FloatField, Func, IntegerField, Max, Min, Sum
from django.utils import timezone

from monitoring_app.models import Resolution, Sample, Series
from monitoring_app.services import samples
from monitoring_app.services.samples import Point

# A little less than samples are kept (services/rollup.py).
KEPT: Final = {
    Resolution.RAW: timedelta(hours=47),
    Resolution.FIVE_MINUTES: timedelta(days=29),
    Resolution.HOUR: timedelta(days=364),
}


class Epoch(Func):
    """Seconds since 1970 of a time, in whole ones where the database is SQLite."""

    output_field = FloatField()
    template = "extract(epoch FROM %(expressions)s)"

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        found: tuple[str, Any] = self.as_sql(
            compiler, connection, template="CAST(strftime('%%%%s', %(expressions)s) AS INTEGER)", **context
        )
        return found


class Share(Func):
    """The number of the share of the time that a row lies in. begin: since 1970; share: its length; both in seconds."""

    output_field = IntegerField()
    template = "CAST(floor((extract(epoch FROM %(expressions)s) - %(begin)s) / %(share)s) AS integer)"

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        seconds = "CAST(strftime('%%%%s', %(expressions)s) AS INTEGER)"
        found: tuple[str, Any] = self.as_sql(
            compiler, connection, template=f"CAST(({seconds} - %(begin)s) / %(share)s AS INTEGER)", **context
        )
        return found


def points_of(series: Iterable[Series], since: datetime, until: datetime, *, most: int = 400) -> dict[int, list[Point]]:
    """As samples.points() of each, by its id: at most `most` points, each over an equal share of the time."""
    rows = {row.pk: row for row in series}
    share = max(1.0, (until - since).total_seconds() / most)
    fitting = [step for step in Resolution if step.value <= 2 * share]
    chosen = Resolution(fitting[-1])
    if chosen not in KEPT or timezone.now() - since > KEPT[chosen]:
        return {pk: samples.points(row, since, until, most=most) for pk, row in rows.items()}
    found: dict[int, list[Point]] = {pk: [] for pk in rows}
    _collect(found, list(rows), chosen, since, since, until, share)
    return {pk: samples.thinned(points, since, share, most) for pk, points in found.items()}


def _collect(
    found: dict[int, list[Point]],
    series: list[int],
    resolution: Resolution,
    begin: datetime,
    since: datetime,
    until: datetime,
    share: float,
) -> None:
    """Rows of a resolution from `begin` on, then what is not rolled up yet from finer ones."""
    if not series or begin >= until:
        return
    rows = Sample.objects.filter(series__in=series, resolution=resolution, at__gte=begin, at__lt=until).order_by()
    place = Share("at", begin=repr(since.timestamp()), share=repr(share))
    grouped = rows.annotate(place=place).values("series_id", "place")
    sums = grouped.annotate(
        first=Min(Epoch("at")), last=Max(Epoch("at")), low=Min("minimum"), high=Max("maximum"), count=Sum("n"),
        total=Sum(F("average") * F("n"), output_field=FloatField()), happened=Sum("events"),
    )  # fmt: skip
    ends: dict[int, float] = {}
    fields = ("series_id", "first", "last", "low", "high", "count", "total", "happened")
    for pk, first, last, low, high, count, total, happened in sums.values_list(*fields).order_by("series_id", "place"):
        at = max(since, datetime.fromtimestamp(float(first), UTC))
        found[pk].append(Point(at, low, total / count, high, count, happened))
        ends[pk] = float(last)
    if resolution == Resolution.RAW:
        return
    steps = list(Resolution)
    finer = Resolution(steps[steps.index(resolution) - 1])
    together: dict[datetime, list[int]] = {}
    for pk in series:
        end = datetime.fromtimestamp(ends[pk], UTC) + timedelta(seconds=resolution.value) if pk in ends else begin
        together.setdefault(end, []).append(pk)
    for end, some in together.items():
        _collect(found, some, finer, end, since, until, share)
