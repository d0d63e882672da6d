"""Silences: whose alerts are not told now, until when, and why; opening and ending one."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from controlplane.refusals import ServiceRefused
from monitoring_app.forms import SilenceForm
from monitoring_app.models import AlertRule, Silence, Target
from monitoring_app.services import silences
from monitoring_app.services.permissions import changeable, visible_targets
from monitoring_app.views.common import page, person_of, refused, render_page, target_frame, target_of

SHOWN = 50


@page
@require_http_methods(["GET"])
def show(request: HttpRequest) -> HttpResponse:
    return _list(request)


@page
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest, name: str) -> HttpResponse:
    """Open one for an application; ?rule= names the rule that it is for."""
    target = target_of(request, name)
    rules = list(AlertRule.objects.filter(target=target).order_by("title"))
    if request.method == "GET":
        form = SilenceForm(rules=rules, initial={"rule": request.GET.get("rule", ""), "minutes": "60"})
        return _form(request, target, form)
    form = SilenceForm(request.POST, rules=rules)
    if not form.is_valid():
        return _form(request, target, form, status=400)
    now = timezone.now()
    rule = next((rule for rule in rules if rule.code == form.cleaned_data["rule"]), None)
    try:
        silence = silences.open_silence(
            application=target.application,
            rule=rule,
            ends_at=now + form.length,
            reason=form.cleaned_data["reason"],
            by=person_of(request),
            now=now,
        )
    except ServiceRefused as refusal:
        said = refused(request, refusal, about=target, application=name, tried="open a silence")
        return _form(request, target, form, status=refusal.status, **said)
    until = timezone.localtime(silence.ends_at)
    messages.success(request, f"Silent until {until:%H:%M}. What still burns then is told.")
    return HttpResponseRedirect(reverse("silences"))


@page
@require_POST
def end(request: HttpRequest, number: int) -> HttpResponse:
    seen = [target.application_id for target in visible_targets(person_of(request))]
    silence = Silence.objects.filter(pk=number, application__in=seen).select_related("application", "rule").first()
    if silence is None:
        raise Http404(f"There is no silence {number} among your applications.")
    try:
        silences.end_silence(silence=silence, by=person_of(request), now=timezone.now())
    except ServiceRefused as refusal:
        said = refused(request, refusal, about=silence, application=silence.application.name, tried="end a silence")
        return _list(request, status=refusal.status, **said)
    messages.success(request, "The silence is over. What burns is told from now on.")
    return HttpResponseRedirect(reverse("silences"))


def _form(request: HttpRequest, target: Target, form: SilenceForm, *, status: int = 200, **more: Any) -> HttpResponse:
    context = {**target_frame(request, target, ""), "place": "alerts", "form": form, **more}
    return render_page(request, "monitoring/silence.html", context, status=status)


def _list(request: HttpRequest, *, status: int = 200, **more: Any) -> HttpResponse:
    now, person = timezone.now(), person_of(request)
    targets = list(visible_targets(person))
    seen = [target.application_id for target in targets]
    rows = list(Silence.objects.filter(application__in=seen).select_related("application", "rule")[:SHOWN])
    may = changeable(person, [target.application for target in targets])
    lines = [
        {"silence": row, "state": _state(row, now), "may_end": row.application_id in may,
         "over_at": row.ended_at or row.ends_at}
        for row in rows
    ]  # fmt: skip
    running = [line for line in lines if line["state"] == "running"]
    context = {
        "place": "alerts",
        "tab": "silences",
        "running": running,
        "over": [line for line in lines if line["state"] == "ended"],
        "targets": [{"target": target, "may": target.application_id in may} for target in targets],
        **more,
    }
    return render_page(request, "monitoring/silences.html", context, status=status)


def _state(silence: Silence, now: Any) -> str:
    return "ended" if silence.ended_at or silence.ends_at <= now else "running"
