"""What a step's evidence proves of an item: one small function for each proof that a template can name.

The functions stand in proofs_of_*.py, by what they are about. A proof reads evidence and answers; it changes nothing.
What the evidence doesn't hold is inconclusive, never passed.
"""

from __future__ import annotations

from django.core.exceptions import ObjectDoesNotExist

from migrations_app.engine.errors import EngineError
from migrations_app.models import ChecklistItem, RunStep
from migrations_app.models.states import ItemState, StepState

# Imported so that each registers its proofs.
from migrations_app.services import proofs_of_crossing as proofs_of_crossing
from migrations_app.services import proofs_of_decryption as proofs_of_decryption
from migrations_app.services import proofs_of_performance as proofs_of_performance
from migrations_app.services import proofs_of_preparation as proofs_of_preparation
from migrations_app.services import proofs_of_running as proofs_of_running
from migrations_app.services.proof_kinds import PROOFS, Proof

# What a failed step may still have proved of its parts: its evidence is whole, and says what passed.
_STANDS_ALONE = frozenset(
    {
        *("command", "counts_equal", "cells_equal", "decrypts", "decrypts_by_pattern", "sound", "dates_read"),
        *("in_time", "all_served", "no_timeouts", "not_slower", "measured", "pool_opens", "pool_size", "pool_holds"),
    }
)


def prove(item: ChecklistItem, step: RunStep) -> Proof:
    """What the step, as it ended, proves of the item. Never raises for evidence that isn't as expected."""
    name = "command" if item.command else item.proof
    if step.state == StepState.SKIPPED:
        state = ItemState.INCONCLUSIVE if name in PROOFS else ItemState.NOT_APPLICABLE
        return Proof(state, step.message or "Not needed here.")
    if step.state == StepState.FAILED and (name not in _STANDS_ALONE or not step.evidence):
        return Proof(ItemState.FAILED, step.error_message)
    if step.state not in (StepState.SUCCEEDED, StepState.FAILED):
        return Proof(ItemState.INCONCLUSIVE, step.error_message or "How the step ended is not known.")
    if step.state == StepState.SUCCEEDED and step.evidence.get("inconclusive"):
        return Proof(ItemState.INCONCLUSIVE, step.message or "Not everything could be tried.")
    if not name:
        return Proof(ItemState.PASSED, step.message)
    try:
        return PROOFS[name](item, step)
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, EngineError, ObjectDoesNotExist):
        return Proof(ItemState.INCONCLUSIVE, "The step left no evidence for this.")
