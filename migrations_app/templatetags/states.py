"""One table from a state to its word, shape and tone: the only place where the look of a state is decided."""

from __future__ import annotations

from dataclasses import dataclass

from migrations_app.models.states import ApprovalState, GateState, ItemState, PlanState, RunState, StepState

# Twelve units wide, drawn with currentColor: as clear on a printout as on a screen.
_STROKE = 'fill="none" stroke="currentColor" stroke-linecap="round" stroke-linejoin="round"'
SHAPES: dict[str, str] = {
    "ring": '<circle cx="6" cy="6" r="4.6" fill="none" stroke="currentColor" stroke-width="1.5"/>',
    "half": '<circle cx="6" cy="6" r="4.6" fill="none" stroke="currentColor" stroke-width="1.5"/>'
    '<path d="M6 1.4a4.6 4.6 0 0 0 0 9.2z" fill="currentColor"/>',
    "disc": '<circle cx="6" cy="6" r="5.2" fill="currentColor"/>',
    "cross": f'<path d="M2 2l8 8M10 2l-8 8" stroke-width="2" {_STROKE}/>',
    "pause": f'<path d="M3.6 1.5v9M8.4 1.5v9" stroke-width="2.2" {_STROKE}/>',
    "question": f'<path d="M3.4 4a2.6 2.6 0 1 1 3.7 2.4c-.7.35-1.1.8-1.1 1.6M6 10.6v.1" stroke-width="1.8" {_STROKE}/>',
    "dash": f'<path d="M1.8 6h8.4" stroke-width="2" {_STROKE}/>',
    "back": f'<path d="M2.2 6.6A4 4 0 1 0 3.4 3.1L1.8 4.6M1.8 1.4v3.2H5" stroke-width="1.6" {_STROKE}/>',
    "diamond": f'<path d="M6 1.2L10.8 6 6 10.8 1.2 6z" stroke-width="1.6" {_STROKE}/>',
    "dashes": '<circle cx="6" cy="6" r="4.6" fill="none" stroke="currentColor" stroke-width="1.8" '
    'stroke-dasharray="2.2 2.6"/>',
    "triangle": '<path d="M6 1.2L11.2 10.6H.8z" fill="currentColor" stroke="currentColor" stroke-linejoin="round"/>',
    "outline": f'<path d="M6 1.6L11 10.4H1z" stroke-width="1.5" {_STROKE}/>',
    "pen": f'<path d="M2 10l.6-2.4L8.4 1.8l1.8 1.8-5.8 5.8z" stroke-width="1.4" {_STROKE}/>',
}
TONES = frozenset({"quiet", "live", "good", "care", "alarm"})


@dataclass(frozen=True)
class Look:
    word: str
    shape: str
    tone: str


LOOKS: dict[str, dict[str, Look]] = {
    "run": {
        RunState.DRAFT: Look("Draft", "pen", "quiet"),
        RunState.AWAITING_APPROVAL: Look("Awaiting approval", "diamond", "live"),
        RunState.APPROVED: Look("Approved", "disc", "good"),
        RunState.RUNNING: Look("Running", "half", "live"),
        RunState.WAITING: Look("Waiting", "diamond", "live"),
        RunState.HELD: Look("Held", "pause", "alarm"),
        RunState.ROLLING_BACK: Look("Rolling back", "back", "live"),
        RunState.COMPLETED: Look("Completed", "disc", "good"),
        RunState.ROLLED_BACK: Look("Rolled back", "back", "quiet"),
        RunState.CANCELLED: Look("Cancelled", "dash", "quiet"),
        RunState.FAILED: Look("Failed", "cross", "quiet"),
    },
    "step": {
        StepState.PENDING: Look("Pending", "ring", "quiet"),
        StepState.RUNNING: Look("Running", "half", "live"),
        StepState.SUCCEEDED: Look("Succeeded", "disc", "good"),
        StepState.FAILED: Look("Failed", "cross", "alarm"),
        StepState.ERRORED: Look("Errored", "cross", "alarm"),
        StepState.SKIPPED: Look("Skipped", "dash", "quiet"),
        StepState.IN_DOUBT: Look("In doubt", "question", "alarm"),
        "waiting": Look("Waiting", "diamond", "live"),
        "held": Look("Held", "pause", "alarm"),
    },
    "table": {
        "pending": Look("Pending", "ring", "quiet"),
        "running": Look("Loading", "half", "live"),
        "loading": Look("Loading", "half", "live"),
        "done": Look("Loaded", "disc", "good"),
        "loaded": Look("Loaded", "disc", "good"),
        "succeeded": Look("Loaded", "disc", "good"),
    },
    "gate": {
        GateState.CLOSED: Look("Not reached", "ring", "quiet"),
        GateState.OPEN: Look("Waiting", "diamond", "live"),
        GateState.PASSED: Look("Passed", "disc", "good"),
        GateState.REFUSED: Look("Refused", "cross", "alarm"),
    },
    "signature": {
        "": Look("Not signed", "diamond", "live"),
        "missing": Look("Not signed", "diamond", "live"),
        "waiting": Look("Not signed", "diamond", "live"),
        "open": Look("Not signed", "diamond", "live"),
        ApprovalState.VALID: Look("Signed", "disc", "good"),
        ApprovalState.CONSUMED: Look("Signed", "disc", "good"),
        ApprovalState.LAPSED: Look("Lapsed", "dashes", "care"),
        ApprovalState.WITHDRAWN: Look("Withdrawn", "dash", "quiet"),
        ApprovalState.REFUSAL: Look("Refused", "cross", "alarm"),
    },
    "item": {
        ItemState.OPEN: Look("Open", "ring", "quiet"),
        ItemState.PASSED: Look("Passed", "disc", "good"),
        ItemState.FAILED: Look("Failed", "cross", "alarm"),
        ItemState.INCONCLUSIVE: Look("Inconclusive", "question", "care"),
        ItemState.NOT_APPLICABLE: Look("Not applicable", "dash", "quiet"),
        ItemState.WAIVED: Look("Waived", "dash", "quiet"),
        ItemState.STALE: Look("Stale", "dashes", "care"),
    },
    "plan": {
        PlanState.MAKING: Look("Being made", "half", "live"),
        PlanState.DRAFT: Look("Draft", "pen", "quiet"),
        PlanState.SUBMITTED: Look("Submitted", "disc", "good"),
        PlanState.SUPERSEDED: Look("Superseded", "dash", "quiet"),
        PlanState.REFUSED: Look("Could not be made", "cross", "alarm"),
    },
    "finding": {
        "refuse": Look("Needs a choice", "triangle", "alarm"),
        "chosen": Look("Chosen", "disc", "good"),
        "warn": Look("Known", "outline", "care"),
        "info": Look("Note", "dash", "quiet"),
    },
    "compared": {
        "equal": Look("Equal", "disc", "good"),
        "different": Look("Different", "cross", "alarm"),
        "unknown": Look("Not compared", "ring", "quiet"),
    },
    "mail": {
        "waiting": Look("Waiting", "ring", "quiet"),
        "sending": Look("Being sent", "half", "live"),
        "sent": Look("Sent", "disc", "good"),
        "failed": Look("Not delivered", "cross", "alarm"),
    },
    "trail": {
        "ok": Look("Intact", "disc", "good"),
        "broken": Look("Broken", "cross", "alarm"),
    },
    "described": {
        "described": Look("Described", "disc", "quiet"),
        "checked": Look("Checked", "disc", "good"),
        "unchecked": Look("Not checked", "dashes", "care"),
        "wrong": Look("Wrong", "triangle", "alarm"),
        "missing": Look("Missing", "ring", "live"),
        "empty": Look("Empty", "dash", "quiet"),
    },
    "goal": {
        "ready": Look("Ready", "disc", "good"),
        "unchecked": Look("Not checked", "dashes", "care"),
        "missing": Look("Not yet", "ring", "quiet"),
    },
    "rollback": {
        "waiting": Look("Waiting", "diamond", "live"),
        "agreed": Look("Agreed", "disc", "good"),
        "done": Look("Done", "disc", "good"),
        "refused": Look("Refused", "cross", "quiet"),
    },
}


def look_of(kind: str, state: str) -> Look:
    """The look of a state. An unknown one says its own name with a question mark, and never looks like success."""
    known = LOOKS[kind].get(state)
    return known or Look(str(state).replace("_", " ").capitalize() or "Unknown", "question", "care")
