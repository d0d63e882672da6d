"""The stored series in Prometheus's text format, with the loop's own age, the outbox and the alerts.

Nothing is measured for it: a scrape costs a few queries. A series without a recent value is left out, so that
Prometheus sees it missing instead of an old number; how many those are is a number of its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily

from controlplane.mail.models import MailState, OutgoingMail
from monitoring_app.metrics import METRICS, Metric, Unit
from monitoring_app.models import Alert, AlertState, Series, Target
from monitoring_app.probes.measurement import UNKNOWN
from monitoring_app.services import loop

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SUFFIXES = {
    Unit.PERCENT: "_percent",
    Unit.MILLISECONDS: "_milliseconds",
    Unit.BYTES: "_bytes",
    Unit.SECONDS: "_seconds",
    Unit.PER_SECOND: "_per_second",
}
# Some are looked at less often than every round; older than this no value is the newest there is.
_OLD = timedelta(minutes=20)


def exposition(*, now: datetime) -> bytes:
    """All of it, as one text."""
    registry = CollectorRegistry()
    registry.register(_Collector(now))
    return generate_latest(registry)


class _Collector:
    def __init__(self, now: datetime) -> None:
        self._now = now

    def describe(self) -> Iterable[GaugeMetricFamily]:
        """Nothing beforehand: what there is depends on the rows."""
        return ()

    def collect(self) -> Iterator[GaugeMetricFamily]:
        targets = list(Target.objects.filter(enabled=True).select_related("application").prefetch_related("rounds"))
        names = {target.pk: target.application.name for target in targets}
        rows = list(Series.objects.filter(target__in=targets).order_by("metric", "target", "labels_key"))
        fresh = [row for row in rows if self._is_fresh(row)]
        for name, metric in METRICS.items():
            family = _family(metric, [row for row in fresh if row.metric == name], names)
            if family is not None:
                yield family
        yield self._missing(rows, fresh, names)
        yield from self._loop(targets)
        yield _counted("causeway_outbox_mails", "Mails in the outbox", ("state",), _outbox())
        labels = ("target", "severity", "state")
        yield _counted("causeway_alerts", "Alerts that are not resolved", labels, _alerts())

    def _is_fresh(self, row: Series) -> bool:
        return row.view != UNKNOWN and row.last_at is not None and self._now - row.last_at <= _OLD

    def _missing(self, rows: list[Series], fresh: list[Series], names: dict[int, str]) -> GaugeMetricFamily:
        counts = Counter(names[row.target_id] for row in rows)
        counts.subtract(names[row.target_id] for row in fresh)
        values = {(name,): counts[name] for name in names.values()}
        return _counted("causeway_series_unknown", "Series without a recent value", ("target",), values)

    def _loop(self, targets: list[Target]) -> Iterator[GaugeMetricFamily]:
        last = loop.last_tick()
        if last is not None:
            age = max(0.0, (self._now - last).total_seconds())
            yield GaugeMetricFamily("causeway_tick_age_seconds", "Since the loop last woke", value=age)
        family = GaugeMetricFamily(
            "causeway_round_age_seconds", "Since a part's last round ended", labels=("target", "part")
        )
        for target in targets:
            for part in loop.PARTS:
                age = loop.age_of(target, part, self._now).total_seconds()
                family.add_metric((target.application.name, part), age)
        yield family


def _family(metric: Metric, rows: list[Series], names: dict[int, str]) -> GaugeMetricFamily | None:
    if not rows:
        return None
    labels = sorted({label for row in rows for label in row.labels})
    family = GaugeMetricFamily(
        f"causeway_{metric.name}{_SUFFIXES.get(metric.unit, '')}", metric.title, labels=("target", *labels)
    )
    for row in rows:
        values = (names[row.target_id], *(str(row.labels.get(label, "")) for label in labels))
        family.add_metric(values, row.last_value if row.last_value is not None else float("nan"))
    return family


def _counted(name: str, title: str, labels: tuple[str, ...], values: dict[Any, int]) -> GaugeMetricFamily:
    family = GaugeMetricFamily(name, title, labels=labels)
    for key, count in sorted(values.items()):
        family.add_metric(key, count)
    return family


def _outbox() -> dict[tuple[str], int]:
    """Those that wait, are being sent or were given up; sent ones are no depth."""
    states = (MailState.WAITING, MailState.SENDING, MailState.FAILED)
    rows = OutgoingMail.objects.filter(state__in=states).order_by().values_list("state").annotate(n=Count("pk"))
    counts = dict(rows)
    return {(str(state),): counts.get(state, 0) for state in states}


def _alerts() -> dict[tuple[str, str, str], int]:
    rows = Alert.objects.exclude(state=AlertState.RESOLVED).order_by()
    counted = rows.values_list("rule__target__application__name", "rule__severity", "state").annotate(n=Count("pk"))
    return {(name, severity, state): n for name, severity, state, n in counted}
