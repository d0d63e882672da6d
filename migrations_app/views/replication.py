"""A live crossing as people read it: what flows where, how far behind it is, and how long one can go back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.utils.safestring import SafeString, mark_safe

from controlplane.registry.models import Application
from migrations_app.models import MigrationRun, Replication
from migrations_app.models.states import Direction, ReplicationState, RunKind, Strategy
from monitoring_app import charts

# The follower looks every two seconds. Silent for so long, what it saw last is no fact of now.
SILENT_SECONDS: Final = 15
_TREND_SECONDS: Final = 600
_HEIGHT: Final = 64


@dataclass(frozen=True)
class Flow:
    """answer: what the panel says first. state: of the status table "replication".

    behind: seconds, None where unknown. trend: the backlog of the last minutes as a picture, '' where there is none.
    """

    row: Replication
    state: str
    tone: str
    answer: str
    meaning: str
    way: str
    behind: float | None
    is_back: bool
    silent: bool
    trend: SafeString
    peak: int


@dataclass(frozen=True)
class Window:
    """Whether one can go back without losing a row: since when, until when, and why not."""

    open: bool
    since: datetime | None
    reason: str


@dataclass(frozen=True)
class _Point:
    at: datetime
    minimum: float
    average: float
    maximum: float


def replication_of(application: Application) -> Replication | None:
    """The application's own, of a run that is under way or of one that fell back; None where it never had one."""
    return getattr(application, "replication", None)


def crossing_of(run: MigrationRun) -> Replication | None:
    """What flows for this run: nothing for an offline one, or where a later run has taken the replication over."""
    if run.strategy != Strategy.ONLINE or run.kind != RunKind.PRODUCTION:
        return None
    found = replication_of(run.application)
    return found if found is not None and found.run_id == run.pk else None


def flow_of(row: Replication, now: datetime) -> Flow:
    """What the panel says. Never raises for a row that lacks something: what is not known is said so."""
    silent = _is_silent(row, now)
    state, tone, answer, meaning = _said(row, silent)
    is_back = row.direction == Direction.BACK
    picture, peak = _trend(row.trend, now)
    return Flow(
        row=row,
        state=state,
        tone=tone,
        answer=answer,
        meaning=meaning,
        way=_WAYS.get(row.direction, ""),
        behind=None if is_back else row.lag_seconds,
        is_back=is_back,
        silent=silent,
        trend=picture,
        peak=peak,
    )


def window_of(row: Replication) -> Window | None:
    """The clock; None before there is a copy, and after the end."""
    if row.copied_at is None or not row.is_live:
        return None
    return Window(row.window_open, row.window_since, row.window_reason)


_WAYS: dict[str, str] = {
    Direction.FORWARD: "SQLite → PostgreSQL",
    Direction.BACK: "PostgreSQL → SQLite",
}


def _is_silent(row: Replication, now: datetime) -> bool:
    if row.state != ReplicationState.FOLLOWING or row.direction == Direction.NONE:
        return False
    return row.seen_at is None or now - row.seen_at > timedelta(seconds=SILENT_SECONDS)


def _said(row: Replication, silent: bool) -> tuple[str, str, str, str]:
    """State, tone, answer, what it means."""
    if row.state == ReplicationState.ENDED:
        by = f" by {row.ended_by}" if row.ended_by else ""
        return "ended", "quiet", "The replication has ended", f"Ended{by}: every trace was removed on both sides."
    if row.state == ReplicationState.ENDING:
        asked = f"Asked for by {row.ended_by}. " if row.ended_by else ""
        if row.error_code:
            said = f"{asked}{row.error_message} {row.error_hint} It is tried again."
            return "ending", "alarm", "Not all of its traces could be removed yet", said
        return "ending", "live", "Its traces are being removed", f"{asked}Its worker removes them on both sides."
    if row.state == ReplicationState.BROKEN:
        return "broken", "alarm", "Nothing flows any more", f"{row.error_message} {row.error_hint}".strip()
    if silent:
        said = "Its worker has said nothing since. What is below is from then; what was written meanwhile waits."
        return "silent", "alarm", "The follower is silent", said
    if row.copied_at is None:
        return "copying", "live", "The rows are being copied", "The application goes on writing; its changes are noted."
    if row.state == ReplicationState.PAUSED:
        if row.window_reason and not row.window_open:
            return "paused", "alarm", "Nothing flows back any more", row.window_reason
        said = "A step of the crossing has its work. Until that is done, or a person has decided, nothing else flows."
        return "paused", "care", "The follower rests", said
    return _following(row)


def _following(row: Replication) -> tuple[str, str, str, str]:
    if row.direction == Direction.BACK:
        rows = row.queue_rows
        said = "The application writes to PostgreSQL; each write flows back to its SQLite file."
        if not rows:
            return "following", "good", "SQLite has every write" if rows == 0 else "Not counted yet", said
        return "following", "live", f"{rows:,} {'row is' if rows == 1 else 'rows are'} on the way to SQLite", said
    if row.direction == Direction.FORWARD:
        rows = row.lag_rows
        said = "The application writes to SQLite; PostgreSQL follows and refuses every other writer."
        if not rows:
            return "following", "good", "PostgreSQL has every write" if rows == 0 else "Not counted yet", said
        return "following", "live", f"PostgreSQL is {rows:,} {'row' if rows == 1 else 'rows'} behind", said
    return "paused", "care", "Nothing flows", row.window_reason or "The follower doesn't know yet which side is live."


def _trend(trend: Any, now: datetime) -> tuple[SafeString, int]:
    """The backlog of the last minutes, in rows, and its highest value."""
    points = _points(trend)
    since = now - timedelta(seconds=_TREND_SECONDS)
    shown = [point for point in points if point.at >= since]
    if len(shown) < 2:
        return mark_safe(""), 0
    picture = charts.sparkline(charts.Line(shown), charts.span(since, now, step=2.0), height=_HEIGHT)
    # Safe: charts escapes every text; all else in it are numbers and constants.
    return mark_safe(picture), int(max(point.maximum for point in shown))


def _points(trend: Any) -> Sequence[_Point]:
    found = []
    for entry in trend if isinstance(trend, list) else []:
        if isinstance(entry, list | tuple) and len(entry) >= 2 and isinstance(entry[1], int | float):
            rows = float(entry[1])
            found.append(_Point(datetime.fromtimestamp(float(entry[0]), UTC), rows, rows, rows))
    return found
