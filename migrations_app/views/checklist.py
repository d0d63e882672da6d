"""The checklist: what is left for me? Mine first, then what waits for others, then what the system proves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from controlplane.registry.models import Role
from migrations_app.forms import ResultForm
from migrations_app.forms.checklist import ItemReasonForm
from migrations_app.models import ChecklistItem, MigrationRun
from migrations_app.models.checklist import Level, Prover
from migrations_app.models.states import ItemState, Phase
from migrations_app.services import checklist, checklist_overview, permissions, proving_again
from migrations_app.services.advance import goes_back
from migrations_app.services.checklist import FINE, PROVERS
from migrations_app.services.checklist_file import OWNERS
from migrations_app.services.errors import ServiceRefused
from migrations_app.views.common import note_refusal, page, render_page, run_frame, visible_run

_DECISIONS: dict[str, Callable[..., None]] = {
    "reopen": checklist.reopen_item,
    "waive": checklist.waive_item,
    "again": proving_again.prove_again,
}
_DECIDED = {"reopen": "is open again", "waive": "is waived", "again": "is being proved again"}
_TROUBLE = frozenset({ItemState.FAILED, ItemState.INCONCLUSIVE, ItemState.STALE})


@dataclass(frozen=True)
class PhaseRows:
    """What the system proves in one phase."""

    title: str
    items: tuple[ChecklistItem, ...]
    fine: int


@page
@require_GET
def show(request: HttpRequest, number: int) -> HttpResponse:
    run = visible_run(request, number)
    items = checklist_overview.shown_items(run)
    now, back = checklist_overview.phase_now(run), goes_back(run)
    due = [item for item in items if checklist_overview.is_due(item, now, back)]
    mine = _my_provers(request, run)
    people = [item for item in items if item.prover != Prover.SYSTEM]
    left = [item for item in people if item.state not in FINE]
    reached = {item.code for item in due}
    left_due = [item for item in left if item.code in reached]
    mandatory = [item for item in due if item.level == Level.MANDATORY]
    against = [item for item in mandatory if item.state not in FINE]
    since = checklist_overview.last_look(run, request.user)
    earlier = checklist_overview.earlier(run, items)
    for item in items:
        item.earlier = earlier.get(item.code)  # type: ignore[attr-defined]
    yours = sorted((item for item in left_due if item.prover in mine), key=_most_urgent)
    others = [item for item in left_due if item.prover not in mine]
    failed = [item for item in due if item.state == ItemState.FAILED]
    context = {
        **run_frame(run, "checklist"),
        "yours": yours,
        "others": others,
        "later": [item for item in left if item.code not in reached],
        "recorded": [item for item in people if item.state in FINE],
        "trouble": [item for item in due if item.prover == Prover.SYSTEM and item.state in _TROUBLE],
        "phases": _phases(items),
        "my_provers": mine,
        "mandatory": len(mandatory),
        "mandatory_passed": len(mandatory) - len(against),
        "against": len(against),
        "gate": checklist_overview.next_gate(run),
        "sentence": _sentence(yours),
        "failed": failed,
        "failed_elsewhere": sum(1 for item in failed if item not in yours),
        "waits_for": _waits_for(run, others),
        "since": since,
        "changes": (changes := checklist_overview.changes_since(run, request.user, since)),
        "changes_failed": sum(1 for change in changes if change.item.state in _TROUBLE),
        "version": run.checklist_version,
        "may_waive": Role.LEAD in permissions.roles_of(request.user, run.application) and not run.is_finished,
    }
    return render_page(request, "runs/checklist.html", context)


@page
@require_POST
def seen(request: HttpRequest, number: int) -> HttpResponse:
    """The viewer has seen what the page showed when it was made."""
    run = visible_run(request, number)
    try:
        shown = parse_datetime(request.POST.get("at", ""))
    except ValueError:
        shown = None
    at = shown if shown is not None and timezone.is_aware(shown) else None
    checklist_overview.mark_seen(actor=request.user, run=run, at=at)
    return HttpResponseRedirect(reverse("run_checklist", args=[run.pk]))


@page
@require_http_methods(["GET", "POST"])
def record(request: HttpRequest, number: int, code: str) -> HttpResponse:
    """One item: what it is, what proved it; record a result, open it again, waive it."""
    run = visible_run(request, number)
    item = run.items.filter(code=code).first()
    if item is None:
        raise Http404(f"Run {number} has no item {code}.")
    item.run = run
    if request.method == "GET":
        return _render(request, run, item, ResultForm(initial={"outcome": request.GET.get("outcome", "")}))
    do = request.POST.get("do", "record")
    if do in ("reopen", "waive", "again"):
        return _decide(request, run, item, do)
    form = ResultForm(request.POST, request.FILES)
    too_large = getattr(request, "upload_too_large", "")
    if too_large:
        form.full_clean()
        form.add_error("files", f"{too_large} is over 10 MB. Choose a smaller one, or give a link.")
        return _render(request, run, item, form, status=413)
    if not form.is_valid():
        return _render(request, run, item, form, status=400)
    try:
        result = checklist.record_result(actor=request.user, item=item, **form.cleaned_data)
    except ServiceRefused as refused:
        if refused.code.startswith(("FILE", "TOO_MANY")):
            form.add_error("files", f"{refused.message} {refused.hint}".strip())
        note_refusal(request, refused, about=item, application=run.application.name, tried="record a result")
        return _render(request, run, item, form, refusal=refused, status=refused.status)
    messages.success(request, f"{item.code} is recorded: {result.get_outcome_display().lower()}.")
    return HttpResponseRedirect(reverse("run_checklist", args=[run.pk]))


def _decide(request: HttpRequest, run: MigrationRun, item: ChecklistItem, do: str) -> HttpResponse:
    form = ItemReasonForm(request.POST, auto_id=f"{do}_%s")
    if not form.is_valid():
        return _render(request, run, item, ResultForm(), status=400, **{do: form})
    try:
        _DECISIONS[do](actor=request.user, item=item, reason=form.cleaned_data["reason"])
    except ServiceRefused as refused:
        note_refusal(request, refused, about=item, application=run.application.name, tried=f"{do} an item")
        return _render(request, run, item, ResultForm(), refusal=refused, status=refused.status, **{do: form})
    messages.success(request, f"{item.code} {_DECIDED[do]}.")
    return HttpResponseRedirect(reverse("run_checklist", args=[run.pk]))


def _render(
    request: HttpRequest,
    run: MigrationRun,
    item: ChecklistItem,
    form: ResultForm,
    *,
    refusal: ServiceRefused | None = None,
    status: int = 200,
    reopen: ItemReasonForm | None = None,
    waive: ItemReasonForm | None = None,
    again: ItemReasonForm | None = None,
) -> HttpResponse:
    mine = _my_provers(request, run)
    leads = Role.LEAD in permissions.roles_of(request.user, run.application)
    may_record = item.prover in mine and not run.is_finished
    may_reopen = leads if item.state == ItemState.WAIVED else item.prover in mine
    roles = PROVERS.get(item.prover, ())
    context = {
        **run_frame(run, "checklist"),
        "item": item,
        "form": form,
        "results": list(item.results.select_related("recorded_by").prefetch_related("files")[:10]),
        "changes": list(item.changes.all()[:10]),
        "earlier": checklist_overview.earlier(run, [item]).get(item.code),
        "refusal": refusal,
        "may_record": may_record,
        "who_records": permissions.who_can(run.application, roles) if roles else "",
        "reopen": reopen or ItemReasonForm(auto_id="reopen_%s"),
        "waive": waive or ItemReasonForm(auto_id="waive_%s"),
        "may_reopen": may_reopen
        and not run.is_finished
        and item.state not in (ItemState.OPEN, ItemState.STALE)
        and (item.prover != Prover.SYSTEM or item.state == ItemState.WAIVED),
        "may_ask_waiver": item.level == Level.MANDATORY
        and not run.is_finished
        and (item.state in _TROUBLE or (leads and item.state not in FINE)),
        "step_title": run.steps.filter(name=item.step_name).values_list("title", flat=True).first() or item.step_name,
        "owner": OWNERS.get(item.owner, item.owner),
        "why_not_waive": checklist.why_not_waive(request.user, run, item) if leads else "A team lead decides this.",
        "who_waives": permissions.who_can(run.application, [Role.LEAD]),
        "reopen_open": reopen is not None,
        "waive_open": waive is not None,
        "may_again": bool(permissions.roles_of(request.user, run.application) & set(proving_again.MAY))
        and not proving_again.why_not_again(run, item),
        "again": again or ItemReasonForm(auto_id="again_%s"),
        "again_open": again is not None,
    }
    return render_page(request, "runs/result.html", context, status=status)


def _my_provers(request: HttpRequest, run: MigrationRun) -> set[str]:
    held = permissions.roles_of(request.user, run.application)
    return {prover for prover, roles in PROVERS.items() if held & set(roles)}


def _most_urgent(item: ChecklistItem) -> tuple[int, int, int]:
    """What failed or went stale first, then what a gate waits for, then in the checklist's order."""
    order = [ItemState.FAILED, ItemState.STALE, ItemState.INCONCLUSIVE, ItemState.OPEN]
    return list(Level.values).index(item.level), order.index(ItemState(item.state)), item.position


def _phases(items: Sequence[ChecklistItem]) -> list[PhaseRows]:
    """What the system proves, a phase at a time."""
    rows = []
    for phase in Phase:
        proved = tuple(item for item in items if item.prover == Prover.SYSTEM and item.phase == phase)
        if proved:
            fine = sum(1 for item in proved if item.state in FINE)
            rows.append(PhaseRows(str(phase.label), proved, fine))
    return rows


def _sentence(yours: Sequence[ChecklistItem]) -> str:
    """'One failed, 2 went stale, 9 aren't tested.'"""
    words = {
        ItemState.FAILED: ("failed", "failed"),
        ItemState.STALE: ("went stale", "went stale"),
        ItemState.INCONCLUSIVE: ("is inconclusive", "are inconclusive"),
        ItemState.OPEN: ("isn’t tested", "aren’t tested"),
    }
    parts = []
    for state, (one, many) in words.items():
        count = sum(1 for item in yours if item.state == state)
        if count:
            parts.append(f"one {one}" if count == 1 else f"{count} {many}")
    text = ", ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _waits_for(run: MigrationRun, left: Sequence[ChecklistItem]) -> str:
    """Who can do what is left, by name."""
    roles = [role for role in (Role.QA, Role.OPS) if any(item.prover == role for item in left)]
    return permissions.who_can(run.application, roles) if roles else ""
