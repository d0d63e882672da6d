"""Who may sign what at a gate, and why not: the rules of four eyes, for pages and services alike."""

from __future__ import annotations

from typing import Any

from controlplane.people import changes
from controlplane.registry.models import Role
from migrations_app.models import Gate
from migrations_app.models.states import ApprovalState, GateCode, GateState
from migrations_app.services.errors import Forbidden
from migrations_app.services.permissions import require_role, roles_of, who_can

_ROLES: dict[str, tuple[Role, ...]] = {
    GateCode.PLAN: (Role.LEAD,),
    GateCode.GO: (Role.LEAD, Role.OPS),
    GateCode.QA: (Role.QA,),
    GateCode.SIGN_OFF: (Role.LEAD, Role.QA, Role.OPS),
}
# These start something that is hard to take back: password (and second factor) within the last ten minutes.
REAUTHENTICATED = frozenset({GateCode.GO, GateCode.SIGN_OFF})
COUNTED = (ApprovalState.VALID, ApprovalState.CONSUMED)


def required_roles(gate: Gate) -> tuple[Role, ...]:
    """The roles whose signatures pass the gate."""
    return _ROLES[gate.code]


def require_own_role(actor: Any, gate: Gate, role: str, verb: str) -> None:
    """Raises Forbidden unless the gate asks for the role and the actor holds it."""
    application = gate.run.application
    require_role(actor, application, required_roles(gate), f"{verb} {gate.get_code_display()}")
    if role not in required_roles(gate):
        raise Forbidden("NOT_ALLOWED", f"{gate.get_code_display()} isn't decided in the role {role}.")
    if role not in roles_of(actor, application):
        who = who_can(application, [role])
        raise Forbidden("NOT_ALLOWED", f"You don't hold the role {Role(role).label.lower()}.", who=who)


def unsigned_roles(gate: Gate) -> list[str]:
    """The required roles without a signature that counts, in order."""
    signed = set(gate.approvals.filter(state__in=COUNTED).values_list("role", flat=True))
    return [role for role in required_roles(gate) if role not in signed]


def open_roles(gate: Gate, user: Any) -> list[str]:
    """The unsigned roles that the user holds."""
    held = roles_of(user, gate.run.application)
    return [role for role in unsigned_roles(gate) if role in held]


def why_not(gate: Gate, user: Any, role: str, missing: tuple[str, ...]) -> str:
    """'' when the user may sign in this role now, else the reason in words. missing: the gate's unmet conditions."""
    closed = _why_nobody(gate, user)
    if closed:
        return closed
    wrote_it = gate.run.plan.author_id == user.pk
    if wrote_it and gate.code == GateCode.PLAN:
        return "You wrote this plan; another team lead must approve it."
    if wrote_it and role == Role.LEAD and is_small_team(gate):
        return "You wrote this plan; in small-team mode its author never signs as team lead."
    held = gate.approvals.filter(user=user, state__in=COUNTED).values_list("role", flat=True)
    if any(not _may_fill_both(gate, other, role) for other in held):
        return "You have signed already in another role; one person fills one role at a gate."
    resting = changes.why_resting(user)
    if resting:
        return resting
    return missing[0] if missing else ""


def why_nothing_to_sign(gate: Gate, user: Any) -> str:
    """Why the user has no role to sign in here."""
    closed = _why_nobody(gate, user)
    if closed:
        return closed
    if gate.approvals.filter(user=user, state=ApprovalState.VALID).exists():
        return "You have signed."
    return "It needs another role than yours."


def is_small_team(gate: Gate) -> bool:
    """Whether the plan lets one person sign QA and ops."""
    return bool(gate.run.plan.settings.get("small_team"))


def _why_nobody(gate: Gate, user: Any) -> str:
    if user.is_superuser:
        return "A superuser signs nothing."
    if gate.state != GateState.OPEN:
        return f"The gate is {gate.get_state_display().lower()}."
    return ""


def _may_fill_both(gate: Gate, one: str, other: str) -> bool:
    """Small-team mode: one person may sign QA and ops, never the lead's part too."""
    return is_small_team(gate) and {one, other} <= {Role.QA, Role.OPS}
