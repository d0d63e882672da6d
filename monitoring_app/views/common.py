"""What monitoring's pages share: the frame, a target that the viewer may see, and how a refusal is shown."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone

from controlplane.pages.frame import frame_of, note_refusal, page, person_of
from controlplane.refusals import FieldsRefused, ServiceRefused
from monitoring_app.models import Target
from monitoring_app.services.permissions import may_change, visible_targets, who_can_change

__all__ = ["Http404", "live_answer", "page", "person_of", "refused", "render_page", "target_frame", "target_of"]

POLL_SECONDS = 2
# Ages and relative times change without a round: the live part is rendered anew at least this often.
FRESH_SECONDS = 15


def render_page(request: HttpRequest, template: str, context: Mapping[str, Any], *, status: int = 200) -> HttpResponse:
    """Render within the frame. target: in the context where the page is of one."""
    target = context.get("target")
    frame = frame_of(request, target.application if target is not None else None)
    return render(request, template, {"place": "health", **frame, **context}, status=status)


def target_of(request: HttpRequest, name: str) -> Target:
    """The watched application, where the viewer belongs to it; 404 otherwise, as if it weren't there."""
    found = visible_targets(person_of(request)).filter(application__name=name).first()
    if found is None:
        raise Http404(f"{name} is not watched, or is none of your applications.")
    return found


def target_frame(request: HttpRequest, target: Target, tab: str) -> dict[str, Any]:
    """What every page of a target shows."""
    return {
        "target": target,
        "application": target.application,
        "tab": tab,
        "may_change": may_change(person_of(request), target.application),
        "who_can": who_can_change(target.application),
    }


def refused(
    request: HttpRequest, refusal: ServiceRefused, *, about: Any, application: str, tried: str
) -> dict[str, Any]:
    """The refusal for the page, kept in the trail where a right was missing; a form's fields say their own."""
    note_refusal(request, refusal, about=about, application=application, tried=tried)
    return {"refusal": None if isinstance(refusal, FieldsRefused) else refusal}


def tag_of(request: HttpRequest, stamp: str) -> str:
    """The ETag of a live part: what it is made of, who looks, in which zone, and the clock in coarse steps."""
    bucket = int(timezone.now().timestamp() // FRESH_SECONDS)
    seen = f"{stamp}|{person_of(request).pk}|{timezone.get_current_timezone_name()}|{bucket}"
    return f'W/"{hashlib.sha256(seen.encode()).hexdigest()[:24]}"'


def live_answer(
    request: HttpRequest, template: str, tag: str, context: Callable[[], Mapping[str, Any]]
) -> HttpResponse:
    """The live part alone, as it is polled; 304 while nothing has changed, and then the context isn't asked for."""
    if request.headers.get("If-None-Match") == tag:
        return HttpResponse(status=304, headers={"ETag": tag})
    shown = {**context(), "etag": tag, "user": request.user, "now": timezone.now()}
    answer = render(request, template, {**shown, "zone_name": timezone.localtime().tzname()})
    answer.headers["ETag"] = tag
    return answer
