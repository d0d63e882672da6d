"""Health: are my applications within their limits? All targets at a glance, live."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from controlplane.refusals import ServiceRefused
from controlplane.registry.models import Application
from monitoring_app.services import boards, targets
from monitoring_app.services.permissions import changeable, require_change, visible_targets, who_can_change_each
from monitoring_app.views import pictures
from monitoring_app.views.common import POLL_SECONDS, live_answer, page, person_of, refused, render_page, tag_of

DRAWN = 6  # targets with pictures; the others are a line each
SHOWN = 100
POINTS = 60  # of each picture: five-minute rows do, with a band for what lies between


@page
@require_GET
def show(request: HttpRequest) -> HttpResponse:
    return render_page(request, "monitoring/health.html", _context(request))


@never_cache
@require_GET
def live(request: HttpRequest) -> HttpResponse:
    """The page's live part; 304 while nothing has changed, 401 once the session is over."""
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    return live_answer(request, "monitoring/health_live.html", _tag(request), lambda: _context(request))


@page
@require_POST
def watch(request: HttpRequest, name: str) -> HttpResponse:
    """Put an application under watch, with the default rules."""
    application = Application.objects.visible_to(person_of(request)).filter(name=name).first()
    if application is None:
        raise Http404("There is no such application among yours.")
    try:
        require_change(request.user, application, "put an application under watch")
    except ServiceRefused as refusal:
        said = refused(request, refusal, about=application, application=name, tried="watch an application")
        return render_page(request, "monitoring/health.html", {**_context(request), **said}, status=refusal.status)
    targets.watch(application=application, actor=person_of(request))
    messages.success(request, f"{name} is watched. Say now what there is to measure: volumes, logs, replicas.")
    return HttpResponseRedirect(reverse("target_settings", args=[name]))


def _tag(request: HttpRequest) -> str:
    seen = list(visible_targets(person_of(request))[:SHOWN])
    return tag_of(request, boards.stamp_of(seen))


def _context(request: HttpRequest) -> dict[str, Any]:
    now = timezone.now()
    person = person_of(request)
    watched = list(visible_targets(person)[:SHOWN])
    found = sorted(boards.boards_of(watched, now), key=_urgency)
    strips = pictures.strips(found[:DRAWN], now, height=56, most=POINTS)
    others = list(Application.objects.visible_to(person).filter(watched=None)[:20])
    may, who = changeable(person, others), who_can_change_each(others)
    unwatched = [{"application": one, "may": one.pk in may, "who": who[one.pk]} for one in others]
    return {
        **_headline(found),
        "boards": [{"board": board, "rows": strips[board.target.pk]} for board in found[:DRAWN]],
        "more": found[DRAWN:],
        "unwatched": unwatched,
        "has_applications": bool(watched or unwatched),
        "poll_seconds": POLL_SECONDS,
        "is_live": bool(watched),
        "strip_hours": pictures.STRIP_HOURS,
        "etag": tag_of(request, boards.stamp_of(watched)),
    }


_TONES = ("alarm", "care", "quiet", "good")


def _urgency(board: boards.Board) -> tuple[int, str]:
    return _TONES.index(board.tone), board.target.application.name


def _headline(found: list[boards.Board]) -> dict[str, str]:
    """One sentence for all: the worst one's, where there is one."""
    if not found:
        return {"answer": "Nothing is watched yet", "tone": "quiet", "shape": "dash", "meaning": ""}
    worst = found[0]
    name = worst.target.application.name
    well = sum(1 for board in found if board.tone == "good")
    if well == len(found):
        answer = f"{name} is within all limits" if well == 1 else f"All {well} applications are within their limits"
        return {"answer": answer, "tone": "good", "shape": "disc", "meaning": worst.meaning if well == 1 else ""}
    rest = f"{well} of {len(found)} applications are within all limits." if len(found) > 1 else worst.meaning
    said = worst.answer if worst.answer[1:2].isupper() else worst.answer[:1].lower() + worst.answer[1:]
    return {"answer": f"{name}: {said}", "tone": worst.tone, "shape": worst.shape, "meaning": rest}
