"""Samples are rolled up as they age: raw for 48 h, 5 minutes for 30 days, hours for a year, days for ever.

A bucket is written when its time is over, from the next finer rows, and written anew when asked again; where the work
stands is read from the rows themselves, so a round that was killed is gone on with. What is finer is deleted only
where the coarser rows have it. Work goes series by series, in pieces, and stops when its time is over.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from typing import Final

from django.db import connection
from django.db.models import OuterRef, Subquery

from monitoring_app.models import Resolution, Sample, Series
from monitoring_app.services.samples import floor

SECONDS: Final = 20.0
_LATE = timedelta(seconds=90)  # a round stores what it measured under the time of its begin
_KEEP: Final = {
    Resolution.RAW: timedelta(hours=48),
    Resolution.FIVE_MINUTES: timedelta(days=30),
    Resolution.HOUR: timedelta(days=365),
}
_STEPS: Final = (
    (Resolution.RAW, Resolution.FIVE_MINUTES),
    (Resolution.FIVE_MINUTES, Resolution.HOUR),
    (Resolution.HOUR, Resolution.DAY),
)
_PIECE: Final = 2000  # buckets of one series in one statement

_BUCKET: Final = {
    "postgresql": "to_timestamp(floor(extract(epoch FROM at) / {0}) * {0})",
    # As Django writes times in SQLite: text in UTC.
    "sqlite": "datetime(CAST(strftime('%%s', at) AS INTEGER) / {0} * {0}, 'unixepoch')",
}
_ROLL: Final = """
INSERT INTO monitoring_app_sample (series_id, resolution, at, minimum, average, maximum, n, events)
SELECT series_id, {to}, {bucket} AS bucket, min(minimum), sum(average * n) / sum(n), max(maximum), sum(n), sum(events)
  FROM monitoring_app_sample
 WHERE series_id = %s AND resolution = {of} AND at >= %s AND at < %s
 GROUP BY series_id, bucket
    ON CONFLICT (series_id, resolution, at) DO UPDATE
   SET minimum = excluded.minimum, average = excluded.average, maximum = excluded.maximum,
       n = excluded.n, events = excluded.events
"""


def roll_up(*, now: datetime, seconds: float = SECONDS) -> bool:
    """Roll up what is due and delete what is kept long enough; False when the time was over before the work was."""
    until = time.monotonic() + seconds
    for finer, coarser in _STEPS:
        if not _roll(finer, coarser, floor(now - _LATE, coarser.value), until):
            return False
        if not _delete(finer, coarser, floor(now - _KEEP[finer], coarser.value), until):
            return False
    return True


def _roll(finer: Resolution, coarser: Resolution, end: datetime, until: float) -> bool:
    step = timedelta(seconds=coarser.value)
    for series, last, newest in _standing(coarser, finer):
        begin = last + step if last is not None else None
        while newest is not None and (begin is None or newest >= begin):
            if time.monotonic() >= until:
                return False
            first = _first(series, finer, begin)
            if first is None or first >= end:
                break
            bucket = floor(first, coarser.value)
            begin = min(end, bucket + _PIECE * step)
            _write(series, finer, coarser, bucket, begin)
    return True


def _standing(coarser: Resolution, finer: Resolution) -> list[tuple[int, datetime | None, datetime | None]]:
    """Of each series the newest coarser and the newest finer row."""
    return list(
        Series.objects.order_by("pk")
        .annotate(rolled=_newest(coarser), newest=_newest(finer))
        .values_list("pk", "rolled", "newest")
    )


def _newest(resolution: Resolution) -> Subquery:
    rows = Sample.objects.filter(series=OuterRef("pk"), resolution=resolution).order_by("-at")
    return Subquery(rows.values("at")[:1])


def _first(series: int, resolution: Resolution, since: datetime | None) -> datetime | None:
    rows = Sample.objects.filter(series_id=series, resolution=resolution)
    if since is not None:
        rows = rows.filter(at__gte=since)
    return rows.order_by("at").values_list("at", flat=True).first()


def _write(series: int, finer: Resolution, coarser: Resolution, since: datetime, before: datetime) -> None:
    bucket = _BUCKET[connection.vendor].format(coarser.value)
    statement = _ROLL.format(to=coarser.value, of=finer.value, bucket=bucket)
    field = Sample._meta.get_field("at")
    with connection.cursor() as cursor:
        cursor.execute(statement, [series, *(field.get_db_prep_value(one, connection) for one in (since, before))])


def _delete(finer: Resolution, coarser: Resolution, before: datetime, until: float) -> bool:
    """Delete finer rows that begin before `before` and are rolled up, in pieces of the same size."""
    step = timedelta(seconds=coarser.value)
    for series, rolled, _ in _standing(coarser, finer):
        if rolled is None:
            continue
        end = min(before, rolled + step)
        while (first := _first(series, finer, None)) is not None and first < end:
            if time.monotonic() >= until:
                return False
            piece = min(end, floor(first, coarser.value) + _PIECE * step)
            Sample.objects.filter(series_id=series, resolution=finer, at__lt=piece).delete()
    return True
