"""How a signature ends before it is used: what it was bound to changed, its role is gone, or its time is over."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction

from controlplane.audit.trail import record
from controlplane.registry.models import Membership
from migrations_app.models import Approval, Gate, MigrationRun
from migrations_app.models.states import ApprovalState, GateCode, GateState, RunState
from migrations_app.services.announcements import announce
from migrations_app.services.evidence import digest_of, evidence_of, what_changed
from migrations_app.services.transitions import touch_run

_SAID_AT_MOST = 3
# Go is used up once this has begun. What is done before it (a maintenance page) doesn't use it up: a run that was held
# there over night must not stop the application in the morning.
_GO_IS_FOR = ("stop_application", "cut_over")


def expiry_of(gate: Gate, now: datetime) -> datetime:
    """Until when a signature given now counts: 72 hours, and for go not beyond the end of the plan's window."""
    latest = now + timedelta(hours=settings.CAUSEWAY_SIGNATURE_HOURS)
    closes = gate.run.plan.window_end
    return min(latest, closes) if gate.code == GateCode.GO and closes is not None else latest


def lapse(*, approval: Approval, reason: str, now: datetime, ask: bool = False) -> bool:
    """End a signature, visibly and with the reason. False when it had ended already. Call inside a transaction.

    ask: the gate still waits for it, so those who can sign are told.
    """
    ended = Approval.objects.filter(pk=approval.pk, state=ApprovalState.VALID).update(
        state=ApprovalState.LAPSED, ended_at=now, ended_reason=reason
    )
    if ended != 1:
        return False
    if ask:
        signer = {"gate": approval.gate.code, "signer": approval.user_name, "role": approval.role, "reason": reason}
        announce("signature_ended", approval.gate.run, "system", signer)
    _record_lapse(approval, reason)
    return True


def lapse_outdated(*, run: MigrationRun, now: datetime) -> None:
    """End the valid signatures of the run whose evidence or plan is no longer what was signed."""
    valid = Approval.objects.filter(gate__run=run, gate__state=GateState.OPEN, state=ApprovalState.VALID)
    for approval in valid.select_related("gate__run__application"):
        reason = _why_outdated(approval, run)
        if reason:
            lapse(approval=approval, reason=reason, now=now, ask=True)


def lapse_unfit(*, gate: Gate, now: datetime) -> None:
    """End the gate's signatures that no longer count for any reason. Call before they are counted: the sweep, which
    does the same, may be late. Call inside a transaction."""
    valid = gate.approvals.filter(state=ApprovalState.VALID).select_related("gate__run__application", "user")
    for approval in valid:
        reason = _why_outdated(approval, gate.run) or _why_over(approval, now)
        if reason:
            lapse(approval=approval, reason=reason, now=now, ask=True)


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
                lapse(approval=approval, reason=reason, now=now, ask=True)


def go_is_over(run: MigrationRun, now: datetime) -> bool:
    """Whether the run passed gate 2 but has not begun to stop the application, and a signature of go is out of date.

    A run that is held, or whose workers are down, between go and stop must not stop the application hours later.
    """
    if run.state != RunState.RUNNING:
        return False
    used = Approval.objects.filter(gate__run=run, gate__code=GateCode.GO, state=ApprovalState.CONSUMED)
    if not used.filter(expires_at__lte=now).exists():
        return False
    return not run.steps.begun().filter(name__in=_GO_IS_FOR).exists()


def lapse_go(*, run: MigrationRun, now: datetime) -> None:
    """End the signatures of go although they passed the gate, which then is asked again. Call inside a transaction."""
    reason = "Go was not used in time: the application had not been stopped. It must be signed again."
    if run.steps.begun().filter(name="before_stop").exists():
        reason += " What is done before the stop was done (a maintenance page may be up), and is done again after it."
    used = Approval.objects.filter(gate__run=run, gate__code=GateCode.GO, state=ApprovalState.CONSUMED)
    for approval in used.select_related("gate__run__application"):
        Approval.objects.filter(pk=approval.pk).update(state=ApprovalState.LAPSED, ended_at=now, ended_reason=reason)
        _record_lapse(approval, reason)


def _record_lapse(approval: Approval, reason: str) -> None:
    run = approval.gate.run
    touch_run(run.pk)
    record(
        action="gate.lapsed",
        actor="system",
        obj=approval.gate,
        application=run.application.name,
        payload={"run": run.pk, "signer": approval.user_name, "role": approval.role, "reason": reason},
    )


def _why_outdated(approval: Approval, run: MigrationRun) -> str:
    if approval.plan_digest != run.plan.digest:
        return "The plan changed after it was signed."
    evidence = evidence_of(run)
    if approval.evidence_digest == digest_of(evidence):
        return ""
    changes = what_changed(approval.seen, evidence) if approval.seen else []
    if not changes:
        return "The evidence changed after it was signed: look again."
    more = len(changes) - _SAID_AT_MOST
    said = " ".join(changes[:_SAID_AT_MOST])
    return f"After it was signed: {said}" + (f" And {more} more." if more > 0 else "")


def _why_over(approval: Approval, now: datetime) -> str:
    gate = approval.gate
    if approval.expires_at <= now:
        closes = gate.run.plan.window_end
        if gate.code == GateCode.GO and closes is not None and closes <= now:
            return "The plan's window closed before it was used."
        return "It was not used in time."
    holds = Membership.objects.filter(application=gate.run.application, user=approval.user, role=approval.role)
    if not holds.exists() or not approval.user.is_active:
        return f"{approval.user_name} no longer has the role."
    if approval.user.is_superuser:
        return f"{approval.user_name} is a superuser now, and a superuser signs nothing."
    return ""
