"""What a proof of a checklist item is, and the list that each registers itself in by its name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from migrations_app.models import ChecklistItem, RunStep
from migrations_app.models.states import ItemState

Evidence = Mapping[str, Any]


@dataclass(frozen=True)
class Proof:
    """state as in ItemState; said: what was measured, in one line; output: the part of the evidence that says it."""

    state: str
    said: str = ""
    output: Any = field(default_factory=dict)


Prover = Callable[[ChecklistItem, RunStep], Proof]
PROOFS: dict[str, Prover] = {}


def proof(name: str) -> Callable[[Prover], Prover]:
    """Register a function as the proof of that name."""

    def register(function: Prover) -> Prover:
        PROOFS[name] = function
        return function

    return register


def judged(passed: bool, said: str, output: Any) -> Proof:
    return Proof(ItemState.PASSED if passed else ItemState.FAILED, said, output)
