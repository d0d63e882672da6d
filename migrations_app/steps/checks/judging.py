"""Are the answers in time? Each endpoint's times against the plan's limit, and against what they were on SQLite."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

# Nobody feels the difference below it: an answer that quick is never called slower than before.
UNFELT_MS = 20.0
Times = Mapping[str, Any]


@dataclass(frozen=True)
class Judged:
    """One endpoint: times in milliseconds before (None: not known) and after, the limit that counts, and what is wrong
    in words, '' when nothing is."""

    name: str
    p50_before: float | None
    p95_before: float | None
    p50_after: float
    p95_after: float
    limit_ms: float
    problem: str = ""

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


def judge(after: Sequence[Times], before: Sequence[Times], limit_ms: int, percent: int) -> list[Judged]:
    """One verdict an endpoint, as they were asked. percent: of its time on SQLite, 0 for none of such a limit."""
    known = {row["name"]: row for row in before if row["requests"] > row["failures"]}
    return [_judge_one(row, known.get(row["name"]), limit_ms, percent) for row in after]


def _judge_one(row: Times, before: Times | None, limit_ms: int, percent: int) -> Judged:
    p95 = float(row["p95_ms"])
    was = float(before["p95_ms"]) if before is not None else None
    relative = max(UNFELT_MS, was * percent / 100) if percent and was is not None else None
    limit = min(float(limit_ms), relative) if relative is not None else float(limit_ms)
    problem = ""
    if row["failures"] == row["requests"]:
        problem = "did not answer"
    elif p95 > limit_ms:
        problem = f"p95 {p95:,.0f} ms, the limit is {limit_ms:,} ms"
    elif relative is not None and was is not None and p95 > relative:
        problem = f"p95 {p95:,.0f} ms, it was {was:,.0f} ms on SQLite and may be {percent} % of that"
    return Judged(
        str(row["name"]),
        float(before["p50_ms"]) if before is not None else None,
        was,
        float(row["p50_ms"]),
        p95,
        limit,
        problem,
    )
