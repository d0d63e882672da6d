"""All that the pages show of a gate: its signatures, what is missing, what ended, and what is asked of the viewer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from migrations_app.models import Approval, Gate
from migrations_app.models.states import ApprovalState, GateCode
from migrations_app.services.evidence import evidence_digest
from migrations_app.services.gate_conditions import missing_conditions
from migrations_app.services.gate_rules import (
    COUNTED,
    REAUTHENTICATED,
    is_small_team,
    open_roles,
    required_roles,
    unsigned_roles,
    why_not,
    why_nothing_to_sign,
)
from migrations_app.services.permissions import Offer, people_with, who_can
from migrations_app.services.signatures import expiry_of

_ENDED_SHOWN = 5


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
class EndedLine:
    """A signature that counts no longer: whose, when it ended, and what caused it."""

    name: str
    role_label: str
    state: str  # 'lapsed', 'withdrawn', 'refusal'
    ended_at: datetime | None
    reason: str

    def __str__(self) -> str:
        return f"{self.name} as {self.role_label}: {self.reason}"


@dataclass(frozen=True)
class GateView:
    gate: Gate
    signatures: tuple[SignatureLine, ...]
    missing: tuple[str, ...]
    mine: Offer
    my_roles: tuple[str, ...]
    plan_digest: str
    evidence_digest: str
    ended: tuple[EndedLine, ...]
    needs_password: bool
    needs_typed_name: bool
    small_team: bool
    counts_until: datetime  # a signature given now

    @property
    def changed_since(self) -> tuple[str, ...]:
        """The ended signatures in words, the newest first."""
        return tuple(str(line) for line in self.ended)


def gate_view(gate: Gate, user: Any, now: datetime) -> GateView:
    """All that the sign page shows, computed now."""
    run = gate.run
    missing = missing_conditions(gate, now)
    refusals = {role: why_not(gate, user, role, missing) for role in open_roles(gate, user)}
    can = tuple(role for role, why in refusals.items() if not why)
    if can:
        mine = Offer("sign", "Sign", True)
    else:
        why = next((why for why in refusals.values() if why), why_nothing_to_sign(gate, user))
        mine = Offer("sign", "Sign", False, why, who_can(run.application, unsigned_roles(gate)))
    return GateView(
        gate=gate,
        signatures=tuple(_lines(gate)),
        missing=missing,
        mine=mine,
        my_roles=can,
        plan_digest=run.plan.digest,
        evidence_digest=evidence_digest(run),
        ended=tuple(_ended(gate)),
        needs_password=gate.code in REAUTHENTICATED,
        needs_typed_name=gate.code == GateCode.GO,
        small_team=is_small_team(gate),
        counts_until=expiry_of(gate, now),
    )


def can_sign(gate: Gate, user: Any, now: datetime) -> bool:
    """What `gate_view` says of the viewer, without all that it shows: the roles first, since they cost the least."""
    roles = [role for role in open_roles(gate, user) if not why_not(gate, user, role, ())]
    return bool(roles) and not missing_conditions(gate, now)


def _lines(gate: Gate) -> list[SignatureLine]:
    signed = {a.role: a for a in gate.approvals.filter(state__in=COUNTED)}
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


def _ended(gate: Gate) -> list[EndedLine]:
    ended = gate.approvals.filter(state__in=[ApprovalState.LAPSED, ApprovalState.WITHDRAWN]).order_by("-ended_at")
    return [
        EndedLine(a.user_name, a.get_role_display(), a.state, a.ended_at, a.ended_reason) for a in ended[:_ENDED_SHOWN]
    ]
