"""A certificate's sections about what people decided: signatures, lapses, waivers, rollbacks, the checklist."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from migrations_app.models.states import ApprovalState, ItemState, Phase, Price, Strategy
from migrations_app.services.certificate.layout_parts import SHORT, Section, clock, many, role_title, table_of

_FINE = (ItemState.PASSED, ItemState.NOT_APPLICABLE, ItemState.WAIVED)


def signatures(content: Mapping[str, Any]) -> Section:
    decisions = content["decisions"]
    used = (ApprovalState.VALID, ApprovalState.CONSUMED)
    rows = tuple(
        (gate["title"], row["role_title"], row["name"], clock(row["signed_at"]), row["reason"])
        for gate, row in _each(decisions)
        if row["state"] in used
    )
    said = []
    if decisions["small_team"]:
        said.append("Small-team mode: two people decided; one of them may have signed as QA and as ops.")
    said += [
        f"{hand['name']} signed {_gate_title(decisions, hand['gate'])} as "
        f"{' and as '.join(role_title(role) for role in hand['roles'])}."
        for hand in decisions["shared_hands"]
    ]
    if not rows:
        said.append("Nobody signed.")
    head = ("Gate", "Role", "Who", "When", "Reason")
    return Section("Signatures", tuple(said), table=table_of(head, rows, (0.2, 0.12, 0.13, 0.2, 0.35)))


def lapses(content: Mapping[str, Any]) -> Section | None:
    words = {
        ApprovalState.LAPSED: "lapsed",
        ApprovalState.WITHDRAWN: "withdrawn",
        ApprovalState.REFUSAL: "refused",
    }
    rows = tuple(
        (
            gate["title"],
            f"{row['name']}, {row['role_title']}",
            words[row["state"]],
            clock(row["ended_at"] or row["signed_at"]),
            row["ended_reason"] or row["reason"],
        )
        for gate, row in _each(content["decisions"])
        if row["state"] in words
    )
    if not rows:
        return None
    head = ("Gate", "Who", "What became of it", "When", "Why")
    return Section("Refused, lapsed and withdrawn", table=table_of(head, rows, (0.2, 0.17, 0.13, 0.2, 0.3)))


def waivers(content: Mapping[str, Any]) -> Section:
    rows = tuple(
        (f"{row['code']} {row['title']}", row["level"], row["by"] or "–", clock(row["at"]), row["reason"])
        for row in content["decisions"]["waivers"]
    )
    head = ("Item", "Level", "Waived by", "When", "Why")
    said = () if rows else ("None.",)
    return Section("Waivers", said, table=table_of(head, rows, (0.28, 0.12, 0.12, 0.2, 0.28)))


def rollback(content: Mapping[str, Any]) -> Section | None:
    requests = content["decisions"]["rollbacks"]
    left = content["left_behind"]
    if left is None and not requests:
        return None
    said = []
    if left is not None and left["unknown"]:
        said.append("What was written to PostgreSQL since the switch was not saved: it is still there, and only there.")
    elif left is not None and left["rows"]:
        said.append(f"{many(left['rows'], 'row')} left the application and were saved to a file first.")
        said.append(f"The file's SHA-256: {left['sha256']}")
    elif left is not None:
        flowed = content["run"]["strategy"] == Strategy.ONLINE and content["run"]["switched_at"]
        said.append(f"No row was lost{': what had been written to PostgreSQL flowed back' if flowed else ''}.")
    rows = tuple(
        (
            row["requested_by"],
            _price(row),
            row["state"],
            _agreement(row),
            row["reason"],
        )
        for row in requests
    )
    head = ("Asked by", "Price", "State", "Second person", "Reason")
    return Section("Rollback", tuple(said), table=table_of(head, rows, (0.12, 0.2, 0.1, 0.28, 0.3)))


def _price(row: Mapping[str, Any]) -> str:
    if row["price"] == Price.R3 and row["lossless"]:
        return "Rows had changed; they flowed back"
    return str(Price(row["price"]).label) if row["price"] in Price.values else str(row["price"])


def _agreement(row: Mapping[str, Any]) -> str:
    if row["break_glass"]:
        if row["countersigned_by"]:
            return f"broke the glass; countersigned by {row['countersigned_by']}, {clock(row['countersigned_at'])}"
        return f"broke the glass; not countersigned (due {clock(row['countersign_by'])})"
    return f"{row['agreed_by']}, {clock(row['agreed_at'])}" if row["agreed_by"] else "none was needed"


def checklist(content: Mapping[str, Any]) -> Section:
    items = content["checklist"]
    back = [item for item in items if item["phase"] == Phase.ROLLBACK] if content["outcome"] == "completed" else []
    mandatory = [item for item in items if item["level"] == "mandatory" and item not in back]
    fine = sum(item["state"] in _FINE for item in mandatory)
    rows = tuple(
        (
            f"{item['code']} {item['title']}",
            item["level"],
            _prover(item),
            ItemState(item["state"]).label if item["state"] in ItemState.values else item["state"],
            _noted(item),
        )
        for item in items
    )
    head = ("Item", "Level", "Proved by", "State", "Evidence")
    said = [f"{fine} of {len(mandatory)} mandatory items passed, were waived or do not apply."]
    if back:
        said.append(f"{many(len(back), 'item')} of the way back stayed open: nothing was rolled back.")
    return Section("Checklist", tuple(said), table=table_of(head, rows, (0.3, 0.13, 0.12, 0.13, 0.32)))


def _prover(item: Mapping[str, Any]) -> str:
    by = item["results"][-1]["by"] if item["results"] else ""
    if item["prover"] == "system":
        return "the system"
    return by or role_title(item["prover"])


def _noted(item: Mapping[str, Any]) -> str:
    if item["results"]:
        last = item["results"][-1]
        files = f" ({many(len(last['files']), 'file')})" if last["files"] else ""
        return f"{last['note']}{files}"
    return str(item["proof"])[:SHORT]


def _each(decisions: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    return [(gate, row) for gate in decisions["gates"] for row in gate["signatures"]]


def _gate_title(decisions: Mapping[str, Any], code: str) -> str:
    return next((str(gate["title"]) for gate in decisions["gates"] if gate["code"] == code), code)
