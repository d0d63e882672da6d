"""Endpoint times before and after the cut-over as numbers for an SVG: SQLite above PostgreSQL, the limits across."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from migrations_app.models import RunStep
from migrations_app.views.strip import Bar, Mark
from monitoring_app.charts import rounded_up

STEP = "check_performance"
_ROOM = 1.12  # right of the longest bar and of the limit
_LEVELS = (0.0, 0.5, 1.0)
_SHORTEST = 0.6  # per cent: an answer within a millisecond must still be seen


@dataclass(frozen=True)
class Times:
    """Half of the answers, and 95 of 100, came within so many milliseconds."""

    p50: float
    p95: float


@dataclass(frozen=True)
class EndpointRow:
    """marks: where the medians lie, one for each bar. own_limit: where it differs from the plan's."""

    name: str
    state: str  # of the status table "times"
    problem: str
    before: Times | None
    after: Times | None
    limit_ms: float
    requests: int
    failures: int
    bars: tuple[Bar, ...]
    marks: tuple[Bar, ...]
    own_limit: Mark | None


@dataclass(frozen=True)
class EndpointPicture:
    """load: how they were asked, in words; '' where the evidence doesn't say it."""

    rows: tuple[EndpointRow, ...]
    ticks: tuple[Mark, ...]
    limit: Mark
    limit_ms: int
    load: str
    digest: str

    @property
    def answer(self) -> str:
        count, wrong = len(self.rows), sum(row.state != "within" for row in self.rows)
        if wrong:
            return f"{wrong} of {count} endpoints {'does' if wrong == 1 else 'do'} not answer as wanted"
        return "The endpoint answers within its limit" if count == 1 else f"All {count} endpoints answer within limits"

    @property
    def good(self) -> bool:
        return all(row.state == "within" for row in self.rows)


def picture_of(steps: Sequence[RunStep]) -> EndpointPicture | None:
    """From what the run's step proved; None before that, and where the application has no endpoints."""
    step = next((step for step in steps if step.name == STEP), None)
    evidence = step.evidence if step is not None else {}
    judged = [row for row in _rows(evidence.get("judged")) if row.get("name")]
    limit = _number(evidence.get("limit_ms"))
    if step is None or not judged or not limit:
        return None
    counted = {str(row.get("name")): row for row in _rows(evidence.get("under_load"))}
    times = [value for row in judged for key in ("p95_before", "p95_after") if (value := _number(row.get(key)))]
    top = rounded_up(_ROOM * max([limit, *times]))
    return EndpointPicture(
        rows=tuple(_row(row, counted.get(str(row["name"]), {}), limit, top) for row in judged),
        ticks=tuple(_ticks(top)),
        limit=_limit(limit, top),
        limit_ms=round(limit),
        load=_load(evidence.get("load")),
        digest=step.evidence_digest,
    )


def _rows(value: Any) -> list[Mapping[str, Any]]:
    """Evidence of another version of the product may look otherwise: what isn't as expected is left out."""
    return [row for row in value if isinstance(row, Mapping)] if isinstance(value, list) else []


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else 0.0


def _row(row: Mapping[str, Any], counted: Mapping[str, Any], limit: float, top: float) -> EndpointRow:
    failures, problem = int(_number(counted.get("failures"))), str(row.get("problem") or "")
    state = "within" if not problem else "missed" if failures else "over"
    before, after = _times(row, "before"), _times(row, "after")
    own = _number(row.get("limit_ms")) or limit
    bars, marks = [], []
    for times, kind, y, height in ((before, "planned", 8, 4), (after, "done" if state == "within" else "alarm", 16, 9)):
        if times is not None:
            bars.append(Bar(kind, 0, max(_share(times.p95, top), _SHORTEST), y, height))
            marks.append(Bar("median", _share(times.p50, top), 0, y, height))
    return EndpointRow(
        name=str(row["name"]),
        state=state,
        problem=problem,
        before=before,
        after=after,
        limit_ms=own,
        requests=int(_number(counted.get("requests"))),
        failures=failures,
        bars=tuple(bars),
        marks=tuple(marks),
        own_limit=Mark(_share(own, top)) if own != limit else None,
    )


def _times(row: Mapping[str, Any], when: str) -> Times | None:
    """None where nothing was measured, or nothing was answered."""
    p95 = row.get(f"p95_{when}")
    return Times(_number(row.get(f"p50_{when}")), _number(p95)) if p95 else None


def _ticks(top: float) -> Iterable[Mark]:
    for level in _LEVELS:
        anchor = "start" if level == 0 else "end" if level == 1 else "middle"
        yield Mark(round(level * 100, 2), f"{top * level:,.0f} ms", anchor)


def _limit(limit: float, top: float) -> Mark:
    x = _share(limit, top)
    return Mark(x, f"limit {limit:,.0f} ms", "end" if x > 80 else "middle" if x > 12 else "start")


def _share(value: float, top: float) -> float:
    return round(min(max(value / top, 0.0), 1.0) * 100, 2)


def _load(load: Any) -> str:
    """{'clients': 4, 'per_second': 20, 'seconds': 10} as a part of a sentence."""
    if not isinstance(load, Mapping):
        return ""
    parts = [
        f"{load['per_second']:,} requests a second" if _number(load.get("per_second")) else "",
        f"by {load['clients']:,} at the same time" if _number(load.get("clients")) else "",
        f"for {load['seconds']:,} s" if _number(load.get("seconds")) else "",
    ]
    return " ".join(part for part in parts if part)
