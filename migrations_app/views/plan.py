"""The plan: what will happen to my data? Mapping, findings with their choices, the difference to the last revision."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from controlplane.pages.templatetags.causeway import plural
from controlplane.registry.models import Application
from migrations_app.forms import NewPlanForm
from migrations_app.models import Finding, MigrationPlan, MigrationRun
from migrations_app.models.plan_settings import NUMBERS, setting_of
from migrations_app.models.states import PlanState, RunState
from migrations_app.services import permissions, plans
from migrations_app.services.change_windows import next_window
from migrations_app.services.errors import ServiceRefused
from migrations_app.services.strategies import online_look, why_not_online
from migrations_app.templatetags.findings import worded
from migrations_app.views.common import note_refusal, page, render_page, run_frame, visible_run
from migrations_app.views.found import visible_application, visible_plan
from migrations_app.views.next_run import next_run_of
from migrations_app.views.plan_mapping import mapping_of

# Findings a page: those without a choice come first.
SHOWN_FINDINGS = 100


@page
@require_GET
def of_run(request: HttpRequest, number: int) -> HttpResponse:
    """The plan that a run follows."""
    run = visible_run(request, number)
    return render_page(request, "runs/plan.html", {**run_frame(run, "plan"), **plan_context(request, run.plan, run)})


@page
@require_GET
def show(request: HttpRequest, number: int) -> HttpResponse:
    """A plan by itself, before there is a run of it."""
    plan = visible_plan(request, number)
    answer = render_page(request, "runs/plan.html", {"place": "applications", **plan_context(request, plan, None)})
    if plan.state == PlanState.MAKING:
        answer.headers["Refresh"] = "2"  # works without a script, and sends nothing again
    return answer


@page
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest, name: str) -> HttpResponse:
    """Ask for a new revision."""
    application = visible_application(request, name)
    last = application.plans.order_by("-revision").first()
    offered = {**NewPlanForm.of_settings(last.settings if last else {}), **_offered_window(application)}
    form = NewPlanForm(request.POST or None, initial=offered)
    refusal, status = None, 200
    if request.method == "POST" and form.is_valid():
        typed = form.cleaned_data
        try:
            plan = plans.request_plan(
                actor=request.user,
                application=application,
                settings={**(last.settings if last else {}), **form.settings()},
                choices=last.choices if last else None,
                excluded=typed["excluded"],
                window_start=typed["window_start"],
                window_end=typed["window_end"],
            )
            messages.success(request, "The plan is being made on the application's host.")
            return HttpResponseRedirect(reverse("plan", args=[plan.pk]))
        except ServiceRefused as refused:
            note_refusal(request, refused, about=application, application=application.name, tried="make a plan")
            refusal, status = refused, refused.status
    elif request.method == "POST":
        status = 400
    context = {"place": "applications", "application": application, "form": form, "last": last, "refusal": refusal}
    return render_page(request, "runs/plan_new.html", context, status=status)


def _offered_window(application: Application) -> dict[str, datetime]:
    """The next time at which the application may be changed, as its page says; nothing where it says none."""
    window = next_window(application.change_window, timezone.now())
    return dict(zip(("window_start", "window_end"), window, strict=True)) if window else {}


@page
@require_http_methods(["POST"])
def choose(request: HttpRequest, number: int) -> HttpResponse:
    """Decide one finding: a new revision is made with that choice."""
    plan = visible_plan(request, number)
    wanted, choice = request.POST.get("finding", ""), request.POST.get("choice", "")
    refusal: ServiceRefused
    try:
        if not (wanted.isascii() and wanted.isdigit()) or not plan.findings.filter(pk=int(wanted)).exists():
            raise ServiceRefused("UNKNOWN_FINDING", "This plan has no such finding.", status=400)
        made = plans.choose(actor=request.user, plan=plan, finding_id=int(wanted), choice=choice)
    except ServiceRefused as refused:
        note_refusal(request, refused, about=plan, application=plan.application.name, tried="choose for a finding")
        refusal = refused
        context = {"place": "applications", **plan_context(request, plan, None), "refusal": refusal}
        return render_page(request, "runs/plan.html", context, status=refusal.status)
    messages.success(request, f"Chosen: {choice}. Revision {made.revision} is being made with it.")
    return HttpResponseRedirect(reverse("plan", args=[made.pk]))


@page
@require_http_methods(["POST"])
def drop(request: HttpRequest, number: int) -> HttpResponse:
    """Drop choices that no longer fit: a new revision is made without them."""
    plan = visible_plan(request, number)
    try:
        made = plans.drop_choices(actor=request.user, plan=plan, keys=request.POST.getlist("key"))
    except ServiceRefused as refused:
        note_refusal(request, refused, about=plan, application=plan.application.name, tried="drop a choice")
        context = {"place": "applications", **plan_context(request, plan, None), "refusal": refused}
        return render_page(request, "runs/plan.html", context, status=refused.status)
    messages.success(request, f"Dropped. Revision {made.revision} is being made without it.")
    return HttpResponseRedirect(reverse("plan", args=[made.pk]))


def plan_context(request: HttpRequest, plan: MigrationPlan, run: MigrationRun | None) -> dict[str, Any]:
    """All that the plan page shows. Nothing here asks the database per table or column: the document holds both."""
    findings = sorted(plan.findings.all(), key=lambda finding: (_rank(finding), finding.pk))
    asked = request.GET.get("findings", "")
    first = int(asked[:9]) if asked.isascii() and asked.isdigit() and int(asked[:9]) < len(findings) else 0
    shown = findings[first : first + SHOWN_FINDINGS]
    document = plan.document or {}
    stale = plans.stale_choices(plan)
    mapping = mapping_of(document, plan.profile, request.GET)
    roles = permissions.roles_of(request.user, plan.application)
    open_count = sum(1 for finding in findings if _needs_choice(finding))
    may_draft = bool(roles & {"ops", "lead"})
    runs_of_it = run is not None and run.state in (RunState.DRAFT, RunState.CANCELLED, RunState.FAILED)
    return {
        "plan": plan,
        "carried": [{"key": key, "choice": plan.choices[key], "stale": key in stale} for key in sorted(plan.choices)]
        if plan.state == PlanState.REFUSED
        else [],
        "stale_choices": stale,
        "may_drop": bool(roles & {"ops", "lead"}),
        "head": _head(plan, open_count, mapping),
        "application": plan.application,
        "findings": [
            {
                "row": finding,
                "look": _look(finding),
                "open": _needs_choice(finding),
                "choosable": bool(finding.choices)
                and (len(finding.choices) > 1 or finding.choice != finding.choices[0] or bool(worded(finding.code))),
            }
            for finding in shown
        ],
        "findings_count": len(findings),
        "findings_hidden": max(0, len(findings) - first - SHOWN_FINDINGS),
        "findings_next": first + SHOWN_FINDINGS,
        "open_count": open_count,
        "mapping": mapping,
        "objects": [item for item in document.get("objects", [])],
        "difference": [_in_words(line) for line in plans.plan_difference(plan)],
        "may_choose": may_draft
        and (plan.state == PlanState.DRAFT or (plan.state == PlanState.SUBMITTED and runs_of_it)),
        "who_may": permissions.who_can(plan.application, ("ops", "lead")) if not roles & {"ops", "lead"} else "",
        "is_newest": (is_newest := not plan.application.plans.filter(revision__gt=plan.revision).exists()),
        "next_run": next_run_of(plan) if is_newest and not open_count and run is None and may_draft else None,
        "not_online": why_not_online(plan) if plan.document else (),
        "online": online_look(plan) if plan.document else None,
        "settings": _settings(plan.settings),
    }


def _head(plan: MigrationPlan, open_count: int, mapping: Mapping[str, Any]) -> dict[str, str]:
    """The answer of the page, with its tone and shape."""
    if plan.state == PlanState.MAKING:
        return {"tone": "live", "shape": "half", "text": "The plan is being made"}
    if plan.state == PlanState.REFUSED:
        return {"tone": "alarm", "shape": "cross", "text": "The plan could not be made"}
    if open_count:
        return {
            "tone": "alarm",
            "shape": "triangle",
            "text": f"{plural(open_count, 'finding needs,findings need')} a choice",
        }
    rows = mapping["row_count"]
    text = f"{plural(mapping['table_count'], 'table,tables')} will be moved"
    return {"tone": "good", "shape": "disc", "text": f"{text}, {plural(rows, 'row,rows')}" if rows else text}


def _needs_choice(finding: Finding) -> bool:
    return finding.severity == "refuse" and not finding.choice


def _rank(finding: Finding) -> int:
    return 0 if _needs_choice(finding) else {"refuse": 1, "warn": 2}.get(finding.severity, 3)


def _look(finding: Finding) -> str:
    return "chosen" if finding.severity == "refuse" and finding.choice else finding.severity


_SETTINGS = {
    "jobs": ("Connections for the load", ""),
    "soak_seconds": ("Watched after the switch", "seconds"),
    "soak_interval_seconds": ("Checked every", "seconds"),
    "endpoint_limit_ms": ("Limit of an endpoint's answer", "ms"),
    "baseline_limit_percent": ("Limit against its time on SQLite", "%"),
    "parallel_clients": ("Timed with so many clients at the same time", ""),
    "load_per_second": ("Requests a second, over all endpoints", ""),
    "load_seconds": ("The load lasts", "seconds"),
    "auto_rollback_seconds": ("Goes back by itself, if a check fails after the switch within", "seconds"),
    "backup_days": ("Backups kept", "days"),
    "small_team": ("Small team: one person may sign QA and ops", "flag"),
}
# A zero that means "no": said so, not as a number.
_OFF = {
    "auto_rollback_seconds": ("Goes back by itself", "no: a person decides"),
    "baseline_limit_percent": ("Limit against its time on SQLite", "none: compared, not judged"),
}


def _in_words(line: str) -> str:
    """A changed setting by the name that the page gives it."""
    for key, (name, unit) in _SETTINGS.items():
        if line.startswith(f"Setting {key}: "):
            words = unit if unit != "flag" else ""
            return f"{name}: {line.removeprefix(f'Setting {key}: ')} {words}".rstrip()
    return line


def _settings(settings: Mapping[str, Any]) -> list[dict[str, Any]]:
    """By the order of the list; a plan from before a setting shows its default."""
    known = {**{name: setting_of(settings, name) for name in NUMBERS}, **settings}
    named = {key: known[key] for key in _SETTINGS if key in known} | known
    return [_setting(key, value) for key, value in named.items() if key != "small_team" or value]


def _setting(key: str, value: Any) -> dict[str, Any]:
    if key in _OFF and not value:
        return {"name": _OFF[key][0], "value": _OFF[key][1], "unit": ""}
    name, unit = _SETTINGS.get(key, (key.replace("_", " "), ""))
    return {"name": name, "value": value, "unit": unit}
