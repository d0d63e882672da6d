"""What the daily verification looks at: each check answers with an outcome, a sentence, and how much it saw.

A check that can't be made yet (backups), or that nobody set up (a log), is unknown and does not count towards the
day's outcome: a day that could never be fine would not be read. It is listed all the same, with the reason.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

from django.conf import settings

from controlplane.operator_file import OperatorRefused, read_operator_file
from monitoring_app.models import Alert, AlertState, Series, Severity, Target
from monitoring_app.probes.frozen_copy import Compared, NotCounted, WrittenSince, compare_counts
from monitoring_app.probes.measurement import UNKNOWN
from monitoring_app.services import loop, markers, samples
from monitoring_app.services.targets import TargetUnusable, dsn_of_application

FINE, WARNING, CRITICAL, NOT_KNOWN = "fine", "warning", "critical", "unknown"
DAY: Final = timedelta(days=1)
# The runbook's limit for failed requests (%), and half of it.
ERRORS_CRITICAL, ERRORS_WARNING = 1.0, 0.5
LEAST_REQUESTS = 100
GROWTH_WARNING = 20.0  # % in a day
WATCHED_LEAST = 90.0  # % of the day's rounds
SOON_FULL = timedelta(days=14)
_SHOWN = 8


@dataclass(frozen=True)
class Check:
    """One check. view: full, partial or unknown. counted: whether it counts towards the day's outcome."""

    code: str
    title: str
    outcome: str
    said: str
    view: str = "full"
    counted: bool = True

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


def outcome_of(checks: list[Check]) -> str:
    """The worst of those that count: critical, then unknown, then warning."""
    found = {check.outcome for check in checks if check.counted}
    return next((outcome for outcome in (CRITICAL, NOT_KNOWN, WARNING) if outcome in found), FINE)


def look(target: Target, now: datetime, *, on_host: bool) -> list[Check]:
    """All checks. on_host: this is the application's host, whose files can be read."""
    series = list(Series.objects.filter(target=target))
    checks = [_watched(target, now), _health(target, series, now), _errors(target, series, now)]
    checks += [_sqlstates(target), _size(series, now), _disks(series, now)]
    checks += [_not_built("backups", "Backups"), _not_built("restore_test", "Restore test")]
    return [*checks, _sequences(series, now), _rows(target, on_host)]


def _fresh(series: list[Series], metric: str, now: datetime) -> list[Series]:
    """Series of the metric whose newest look had a value, not long ago."""
    old = now - max(timedelta(minutes=20), 4 * loop.interval())
    rows = [one for one in series if one.metric == metric and one.view != UNKNOWN]
    return [one for one in rows if one.last_at is not None and one.last_at >= old]


def _why(series: list[Series], metric: str) -> str:
    notes = [one.note for one in series if one.metric == metric and one.note]
    return notes[0] if notes else "there is no recent value"


def _watched(target: Target, now: datetime) -> Check:
    """How much of the day somebody looked: no alert from a monitor that was off is no good news."""
    row = Series.objects.filter(target=target, metric="postgresql_up").first()
    since = max(now - DAY, target.created_at)
    expected = max(1.0, (now - since) / loop.interval())
    rounds = sum(point.n for point in samples.window(row, since, now)) if row is not None else 0
    share = min(100.0, 100.0 * rounds / expected)
    outcome = FINE if share >= WATCHED_LEAST else WARNING
    return Check("watched", "Watched", outcome, f"{share:.0f} % of the last day's rounds were made")


def _health(target: Target, series: list[Series], now: datetime) -> Check:
    title = "Health"
    up = _fresh(series, "postgresql_up", now)
    burning = Alert.objects.filter(
        rule__target=target, state__in=[AlertState.FIRING, AlertState.ACKNOWLEDGED]
    ).select_related("rule")
    names = sorted({alert.rule.title for alert in burning})
    if any(alert.rule.severity == Severity.CRITICAL for alert in burning):
        return Check("health", title, CRITICAL, f"burning: {', '.join(names[:_SHOWN])}")
    if not up:
        return Check("health", title, NOT_KNOWN, f"PostgreSQL: {_why(series, 'postgresql_up')}", "unknown")
    if up[0].last_value != 1.0:
        return Check("health", title, CRITICAL, up[0].note or "PostgreSQL does not answer")
    if names:
        return Check("health", title, WARNING, f"burning: {', '.join(names[:_SHOWN])}")
    return Check("health", title, FINE, "PostgreSQL answers, nothing burns")


def _errors(target: Target, series: list[Series], now: datetime) -> Check:
    """Failed requests of the last day, of the best source that there is: users' requests before our own checks."""
    title = "Failed requests"
    sources = {one.labels.get("source", ""): one for one in series if one.metric == "error_rate"}
    for source in ("access log", "Prometheus", "endpoint checks"):
        if source not in sources:
            continue
        failed, requests = _failed(sources[source], now)
        if requests:
            share = 100.0 * failed / requests
            said = f"{failed:,.0f} of {requests:,} ({share:.2f} %) in the last day, by {source}"
            view = "partial" if source == "endpoint checks" else "full"
            if requests < LEAST_REQUESTS:
                return Check("errors", title, WARNING if failed else FINE, f"{said}: too few to judge", "partial")
            outcome = CRITICAL if share > ERRORS_CRITICAL else WARNING if share > ERRORS_WARNING else FINE
            return Check("errors", title, outcome, said, view)
    said = "no request was seen in the last day" if sources else "no access log, Prometheus endpoint or endpoint is set"
    return Check("errors", title, NOT_KNOWN, said, "unknown", counted=bool(sources))


def _failed(series: Series, now: datetime) -> tuple[float, int]:
    """Failures and requests of the last day; a point's average weighs as much as its requests."""
    failed, requests = 0.0, 0
    for point in samples.window(series, now - DAY, now):
        if point.events:
            failed += point.average / 100.0 * point.events
            requests += point.events
    return failed, requests


def _sqlstates(target: Target) -> Check:
    title = "Database errors in the application's log"
    kept = target.seen.get("errors", {})
    if not target.application_log.get("path"):
        return Check("sqlstates", title, NOT_KNOWN, "no log of the application is set", "unknown", counted=False)
    if not kept.get("since"):
        return Check("sqlstates", title, NOT_KNOWN, "counted from a cut-over on", "unknown", counted=False)
    counts = sorted(kept.get("counts", {}).items(), key=lambda item: (-item[1], item[0]))
    if not counts:
        return Check("sqlstates", title, FINE, "none since the cut-over")
    said = ", ".join(f"{state} {count:,} times" for state, count in counts[:_SHOWN])
    return Check("sqlstates", title, WARNING, f"since the cut-over: {said}")


def _size(series: list[Series], now: datetime) -> Check:
    title = "Size and growth"
    rows = _fresh(series, "database_size", now)
    if not rows or rows[0].last_value is None:
        return Check("size", title, NOT_KNOWN, _why(series, "database_size"), "unknown")
    size = rows[0].last_value
    before = samples.window(rows[0], now - DAY - timedelta(hours=1), now - DAY + timedelta(hours=1))
    if not before or not before[0].average:
        return Check("size", title, FINE, f"{size:,.0f} bytes; growth is known after a day", "partial")
    growth = 100.0 * (size - before[0].average) / before[0].average
    outcome = WARNING if growth > GROWTH_WARNING else FINE
    return Check("size", title, outcome, f"{size:,.0f} bytes, {growth:+.1f} % in a day")


def _disks(series: list[Series], now: datetime) -> Check:
    """Each volume now, and when it is full if it goes on as in the last day."""
    title = "Disks"
    volumes = [one for one in series if one.metric == "disk_used"]
    if not volumes:
        return Check("disks", title, NOT_KNOWN, "no volume is set", "unknown", counted=False)
    known = _fresh(volumes, "disk_used", now)
    said, worst = [], FINE
    for one in known:
        value, name = one.last_value or 0.0, one.labels.get("volume", "")
        left = _until_full(one, value, now)
        soon = left is not None and left < SOON_FULL
        state = CRITICAL if value > 80 else WARNING if value > 75 or soon else FINE
        worst = max(worst, state, key=(FINE, WARNING, CRITICAL).index)
        said.append(f"{name} {value:.0f} %" + (f", full in {left.days} days at this pace" if soon and left else ""))
    if len(known) < len(volumes):
        missing = next(one for one in volumes if one not in known)
        said.append(missing.note or f"{missing.labels.get('volume', '')}: there is no recent value")
        worst = worst if worst == CRITICAL else NOT_KNOWN
    return Check("disks", title, worst, "; ".join(said), "full" if len(known) == len(volumes) else "partial")


def _until_full(series: Series, value: float, now: datetime) -> timedelta | None:
    before = samples.window(series, now - DAY - timedelta(hours=1), now - DAY + timedelta(hours=1))
    if not before or value <= before[0].average:
        return None
    return (100.0 - value) / (value - before[0].average) * DAY


def _sequences(series: list[Series], now: datetime) -> Check:
    title = "Sequences"
    rows = _fresh(series, "sequences_behind", now)
    if not rows or rows[0].last_value is None:
        return Check("sequences", title, NOT_KNOWN, _why(series, "sequences_behind"), "unknown")
    behind = int(rows[0].last_value)
    if behind:
        said = f"{behind} {'is' if behind == 1 else 'are'} behind: the next row of its table fails"
        return Check("sequences", title, CRITICAL, said, rows[0].view)
    return Check("sequences", title, FINE, "every one is ahead of its column", rows[0].view)


def _not_built(code: str, title: str) -> Check:
    said = "Causeway makes no backups of PostgreSQL yet: look at those of your own tool"
    return Check(code, title, NOT_KNOWN, said, "unknown", counted=False)


def _rows(target: Target, on_host: bool) -> Check:
    """Rows now against those of the frozen SQLite file, where there still is one."""
    title = "Rows against the frozen SQLite file"

    def unknown(said: str, counted: bool = False) -> Check:
        return Check("rows", title, NOT_KNOWN, said, "unknown", counted=counted)

    cut_over = markers.cut_over_of(target.application)
    if not target.frozen_copy or cut_over is None:
        return unknown("no frozen SQLite file is set" if cut_over else "not on PostgreSQL by a run of Causeway")
    if not on_host:
        return unknown(f"the worker of host {target.application.host} did not answer", counted=True)
    try:
        path = read_operator_file(Path(settings.CAUSEWAY_OPERATOR_FILE)).inside_roots(target.frozen_copy)
        dsn = dsn_of_application(target.application)
        compared = compare_counts(path, cut_over, dsn, target.application.target_schema)
    except WrittenSince as why:
        return Check("rows", title, CRITICAL, f"{why}: something still writes to SQLite")
    except NotCounted as why:
        return unknown(str(why))
    except (OperatorRefused, TargetUnusable) as refused:
        return unknown(refused.message)
    return _judged(title, compared)


def _judged(title: str, compared: list[Compared]) -> Check:
    gone = [one.table for one in compared if one.missing or (one.frozen and one.now == 0)]
    fewer = [one for one in compared if one.now is not None and one.now < one.frozen and one.table not in gone]
    uncounted = [one.table for one in compared if one.now is None and not one.missing]
    if gone:
        return Check("rows", title, CRITICAL, f"empty or gone: {', '.join(gone[:_SHOWN])}")
    said = [f"{one.table} had {one.frozen:,}, has {one.now:,}" for one in fewer[:_SHOWN]]
    if uncounted:
        said.append(f"not counted in time: {', '.join(uncounted[:_SHOWN])}")
    view = "partial" if uncounted else "full"
    if fewer:
        return Check("rows", title, WARNING, f"fewer than at the cut-over: {'; '.join(said)}", view)
    more = sum(1 for one in compared if one.now is not None and one.now > one.frozen)
    first = f"{len(compared)} tables, none has fewer rows than at the cut-over; {more} have more"
    return Check("rows", title, FINE, "; ".join([first, *said]), view)
