"""The sign dialog: what exactly am I signing, and what changed since I last looked?"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from controlplane.registry.models import Role
from migrations_app.forms import RefuseForm, SignForm
from migrations_app.models import Approval, Gate, MigrationRun
from migrations_app.models.states import ApprovalState, GateCode, ItemState, Phase
from migrations_app.services import gates
from migrations_app.services.errors import ServiceRefused
from migrations_app.services.gates import GateView
from migrations_app.views.common import note_refusal, page, person_of, render_page, role_words, run_frame, visible_run
from migrations_app.views.session import confirm_password

# What happens once the last signature is there.
THEN = {
    GateCode.PLAN: "The run is approved; ops can start it.",
    GateCode.GO: "The application is stopped and the crossing begins.",
    GateCode.QA: "Monitoring starts.",
    GateCode.SIGN_OFF: "The run is completed and the application stays on PostgreSQL.",
}
BUTTON = {
    GateCode.PLAN: "Approve the plan",
    GateCode.GO: "Sign: go",
    GateCode.QA: "Accept",
    GateCode.SIGN_OFF: "Sign off",
}


@page
@require_http_methods(["GET", "POST"])
def show(request: HttpRequest, number: int, code: str) -> HttpResponse:
    run = visible_run(request, number)
    gate = run.gates.filter(code=code).select_related("step").first()
    if gate is None:
        raise Http404(f"Run {number} has no gate {code}.")
    gate.run = run
    if request.method == "GET":
        return _render(request, run, gate)
    if request.POST.get("do") == "refuse":
        return _refuse(request, run, gate)
    if request.POST.get("do") == "withdraw":
        return _withdraw(request, run, gate)
    return _sign(request, run, gate)


def _sign(request: HttpRequest, run: MigrationRun, gate: Gate) -> HttpResponse:
    form = SignForm(request.POST)
    if not form.is_valid():
        return _render(request, run, gate, form=form, status=400)
    typed = form.cleaned_data
    if not confirm_password(request, typed["password"]):
        form.add_error("password", "That is not your password. Wrong ones count, as at the sign-in.")
        return _render(request, run, gate, form=form, status=403)
    try:
        gates.sign_gate(
            actor=request.user,
            gate=gate,
            role=typed["role"],
            reason=typed["reason"],
            plan_digest=typed["plan_digest"],
            evidence_digest=typed["evidence_digest"],
            typed_name=typed["typed_name"].strip(),
            reauthenticated=True,
        )
    except ServiceRefused as refused:
        return _refused(request, run, gate, refused, f"sign {gate.get_code_display()}", form)
    messages.success(request, f"{gate.get_code_display()} is signed, by you as {role_words([typed['role']])}.")
    return HttpResponseRedirect(reverse("run", args=[run.pk]))


def _refuse(request: HttpRequest, run: MigrationRun, gate: Gate) -> HttpResponse:
    form = RefuseForm(request.POST)
    if not form.is_valid():
        return _render(request, run, gate, refuse_form=form, status=400)
    try:
        gates.refuse_gate(
            actor=request.user, gate=gate, role=form.cleaned_data["role"], reason=form.cleaned_data["reason"]
        )
    except ServiceRefused as refused:
        return _refused(request, run, gate, refused, f"refuse {gate.get_code_display()}")
    messages.success(request, f"{gate.get_code_display()} is refused. Your reason stands beside it.")
    return HttpResponseRedirect(reverse("run", args=[run.pk]))


def _withdraw(request: HttpRequest, run: MigrationRun, gate: Gate) -> HttpResponse:
    mine = gate.approvals.filter(user=person_of(request), state=ApprovalState.VALID).first()
    reason = request.POST.get("reason", "").strip()[:2000] or "Withdrawn by the signer."
    if mine is None:
        raise Http404("You have no signature here.")
    mine.gate = gate
    try:
        gates.withdraw_approval(actor=request.user, approval=mine, reason=reason)
    except ServiceRefused as refused:
        return _refused(request, run, gate, refused, "withdraw a signature")
    messages.success(request, "Your signature is withdrawn.")
    return HttpResponseRedirect(reverse("run_sign", args=[run.pk, gate.code]))


def _refused(
    request: HttpRequest,
    run: MigrationRun,
    gate: Gate,
    refused: ServiceRefused,
    tried: str,
    form: SignForm | None = None,
) -> HttpResponse:
    note_refusal(request, refused, about=gate, application=run.application.name, tried=tried)
    run.refresh_from_db()
    gate = run.gates.select_related("step").get(pk=gate.pk)
    gate.run = run
    return _render(request, run, gate, form=form, refusal=refused, status=refused.status)


def _render(
    request: HttpRequest,
    run: MigrationRun,
    gate: Gate,
    *,
    form: SignForm | None = None,
    refuse_form: RefuseForm | None = None,
    refusal: ServiceRefused | None = None,
    status: int = 200,
) -> HttpResponse:
    view = gates.gate_view(gate, request.user)
    mine = gate.approvals.filter(user=person_of(request), state=ApprovalState.VALID).first()
    context = {
        **run_frame(run, "run"),
        "gate": view,
        "form": _with_fresh_digests(form, view),
        "refuse_form": refuse_form or RefuseForm(initial={"role": view.my_roles[0] if view.my_roles else ""}),
        "refusing": refuse_form is not None,
        "my_sign_roles": [(role, Role(role).label) for role in view.my_roles],
        "mine": mine,
        "items": _count_items(run, gate),
        "changed": _changed_since(gate, run, mine),
        "then": THEN[GateCode(gate.code)],
        "button": BUTTON[GateCode(gate.code)],
        "refusal": refusal,
    }
    return render_page(request, "runs/sign.html", context, status=status)


def _with_fresh_digests(form: SignForm | None, view: GateView) -> SignForm:
    """The page always carries the digests of what it shows: after a refusal those of now, not those sent."""
    fresh = {
        "role": view.my_roles[0] if view.my_roles else "",
        "plan_digest": view.plan_digest,
        "evidence_digest": view.evidence_digest,
    }
    if form is None:
        return SignForm(initial=fresh)
    shown = {**{name: form.data.get(name) for name in form.fields}, **fresh}
    shown["role"] = form.data.get("role") or fresh["role"]
    form.data = shown
    return form


def _count_items(run: MigrationRun, gate: Gate) -> dict[str, int]:
    """Of the phases up to the gate's own: what comes later can't be proved yet."""
    order = list(Phase)
    phases = order[: order.index(Phase(gate.step.phase)) + 1]
    fine = {ItemState.PASSED, ItemState.NOT_APPLICABLE, ItemState.WAIVED}
    rows = list(run.items.filter(phase__in=phases).values_list("level", "state"))
    mandatory = [state for level, state in rows if level == "mandatory"]
    return {
        "mandatory": len(mandatory),
        "mandatory_passed": sum(1 for state in mandatory if state in fine),
        "others_open": sum(1 for level, state in rows if level != "mandatory" and state not in fine),
        "waived": sum(1 for _, state in rows if state == ItemState.WAIVED),
    }


def _changed_since(gate: Gate, run: MigrationRun, mine: Approval | None) -> dict[str, Any]:
    """What was proved or recorded after the last signature at this gate, else after the gate opened."""
    last = gate.approvals.order_by("-signed_at").values_list("signed_at", flat=True).first()
    since: datetime | None = last or gate.opened_at
    if since is None or mine is not None:
        return {"since": None, "items": []}
    items = list(run.items.filter(changed_at__gt=since, changed_at__lte=timezone.now()).order_by("-changed_at")[:6])
    return {"since": since, "items": items}
