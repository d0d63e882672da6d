"""Advice after a move, from what the rounds stored: no server is asked for it, and nothing is applied by itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from django.db.models import Max
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from monitoring_app.models import Sample, Series, Target
from monitoring_app.probes import advice
from monitoring_app.probes.advice import Advice
from monitoring_app.services.markers import cut_over_of

DAY: Final = timedelta(hours=24)
OLD: Final = timedelta(hours=1)  # what was seen longer ago may not be so any more
# What each topic is read from, and what a person calls it.
_SOURCES: Final = {
    "sequences": "sequences",
    "indexes": "indexes and table scans",
    "settings": "the server's settings",
    "dead_rows": "the tables' statistics",
}


@dataclass(frozen=True)
class Report:
    """advices: the most urgent first. gaps: what is not known, and why: no advice about it is no good news.

    since: the cut-over; None where the application is not on PostgreSQL, as far as Causeway knows.
    """

    since: datetime | None
    advices: tuple[Advice, ...]
    gaps: tuple[str, ...]

    def of(self, topic: str) -> tuple[Advice, ...]:
        return tuple(one for one in self.advices if one.topic == topic)


def advise(*, target: Target, now: datetime | None = None) -> Report:
    """What would be worth doing about the target, as of its last rounds."""
    now = now or timezone.now()
    seen: Mapping[str, Any] = target.seen or {}
    since = cut_over_of(target.application)
    found = [
        *advice.of_sequences(_of(seen, "sequences")),
        *advice.of_errors(_error_counts(seen, since), _errors_lately(seen, now)),
        *_pool(target, seen, now),
        *advice.of_indexes(_of(seen, "indexes")),
        *advice.of_statistics(_of(seen, "dead_rows")),
        *advice.of_settings(_of(seen, "settings")),
    ]
    ordered = sorted(found, key=lambda one: one.urgency)  # stable: within an urgency as above
    return Report(since, tuple(ordered), tuple(_gaps(target, seen, since, now)))


def _of(seen: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    one = seen.get(name)
    return one if isinstance(one, dict) else {}


def _error_counts(seen: Mapping[str, Any], since: datetime | None) -> dict[str, int]:
    """Since this cut-over only: those of an earlier one say nothing of today's data."""
    errors = _of(seen, "errors")
    if since is None or errors.get("since") != since.isoformat():
        return {}
    return {str(code): int(count) for code, count in errors.get("counts", {}).items() if count}


def _errors_lately(seen: Mapping[str, Any], now: datetime) -> set[str]:
    newest = _of(seen, "errors").get("newest", {})
    moments = {str(code): parse_datetime(str(at)) for code, at in newest.items()}
    return {code for code, at in moments.items() if at is not None and now - at <= DAY}


def _pool(target: Target, seen: Mapping[str, Any], now: datetime) -> list[Advice]:
    limits = _of(seen, "connections").get("limits", [])
    nearest = max(limits, key=lambda one: one["used"] / one["usable"] if one["usable"] > 0 else 1.0, default=None)
    limit = f"{nearest['usable']} for {nearest['limit']}" if nearest else ""
    server, own = (_highest(target, metric, now) for metric in ("pool_used", "application_pool_used"))
    return list(advice.of_pool(server, own, limit))


def _highest(target: Target, metric: str, now: datetime) -> float | None:
    series = Series.objects.filter(target=target, metric=metric)
    found = Sample.objects.filter(series__in=series, resolution=0, at__gte=now - DAY, at__lte=now)
    highest: float | None = found.aggregate(highest=Max("maximum"))["highest"]
    return highest


def _gaps(target: Target, seen: Mapping[str, Any], since: datetime | None, now: datetime) -> list[str]:
    gaps = []
    for name, title in _SOURCES.items():
        at = parse_datetime(str(_of(seen, name).get("at", "")))
        if problem := _of(seen, name).get("problem"):
            gaps.append(f"Nothing is known of {title} now: {problem}.")
        elif at is None:
            gaps.append(f"Nothing is known of {title}: no round has seen them yet.")
        elif now - at > OLD:
            gaps.append(f"What is said of {title} is as of {at:%Y-%m-%d %H:%M} UTC: no later round has seen them.")
    gaps += [f"Sequence {name}: not compared." for name in _of(seen, "sequences").get("left_out", [])]
    if problem := _of(seen, "statements").get("problem"):
        gaps.append(f"Query times are not known: {problem}.")
    settings = _of(seen, "settings")
    if settings and not settings.get("memory_bytes"):
        gaps.append("PostgreSQL runs on another machine, whose memory is not known: no advice depends on it.")
    if not target.application_log:
        gaps.append("Errors by SQLSTATE are not counted: no log of the application is named in the settings.")
    elif since is None:
        gaps.append("Errors are counted from the next switch to PostgreSQL on.")
    return gaps
