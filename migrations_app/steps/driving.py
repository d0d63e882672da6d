"""Where a person does what a driver can't: the step waits and looks again, until the driver sees that it is done."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from migrations_app.applications.drivers.interface import PersonNeeded
from migrations_app.steps.base import StepContext, StepResult

LOOK_SECONDS = 3.0


def wait_for_person(
    context: StepContext, needed: PersonNeeded, moments: dict[str, datetime | None] | None = None
) -> StepResult:
    """The instruction, shown as the step's message; the step runs again in a moment and asks the driver anew."""
    before: dict[str, Any] = dict(context.step.evidence or {})
    return StepResult(
        "again",
        f"{needed.message} {needed.hint}".strip(),
        evidence={"waiting_for_person_since": before.get("waiting_for_person_since", context.now().isoformat())},
        moments=moments or {},
        again_after=LOOK_SECONDS,
    )
