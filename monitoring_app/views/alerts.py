"""Alerts: what still burns, and who has it? Live; one alert with its history; taking charge and giving back."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_GET, require_POST

from controlplane.refusals import ServiceRefused
from monitoring_app.forms import NoteForm
from monitoring_app.models import Alert, AlertRule, AlertState, Round, Series
from monitoring_app.services import alert_lines, alerts
from monitoring_app.services.boards import SILENT
from monitoring_app.services.permissions import visible_alerts, visible_targets
from monitoring_app.views import pictures
from monitoring_app.views.common import POLL_SECONDS, live_answer, page, person_of, refused, render_page, tag_of

PAGE = 30


@page
@require_GET
def show(request: HttpRequest) -> HttpResponse:
    return render_page(request, "monitoring/alerts.html", _context(request))


@never_cache
@require_GET
def live(request: HttpRequest) -> HttpResponse:
    """The page's live part; 304 while nothing has changed, 401 once the session is over."""
    if not request.user.is_authenticated:
        return HttpResponse(status=401)
    return live_answer(request, "monitoring/alerts_live.html", _tag(request), lambda: _context(request))


@page
@require_GET
def one(request: HttpRequest, number: int) -> HttpResponse:
    return _one(request, _found(request, number))


@page
@require_POST
def act(request: HttpRequest, number: int) -> HttpResponse:
    """Take charge of an alert, or give it back."""
    alert = _found(request, number)
    form = NoteForm(request.POST)
    if not form.is_valid():
        return _one(request, alert, form=form, status=400)
    give_back = request.POST.get("do") == "give_back"
    try:
        if give_back:
            alerts.give_back(alert=alert, who=person_of(request), now=timezone.now())
            messages.success(request, "Given back: nobody has it, and it is told again.")
        else:
            note = form.cleaned_data["note"]
            taken = alerts.acknowledge(alert=alert, who=person_of(request), note=note, now=timezone.now())
            until = timezone.localtime(taken.acknowledged_until)
            messages.success(
                request, f"You have it. No more mails about it until {until:%H:%M}, unless you give it back."
            )
    except ServiceRefused as refusal:
        said = refused(
            request,
            refusal,
            about=alert,
            application=alert.rule.target.application.name,
            tried="give an alert back" if give_back else "take charge of an alert",
        )
        return _one(request, alert, status=refusal.status, **said)
    back = request.POST.get("back", "")
    return HttpResponseRedirect(reverse("alerts") if back == "alerts" else reverse("alert", args=[alert.pk]))


def _found(request: HttpRequest, number: int) -> Alert:
    alert = visible_alerts(person_of(request)).filter(pk=number).first()
    if alert is None:
        raise Http404(f"There is no alert {number} among your applications.")
    return alert


def _tag(request: HttpRequest) -> str:
    """Of the alerts that burn and the newest that ended; values change with each round."""
    rows = visible_alerts(person_of(request)).exclude(state=AlertState.PENDING).order_by("-pk")[:60]
    seen = list(rows.values_list("pk", "state", "owner", "value", "told_at", "next_telling_at", "held_back"))
    return tag_of(request, hashlib.sha256(repr(seen).encode()).hexdigest())


def _context(request: HttpRequest) -> dict[str, Any]:
    now = timezone.now()
    person = person_of(request)
    before = request.GET.get("before", "")
    start = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None
    burning = alert_lines.burning(person, now)
    resolved = alert_lines.resolved(person, now, before=start, limit=PAGE + 1)
    return {
        "place": "alerts",
        "tab": "alerts",
        "burning": burning,
        "resolved": resolved[:PAGE],
        "older": resolved[PAGE - 1].alert.pk if len(resolved) > PAGE else _older(person, resolved, start),
        "is_older": start is not None,
        **_headline(burning, now),
        "loop": _loop(request, now),
        "form": NoteForm(),
        "poll_seconds": POLL_SECONDS,
        "is_live": start is None,
        "etag": _tag(request),
    }


def _older(person: Any, shown: list[alert_lines.AlertLine], start: int | None) -> int | None:
    """Where older ones begin; None where there are none."""
    if start is not None:
        return None
    first = shown[-1].alert.pk if shown else None
    rows = visible_alerts(person).filter(state=AlertState.RESOLVED, fired_at__isnull=False).order_by("-pk")
    rows = rows.filter(pk__lt=first) if first else rows
    newest = rows.values_list("pk", flat=True).first()
    return None if newest is None else newest + 1


def _headline(burning: list[alert_lines.AlertLine], now: datetime) -> dict[str, Any]:
    nobodys = [line for line in burning if line.alert.state == AlertState.FIRING and not line.alert.held_back]
    owned = [line for line in burning if line.alert.state == AlertState.ACKNOWLEDGED]
    if nobodys:
        count = len(nobodys)
        answer = "1 alert burns, nobody has it" if count == 1 else f"{count} alerts burn, nobody has them"
        if len({line.alert.owner for line in owned}) == 1:
            others = f"{owned[0].alert.owner} has {'the other one' if len(owned) == 1 else f'{len(owned)} others'}."
        else:
            others = f"{len(owned)} others are taken care of." if owned else ""
        upcoming = [line.alert.next_telling_at for line in nobodys if line.alert.next_telling_at]
        return {"answer": answer, "tone": "alarm", "shape": "triangle", "first": nobodys[0], "others": others,
                "next_mail": min(upcoming) if upcoming and min(upcoming) > now else None}  # fmt: skip
    if owned:
        names = ", ".join(sorted({line.alert.owner for line in owned}))
        answer = f"{len(owned)} {'alert burns' if len(owned) == 1 else 'alerts burn'}; {names} " + (
            "has it" if len(owned) == 1 else "have them"
        )
        return {"answer": answer, "tone": "care", "shape": "outline", "first": None, "others": ""}
    if burning:
        return {"answer": "Held back: another alert explains it", "tone": "care", "shape": "outline", "first": None}
    return {"answer": "Nothing burns", "tone": "good", "shape": "disc", "first": None, "others": ""}


def _loop(request: HttpRequest, now: datetime) -> dict[str, Any]:
    """Whether somebody judges at all: no alert is no good news while the loop is silent."""
    ids = list(visible_targets(person_of(request)).filter(enabled=True).values_list("pk", flat=True))
    last = Round.objects.filter(part="evaluate").values_list("ended_at", flat=True).first()
    return {
        "last": last,
        "silent": bool(ids) and (last is None or now - last > SILENT),
        "targets": len(ids),
        "rules": AlertRule.objects.filter(target__in=ids, enabled=True).count(),
        "series": Series.objects.filter(target__in=ids).count(),
    }


def _one(request: HttpRequest, alert: Alert, *, status: int = 200, **more: Any) -> HttpResponse:
    now = timezone.now()
    line = alert_lines.lines_of([alert], person_of(request), now)[0]
    end = alert.resolved_at or now
    length = max(end - alert.began_at, timedelta(minutes=30))
    since, until = alert.began_at - length / 2, min(now, end + length / 4)
    target = alert.rule.target
    marks = pictures.marks_of([target], since, until).get(target.application_id, [])
    chart = pictures.chart_of(
        target, alert.series.metric, [alert.series], since, until, marks=marks, rules=[alert.rule]
    )
    context = {
        "place": "alerts",
        "line": line,
        "alert": alert,
        "application": target.application,
        "events": list(alert.events.all()),
        "chart": chart,
        "form": NoteForm(),
        "burns": alert.state in alert_lines.BURNING,
        **more,
    }
    return render_page(request, "monitoring/alert.html", context, status=status)
