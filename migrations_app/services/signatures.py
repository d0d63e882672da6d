"""How a signature ends before it is used: what it was bound to changed, its role is gone, or 72 hours are over."""

from __future__ import annotations

from datetime import datetime

from django.db import transaction

from controlplane.audit.trail import record
from controlplane.registry.models import Membership
from migrations_app.models import Approval, Gate, MigrationRun
from migrations_app.models.states import ApprovalState, GateState
from migrations_app.services.evidence import evidence_digest
from migrations_app.services.transitions import touch_run


def lapse(*, approval: Approval, reason: str, now: datetime) -> bool:
    """End a signature, visibly and with the reason. False when it had ended already. Call inside a transaction."""
    ended = Approval.objects.filter(pk=approval.pk, state=ApprovalState.VALID).update(
        state=ApprovalState.LAPSED, ended_at=now, ended_reason=reason
    )
    if ended != 1:
        return False
    run = approval.gate.run
    touch_run(run.pk)
    record(
        action="gate.lapsed",
        actor="system",
        obj=approval.gate,
        application=run.application.name,
        payload={"run": run.pk, "signer": approval.user_name, "role": approval.role, "reason": reason},
    )
    return True


def lapse_outdated(*, run: MigrationRun, now: datetime) -> None:
    """End the valid signatures of the run whose evidence or plan is no longer what was signed."""
    valid = Approval.objects.filter(gate__run=run, gate__state=GateState.OPEN, state=ApprovalState.VALID)
    for approval in valid.select_related("gate__run__application"):
        reason = _why_outdated(approval, run)
        if reason:
            lapse(approval=approval, reason=reason, now=now)


def lapse_unfit(*, gate: Gate, now: datetime) -> None:
    """End the gate's signatures that no longer count for any reason. Call before they are counted: the sweep, which
    does the same, may be late. Call inside a transaction."""
    valid = gate.approvals.filter(state=ApprovalState.VALID).select_related("gate__run__application", "user")
    for approval in valid:
        reason = _why_outdated(approval, gate.run) or _why_over(approval, now)
        if reason:
            lapse(approval=approval, reason=reason, now=now)


def lapse_all(*, run: MigrationRun, reason: str, now: datetime) -> None:
    """End every valid signature of the run: its gates are not what comes next any more. Call inside a transaction."""
    valid = Approval.objects.filter(gate__run=run, state=ApprovalState.VALID)
    for approval in valid.select_related("gate__run__application"):
        lapse(approval=approval, reason=reason, now=now)


def lapse_expired(*, now: datetime) -> None:
    """End the signatures that are too old, and those whose signer lost the role. Part of the sweep."""
    valid = Approval.objects.filter(state=ApprovalState.VALID).select_related("gate__run__application", "user")
    for approval in valid:
        reason = _why_over(approval, now)
        if reason:
            with transaction.atomic():
                lapse(approval=approval, reason=reason, now=now)


def _why_outdated(approval: Approval, run: MigrationRun) -> str:
    if approval.plan_digest != run.plan.digest:
        return "The plan changed after it was signed."
    if approval.evidence_digest != evidence_digest(run):
        return "The evidence changed after it was signed: look again."
    return ""


def _why_over(approval: Approval, now: datetime) -> str:
    if approval.expires_at <= now:
        return "It was not used in time."
    application = approval.gate.run.application
    holds = Membership.objects.filter(application=application, user=approval.user, role=approval.role).exists()
    if not holds or not approval.user.is_active:
        return f"{approval.user_name} no longer has the role."
    return ""
