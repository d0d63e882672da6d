"""The checklist: what is left for me? Mine first, then what waits for others, then what the system proves."""

from __future__ import annotations

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods

from controlplane.registry.models import Role
from migrations_app.forms import ResultForm
from migrations_app.models import ChecklistItem, MigrationRun, TestResult
from migrations_app.models.states import ItemState
from migrations_app.services import checklist, permissions
from migrations_app.services.errors import ServiceRefused
from migrations_app.views.common import note_refusal, page, render_page, run_frame, visible_run

FINE = frozenset({ItemState.PASSED, ItemState.NOT_APPLICABLE, ItemState.WAIVED})
# Whose items a role may record.
PROVES = {Role.QA: {"qa"}, Role.OPS: {"ops"}, Role.LEAD: {"ops"}}


@page
@require_GET
def show(request: HttpRequest, number: int) -> HttpResponse:
    run = visible_run(request, number)
    items = list(run.items.prefetch_related("results__recorded_by"))
    mine = set().union(*(PROVES.get(Role(role), set()) for role in permissions.roles_of(request.user, run.application)))
    people = [item for item in items if item.prover != "system"]
    left = [item for item in people if item.state not in FINE]
    yours = [item for item in left if item.prover in mine]
    mandatory = [item for item in items if item.level == "mandatory"]
    context = {
        **run_frame(run, "checklist"),
        "yours": yours,
        "others": [item for item in left if item.prover not in mine],
        "recorded": [item for item in people if item.state in FINE],
        "proved": [item for item in items if item.prover == "system"],
        "my_provers": mine,
        "mandatory": len(mandatory),
        "mandatory_passed": sum(1 for item in mandatory if item.state in FINE),
        "failed": [item for item in items if item.state == ItemState.FAILED],
        "waits_for": _waits_for(run, left),
    }
    return render_page(request, "runs/checklist.html", context)


@page
@require_http_methods(["GET", "POST"])
def record(request: HttpRequest, number: int, code: str) -> HttpResponse:
    """Record a result for one item, with the note that is its evidence."""
    run = visible_run(request, number)
    item = run.items.filter(code=code).first()
    if item is None:
        raise Http404(f"Run {number} has no item {code}.")
    item.run = run
    if request.method == "GET":
        outcome = request.GET.get("outcome", "")
        return _render(request, run, item, ResultForm(initial={"outcome": outcome}))
    form = ResultForm(request.POST)
    if not form.is_valid():
        return _render(request, run, item, form, status=400)
    try:
        result = checklist.record_result(actor=request.user, item=item, **form.cleaned_data)
    except ServiceRefused as refused:
        note_refusal(request, refused, about=item, application=run.application.name, tried="record a result")
        return _render(request, run, item, form, refusal=refused, status=refused.status)
    messages.success(request, f"{item.code} is recorded: {result.get_outcome_display().lower()}.")
    return HttpResponseRedirect(reverse("run_checklist", args=[run.pk]))


def _render(
    request: HttpRequest,
    run: MigrationRun,
    item: ChecklistItem,
    form: ResultForm,
    *,
    refusal: ServiceRefused | None = None,
    status: int = 200,
) -> HttpResponse:
    results: list[TestResult] = list(item.results.select_related("recorded_by")[:10])
    context = {
        **run_frame(run, "checklist"),
        "item": item,
        "form": form,
        "results": results,
        "refusal": refusal,
    }
    return render_page(request, "runs/result.html", context, status=status)


def _waits_for(run: MigrationRun, left: list[ChecklistItem]) -> str:
    """Who can do what is left, by name."""
    roles = [role for role in (Role.QA, Role.OPS) if any(item.prover == role for item in left)]
    return permissions.who_can(run.application, roles) if roles else ""
