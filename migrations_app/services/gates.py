"""Gates: who must sign, what is still missing, sign, refuse, withdraw. A signature is bound to what the page showed."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.registry.models import Role
from migrations_app.models import Approval, Gate, MigrationRun, RunStep
from migrations_app.models.states import ApprovalState, GateCode, GateState, RunState, StepState
from migrations_app.services.advance import advance_run
from migrations_app.services.errors import Forbidden, ServiceRefused, Stale
from migrations_app.services.evidence import evidence_digest
from migrations_app.services.gate_conditions import missing_conditions
from migrations_app.services.permissions import Offer, people_with, require_role, roles_of, who_can
from migrations_app.services.signatures import lapse_unfit
from migrations_app.services.transitions import change_run, change_step, touch_run

_ROLES: dict[str, tuple[Role, ...]] = {
    GateCode.PLAN: (Role.LEAD,),
    GateCode.GO: (Role.LEAD, Role.OPS),
    GateCode.QA: (Role.QA,),
    GateCode.SIGN_OFF: (Role.LEAD, Role.QA, Role.OPS),
}
_REAUTHENTICATED = frozenset({GateCode.GO, GateCode.SIGN_OFF})


@dataclass(frozen=True)
class SignatureLine:
    """One required role: who signed it, or who can."""

    role: str
    role_label: str
    state: str  # 'valid', 'consumed', 'missing'
    name: str
    at: datetime | None
    who: str
    approval: Approval | None = None


@dataclass(frozen=True)
class GateView:
    gate: Gate
    signatures: tuple[SignatureLine, ...]
    missing: tuple[str, ...]
    mine: Offer
    my_roles: tuple[str, ...]
    plan_digest: str
    evidence_digest: str
    changed_since: tuple[str, ...]
    needs_password: bool
    needs_typed_name: bool


def required_roles(gate: Gate) -> tuple[Role, ...]:
    return _ROLES[gate.code]


def gate_view(gate: Gate, user: Any) -> GateView:
    """All that the sign page shows, computed now."""
    run = gate.run
    missing = missing_conditions(gate)
    refusals = {role: _why_not(gate, user, role, missing) for role in _open_roles(gate, user)}
    can = tuple(role for role, why in refusals.items() if not why)
    if can:
        mine = Offer("sign", "Sign", True)
    else:
        why = next((why for why in refusals.values() if why), _why_nothing_to_sign(gate, user))
        mine = Offer("sign", "Sign", False, why, who_can(run.application, _unsigned(gate)))
    return GateView(
        gate=gate,
        signatures=tuple(_lines(gate)),
        missing=missing,
        mine=mine,
        my_roles=can,
        plan_digest=run.plan.digest,
        evidence_digest=evidence_digest(run),
        changed_since=tuple(_lapsed_reasons(gate)),
        needs_password=gate.code in _REAUTHENTICATED,
        needs_typed_name=gate.code == GateCode.GO,
    )


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
    _require_own_role(actor, gate, role, "sign")
    if not reason.strip():
        raise ServiceRefused("REASON_MISSING", "Give a reason: it stands beside your name for good.", status=400)
    if gate.code in _REAUTHENTICATED and not reauthenticated:
        raise Forbidden("PASSWORD_NEEDED", "Give your password again: this signature starts something.")
    if gate.code == GateCode.GO and typed_name != run.application.name:
        raise ServiceRefused("NAME_NOT_TYPED", f"Type the application's name, {run.application.name}.", status=400)
    now = timezone.now()
    with transaction.atomic():
        gate = _locked(gate)
        _require_own_role(actor, gate, role, "sign")
        lapse_unfit(gate=gate, now=now)
        _require_signable(gate, actor, role)
        _require_same_digests(gate.run, plan_digest, evidence_digest)
        approval = _store(gate, actor, role, reason.strip(), plan_digest, evidence_digest, now)
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
        if not _unsigned(gate):
            _pass(gate, now)
    return approval


def refuse_gate(*, actor: Any, gate: Gate, role: str, reason: str) -> None:
    """Say no. Gate 1: the run goes back to draft; later gates: the run is held."""
    run = gate.run
    _require_own_role(actor, gate, role, "refuse")
    if not reason.strip():
        raise ServiceRefused("REASON_MISSING", "Say why: the others must know what to mend.", status=400)
    now = timezone.now()
    with transaction.atomic():
        changed = Gate.objects.filter(pk=gate.pk, state=GateState.OPEN).update(state=GateState.REFUSED, decided_at=now)
        if changed != 1:
            raise Stale("The gate is no longer open.")
        _end_signatures(gate, "The gate was refused.", now)
        Approval.objects.create(
            gate=gate,
            role=role,
            user=actor,
            user_name=actor.get_username(),
            state=ApprovalState.REFUSAL,
            reason=reason.strip(),
            plan_digest=run.plan.digest,
            evidence_digest=evidence_digest(run),
            signed_at=now,
            expires_at=now,
        )
        run.refresh_from_db()
        to = RunState.DRAFT if gate.code == GateCode.PLAN else RunState.HELD
        change_run(run, to, at=now, held_reason=f"{gate.get_code_display()} was refused: {reason.strip()}")
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
    names = ", ".join(f"{a.user_name} as {a.role}" for a in gate.approvals.filter(state=ApprovalState.CONSUMED))
    change_step(step, StepState.SUCCEEDED, finished_at=now, message=names, evidence_digest=evidence_digest(run))
    if gate.code == GateCode.PLAN:
        change_run(run, RunState.APPROVED, at=now)
    else:
        change_run(run, RunState.RUNNING, at=now)
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


def _require_own_role(actor: Any, gate: Gate, role: str, verb: str) -> None:
    """Raises Forbidden unless the gate asks for the role and the actor holds it."""
    application = gate.run.application
    require_role(actor, application, required_roles(gate), f"{verb} {gate.get_code_display()}")
    if role not in required_roles(gate):
        raise Forbidden("NOT_ALLOWED", f"{gate.get_code_display()} isn't decided in the role {role}.")
    if role not in roles_of(actor, application):
        who = who_can(application, [role])
        raise Forbidden("NOT_ALLOWED", f"You don't hold the role {Role(role).label.lower()}.", who=who)


def _store(gate: Gate, actor: Any, role: str, reason: str, plan: str, evidence: str, now: datetime) -> Approval:
    try:
        with transaction.atomic():
            return Approval.objects.create(
                gate=gate,
                role=role,
                user=actor,
                user_name=actor.get_username(),
                reason=reason,
                plan_digest=plan,
                evidence_digest=evidence,
                signed_at=now,
                expires_at=now + timedelta(hours=settings.CAUSEWAY_SIGNATURE_HOURS),
            )
    except IntegrityError:
        raise Stale(f"The gate has been signed as {Role(role).label.lower()} in the meantime.") from None


def _require_signable(gate: Gate, actor: Any, role: str) -> None:
    if gate.state != GateState.OPEN:
        raise ServiceRefused("GATE_NOT_OPEN", f"{gate.get_code_display()} is not open: {gate.get_state_display()}.")
    why = _why_not(gate, actor, role, missing_conditions(gate))
    if why:
        raise Forbidden("MAY_NOT_SIGN", why, who=who_can(gate.run.application, [role]))


def _require_same_digests(run: MigrationRun, plan: str, evidence: str) -> None:
    if plan != run.plan.digest or evidence != evidence_digest(run):
        raise Stale("What you were shown has changed since; nothing was signed.")


def _why_not(gate: Gate, user: Any, role: str, missing: tuple[str, ...]) -> str:
    """'' when the user may sign in this role now, else the reason in words."""
    if user.is_superuser:
        return "A superuser signs nothing."
    if gate.state != GateState.OPEN:
        return f"The gate is {gate.get_state_display().lower()}."
    wrote_it = gate.run.plan.author_id == user.pk
    if wrote_it and gate.code == GateCode.PLAN:
        return "You wrote this plan; another team lead must approve it."
    if wrote_it and role == Role.LEAD and gate.run.plan.settings.get("small_team"):
        return "You wrote this plan; in small-team mode its author never signs as team lead."
    held = gate.approvals.filter(user=user, state=ApprovalState.VALID).values_list("role", flat=True)
    for other in held:
        if not _may_fill_both(gate, other, role):
            return "You have signed already in another role; one person fills one role at a gate."
    return missing[0] if missing else ""


def _may_fill_both(gate: Gate, one: str, other: str) -> bool:
    """Small-team mode: one person may sign QA and ops, never the lead's part too."""
    return bool(gate.run.plan.settings.get("small_team")) and {one, other} <= {Role.QA, Role.OPS}


def _why_nothing_to_sign(gate: Gate, user: Any) -> str:
    if user.is_superuser:
        return "A superuser signs nothing."
    if gate.state != GateState.OPEN:
        return f"The gate is {gate.get_state_display().lower()}."
    if gate.approvals.filter(user=user, state=ApprovalState.VALID).exists():
        return "You have signed."
    return "It needs another role than yours."


def _open_roles(gate: Gate, user: Any) -> list[str]:
    held = roles_of(user, gate.run.application)
    return [role for role in _unsigned(gate) if role in held]


def _unsigned(gate: Gate) -> list[str]:
    signed = set(gate.approvals.filter(state__in=["valid", "consumed"]).values_list("role", flat=True))
    return [role for role in required_roles(gate) if role not in signed]


def _lines(gate: Gate) -> list[SignatureLine]:
    signed = {a.role: a for a in gate.approvals.filter(state__in=["valid", "consumed"])}
    lines = []
    for role in required_roles(gate):
        approval = signed.get(role)
        lines.append(
            SignatureLine(
                role=role,
                role_label=role.label,
                state=approval.state if approval else "missing",
                name=approval.user_name if approval else "",
                at=approval.signed_at if approval else None,
                who="" if approval else ", ".join(people_with(gate.run.application, role)) or "nobody holds this role",
                approval=approval,
            )
        )
    return lines


def _lapsed_reasons(gate: Gate) -> list[str]:
    ended = gate.approvals.filter(state__in=[ApprovalState.LAPSED, ApprovalState.WITHDRAWN]).order_by("-ended_at")
    return [f"{a.user_name} as {a.get_role_display()}: {a.ended_reason}" for a in ended[:5]]


def _end_signatures(gate: Gate, reason: str, now: datetime) -> None:
    Approval.objects.filter(gate=gate, state=ApprovalState.VALID).update(
        state=ApprovalState.LAPSED, ended_at=now, ended_reason=reason
    )
