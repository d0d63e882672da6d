"""What opening the encrypted columns' cells proves, after the load and beside the running application."""

from __future__ import annotations

from typing import Any

from migrations_app.models import ChecklistItem, RunStep
from migrations_app.models.states import ItemState
from migrations_app.services.proof_kinds import Evidence, Proof, judged, proof


@proof("decrypts")
def _decrypts(item: ChecklistItem, step: RunStep) -> Proof:
    return opened_cells(item, step, step.evidence["decrypted"])


@proof("decrypts_by_pattern")
def _decrypts_by_pattern(item: ChecklistItem, step: RunStep) -> Proof:
    described = step.run.application.encrypted_columns
    declared = patterned(step)
    if described and not declared:
        return Proof(ItemState.INCONCLUSIVE, "No pattern is declared for an encrypted column.")
    checks = [check for check in step.evidence["decrypted"] if place(check) in declared]
    return opened_cells(item, step, checks)


def opened_cells(item: ChecklistItem, step: RunStep, checks: list[dict[str, Any]]) -> Proof:
    """Whether every cell that these checks tried opens. Nothing tried is inconclusive."""
    if not step.run.application.encrypted_columns:
        return Proof(ItemState.NOT_APPLICABLE, "No encrypted column is declared for this application.")
    untried = [check["inconclusive"] for check in checks if check.get("inconclusive")]
    if untried or not checks:
        return Proof(ItemState.INCONCLUSIVE, untried[0] if untried else "No cell was tried.", checks)
    opened = sum(check["opened"] for check in checks)
    left = sum(check["cells"] for check in checks) - opened
    return judged(left <= 0, f"{opened:,} opened" if left <= 0 else f"{left:,} cells don't open", checks)


def patterned(step: RunStep) -> set[tuple[str, str]]:
    """The encrypted columns for whose clear values a pattern is declared."""
    return {place(column) for column in step.run.application.encrypted_columns if column.get("pattern")}


def place(one: Evidence) -> tuple[str, str]:
    """Table and column."""
    return one["table"], one["column"]
