"""Queries: what is slow now? Of the interval and of all time side by side, what runs, who waits for whom."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_GET

from monitoring_app.metrics import Unit
from monitoring_app.services.amounts import amount_text
from monitoring_app.services.boards import OLD
from monitoring_app.services.markers import cut_over_of
from monitoring_app.views.common import page, render_page, target_frame, target_of

SLOW_SECONDS = 1.0


@page
@require_GET
def show(request: HttpRequest, name: str) -> HttpResponse:
    target = target_of(request, name)
    now = timezone.now()
    seen = {part: seen_of(target.seen, part, now) for part in ("statements", "activity", "blocked", "connections")}
    context = {
        **target_frame(request, target, "queries"),
        **seen,
        "cut_over": cut_over_of(target.application),
        **_headline(seen),
    }
    return render_page(request, "monitoring/queries.html", context)


def seen_of(seen: dict[str, Any], part: str, now: datetime) -> dict[str, Any]:
    """What the last round of a probe saw, with the time as one. What is not of now is not shown as if it were."""
    found = dict(seen.get(part) or {})
    at = found.get("at")
    found["at"] = parse_datetime(at) if isinstance(at, str) else None
    if found["at"] is not None and now - found["at"] > OLD and not found.get("problem"):
        return {"at": found["at"], "problem": "no round has looked since"}
    return found


def _headline(seen: dict[str, dict[str, Any]]) -> dict[str, str]:
    statements, running = seen["statements"], seen["activity"].get("running") or []
    waiting = seen["blocked"].get("sessions") or []
    slow = statements.get("by_mean") or []
    if not statements and not seen["activity"]:
        return _said("Not measured yet", "care", "question", "The first round is to come.")
    blind = seen["blocked"].get("problem") or seen["activity"].get("problem")
    if blind:
        return _said("What runs is unknown", "care", "question", f"{blind}.")
    if waiting:
        count = len(waiting)
        answer = "One session waits for a lock" if count == 1 else f"{count} sessions wait for locks"
        return _said(answer, "care", "outline", "Below stands who holds what they wait for.")
    longest = max((row.get("seconds") or 0.0 for row in running), default=0.0)
    if longest > SLOW_SECONDS:
        text = amount_text(longest * 1000, Unit.MILLISECONDS)
        return _said(f"A query has been running for {text}", "care", "outline", "It stands in no statistics yet.")
    if statements.get("problem"):
        return _said("Query times are unknown", "care", "question", str(statements["problem"]))
    if slow:
        worst = amount_text(slow[0].get("mean_ms"), Unit.MILLISECONDS)
        answer = "1 statement takes" if len(slow) == 1 else f"{len(slow)} statements take"
        return _said(f"{answer} over 100 ms", "care", "outline", f"The slowest took {worst} on average.")
    return _said("No statement takes over 100 ms", "good", "disc", "In the last interval, on average.")


def _said(answer: str, tone: str, shape: str, meaning: str) -> dict[str, str]:
    return {"answer": answer, "tone": tone, "shape": shape, "meaning": meaning}
