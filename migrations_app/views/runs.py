"""The list of runs (does anything need me?), and drafting a new one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_GET, require_http_methods

from controlplane.pages.words import duration_text
from controlplane.registry.models import Application, Membership, Role
from migrations_app.forms import NewRunForm
from migrations_app.models import Gate, MigrationPlan, MigrationRun, RunStep
from migrations_app.models.states import RUN_ACTIVE, GateState, RunKind, RunState, StepState
from migrations_app.services import runs
from migrations_app.services.errors import ServiceRefused
from migrations_app.services.needs import HEAVY, Need, needs_me
from migrations_app.services.strategies import why_not_online
from migrations_app.views.common import note_refusal, page, person_of, render_page

PAGE = 30


@dataclass(frozen=True)
class Line:
    """One run of the list."""

    run: MigrationRun
    stands: str
    seconds: float | None


@dataclass(frozen=True)
class NeedLine:
    """Something that needs the viewer, and where it is done."""

    need: Need
    url: str


@page
@require_GET
def show(request: HttpRequest) -> HttpResponse:
    """Newest first, in keyset pages."""
    needs = needs_me(request.user)
    rows = MigrationRun.objects.visible_to(request.user).select_related("application", "plan", "requested_by")
    rows = rows.defer(*(name for name in HEAVY if name != "facts"))
    before = request.GET.get("before", "")
    if before.isascii() and before.isdigit() and len(before) < 19:
        rows = rows.filter(pk__lt=int(before))
    found = list(rows.order_by("-pk")[: PAGE + 1])
    context = {
        "needs": [NeedLine(need, _address(need)) for need in needs],
        "lines": _lines(found[:PAGE]),
        "older": found[PAGE - 1].pk if len(found) > PAGE else None,
        "crossing": _crossing(found),
        "has_applications": Application.objects.visible_to(request.user).exists(),
        "may_create": _may_create(request),
        "title": _title(len(needs)),
    }
    return render_page(request, "runs/list.html", context, needs=needs)


@page
@require_http_methods(["GET", "POST"])
def new(request: HttpRequest) -> HttpResponse:
    """Draft a run: choose the application, the plan and the kind."""
    applications = Application.objects.visible_to(request.user)
    wanted = request.GET.get("application")
    if wanted:
        applications = applications.filter(name=wanted)
    form = NewRunForm(request.POST or None, applications=applications, initial=_offered_run(request))
    plans = list(form.fields["plan"].queryset)  # type: ignore[attr-defined]
    status = 200
    refusal = None
    if request.method == "POST" and form.is_valid():
        plan = form.cleaned_data["plan"]
        try:
            typed = form.cleaned_data
            run = runs.create_run(actor=request.user, plan=plan, kind=typed["kind"], strategy=typed["strategy"])
            return HttpResponseRedirect(reverse("run", args=[run.pk]))
        except ServiceRefused as refused:
            note_refusal(request, refused, about=plan, application=plan.application.name, tried="create a run")
            refusal, status = refused, refused.status
    elif request.method == "POST":
        status = 400
    context = {"form": form, "refusal": refusal, "any_plan": bool(plans), **_online(plans)}
    return render_page(request, "runs/new.html", context, status=status)


def _offered_run(request: HttpRequest) -> dict[str, str]:
    """What the page that led here proposes; the form still checks it."""
    offered = {name: request.GET.get(name, "") for name in ("plan", "kind", "strategy")}
    return {name: value for name, value in offered.items() if value.isascii() and value.isalnum()}


def _online(plans: Sequence[MigrationPlan]) -> dict[str, object]:
    """For which of the plans online is no choice, and why; whether it is one for any."""
    refused = [(plan, why) for plan in plans if (why := why_not_online(plan))]
    return {"not_online": refused, "any_online": len(refused) < len(plans)}


def _address(need: Need) -> str:
    return reverse(need.url_name, args=[need.run.pk, *([need.gate_code] if need.gate_code else [])])


def _title(count: int) -> str:
    if not count:
        return "Nothing needs you"
    return "One run needs you" if count == 1 else f"{count} runs need you"


def _may_create(request: HttpRequest) -> bool:
    return Membership.objects.filter(user=person_of(request), role__in=[Role.OPS, Role.LEAD]).exists()


def _crossing(found: list[MigrationRun]) -> list[str]:
    """A sentence for one production run under way; one for all where there are several."""
    active = [run for run in found if run.state in RUN_ACTIVE and run.kind == RunKind.PRODUCTION]
    if len(active) == 1:
        return [f"Run {active[0].pk} of {active[0].application.name} is {_UNDER_WAY[active[0].state]}."]
    if active:
        counts = Counter(_UNDER_WAY[run.state] for run in active)
        said = ", ".join(f"{count} {word}" for word, count in counts.items())
        return [f"{len(active)} production runs are under way: {said}."]
    waiting = sum(run.state == RunState.AWAITING_APPROVAL for run in found)
    if not waiting:
        return []
    return [
        "No production run is under way; one waits for approval."
        if waiting == 1
        else f"No production run is under way; {waiting} wait for approval."
    ]


def _lines(found: list[MigrationRun]) -> list[Line]:
    """The steps and gates that runs stand at come in one query each, however many runs there are."""
    standing = Q(state__in=[StepState.RUNNING, StepState.FAILED, StepState.ERRORED, StepState.IN_DOUBT])
    watched = Q(name="soak", state=StepState.PENDING, started_at__isnull=False)  # it rests between two samples
    steps = RunStep.objects.filter(standing | watched, run__in=[run.pk for run in found])
    titles = {step.run_id: step.title for step in steps.order_by("run", "-position").only("run_id", "title")}
    gates = {gate.run_id: gate.get_code_display() for gate in _open_gates(found)}
    return [_line(run, gates.get(run.pk) or titles.get(run.pk, "")) for run in found]


def _open_gates(found: list[MigrationRun]) -> QuerySet[Gate]:
    return Gate.objects.filter(run__in=[run.pk for run in found], state=GateState.OPEN)


def _line(run: MigrationRun, at: str) -> Line:
    end = run.finished_at or (timezone.now() if run.started_at else None)
    seconds = (end - run.started_at).total_seconds() if end and run.started_at else None
    return Line(run, _stands(run, at), seconds)


def _stands(run: MigrationRun, at: str) -> str:
    """Where it stands, from the row and what was fetched for all."""
    if run.held_reason:
        return run.held_reason
    if at and not run.is_finished:
        return at
    if run.state == RunState.ROLLED_BACK:  # how long it was away stands on its page: the row doesn't say it
        return "Taken down" if run.kind == RunKind.REHEARSAL else "On SQLite again"
    down, back = run.facts.get("downtime_seconds"), run.facts.get("rollback_seconds")
    if down is None and run.up_since and run.down_since:
        down = (run.up_since - run.down_since).total_seconds()
    parts = [f"down {duration_text(down)}" if down else "", f"rollback {duration_text(back)}" if back else ""]
    if run.state == RunState.COMPLETED and run.kind == RunKind.PRODUCTION:
        parts.insert(0, "on PostgreSQL")
    said = ", ".join(part for part in parts if part)
    return said[:1].upper() + said[1:] if said else f"Plan revision {run.plan.revision}"


_UNDER_WAY: dict[str, str] = {
    RunState.RUNNING: "under way",
    RunState.WAITING: "waiting at a gate",
    RunState.HELD: "held",
    RunState.ROLLING_BACK: "rolling back",
}
