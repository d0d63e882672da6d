"""Requests that failed, from the application's own Prometheus endpoint: the growth of a counter by status."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from monitoring_app.probes.access_log import rates
from monitoring_app.probes.asking import NoAnswer, address_of, get
from monitoring_app.probes.measurement import Measurement

SOURCE = {"source": "Prometheus"}
_LIMIT = 4_000_000


def probe_prometheus(
    url: str,
    counter: str,
    status_label: str,
    memory: Mapping[str, Any],
    seconds: float | None,
    *,
    hosts: tuple[str, ...] = (),
) -> tuple[list[Measurement], dict[str, Any]]:
    """The error rate (%) and the requests per second since the last look. memory: the counts of then.

    A counter that fell was restarted: it counts from 0. seconds: since the last look; None: there was none.
    """
    try:
        counts = _counts(url, counter, status_label, hosts)
    except NoAnswer as why:
        return _unknown(f"Prometheus endpoint: {why}"), dict(memory)
    if not counts:
        return _unknown(f"Prometheus endpoint: it has no counter {counter} with a label {status_label}"), {}
    before: Mapping[str, float] = memory.get("counts", {})
    if not memory or seconds is None:
        return _unknown("Prometheus endpoint: there is a rate from the second look on"), {"counts": counts}
    grown = {status: _growth(value, float(before.get(status, 0.0))) for status, value in counts.items()}
    failed = sum(value for status, value in grown.items() if status.startswith("5"))
    return rates(SOURCE, failed, sum(grown.values()), seconds), {"counts": counts}


def _counts(url: str, counter: str, status_label: str, hosts: tuple[str, ...]) -> dict[str, float]:
    host, port, path = address_of(url)
    answer = get(host, port, path, hosts=hosts, limit=_LIMIT)
    if answer.status != 200:
        raise NoAnswer(f"it answers {answer.status}")
    if answer.cut:
        raise NoAnswer(f"its answer is larger than {_LIMIT:,} bytes")
    names = {counter, f"{counter.removesuffix('_total')}_total"}
    counts: dict[str, float] = {}
    try:
        for family in text_string_to_metric_families(answer.body.decode("utf-8")):
            for sample in family.samples:
                if sample.name in names and status_label in sample.labels:
                    status = sample.labels[status_label]
                    counts[status] = counts.get(status, 0.0) + float(sample.value)
    except (ValueError, KeyError, IndexError):  # the parser's ways to say that the text is none
        raise NoAnswer("its answer is not in Prometheus's text format") from None
    return counts


def _growth(now: float, before: float) -> float:
    return now - before if now >= before else now


def _unknown(why: str) -> list[Measurement]:
    return [Measurement.unknown(name, why, SOURCE) for name in ("error_rate", "requests")]
