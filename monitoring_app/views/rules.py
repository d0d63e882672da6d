"""Rules: when is a value trouble? Changing one shows first what it would have done on the stored samples."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from controlplane.refusals import FieldsRefused, ServiceRefused
from monitoring_app import charts
from monitoring_app.forms import RuleForm
from monitoring_app.metrics import Unit
from monitoring_app.models import AlertRule, Series, Target
from monitoring_app.services import rules
from monitoring_app.services.amounts import metric_of, series_title, value_text
from monitoring_app.services.markers import cut_over_of
from monitoring_app.views import pictures
from monitoring_app.views.common import page, person_of, refused, render_page, target_frame, target_of

LOOKED_BACK = {"24h": ("24 hours", timedelta(hours=24)), "7d": ("7 days", timedelta(days=7))}
SHOWN = 12


@page
@require_GET
def show(request: HttpRequest, name: str) -> HttpResponse:
    target = target_of(request, name)
    rows = list(target.rules.order_by("-enabled", "severity", "title"))
    lines = [{"rule": row, "limit": _limit(row), "clears": value_text(row.metric, row.clear_threshold)} for row in rows]
    context = {
        **target_frame(request, target, "rules"),
        "cut_over": cut_over_of(target.application),
        "lines": lines,
        "on": sum(1 for row in rows if row.enabled),
    }
    return render_page(request, "monitoring/rules.html", context)


@page
@require_http_methods(["GET", "POST"])
def edit(request: HttpRequest, name: str, code: str) -> HttpResponse:
    target = target_of(request, name)
    rule = target.rules.filter(code=code).first()
    if rule is None:
        raise Http404(f"{name} has no rule {code}.")
    rule.target = target
    if request.method == "GET":
        return _page(request, target, rule, RuleForm(rule=rule))
    form = RuleForm(request.POST, rule=rule)
    if not form.is_valid():
        return _page(request, target, rule, form, status=400)
    if request.POST.get("do") == "preview":
        return _previewed(request, target, rule, form)
    values = {**form.values(), "version": _version(request, rule)}
    try:
        rules.change(rule=rule, values=values, actor=person_of(request))
    except ServiceRefused as refusal:
        _mark(form, refusal)
        said = refused(request, refusal, about=rule, application=name, tried="change a rule")
        return _page(request, target, rule, form, status=refusal.status, **said)
    messages.success(request, f"Saved: “{rule.title}” counts so from the next round on.")
    return HttpResponseRedirect(reverse("target_rules", args=[name]))


def _previewed(request: HttpRequest, target: Target, rule: AlertRule, form: RuleForm) -> HttpResponse:
    try:
        return _page(request, target, rule, form, tried=form.values())
    except FieldsRefused as refusal:
        _mark(form, refusal)
        return _page(request, target, rule, form, status=refusal.status)


def _mark(form: RuleForm, refusal: ServiceRefused) -> None:
    if isinstance(refusal, FieldsRefused):
        for field, sentence in refusal.fields.items():
            form.add_error(field if field in form.fields else None, sentence)


def _version(request: HttpRequest, rule: AlertRule) -> int:
    typed = request.POST.get("version", "")
    return int(typed) if typed.isascii() and typed.isdigit() and len(typed) < 10 else rule.version


def _limit(rule: AlertRule) -> str:
    if metric_of(rule.metric).unit == Unit.STATE:
        return f"when {'no' if rule.below else 'yes'}"
    return f"{'under' if rule.below else 'over'} {value_text(rule.metric, rule.threshold)}"


def _page(
    request: HttpRequest,
    target: Target,
    rule: AlertRule,
    form: RuleForm,
    *,
    status: int = 200,
    tried: dict[str, Any] | None = None,
    **more: Any,
) -> HttpResponse:
    wanted = request.POST.get("over") or request.GET.get("over") or "24h"
    over = wanted if wanted in LOOKED_BACK else "24h"
    now = timezone.now()
    context = {
        **target_frame(request, target, "rules"),
        "cut_over": cut_over_of(target.application),
        "rule": rule,
        "limit": _limit(rule),
        "form": form,
        "version": request.POST.get("version", rule.version),
        "over": over,
        "overs": [(key, words) for key, (words, _) in LOOKED_BACK.items()],
        "is_tried": tried is not None,
        **more,
    }
    if status == 200:
        since = now - LOOKED_BACK[over][1]
        if tried is not None:  # all that was measured is judged anew: that is done when somebody asks for it
            context |= {"as_typed": _played(target, rule, tried, since, now)}
            context |= {"as_it_is": _played(target, rule, {}, since, now)}
        context |= {"chart": _chart(target, rule, tried or {}, since, now)}
    return render_page(request, "monitoring/rule.html", context, status=status)


def _with(rule: AlertRule, values: dict[str, Any]) -> AlertRule:
    """The rule as typed, unsaved."""
    fields = {field.attname: getattr(rule, field.attname) for field in AlertRule._meta.concrete_fields}
    return AlertRule(**{**fields, **{name: value for name, value in values.items() if name in fields}})


def _played(target: Target, rule: AlertRule, values: dict[str, Any], since: datetime, now: datetime) -> dict[str, Any]:
    """What the rule would have done; a rule that is off is played as if it were on."""
    found = rules.preview(rule_values=_with(rule, {**values, "enabled": True}), target=target, since=since, until=now)
    lines = [
        {"title": series_title(one.series.metric, one.series.labels), "began": one.began, "ended": one.ended,
         "seconds": ((one.ended or now) - one.fired).total_seconds(), "peak": value_text(rule.metric, one.peak),
         "kind": one.kind}
        for one in found.alerts[-SHOWN:]
    ]  # fmt: skip
    return {"preview": found, "lines": lines, "hidden": len(found.alerts) - len(lines)}


def _chart(
    target: Target, rule: AlertRule, values: dict[str, Any], since: datetime, now: datetime
) -> pictures.Chart | None:
    rows = [row for row in Series.objects.filter(target=target, metric=rule.metric) if rules.concerns(rule, row)]
    if not rows:
        return None
    marks: list[charts.Mark] = pictures.marks_of([target], since, now).get(target.application_id, [])
    shown = _with(rule, {**values, "enabled": True})
    return pictures.chart_of(target, rule.metric, rows, since, now, marks=marks, rules=[shown])
