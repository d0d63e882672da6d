"""One application in depth: its limits live, its charts over a chosen time, before and after the cut-over."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET

from controlplane.pages.words import moment_text
from monitoring_app import charts
from monitoring_app.models import Series, Target
from monitoring_app.services import boards, comparing, samples
from monitoring_app.services.markers import cut_over_of
from monitoring_app.views import pictures
from monitoring_app.views.common import (
    POLL_SECONDS,
    live_answer,
    page,
    render_page,
    tag_of,
    target_frame,
    target_of,
)

RANGES = {
    "3h": ("3 h", timedelta(hours=3)),
    "24h": ("24 h", timedelta(hours=24)),
    "7d": ("7 days", timedelta(days=7)),
    "30d": ("30 days", timedelta(days=30)),
}
# Drawn at once; all else by its name from the table below them.
CHARTS = (
    "query_time",
    "endpoint_time",
    "pool_used",
    "error_rate",
    "requests",
    "disk_used",
    "replication_lag",
    "database_size",
)
SIDE_BY_SIDE = 6


@page
@require_GET
def show(request: HttpRequest, name: str) -> HttpResponse:
    target = target_of(request, name)
    now = timezone.now()
    live_part = _live_context(request, target, now)
    context = {
        **live_part,
        **_charts(target, request.GET.get("range", ""), request.GET.get("metric", ""), now),
        **_sides(target, live_part["cut_over"], now, drawn="sides" in request.GET),
    }
    return render_page(request, "monitoring/target.html", context)


@never_cache
@require_GET
def live(request: HttpRequest, name: str) -> HttpResponse:
    """Head and limits; 304 while nothing has changed, 401 once the session is over."""
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    target = target_of(request, name)
    tag = tag_of(request, boards.stamp_of([target]))
    return live_answer(
        request, "monitoring/target_live.html", tag, lambda: _live_context(request, target, timezone.now())
    )


def _live_context(request: HttpRequest, target: Target, now: datetime) -> dict[str, Any]:
    board = boards.board_of(target, now)
    since = now - timedelta(hours=pictures.STRIP_HOURS)
    marks = pictures.marks_of([target], since, now).get(target.application_id, [])
    return {
        **target_frame(request, target, "limits"),
        "board": board,
        "rows": pictures.strips([board], now)[target.pk],
        "axis": pictures.axis(now, marks),
        "cut_over": cut_over_of(target.application),
        "strip_hours": pictures.STRIP_HOURS,
        "poll_seconds": POLL_SECONDS,
        "is_live": target.enabled,
        "etag": tag_of(request, boards.stamp_of([target])),
    }


def _charts(target: Target, wanted: str, metric: str, now: datetime) -> dict[str, Any]:
    chosen = wanted if wanted in RANGES else "3h"
    since = now - RANGES[chosen][1]
    rows: dict[str, list[Series]] = {}
    for one in Series.objects.filter(target=target):
        rows.setdefault(one.metric, []).append(one)
    rules = list(target.rules.all())
    marks = pictures.marks_of([target], since, now).get(target.application_id, [])
    shown = [metric] if metric in rows else [name for name in CHARTS if name in rows]
    wanted_rows = {name: rows[name] for name in shown}
    drawn = pictures.charts_of(target, wanted_rows, since, now, marks=marks, rules=rules)
    return {
        "charts": drawn,
        "chosen": chosen,
        "ranges": [(key, words) for key, (words, _) in RANGES.items()],
        "chart_since": since,
        "metric": metric if metric in rows else "",
        "marks": marks,
    }


def _sides(target: Target, cut_over: datetime | None, now: datetime, *, drawn: bool) -> dict[str, Any]:
    """As long before as after the cut-over; drawn, where asked for: each pair in two charts of one scale."""
    if cut_over is None:
        return {"comparison": None}
    found = comparing.compare(target, cut_over, now, drawn=SIDE_BY_SIDE if drawn else 0)
    return {
        "comparison": found,
        "sides": [_two_charts(pair, found) for pair in found.pairs[:SIDE_BY_SIDE]] if drawn else [],
    }


def _two_charts(pair: comparing.Pair, found: comparing.Comparison) -> dict[str, Any]:
    """Left what was before, right what came after; the cut-over is where they meet."""
    top = charts.top_of([charts.Line(pair.before.points), charts.Line(pair.after.points)])
    mark = charts.Mark(found.cut_over, f"cut-over {moment_text(found.cut_over)}")

    def side(points: Sequence[samples.Point], since: datetime, until: datetime) -> pictures.Chart:
        metric, rows = pair.series.metric, [pair.series]
        return pictures.draw(metric, rows, [points], since, until, marks=[mark], height=130, top=top)

    return {
        "pair": pair,
        "before": side(pair.before.points, found.since, found.cut_over),
        "after": side(pair.after.points, found.cut_over, found.until),
    }
