"""Every state and every allowed transition, in one place. Nobody sets a state that these tables don't allow."""

from __future__ import annotations

from django.db import models


class RunKind(models.TextChoices):
    REHEARSAL = "rehearsal", "Rehearsal"
    PRODUCTION = "production", "Production"


class Strategy(models.TextChoices):
    OFFLINE = "offline", "Offline"
    ONLINE = "online", "Online"


class Phase(models.TextChoices):
    """The phases of the runbook, in order; rollback stands beside them."""

    PREPARE = "prepare", "Pre-migration"
    GO = "go", "Go"
    DATA = "data", "Data migration"
    RESTART = "restart", "Restart"
    VERIFICATION = "verification", "Verification"
    MONITORING = "monitoring", "Monitoring"
    SIGN_OFF = "sign_off", "Sign-off"
    ROLLBACK = "rollback", "Rollback"


class RunState(models.TextChoices):
    DRAFT = "draft", "Draft"
    AWAITING_APPROVAL = "awaiting_approval", "Awaiting approval"
    APPROVED = "approved", "Approved"
    RUNNING = "running", "Running"
    WAITING = "waiting", "Waiting at a gate"
    HELD = "held", "Held"
    ROLLING_BACK = "rolling_back", "Rolling back"
    COMPLETED = "completed", "Completed"
    ROLLED_BACK = "rolled_back", "Rolled back"
    CANCELLED = "cancelled", "Cancelled"
    FAILED = "failed", "Failed"


RUN_TRANSITIONS: dict[str, frozenset[str]] = {
    RunState.DRAFT: frozenset({RunState.AWAITING_APPROVAL, RunState.RUNNING, RunState.CANCELLED}),
    RunState.AWAITING_APPROVAL: frozenset({RunState.APPROVED, RunState.DRAFT, RunState.CANCELLED}),
    RunState.APPROVED: frozenset({RunState.RUNNING, RunState.AWAITING_APPROVAL, RunState.CANCELLED}),
    RunState.RUNNING: frozenset({RunState.WAITING, RunState.HELD, RunState.ROLLING_BACK, RunState.COMPLETED}),
    RunState.WAITING: frozenset({RunState.RUNNING, RunState.HELD, RunState.ROLLING_BACK}),
    RunState.HELD: frozenset({RunState.RUNNING, RunState.WAITING, RunState.ROLLING_BACK, RunState.FAILED}),
    RunState.ROLLING_BACK: frozenset({RunState.ROLLED_BACK, RunState.HELD}),
    RunState.COMPLETED: frozenset(),
    RunState.ROLLED_BACK: frozenset(),
    RunState.CANCELLED: frozenset(),
    RunState.FAILED: frozenset(),
}
RUN_FINISHED = frozenset(state for state, following in RUN_TRANSITIONS.items() if not following)
RUN_ACTIVE = frozenset({RunState.RUNNING, RunState.WAITING, RunState.HELD, RunState.ROLLING_BACK})


class StepState(models.TextChoices):
    PENDING = "pending", "Pending"
    RUNNING = "running", "Running"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    ERRORED = "errored", "Errored"
    SKIPPED = "skipped", "Skipped"
    IN_DOUBT = "in_doubt", "In doubt"


STEP_TRANSITIONS: dict[str, frozenset[str]] = {
    StepState.PENDING: frozenset({StepState.RUNNING, StepState.SKIPPED}),
    StepState.RUNNING: frozenset(
        {
            StepState.PENDING,  # its lease lapsed and it may be done again, or it asked to be run again later
            StepState.SUCCEEDED,
            StepState.FAILED,
            StepState.ERRORED,
            StepState.SKIPPED,
            StepState.IN_DOUBT,
        }
    ),
    StepState.FAILED: frozenset({StepState.PENDING, StepState.SKIPPED}),
    StepState.ERRORED: frozenset({StepState.PENDING, StepState.SKIPPED}),
    StepState.IN_DOUBT: frozenset({StepState.PENDING, StepState.SKIPPED}),
    StepState.SUCCEEDED: frozenset({StepState.PENDING}),  # run again on purpose, before it is relied on
    StepState.SKIPPED: frozenset(),
}
STEP_HOLDS_RUN = frozenset({StepState.FAILED, StepState.ERRORED, StepState.IN_DOUBT})
STEP_DONE = frozenset({StepState.SUCCEEDED, StepState.SKIPPED})


class OnLapse(models.TextChoices):
    """What may happen to a step whose worker fell silent."""

    REDO = "redo", "Done again from its start"
    CONTINUE = "continue", "Continued where it stopped"
    ASK = "ask", "A person is asked"


class GateCode(models.TextChoices):
    PLAN = "plan", "Gate 1 · Plan"
    GO = "go", "Gate 2 · Go or no-go"
    QA = "qa", "Gate 3 · QA acceptance"
    SIGN_OFF = "sign_off", "Gate 4 · Sign-off"


class GateState(models.TextChoices):
    CLOSED = "closed", "Not reached"
    OPEN = "open", "Waiting for signatures"
    PASSED = "passed", "Passed"
    REFUSED = "refused", "Refused"


class ApprovalState(models.TextChoices):
    VALID = "valid", "Valid"
    CONSUMED = "consumed", "Used when its gate opened"
    LAPSED = "lapsed", "Lapsed"
    WITHDRAWN = "withdrawn", "Withdrawn"
    REFUSAL = "refusal", "Refused"


class ItemState(models.TextChoices):
    OPEN = "open", "Open"
    PASSED = "passed", "Passed"
    FAILED = "failed", "Failed"
    INCONCLUSIVE = "inconclusive", "Inconclusive"
    NOT_APPLICABLE = "not_applicable", "Not applicable"
    WAIVED = "waived", "Waived"
    STALE = "stale", "Stale"


class PlanState(models.TextChoices):
    MAKING = "making", "Being made"
    DRAFT = "draft", "Draft"
    SUBMITTED = "submitted", "Submitted"
    SUPERSEDED = "superseded", "Superseded"
    REFUSED = "refused", "Could not be made"


class Price(models.TextChoices):
    """What a rollback costs now."""

    R0 = "R0", "Untouched"
    R1 = "R1", "Stopped, nothing switched"
    R2 = "R2", "Switched, nothing changed since"
    R3 = "R3", "Rows changed since the switch"


class ReplicationState(models.TextChoices):
    """What the follower of a live crossing does."""

    FOLLOWING = "following", "Following"
    PAUSED = "paused", "Paused"  # a step of the crossing works on both sides, or nobody is live
    BROKEN = "broken", "Broken"
    ENDING = "ending", "Being ended"
    ENDED = "ended", "Ended"


class Direction(models.TextChoices):
    """Whose rows flow where."""

    FORWARD = "forward", "SQLite to PostgreSQL"
    BACK = "back", "PostgreSQL to SQLite"
    NONE = "none", "Nothing flows"
