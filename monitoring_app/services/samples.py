"""Samples go in by rounds and come out by time. Reading takes the finest resolution that still has the time."""

from __future__ import annotations

import hashlib
import logging
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db import transaction

from monitoring_app.metrics import METRICS
from monitoring_app.models import Resolution, Sample, Series, Target
from monitoring_app.probes.measurement import UNKNOWN, Measurement

logger = logging.getLogger("causeway.monitoring")

MOST_SERIES = 500  # of one target: labels that a server's clients choose must not fill the control database
_KEY_LENGTH = 300
_ROWS_AT_ONCE = 500
_FINER = (Resolution.RAW, Resolution.FIVE_MINUTES, Resolution.HOUR, Resolution.DAY)


class Point(NamedTuple):
    """`n` values from `at` on. minimum, average, maximum: in the metric's unit; equal where n is 1.

    events: of how many events (requests) they are made; None where that means nothing.
    """

    at: datetime
    minimum: float
    average: float
    maximum: float
    n: int
    events: int | None = None


def store(*, target: Target, measurements: Iterable[Measurement], now: datetime) -> None:
    """Keep what a round measured at `now`, in one transaction. What has no value updates its series only: never a 0.

    Raises KeyError for a metric that monitoring_app/metrics.py doesn't have: a fault of the probe.
    """
    kept: dict[tuple[str, str], Measurement] = {}
    for one in measurements:
        METRICS[one.metric]
        kept.setdefault((one.metric, labels_key(one.labels)), _finite(one))
    with transaction.atomic():
        rows = _bounded(target, [_row(target, key, one, now) for (_, key), one in kept.items()])
        with_value = [row for row in rows if row.last_value is not None]
        _upsert(with_value, ["last_at", "last_value", "last_count", "checked_at", "view", "note"])
        _upsert([row for row in rows if row.last_value is None], ["checked_at", "view", "note"])
        Sample.objects.bulk_create([_sample(row, now) for row in with_value], _ROWS_AT_ONCE, ignore_conflicts=True)


def mark_unknown(*, target: Target, from_host: bool, why: str, now: datetime) -> None:
    """No probe of that part could run: its series stay, with why there is no value."""
    names = [metric.name for metric in METRICS.values() if metric.from_host == from_host and metric.name != "loop_age"]
    rows = Series.objects.filter(target=target, metric__in=names)
    rows.update(checked_at=now, view=UNKNOWN, note=why[:300])


def window(series: Series, since: datetime, until: datetime) -> list[Point]:
    """What there is from `since` until before `until`, oldest first: raw while it is kept, older parts coarser."""
    return _read(series, Resolution.RAW, since, until)


def recent(target: Target, since: datetime, until: datetime) -> dict[int, list[Point]]:
    """Raw points of all series of a target by the series' id, oldest first, with one query. Since: within 48 h."""
    found: dict[int, list[Point]] = {}
    rows = Sample.objects.filter(
        series__in=Series.objects.filter(target=target), resolution=Resolution.RAW, at__gte=since, at__lt=until
    )
    for pk, *values in rows.order_by("series", "at").values_list("series_id", *_FIELDS):
        found.setdefault(pk, []).append(Point(*values))
    return found


def points(series: Series, since: datetime, until: datetime, most: int = 400) -> list[Point]:
    """For a chart: at most `most` points, each over an equal share of the time. Where nothing was measured is none."""
    share = max(1.0, (until - since).total_seconds() / most)
    # Half as many points as there may be are as good, and of a day a twentieth of the rows.
    fitting = [step for step in _FINER if step.value <= 2 * share]
    return thinned(_read(series, fitting[-1], since, until), since, share, most)


def labels_key(labels: Mapping[str, str]) -> str:
    """The labels as sorted text, `volume=archive`; one that would be too long ends in its own digest."""
    text = ",".join(f"{name}={labels[name]}" for name in sorted(labels)).replace("\0", "")
    if len(text) <= _KEY_LENGTH:
        return text
    return text[: _KEY_LENGTH - 33] + "…" + hashlib.sha256(text.encode()).hexdigest()[:32]


_FIELDS = ("at", "minimum", "average", "maximum", "n", "events")


def _finite(one: Measurement) -> Measurement:
    if one.value is None or math.isfinite(one.value):
        return one
    return replace(one, value=None, view=UNKNOWN, note="the probe's answer is not a number")


def _row(target: Target, key: str, one: Measurement, now: datetime) -> Series:
    return Series(
        target=target,
        metric=one.metric,
        labels={name: str(value).replace("\0", "") for name, value in one.labels.items()},
        labels_key=key,
        last_at=now if one.value is not None else None,
        last_value=one.value,
        last_count=one.count if one.value is not None else None,
        checked_at=now,
        view=one.view,
        note=one.note.replace("\0", "")[:300],
        expected_from=now,
    )


def _bounded(target: Target, rows: list[Series]) -> list[Series]:
    """The rows whose series are there or may still be made."""
    known = set(Series.objects.filter(target=target).values_list("metric", "labels_key"))
    room = MOST_SERIES - len(known)
    fresh = [row for row in rows if (row.metric, row.labels_key) not in known]
    if len(fresh) > room:
        logger.warning("target %s has %s series: %s new ones are not kept", target.pk, len(known), len(fresh) - room)
        dropped = {(row.metric, row.labels_key) for row in fresh[max(room, 0) :]}
        rows = [row for row in rows if (row.metric, row.labels_key) not in dropped]
    return rows


def _upsert(rows: list[Series], fields: list[str]) -> None:
    """Insert or update by what makes a series unique; the rows get their keys."""
    Series.objects.bulk_create(
        rows,
        _ROWS_AT_ONCE // 10,
        update_conflicts=True,
        unique_fields=["target", "metric", "labels_key"],
        update_fields=fields,
    )


def _sample(row: Series, now: datetime) -> Sample:
    value = row.last_value
    assert value is not None
    return Sample(series=row, at=now, minimum=value, average=value, maximum=value, n=1, events=row.last_count)


def _read(series: Series, resolution: Resolution, since: datetime, until: datetime) -> list[Point]:
    """Rows of a resolution; what is older than its first from coarser ones, what is not rolled up yet from finer."""
    rows = _rows(series, resolution, since, until)
    older = _older(series, resolution, since, rows[0].at if rows else None, until)
    begin = rows[-1].at + timedelta(seconds=resolution.value) if rows else older[-1].at if older else since
    newer = _newer(series, resolution, begin, until) if resolution else []
    return [*older, *rows, *newer]


def _older(series: Series, finer: Resolution, since: datetime, first: datetime | None, until: datetime) -> list[Point]:
    """What begins before `first`, of coarser resolutions. A bucket that begins before `since` would tell of older
    times; one in which `first` lies would tell it twice."""
    place = _FINER.index(finer) + 1
    if place == len(_FINER) or (first is not None and first <= since):
        return []
    resolution = _FINER[place]
    end = until if first is None else floor(first, resolution.value)
    rows = _rows(series, resolution, since, end) if since < end else []
    before = rows[0].at if rows else first
    return [*_older(series, resolution, since, before, until), *rows]


def _newer(series: Series, coarser: Resolution, since: datetime, until: datetime) -> list[Point]:
    """What begins at `since` or later, of finer resolutions."""
    resolution = _FINER[_FINER.index(coarser) - 1]
    rows = _rows(series, resolution, since, until) if since < until else []
    if not resolution:
        return rows
    begin = rows[-1].at + timedelta(seconds=resolution.value) if rows else since
    return [*rows, *_newer(series, resolution, begin, until)]


def _rows(series: Series, resolution: Resolution, since: datetime, until: datetime) -> list[Point]:
    found = Sample.objects.filter(series=series, resolution=resolution, at__gte=since, at__lt=until).order_by("at")
    return [Point._make(values) for values in found.values_list(*_FIELDS)]


def floor(moment: datetime, seconds: int) -> datetime:
    """The begin of the bucket of `seconds` that the moment lies in; buckets begin at midnight UTC."""
    epoch = int(moment.timestamp())
    return datetime.fromtimestamp(epoch - epoch % seconds, UTC)


def thinned(rows: Sequence[Point], since: datetime, share: float, most: int) -> list[Point]:
    """At most `most` points, each of `share` seconds from `since` on; nothing is lost of least and most."""
    shares: dict[int, list[Point]] = {}
    for row in rows:
        place = min(int(max(0.0, (row.at - since).total_seconds()) / share), most - 1)
        shares.setdefault(place, []).append(row)
    return [one[0] if len(one) == 1 else _joined(one) for _, one in sorted(shares.items())]


def _joined(rows: Sequence[Point]) -> Point:
    n = sum(row.n for row in rows)
    events = [row.events for row in rows if row.events is not None]
    return Point(
        rows[0].at,
        min(row.minimum for row in rows),
        sum(row.average * row.n for row in rows) / n,
        max(row.maximum for row in rows),
        n,
        sum(events) if events else None,
    )
