"""The rollback dialog: what does it cost?"""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from controlplane.registry.models import Role
from migrations_app.forms import AgreeForm, ReasonForm, RollbackForm
from migrations_app.models import MigrationRun, RollbackRequest
from migrations_app.models.states import Price
from migrations_app.services import permissions, price, rollback, schedule
from migrations_app.services.errors import ServiceRefused
from migrations_app.views.common import note_refusal, page, render_page, run_frame, visible_run
from migrations_app.views.session import confirm_password

DECIDERS = (Role.OPS, Role.LEAD)
WRONG_PASSWORD = "That is not your password. Wrong ones count, as at the sign-in."


@page
@require_http_methods(["GET", "POST"])
def show(request: HttpRequest, number: int) -> HttpResponse:
    run = visible_run(request, number)
    if request.method == "GET":
        return _render(request, run)
    doing = request.POST.get("do", "request")
    if doing == "request":
        return _request(request, run)
    waiting = _waiting(run)
    if waiting is None:
        raise Http404("No rollback of this run waits for a second person.")
    waiting.run = run
    return _agree(request, run, waiting) if doing == "agree" else _refuse(request, run, waiting)


def _request(request: HttpRequest, run: MigrationRun) -> HttpResponse:
    form = RollbackForm(request.POST)
    if not form.is_valid():
        return _render(request, run, form=form, status=400)
    typed = form.cleaned_data
    if not confirm_password(request, typed["password"]):
        form.add_error("password", WRONG_PASSWORD)
        return _render(request, run, form=form, status=403)
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


def _agree(request: HttpRequest, run: MigrationRun, waiting: RollbackRequest) -> HttpResponse:
    form = AgreeForm(request.POST)
    if not form.is_valid():
        return _render(request, run, agree_form=form, status=400)
    if not confirm_password(request, form.cleaned_data["password"]):
        form.add_error("password", WRONG_PASSWORD)
        return _render(request, run, agree_form=form, status=403)
    try:
        rollback.agree_rollback(actor=request.user, request=waiting, reauthenticated=True)
    except ServiceRefused as refused:
        return _refused(request, run, refused, "agree to a rollback", agree_form=form)
    messages.success(request, "Agreed. Rolling back.")
    return HttpResponseRedirect(reverse("run", args=[run.pk]))


def _refuse(request: HttpRequest, run: MigrationRun, waiting: RollbackRequest) -> HttpResponse:
    form = ReasonForm(request.POST)
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
    agree_form: AgreeForm | None = None,
    refuse_form: ReasonForm | None = None,
    refusal: ServiceRefused | None = None,
    status: int = 200,
) -> HttpResponse:
    """Always with the price of now: a dialog that was left open must not confirm an old number."""
    tag = price.price_of(run)
    waiting = _waiting(run)
    mine = permissions.roles_of(request.user, run.application)
    asked_as = waiting.requester_role if waiting else next((role for role in DECIDERS if role in mine), "")
    second = [role for role in DECIDERS if role != asked_as]
    context = {
        **run_frame(run, "run"),
        "price": tag,
        "costs_rows": tag.price == Price.R3,
        "changes": _changes(tag),
        "offer": permissions.offers(request.user, run)["roll_back"],
        "limit": schedule.last_safe_moment(run),
        "waiting": waiting,
        "is_mine": waiting is not None and waiting.requester_id == request.user.pk,
        "may_agree": bool(mine & set(DECIDERS)),
        "second_people": permissions.who_can(run.application, second),
        "form": form or RollbackForm(),
        "agree_form": agree_form or AgreeForm(auto_id="agree_%s"),
        "refuse_form": refuse_form or ReasonForm(auto_id="refuse_%s"),
        "refusal": refusal,
    }
    return render_page(request, "runs/rollback.html", context, status=status)


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
