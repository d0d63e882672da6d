"""The rollback dialog: what does it cost?"""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from controlplane.registry.models import Role
from migrations_app.forms import AgreeForm, BreakGlassForm, CountersignForm, ReasonForm, RollbackForm
from migrations_app.models import MigrationRun, RollbackRequest
from migrations_app.services import break_glass, permissions, price, rollback, schedule
from migrations_app.services.errors import ServiceRefused
from migrations_app.views.common import note_refusal, page, render_page, run_frame, visible_run
from migrations_app.views.confirm import confirm, proof_of
from migrations_app.views.replication import crossing_of, flow_of

DECIDERS = (Role.OPS, Role.LEAD)


@page
@require_http_methods(["GET", "POST"])
def show(request: HttpRequest, number: int) -> HttpResponse:
    run = visible_run(request, number)
    if request.method == "GET":
        return _render(request, run)
    doing = request.POST.get("do", "request")
    if doing == "request":
        return _request(request, run)
    if doing == "break_glass":
        return _break_glass(request, run)
    if doing == "countersign":
        return _countersign(request, run)
    waiting = _waiting(run)
    if waiting is None:
        raise Http404("No rollback of this run waits for a second person.")
    waiting.run = run
    return _agree(request, run, waiting) if doing == "agree" else _refuse(request, run, waiting)


def _request(request: HttpRequest, run: MigrationRun) -> HttpResponse:
    form = RollbackForm(request.POST, proof=proof_of(request))
    if not form.is_valid():
        return _render(request, run, form=form, status=400)
    if not confirm(request, form):
        return _render(request, run, form=form, status=403)
    typed = form.cleaned_data
    try:
        made = rollback.request_rollback(
            actor=request.user,
            run=run,
            reason=typed["reason"],
            typed_name=typed["typed_name"].strip(),
            rows_typed=typed["rows_typed"],
            reauthenticated=True,
        )
    except ServiceRefused as refused:
        return _refused(request, run, refused, "roll back", form=form)
    if made.state == RollbackRequest.State.WAITING:
        messages.warning(request, "Asked for. A second person must agree before anything happens.")
        return HttpResponseRedirect(reverse("run_rollback", args=[run.pk]))
    messages.success(request, "Rolling back.")
    return HttpResponseRedirect(reverse("run", args=[run.pk]))


def _break_glass(request: HttpRequest, run: MigrationRun) -> HttpResponse:
    form = BreakGlassForm(request.POST, proof=proof_of(request), auto_id="glass_%s")
    if not form.is_valid():
        return _render(request, run, glass_form=form, status=400)
    if not confirm(request, form):
        return _render(request, run, glass_form=form, status=403)
    typed = form.cleaned_data
    try:
        made = break_glass.break_glass(
            actor=request.user,
            run=run,
            reason=typed["reason"],
            typed_name=typed["typed_name"].strip(),
            rows_typed=typed["rows_typed"],
            understood=typed["understood"],
            reauthenticated=True,
        )
    except ServiceRefused as refused:
        return _refused(request, run, refused, "break the glass", glass_form=form)
    if made.break_glass:
        messages.warning(request, "Rolling back, decided by you alone. Everyone is told; a second person countersigns.")
    else:
        messages.success(request, "Rolling back. Nothing is lost, so no second person is needed.")
    return HttpResponseRedirect(reverse("run", args=[run.pk]))


def _countersign(request: HttpRequest, run: MigrationRun) -> HttpResponse:
    waiting = _uncountersigned(run)
    if waiting is None:
        raise Http404("No rollback of this run waits for a countersignature.")
    waiting.run = run
    form = CountersignForm(request.POST, proof=proof_of(request), auto_id="countersign_%s")
    if not form.is_valid():
        return _render(request, run, countersign_form=form, status=400)
    if not confirm(request, form):
        return _render(request, run, countersign_form=form, status=403)
    try:
        break_glass.countersign(
            actor=request.user, request=waiting, note=form.cleaned_data["reason"], reauthenticated=True
        )
    except ServiceRefused as refused:
        return _refused(request, run, refused, "countersign a rollback", countersign_form=form)
    messages.success(request, "Countersigned. It stands in the trail beside the decision.")
    return HttpResponseRedirect(reverse("run", args=[run.pk]))


def _agree(request: HttpRequest, run: MigrationRun, waiting: RollbackRequest) -> HttpResponse:
    form = AgreeForm(request.POST, proof=proof_of(request), auto_id="agree_%s")
    if not form.is_valid():
        return _render(request, run, agree_form=form, status=400)
    if not confirm(request, form):
        return _render(request, run, agree_form=form, status=403)
    try:
        rollback.agree_rollback(actor=request.user, request=waiting, reauthenticated=True)
    except ServiceRefused as refused:
        return _refused(request, run, refused, "agree to a rollback", agree_form=form)
    messages.success(request, "Agreed. Rolling back.")
    return HttpResponseRedirect(reverse("run", args=[run.pk]))


def _refuse(request: HttpRequest, run: MigrationRun, waiting: RollbackRequest) -> HttpResponse:
    form = ReasonForm(request.POST, auto_id="refuse_%s")
    if not form.is_valid():
        return _render(request, run, refuse_form=form, status=400)
    try:
        rollback.refuse_rollback(actor=request.user, request=waiting, reason=form.cleaned_data["reason"])
    except ServiceRefused as refused:
        return _refused(request, run, refused, "refuse a rollback")
    messages.success(request, "The request is closed. Nothing was rolled back.")
    return HttpResponseRedirect(reverse("run", args=[run.pk]))


def _waiting(run: MigrationRun) -> RollbackRequest | None:
    return (
        run.rollback_requests.filter(state=RollbackRequest.State.WAITING)
        .select_related("requester", "agreed_by")
        .first()
    )


def _uncountersigned(run: MigrationRun) -> RollbackRequest | None:
    return break_glass.uncountersigned().filter(run=run).select_related("requester").first()


def _refused(
    request: HttpRequest, run: MigrationRun, refused: ServiceRefused, tried: str, **forms: Any
) -> HttpResponse:
    note_refusal(request, refused, about=run, application=run.application.name, tried=tried)
    run.refresh_from_db()
    return _render(request, run, refusal=refused, status=refused.status, **forms)


def _render(
    request: HttpRequest,
    run: MigrationRun,
    *,
    form: RollbackForm | None = None,
    glass_form: BreakGlassForm | None = None,
    agree_form: AgreeForm | None = None,
    countersign_form: CountersignForm | None = None,
    refuse_form: ReasonForm | None = None,
    refusal: ServiceRefused | None = None,
    status: int = 200,
) -> HttpResponse:
    """Always with the price of now: a dialog that was left open must not confirm an old number."""
    tag = price.price_of(run)
    replication = crossing_of(run)
    proof = proof_of(request)
    waiting, alone = _waiting(run), _uncountersigned(run)
    open_request = waiting or alone
    context = {
        **run_frame(run, "run"),
        **_second_person(request, run, open_request),
        "price": tag,
        "costs_rows": not tag.lossless,
        "changes": _changes(tag),
        "flow": flow_of(replication, timezone.now()) if replication is not None else None,
        "offer": permissions.offers(request.user, run)["roll_back"],
        "limit": schedule.last_safe_moment(run),
        "waiting": waiting,
        "alone": alone,
        "form": form or RollbackForm(proof=proof),
        "glass_form": glass_form or BreakGlassForm(proof=proof, auto_id="glass_%s"),
        "agree_form": agree_form or AgreeForm(proof=proof, auto_id="agree_%s"),
        "countersign_form": countersign_form or CountersignForm(proof=proof, auto_id="countersign_%s"),
        "refuse_form": refuse_form or ReasonForm(auto_id="refuse_%s"),
        "refusal": refusal,
    }
    return render_page(request, "runs/rollback.html", context, status=status)


def _second_person(request: HttpRequest, run: MigrationRun, asked: RollbackRequest | None) -> dict[str, Any]:
    """Who else must decide, and whether the viewer is one of them."""
    mine = permissions.roles_of(request.user, run.application)
    asked_as = asked.requester_role if asked else next((role for role in DECIDERS if role in mine), "")
    second = [role for role in DECIDERS if role != asked_as]
    return {
        "is_mine": asked is not None and asked.requester_id == request.user.pk,
        "may_decide": bool(mine & set(DECIDERS)),
        "may_second": bool(mine & set(second)),
        "second_people": permissions.who_can(run.application, second),
    }


def _changes(tag: price.PriceTag) -> list[dict[str, Any]]:
    """What was written since the switch, by table, the most changed first."""
    lines = [
        {"table": name, "insert": _number(counts, "insert"), "update": _number(counts, "update")}
        | {"delete": _number(counts, "delete")}
        for name, counts in tag.by_table.items()
    ]
    return sorted(lines, key=lambda line: (-line["insert"] - line["update"] - line["delete"], line["table"]))


def _number(counts: Any, kind: str) -> int:
    """By operation, whether the tag carries the engine's counts or plain ones."""
    return int(counts.get(kind, 0) if isinstance(counts, dict) else getattr(counts, f"{kind}s"))
