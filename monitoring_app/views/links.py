"""Pages behind the links of mails, for people without an account: a question, and a button that acts.

The link itself is the right to act, so no session and no CSRF token is asked for (mail programs post to the way out by
themselves: RFC 8058). Nothing is shown beyond what the mail said.
"""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods

from controlplane.refusals import ServiceRefused
from monitoring_app.models import AlertState, Recipient
from monitoring_app.services import alerts, links, recipients, wording
from monitoring_app.services.links import Link, Purpose

_MOST_NOTE = 300
Show = Callable[[HttpRequest, Link], HttpResponse]


def _page(purpose: Purpose) -> Callable[[Show], Callable[[HttpRequest, str], HttpResponse]]:
    """Reads the link, and shows a refusal as a page of its own."""

    def decorate(show: Show) -> Callable[[HttpRequest, str], HttpResponse]:
        def view(request: HttpRequest, token: str) -> HttpResponse:
            try:
                link = links.read(purpose, token)
                zone = zoneinfo.ZoneInfo(link.person.zone) if isinstance(link.person, Recipient) else None
                with timezone.override(zone) if zone is not None else nullcontext():
                    answer = show(request, link)
            except ServiceRefused as refused:
                answer = _render(request, {"refused": refused}, status=refused.status)
            answer["X-Robots-Tag"] = "noindex"
            answer["Referrer-Policy"] = "no-referrer"  # the address is the right to act
            return answer

        view.__name__ = show.__name__
        view.__doc__ = show.__doc__
        guarded: Any = csrf_exempt(never_cache(require_http_methods(["GET", "HEAD", "POST"])(view)))
        return guarded  # type: ignore[no-any-return]

    return decorate


@_page(Purpose.ACKNOWLEDGE)
def acknowledge(request: HttpRequest, link: Link) -> HttpResponse:
    """Take charge of an alert."""
    alert = link.alert
    if alert is None:
        raise ServiceRefused("LINK_INVALID", "This link is about no alert.", status=404)
    if request.method == "POST":
        note = request.POST.get("note", "")[:_MOST_NOTE]
        alert = alerts.acknowledge(alert=alert, who=link.person, note=note, now=timezone.now())
    mine = alert.state == AlertState.ACKNOWLEDGED and alert.owner == alerts.name_of(link.person)
    context = {
        "asks": "acknowledge",
        "alert": alert,
        "application": alert.rule.target.application,
        "title": wording.title_of(alert),
        "value": wording.now_text(alert),
        "mine": mine,
        "done": mine and request.method == "POST",
        "over": alert.state == AlertState.RESOLVED,
        "taken": alert.state == AlertState.ACKNOWLEDGED and not mine,
    }
    return _render(request, context)


@_page(Purpose.CONFIRM)
def confirm(request: HttpRequest, link: Link) -> HttpResponse:
    """Say that the address is one's own."""
    person = _recipient(link)
    if request.method == "POST":
        recipients.confirm(recipient=person, now=timezone.now())
        person.refresh_from_db()
    return _render(request, {"asks": "confirm", "person": person, "application": person.application})


@_page(Purpose.UNSUBSCRIBE)
def unsubscribe(request: HttpRequest, link: Link) -> HttpResponse:
    """Be told no more."""
    person = _recipient(link)
    if request.method == "POST":
        recipients.unsubscribe(recipient=person, now=timezone.now())
        person.refresh_from_db()
    return _render(request, {"asks": "unsubscribe", "person": person, "application": person.application})


def _recipient(link: Link) -> Recipient:
    if not isinstance(link.person, Recipient):
        raise ServiceRefused("LINK_INVALID", "This link is none of a recipient.", status=404)
    return link.person


def _render(request: HttpRequest, context: dict[str, Any], status: int = 200) -> HttpResponse:
    return render(request, "monitoring/link.html", context, status=status)
