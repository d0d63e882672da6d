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
from migrations_app.forms import RefuseForm, SignForm, WithdrawForm
from migrations_app.models import Approval, Gate, MigrationRun
from migrations_app.models.states import ApprovalState, GateCode, ItemState, Phase, Strategy
from migrations_app.services import gates, overview
from migrations_app.services.errors import ServiceRefused
from migrations_app.services.evidence import evidence_of, what_changed
from migrations_app.services.gate_view import GateView
from migrations_app.services.schedule import last_rehearsal
from migrations_app.views.common import note_refusal, page, person_of, render_page, role_words, run_frame, visible_run
from migrations_app.views.confirm import confirm, proof_of
from migrations_app.views.plan_mapping import counts_of

# What happens once the last signature is there.
THEN = {
    GateCode.PLAN: "The run is approved; ops can start it.",
    GateCode.GO: "The application is stopped and the crossing begins.",
    GateCode.QA: "Monitoring starts.",
    GateCode.SIGN_OFF: "The run is completed and the application stays on PostgreSQL.",
}
THEN_ONLINE = {
    GateCode.GO: "Writes wait in the freeze, then the application is restarted on PostgreSQL.",
    GateCode.SIGN_OFF: "The run is completed; what let one go back without loss is removed from both databases.",
}
BUTTON = {
    GateCode.PLAN: "Approve the plan",
    GateCode.GO: "Sign: go",
    GateCode.QA: "Accept",
    GateCode.SIGN_OFF: "Sign off",
}
CHANGES_SHOWN = 6


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
    form = SignForm(request.POST, proof=proof_of(request))
    if not form.is_valid():
        return _render(request, run, gate, form=form, status=400)
    if not confirm(request, form):
        return _render(request, run, gate, form=form, status=403)
    typed = form.cleaned_data
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
    form = RefuseForm(request.POST, auto_id="refuse_%s")
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
    mine = list(_mine(request, gate))
    if not mine:
        raise Http404("You have no signature here.")
    form = WithdrawForm(request.POST, auto_id="withdraw_%s")
    if not form.is_valid():
        return _render(request, run, gate, withdraw_form=form, status=400)
    chosen = next((approval for approval in mine if approval.role == request.POST.get("role")), mine[0])
    chosen.gate = gate
    try:
        gates.withdraw_approval(actor=request.user, approval=chosen, reason=form.cleaned_data["reason"])
    except ServiceRefused as refused:
        return _refused(request, run, gate, refused, "withdraw a signature")
    messages.success(request, "Your signature is withdrawn.")
    return HttpResponseRedirect(reverse("run_sign", args=[run.pk, gate.code]))


def _mine(request: HttpRequest, gate: Gate) -> Any:
    return gate.approvals.filter(user=person_of(request), state=ApprovalState.VALID)


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
    withdraw_form: WithdrawForm | None = None,
    refusal: ServiceRefused | None = None,
    status: int = 200,
) -> HttpResponse:
    view = gates.gate_view(gate, request.user)
    mine = list(_mine(request, gate))
    first_role = view.my_roles[0] if view.my_roles else ""
    context = {
        **run_frame(run, "run"),
        "gate": view,
        "form": _with_fresh_digests(form or SignForm(proof=proof_of(request)), view),
        "refuse_form": refuse_form or RefuseForm(initial={"role": first_role}, auto_id="refuse_%s"),
        "withdraw_form": withdraw_form or WithdrawForm(auto_id="withdraw_%s"),
        "my_sign_roles": [(role, Role(role).label) for role in view.my_roles],
        "mine": mine,
        "items": _count_items(run, gate),
        "planned": _planned(run) if gate.code == GateCode.PLAN else None,
        "changed": _changed_since(request, gate, run, bool(mine)),
        "then": _then(run, gate),
        "button": BUTTON[GateCode(gate.code)],
        "refusal": refusal,
    }
    return render_page(request, "runs/sign.html", context, status=status)


def _with_fresh_digests(form: SignForm, view: GateView) -> SignForm:
    """The page always carries the digests of what it shows: after a refusal those of now, not those sent."""
    fresh = {
        "role": view.my_roles[0] if view.my_roles else "",
        "plan_digest": view.plan_digest,
        "evidence_digest": view.evidence_digest,
    }
    if not form.is_bound:
        form.initial.update(fresh)
        return form
    shown = {**{name: form.data.get(name) for name in form.fields}, **fresh}
    shown["role"] = form.data.get("role") or fresh["role"]
    form.data = shown
    return form


def _then(run: MigrationRun, gate: Gate) -> str:
    code = GateCode(gate.code)
    return THEN_ONLINE.get(code, THEN[code]) if run.strategy == Strategy.ONLINE else THEN[code]


def _planned(run: MigrationRun) -> dict[str, Any]:
    """What gate 1 approves, in numbers, and whether it was tried."""
    tables, rows = counts_of(run.plan.document or {}, run.plan.profile or {})
    rehearsal = last_rehearsal(run)
    return {
        "tables": tables,
        "rows": rows,
        "findings": run.plan.findings.exclude(severity="info").count(),
        "rehearsal": rehearsal,
        "measured": overview.measured_words(rehearsal) if rehearsal else "",
    }


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


def _changed_since(request: HttpRequest, gate: Gate, run: MigrationRun, signed: bool) -> dict[str, Any]:
    """What changed since the viewer's own signature ended here; else what was proved since the last signature."""
    nothing = {"since": None, "lines": [], "items": [], "more": 0}
    if signed:
        return nothing
    own = gate.approvals.filter(user=person_of(request)).exclude(state=ApprovalState.REFUSAL).order_by("-signed_at")
    last_own: Approval | None = own.first()
    if last_own is not None and last_own.seen:
        lines = what_changed(last_own.seen, evidence_of(run))
        more = max(0, len(lines) - CHANGES_SHOWN)
        return {**nothing, "since": last_own.signed_at, "lines": lines[:CHANGES_SHOWN], "more": more}
    last = gate.approvals.order_by("-signed_at").values_list("signed_at", flat=True).first()
    since: datetime | None = last or gate.opened_at
    if since is None:
        return nothing
    items = run.items.filter(changed_at__gt=since, changed_at__lte=timezone.now()).order_by("-changed_at")
    return {**nothing, "since": since, "items": list(items[:CHANGES_SHOWN])}
