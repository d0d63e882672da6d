"""The looks of runs, steps, gates, signatures, items, plans and what else moves an application."""

from __future__ import annotations

from controlplane.pages.looks import Look, declare_looks
from migrations_app.models.states import ApprovalState, GateState, ItemState, PlanState, RunState, StepState

RUNS: dict[str, dict[str, Look]] = {
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
    "times": {
        "within": Look("Within its limit", "disc", "good"),
        "over": Look("Too slow", "cross", "alarm"),
        "missed": Look("Not all served", "cross", "alarm"),
    },
    "replication": {
        "following": Look("Following", "half", "live"),
        "copying": Look("Copying", "half", "live"),
        "silent": Look("Silent", "question", "alarm"),
        "paused": Look("Paused", "pause", "care"),
        "broken": Look("Broken", "cross", "alarm"),
        "ending": Look("Being removed", "half", "live"),
        "ended": Look("Ended", "dash", "quiet"),
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

declare_looks(RUNS)
