"""Points of many series for a page's charts: joined by the database, with a query for each resolution.

A day of a dozen series is some hundred thousand raw rows. Read one by one they cost a page most of its time; what is
drawn of them is a point for each share of the time.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection
from django.utils import timezone

from monitoring_app.models import Resolution, Series
from monitoring_app.services import samples
from monitoring_app.services.samples import Point

# A little less than samples are kept (services/rollup.py).
KEPT: Final = {
    Resolution.RAW: timedelta(hours=47),
    Resolution.FIVE_MINUTES: timedelta(days=29),
    Resolution.HOUR: timedelta(days=364),
}


# The share of the time that a row lies in. SQLite keeps times as text in UTC, and reads a Julian day off it fastest:
# exact to 0.04 ms, so that half a millisecond is put on top, or a row at a share's begin might be in the one before.
_SHARE: Final = {
    "postgresql": "CAST(floor((extract(epoch FROM at) - %s) / %s) AS integer)",
    "sqlite": "CAST((julianday(at) - (2440587.5 + (%s - 0.0005) / 86400.0)) * (86400.0 / %s) AS integer)",
}
# min and max of the text are those of the times; to read a number off each row for them would double the work.
_JOINED: Final = """
SELECT series_id, min(at), max(at), min(minimum), sum(average * n) / sum(n), max(maximum), sum(n), sum(events)
  FROM monitoring_app_sample
 WHERE series_id IN ({series}) AND resolution = %s AND at >= %s AND at < %s
 GROUP BY series_id, {share}
 ORDER BY 1, 2
"""


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
    if chosen == Resolution.RAW:
        return found
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
    ends: dict[int, Any] = {}
    for pk, first, last, low, average, high, count, events in _joined(series, resolution, begin, since, until, share):
        found[pk].append(Point(max(since, _moment(first)), low, average, high, count, events))
        ends[pk] = last
    if resolution == Resolution.RAW:
        return
    steps = list(Resolution)
    finer = Resolution(steps[steps.index(resolution) - 1])
    together: dict[datetime, list[int]] = {}
    for pk in series:
        end = _moment(ends[pk]) + timedelta(seconds=resolution.value) if pk in ends else begin
        together.setdefault(end, []).append(pk)
    for end, some in together.items():
        _collect(found, some, finer, end, since, until, share)


def _moment(stored: datetime | str) -> datetime:
    """A time as the database's driver gives it: text without a zone from SQLite."""
    return datetime.fromisoformat(stored).replace(tzinfo=UTC) if isinstance(stored, str) else stored


def _joined(
    series: list[int], resolution: Resolution, begin: datetime, since: datetime, until: datetime, share: float
) -> list[tuple[Any, ...]]:
    """(series, first, last, least, mean, most, n, events) of each share in which there is something."""
    sql = _JOINED.format(share=_SHARE[connection.vendor], series=", ".join(["%s"] * len(series)))
    times = [connection.ops.adapt_datetimefield_value(moment) for moment in (begin, until)]
    with connection.cursor() as cursor:
        cursor.execute(sql, [*series, int(resolution), *times, since.timestamp(), share])
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    return rows
