"""Advice after a move: what would be worth doing, and VACUUM ANALYZE on request. Nothing is applied by itself."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from controlplane.refusals import ServiceRefused
from monitoring_app.models import MaintenanceState, Target
from monitoring_app.services import advice, maintenance
from monitoring_app.views.common import page, person_of, refused, render_page, target_frame, target_of

# What each topic is called, in the order of the page.
TOPICS = (
    ("error", "Errors since the cut-over"),
    ("sequence", "Sequences"),
    ("pool", "Connection pool"),
    ("index", "Indexes"),
    ("statistics", "Statistics and dead rows"),
    ("setting", "Settings of the server"),
)
_URGENCY = {0: ("critical", "Now"), 1: ("warning", "Soon"), 2: ("", "Worth a look")}


@page
@require_GET
def show(request: HttpRequest, name: str) -> HttpResponse:
    return _page(request, target_of(request, name))


@page
@require_POST
def vacuum(request: HttpRequest, name: str) -> HttpResponse:
    """Ask for VACUUM ANALYZE; a worker does it, this page says how far it is."""
    target = target_of(request, name)
    try:
        maintenance.start_vacuum(target=target, actor=person_of(request))
    except ServiceRefused as refusal:
        said = refused(request, refusal, about=target, application=name, tried="vacuum the database")
        return _page(request, target, status=refusal.status, **said)
    messages.success(request, "Asked for: a worker begins in a moment. Reload to see how far it is.")
    return HttpResponseRedirect(reverse("target_advice", args=[name]) + "#p-vacuum")


def _page(request: HttpRequest, target: Target, *, status: int = 200, **more: Any) -> HttpResponse:
    now = timezone.now()
    report = advice.advise(target=target, now=now)
    newest = maintenance.newest(target, now)
    groups = [
        {"topic": topic, "title": title,
         "lines": [{"advice": one, "urgency": _URGENCY[int(one.urgency)]} for one in report.of(topic)]}
        for topic, title in TOPICS
    ]  # fmt: skip
    context = {
        **target_frame(request, target, "advice"),
        "report": report,
        "groups": [group for group in groups if group["lines"]],
        "cut_over": report.since,
        "vacuum": newest,
        "vacuum_open": newest is not None and newest.state in (MaintenanceState.ASKED, MaintenanceState.RUNNING),
        **_headline(report),
        **more,
    }
    return render_page(request, "monitoring/advice.html", context, status=status)


def _headline(report: advice.Report) -> dict[str, str]:
    now = [one for one in report.advices if int(one.urgency) == 0]
    soon = [one for one in report.advices if int(one.urgency) == 1]
    tail = "Nothing of it is applied by itself."
    if now:
        answer = now[0].title if len(now) == 1 else f"{len(now)} things to do now"
        return {"answer": answer, "tone": "alarm", "shape": "triangle", "meaning": tail}
    if soon:
        answer = soon[0].title if len(soon) == 1 else f"{len(soon)} things to do soon"
        return {"answer": answer, "tone": "care", "shape": "outline", "meaning": tail}
    if report.gaps:
        return {"answer": "Nothing urgent, as far as is known", "tone": "care", "shape": "question",
                "meaning": "What is not known stands below: no advice about it is no good news."}  # fmt: skip
    if report.advices:
        return {"answer": "Nothing urgent", "tone": "good", "shape": "disc", "meaning": tail}
    return {"answer": "Nothing stands out", "tone": "good", "shape": "disc", "meaning": ""}
