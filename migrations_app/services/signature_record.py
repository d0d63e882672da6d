"""Who decided what in a run, as plain data: for its certificate, its evidence bundle and anyone who asks later."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from migrations_app.models import Approval, Gate, MigrationRun, RollbackRequest
from migrations_app.models.states import ApprovalState, ItemState, Price


def signature_record(run: MigrationRun) -> dict[str, Any]:
    """{"small_team": bool, "shared_hands": [...], "plan": {...}, "gates": [...], "waivers": [...], "rollbacks": [...]}.

    gates: in order, each with every signature that it ever had, lapsed, withdrawn and refused ones with their reason.
    shared_hands: people who signed more than one role at one gate (small-team mode), to be printed.
    JSON types throughout; times in ISO 8601, UTC as stored; no secret and no cell value.
    """
    gates = [_gate(gate) for gate in run.gates.prefetch_related("approvals")]
    return {
        "small_team": bool(run.plan.settings.get("small_team")),
        "shared_hands": _shared_hands(gates),
        "plan": {
            "revision": run.plan.revision,
            "digest": run.plan.digest,
            "author": run.plan.author.get_username(),
            "window_start": _time(run.plan.window_start),
            "window_end": _time(run.plan.window_end),
        },
        "gates": gates,
        "waivers": [
            {
                "code": item.code,
                "title": item.title,
                "level": item.level,
                "by": str(item.evidence.get("by", "")),
                "reason": str(item.evidence.get("reason") or item.evidence.get("message") or ""),
                "at": _time(item.changed_at),
            }
            for item in run.items.filter(state=ItemState.WAIVED)
        ],
        "rollbacks": [_rollback(request) for request in run.rollback_requests.order_by("created_at")],
    }


def _gate(gate: Gate) -> dict[str, Any]:
    return {
        "code": gate.code,
        "title": gate.get_code_display(),
        "state": gate.state,
        "opened_at": _time(gate.opened_at),
        "decided_at": _time(gate.decided_at),
        "signatures": [_signature(approval) for approval in gate.approvals.all()],
    }


def _signature(approval: Approval) -> dict[str, Any]:
    return {
        "role": approval.role,
        "role_title": approval.get_role_display(),
        "name": approval.user_name,
        "state": approval.state,
        "reason": approval.reason,
        "plan_digest": approval.plan_digest,
        "evidence_digest": approval.evidence_digest,
        "signed_at": _time(approval.signed_at),
        "expires_at": _time(approval.expires_at),
        "ended_at": _time(approval.ended_at),
        "ended_reason": approval.ended_reason,
        "small_team": approval.small_team,
    }


def _rollback(request: RollbackRequest) -> dict[str, Any]:
    return {
        "requested_by": request.requested_by,
        "role": request.requester_role,
        "reason": request.reason,
        "price": request.price,
        "lossless": request.lossless or request.price != Price.R3,
        "rows_confirmed": request.rows_confirmed,
        "state": request.state,
        "requested_at": _time(request.created_at),
        "agreed_by": request.agreed_by.get_username() if request.agreed_by else "",
        "agreed_at": _time(request.agreed_at),
        "break_glass": request.break_glass,
        "countersign_by": _time(request.countersign_by),
        "countersigned_by": request.countersigned_by.get_username() if request.countersigned_by else "",
        "countersigned_at": _time(request.countersigned_at),
        "countersign_note": request.countersign_note,
    }


def _shared_hands(gates: list[dict[str, Any]]) -> list[dict[str, Any]]:
    counted = (ApprovalState.VALID, ApprovalState.CONSUMED)
    shared = []
    for gate in gates:
        roles: dict[str, list[str]] = {}
        for signature in gate["signatures"]:
            if signature["state"] in counted:
                roles.setdefault(signature["name"], []).append(signature["role"])
        shared += [{"gate": gate["code"], "name": name, "roles": held} for name, held in roles.items() if len(held) > 1]
    return shared


def _time(moment: datetime | None) -> str | None:
    return moment.isoformat() if moment is not None else None
