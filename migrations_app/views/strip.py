"""The timeline as numbers for an SVG: one row a phase, planned above actual, now and the last safe moment across."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from django.utils import timezone

from controlplane.pages.words import duration_text, moment_text
from controlplane.registry.models import Role
from migrations_app.models.states import Phase, StepState

_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200)
_DAY = 86_400
_DAYS = (1, 2, 7, 14, 30, 91, 365)
_MOST_TICKS = 7
# Phases that last for hours or days and would squeeze the crossing to a dot: drawn to the edge, and cut there.
_LONG = frozenset({Phase.MONITORING, Phase.SIGN_OFF})
_SHORTEST = 0.6  # per cent: what took a second must still be seen


class Row(Protocol):
    """What the overview tells of one phase; read-only, as its rows are frozen."""

    @property
    def phase(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def state(self) -> str: ...

    @property
    def owner(self) -> str: ...

    @property
    def planned_start(self) -> datetime | None: ...

    @property
    def planned_end(self) -> datetime | None: ...

    @property
    def actual_start(self) -> datetime | None: ...

    @property
    def actual_end(self) -> datetime | None: ...


@dataclass(frozen=True)
class Bar:
    kind: str
    x: float
    width: float
    y: float
    height: float


@dataclass(frozen=True)
class Mark:
    x: float
    label: str = ""
    anchor: str = "middle"


@dataclass(frozen=True)
class StripRow:
    title: str
    state: str
    current: bool
    reading: str
    detail: str
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class Picture:
    rows: tuple[StripRow, ...] = ()
    ticks: tuple[Mark, ...] = ()
    now: Mark | None = None
    limit: Mark | None = None


@dataclass
class _Span:
    """A phase: its steps taken together."""

    phase: str
    begin: datetime | None = None
    rows: list[Row] = field(default_factory=list)

    def edge(self, name: str, choose: str) -> datetime | None:
        values: list[datetime] = [value for row in self.rows if (value := getattr(row, name)) is not None]
        if not values:
            return None
        edge = min(values) if choose == "first" else max(values)
        return edge if self.begin is None else max(edge, self.begin)

    @property
    def state(self) -> str:
        states = [row.state for row in self.rows]
        for state in (StepState.IN_DOUBT, StepState.ERRORED, StepState.FAILED, "held", StepState.RUNNING, "waiting"):
            if state in states:
                return str(state)
        if all(state == StepState.SKIPPED for state in states):
            return str(StepState.SKIPPED)
        if all(state in (StepState.SUCCEEDED, StepState.SKIPPED) for state in states):
            return str(StepState.SUCCEEDED)
        begun = any(state != StepState.PENDING for state in states)
        return str(StepState.RUNNING if begun else StepState.PENDING)

    @property
    def is_over(self) -> bool:
        return self.state in (StepState.SUCCEEDED, StepState.SKIPPED)


class _Happened:
    """A row without its plan."""

    planned_start: datetime | None = None
    planned_end: datetime | None = None

    def __init__(self, row: Row) -> None:
        self.phase, self.title, self.state, self.owner = row.phase, row.title, row.state, row.owner
        self.actual_start, self.actual_end = row.actual_start, row.actual_end


def draw(
    rows: Sequence[Row],
    *,
    now: datetime,
    limit: datetime | None = None,
    finished: bool = False,
    begin: datetime | None = None,
) -> Picture:
    """The picture of a run. Empty where nothing is planned and nothing has happened.

    begin: when the run was started. Its first gate may have been signed days before; that is not drawn.
    """
    spans = _by_phase(rows, begin)
    first, last = _extent(spans, now, limit, finished)
    if first is None or last is None:
        return Picture(tuple(_row(span, None, now, finished) for span in spans))
    scale = _Scale(first, last)
    show_now = not finished and first <= now <= last
    show_limit = limit is not None and not finished and first <= limit <= last
    return Picture(
        rows=tuple(_row(span, scale, now, finished) for span in spans),
        ticks=tuple(_ticks(scale)),
        now=_mark(scale, now, f"now {timezone.localtime(now):%H:%M}") if show_now else None,
        limit=_mark(scale, limit, f"last safe moment {moment_text(limit, now)}") if show_limit and limit else None,
    )


class _Scale:
    def __init__(self, first: datetime, last: datetime) -> None:
        self.first = first
        self.seconds = max((last - first).total_seconds(), 1.0)

    def x(self, moment: datetime) -> float:
        return round(min(max((moment - self.first).total_seconds() / self.seconds * 100, 0), 100), 2)


def _by_phase(rows: Iterable[Row], begin: datetime | None) -> list[_Span]:
    spans: dict[str, _Span] = {}
    for row in rows:
        spans.setdefault(row.phase, _Span(row.phase, begin)).rows.append(row)
    return list(spans.values())


def _extent(
    spans: list[_Span], now: datetime, limit: datetime | None, finished: bool
) -> tuple[datetime | None, datetime | None]:
    if finished and any(span.edge("actual_start", "first") for span in spans):
        # What happened fills the picture; a plan that was far off is cut at its edge.
        spans = [_Span(span.phase, span.begin, [_Happened(row) for row in span.rows]) for span in spans]
    starts: list[datetime] = []
    ends: list[datetime] = [] if finished else [now]
    for span in spans:
        is_long = span.phase in _LONG
        for name in ("planned_start", "actual_start"):
            edge = span.edge(name, "first")
            if edge is not None:
                starts.append(edge)
                ends.append(edge)
        for name in ("planned_end", "actual_end"):
            edge = span.edge(name, "last")
            if edge is not None and not is_long:
                ends.append(edge)
    if not starts:
        return None, None
    first, last = min(starts), max(ends)
    if limit is not None and not finished and limit - first < 2.5 * (last - first):
        last = max(last, limit)
    room = (last - first) * 0.08
    return first, last + max(room, timedelta(seconds=1))


def _ticks(scale: _Scale) -> Iterable[Mark]:
    sizes = (*_STEPS, *(days * _DAY for days in _DAYS))
    step = next((size for size in sizes if scale.seconds / size <= _MOST_TICKS), sizes[-1])
    local = timezone.localtime(scale.first)
    midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
    passed = (local - midnight).total_seconds()
    moment = midnight + timedelta(seconds=(passed // step + 1) * step)
    while (moment - scale.first).total_seconds() < scale.seconds:
        if step >= _DAY:
            text = f"{moment.day} {moment:%b}"
        else:
            text = f"{moment:%H:%M:%S}" if step < 60 else f"{moment:%H:%M}"
        x = scale.x(moment)
        # A label that would stick out is left off: its line still stands.
        yield Mark(x, text if 2.5 < x < 97 else "")
        moment += timedelta(seconds=step)


def _mark(scale: _Scale, moment: datetime, label: str) -> Mark:
    x = scale.x(moment)
    anchor = "start" if x < 7 else "end" if x > 88 else "middle"
    return Mark(x, label, anchor)


def _row(span: _Span, scale: _Scale | None, now: datetime, finished: bool) -> StripRow:
    state = span.state
    current = not finished and state not in (StepState.PENDING, StepState.SUCCEEDED, StepState.SKIPPED)
    reading, detail = _reading(span, now)
    bars = tuple(_bars(span, scale, now, state, finished)) if scale else ()
    return StripRow(Phase(span.phase).label, state, current, reading, detail, bars)


def _bars(span: _Span, scale: _Scale, now: datetime, state: str, finished: bool) -> Iterable[Bar]:
    planned = span.edge("planned_start", "first"), span.edge("planned_end", "last")
    if planned[0] and planned[1] and scale.x(planned[0]) < 100:
        yield _bar("planned", scale, planned[0], planned[1], 9, 3)
    start = span.edge("actual_start", "first")
    if start is None:
        if planned[0] and planned[1] and not finished and planned[1] > now:
            yield _bar("expected", scale, max(planned[0], now), planned[1], 15.5, 7)
        return
    end = span.edge("actual_end", "last") if span.is_over or finished else now
    kind = {StepState.FAILED: "alarm", StepState.ERRORED: "alarm", StepState.IN_DOUBT: "alarm"}.get(
        StepState(state) if state in StepState.values else StepState.PENDING, "done" if span.is_over else "live"
    )
    yield _bar(kind if not (finished and kind == "live") else "done", scale, start, end or now, 15, 8)
    if not span.is_over and not finished and planned[0] and planned[1]:
        expected = start + (planned[1] - planned[0])
        if expected > now:
            yield _bar("expected", scale, now, expected, 15.5, 7)


def _bar(kind: str, scale: _Scale, start: datetime, end: datetime, y: float, height: float) -> Bar:
    x = scale.x(start)
    return Bar(kind, min(x, 100 - _SHORTEST), round(max(scale.x(end) - x, _SHORTEST), 2), y, height)


def _owners(rows: Sequence[Row]) -> str:
    """Roles as they are called; what the system does needs no name."""
    names = [name.strip() for row in rows for name in row.owner.split(",")]
    labels = dict(Role.choices)
    return ", ".join(labels.get(name, name) for name in dict.fromkeys(names) if name and name != "system")


def _reading(span: _Span, now: datetime) -> tuple[str, str]:
    """What is written beside the bar: how long it took, how long it was planned, who does it."""
    planned_start, planned_end = span.edge("planned_start", "first"), span.edge("planned_end", "last")
    planned = (planned_end - planned_start).total_seconds() if planned_start and planned_end else None
    owners = _owners(span.rows)
    start = span.edge("actual_start", "first")
    if start is None:
        parts = [part for part in (owners, f"planned {duration_text(planned)}" if planned else "") if part]
        return "", " · ".join(parts)
    end = span.edge("actual_end", "last") if span.is_over else now
    took = ((end or now) - start).total_seconds()
    return duration_text(took), f"· planned {duration_text(planned)}" if planned else (f"· {owners}" if owners else "")
