"""The daily verification: did yesterday hold? One a day, kept."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from monitoring_app.models import Verification
from monitoring_app.services.markers import cut_over_of
from monitoring_app.views.common import page, render_page, target_frame, target_of

SHOWN = 31
_ANSWERS = {
    "fine": ("The last daily verification was fine", "good", "disc"),
    "warning": ("The last daily verification has warnings", "care", "outline"),
    "critical": ("The last daily verification failed", "alarm", "triangle"),
    "unknown": ("The last daily verification could not see all", "care", "question"),
}


@page
@require_GET
def show(request: HttpRequest, name: str) -> HttpResponse:
    target = target_of(request, name)
    rows = list(Verification.objects.filter(target=target).order_by("-day")[:SHOWN])
    answer, tone, shape = ("No daily verification yet", "quiet", "dash")
    if rows:
        answer, tone, shape = _ANSWERS.get(rows[0].outcome, _ANSWERS["unknown"])
    context = {
        **target_frame(request, target, "daily"),
        "cut_over": cut_over_of(target.application),
        "newest": rows[0] if rows else None,
        "earlier": rows[1:],
        "answer": answer,
        "tone": tone,
        "shape": shape,
    }
    return render_page(request, "monitoring/daily.html", context)
