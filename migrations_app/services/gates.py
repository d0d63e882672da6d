"""Gates: sign, refuse, withdraw, and what follows. A signature is bound to what the page showed."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.registry.models import Role
from migrations_app.models import Approval, Gate, MigrationRun, RunStep
from migrations_app.models.states import ApprovalState, GateCode, GateState, RunState, StepState
from migrations_app.services import gate_view as views
from migrations_app.services.advance import advance_run
from migrations_app.services.announcements import announce
from migrations_app.services.errors import Forbidden, ServiceRefused, Stale
from migrations_app.services.evidence import digest_of, evidence_digest, evidence_of
from migrations_app.services.gate_conditions import missing_conditions
from migrations_app.services.gate_rules import (
    REAUTHENTICATED,
    is_small_team,
    require_own_role,
    required_roles,
    unsigned_roles,
    why_not,
)
from migrations_app.services.gate_view import GateView
from migrations_app.services.permissions import who_can
from migrations_app.services.signatures import expiry_of, lapse, lapse_go, lapse_unfit
from migrations_app.services.transitions import change_run, change_step, touch_run


def gate_view(gate: Gate, user: Any) -> GateView:
    """All that the sign page shows, computed now."""
    return views.gate_view(gate, user, timezone.now())


def sign_gate(
    *,
    actor: Any,
    gate: Gate,
    role: str,
    reason: str,
    plan_digest: str,
    evidence_digest: str,
    typed_name: str = "",
    reauthenticated: bool = False,
) -> Approval:
    """Sign in one role. Passes the gate when it was the last signature. Raises Forbidden, ServiceRefused, Stale."""
    run = gate.run
    require_own_role(actor, gate, role, "sign")
    if not reason.strip():
        raise ServiceRefused("REASON_MISSING", "Give a reason: it stands beside your name for good.", status=400)
    if gate.code in REAUTHENTICATED and not reauthenticated:
        raise Forbidden("PASSWORD_NEEDED", "Give your password again: this signature starts something.")
    if gate.code == GateCode.GO and typed_name != run.application.name:
        raise ServiceRefused("NAME_NOT_TYPED", f"Type the application's name, {run.application.name}.", status=400)
    now = timezone.now()
    with transaction.atomic():
        gate = _locked(gate)
        require_own_role(actor, gate, role, "sign")
        lapse_unfit(gate=gate, now=now)
        _require_signable(gate, actor, role)
        evidence = evidence_of(gate.run)
        if plan_digest != gate.run.plan.digest or evidence_digest != digest_of(evidence):
            raise Stale("What you were shown has changed since; nothing was signed.")
        approval = _store(gate, actor, role, reason.strip(), evidence, now)
        touch_run(gate.run_id)
        record(
            action="gate.signed",
            actor=actor,
            role=role,
            obj=gate,
            application=gate.run.application.name,
            payload={
                "run": gate.run_id,
                "gate": gate.code,
                "reason": reason.strip()[:500],
                "plan": plan_digest,
                "evidence": evidence_digest,
            },
            checkpoint=True,
        )
        if not unsigned_roles(gate):
            _pass(gate, now)
    return approval


def refuse_gate(*, actor: Any, gate: Gate, role: str, reason: str) -> None:
    """Say no. Gate 1: the run goes back to draft; later gates: the run is held."""
    require_own_role(actor, gate, role, "refuse")
    if not reason.strip():
        raise ServiceRefused("REASON_MISSING", "Say why: the others must know what to mend.", status=400)
    now = timezone.now()
    with transaction.atomic():
        gate = _locked(gate)
        run = gate.run
        changed = Gate.objects.filter(pk=gate.pk, state=GateState.OPEN).update(state=GateState.REFUSED, decided_at=now)
        if changed != 1:
            raise Stale("The gate is no longer open.")
        for approval in gate.approvals.filter(state=ApprovalState.VALID).select_related("gate__run__application"):
            lapse(approval=approval, reason=f"{actor.get_username()} refused the gate: {reason.strip()}", now=now)
        Approval.objects.create(
            gate=gate,
            role=role,
            user=actor,
            user_name=actor.get_username(),
            state=ApprovalState.REFUSAL,
            reason=reason.strip(),
            signed_at=now,
            expires_at=now,
            **_bound_to(gate, evidence_of(run)),
        )
        to = RunState.DRAFT if gate.code == GateCode.PLAN else RunState.HELD
        change_run(run, to, at=now, held_reason=f"{gate.get_code_display()} was refused: {reason.strip()}")
        announce("gate_refused", run, actor, {"gate": gate.code, "reason": reason.strip()})
        record(
            action="gate.refused",
            actor=actor,
            role=role,
            obj=gate,
            application=run.application.name,
            payload={"run": run.pk, "gate": gate.code, "reason": reason.strip()[:500]},
            checkpoint=True,
        )


def withdraw_approval(*, actor: Any, approval: Approval, reason: str) -> None:
    """Take one's own signature back while its gate is still open."""
    if approval.user_id != actor.pk:
        raise Forbidden("NOT_YOURS", "Only the signer can take a signature back.", who=approval.user_name)
    if not reason.strip():
        raise ServiceRefused("REASON_MISSING", "Say why: the others counted on it.", status=400)
    now = timezone.now()
    with transaction.atomic():
        _locked(approval.gate)
        changed = Approval.objects.filter(pk=approval.pk, state=ApprovalState.VALID).update(
            state=ApprovalState.WITHDRAWN, ended_at=now, ended_reason=reason.strip()
        )
        if changed != 1:
            raise Stale("The signature has been used or has ended.")
        run = approval.gate.run
        touch_run(run.pk)
        facts = {"gate": approval.gate.code, "signer": approval.user_name, "role": approval.role, "withdrawn": True}
        announce("signature_ended", run, actor, {**facts, "reason": reason.strip()})
        record(
            action="gate.withdrawn",
            actor=actor,
            role=approval.role,
            obj=approval.gate,
            application=run.application.name,
            payload={"run": run.pk, "gate": approval.gate.code, "reason": reason.strip()[:500]},
            checkpoint=True,
        )


def open_plan_gate(run: MigrationRun, now: datetime) -> None:
    """Gate 1 opens when a run is submitted. Call inside the transaction of the submission."""
    Gate.objects.filter(run=run, code=GateCode.PLAN).update(state=GateState.OPEN, opened_at=now, decided_at=None)
    RunStep.objects.filter(run=run, name="gate_plan").update(started_at=now)
    announce("gate_opened", run, "system", {"gate": GateCode.PLAN.value})


def ask_for_go_again(*, run: MigrationRun, now: datetime) -> None:
    """Gate 2 opens once more: its signatures ran out before the application was touched. Call inside a transaction
    that holds the run's row."""
    lapse_go(run=run, now=now)
    Gate.objects.filter(run=run, code=GateCode.GO).update(state=GateState.CLOSED, decided_at=None)
    step = run.steps.get(name="gate_go")
    change_step(step, StepState.PENDING, finished_at=None, message="", evidence_digest="")
    # Whoever was up in the meantime may have taken the maintenance page down.
    for done in run.steps.filter(name="before_stop", state=StepState.SUCCEEDED):
        change_step(done, StepState.PENDING, attempts=0, finished_at=None, message="")
    advance_run(run=run, now=now)


def _pass(gate: Gate, now: datetime) -> None:
    passed = Gate.objects.filter(pk=gate.pk, state=GateState.OPEN).update(state=GateState.PASSED, decided_at=now)
    if passed != 1:
        raise Stale("The gate is no longer open.")
    used = Approval.objects.filter(gate=gate, state=ApprovalState.VALID).update(
        state=ApprovalState.CONSUMED, ended_at=now, ended_reason="The gate passed."
    )
    if used != len(required_roles(gate)):
        raise Stale("A signature has ended in the meantime.")
    run = gate.run
    run.refresh_from_db()
    step = gate.step
    change_step(step, StepState.RUNNING)
    signed = gate.approvals.filter(state=ApprovalState.CONSUMED)
    names = ", ".join(f"{approval.user_name} as {approval.get_role_display()}" for approval in signed)
    change_step(step, StepState.SUCCEEDED, finished_at=now, message=names, evidence_digest=evidence_digest(run))
    if gate.code == GateCode.PLAN:
        change_run(run, RunState.APPROVED, at=now)
    else:
        change_run(run, RunState.RUNNING, at=now)
    announce("gate_passed", run, "system", {"gate": gate.code})
    record(
        action="run.approved" if gate.code == GateCode.PLAN else "gate.passed",
        actor="system",
        obj=gate,
        application=run.application.name,
        payload={"run": run.pk, "gate": gate.code, "signed_by": names},
        checkpoint=True,
    )
    if gate.code != GateCode.PLAN:
        advance_run(run=run, now=now)


def _locked(gate: Gate) -> Gate:
    """The gate, its run locked: signatures of a run are given, taken back and counted one after the other."""
    MigrationRun.objects.select_for_update().get(pk=gate.run_id)
    return Gate.objects.select_related("run__application", "run__plan", "step").get(pk=gate.pk)


def _store(gate: Gate, actor: Any, role: str, reason: str, evidence: dict[str, Any], now: datetime) -> Approval:
    try:
        with transaction.atomic():
            return Approval.objects.create(
                gate=gate,
                role=role,
                user=actor,
                user_name=actor.get_username(),
                reason=reason,
                signed_at=now,
                expires_at=expiry_of(gate, now),
                **_bound_to(gate, evidence),
            )
    except IntegrityError:
        raise Stale(f"The gate has been signed as {Role(role).label.lower()} in the meantime.") from None


def _bound_to(gate: Gate, evidence: dict[str, Any]) -> dict[str, Any]:
    """What a decision names: the digests, what they were made of, and whose plan it was."""
    plan = gate.run.plan
    return {
        "plan_digest": plan.digest,
        "evidence_digest": digest_of(evidence),
        "seen": evidence,
        "gate_code": gate.code,
        "plan_author_id": plan.author_id,
        "small_team": is_small_team(gate),
    }


def _require_signable(gate: Gate, actor: Any, role: str) -> None:
    if gate.state != GateState.OPEN:
        raise ServiceRefused("GATE_NOT_OPEN", f"{gate.get_code_display()} is not open: {gate.get_state_display()}.")
    why = why_not(gate, actor, role, missing_conditions(gate))
    if why:
        raise Forbidden("MAY_NOT_SIGN", why, who=who_can(gate.run.application, [role]))
