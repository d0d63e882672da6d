"""How long an application was away: from its stop until it was up, and again while it was taken back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from migrations_app.models import MigrationRun, RunStep
from migrations_app.models.states import StepState


@dataclass(frozen=True)
class Downtime:
    """seconds: of all its absences together. over: whether it is back."""

    seconds: float
    over: bool


def downtime_of(run: MigrationRun, steps: Iterable[RunStep], now: datetime) -> Downtime | None:
    """None where it was never stopped. What ran on PostgreSQL before a rollback was not downtime."""
    if run.down_since is None:
        return None
    by_name = {step.name: step for step in steps}
    check, stop_again = by_name.get("check_application"), by_name.get("back_stop") or by_name.get("back_fall_back")
    stopped_again = _stopped_at(stop_again)
    if stop_again is None or stopped_again is None:
        end = run.up_since or run.finished_at
        return Downtime(((end or now) - run.down_since).total_seconds(), end is not None)
    back = by_name.get("back_start") or stop_again
    over = back is not None and back.state == StepState.SUCCEEDED
    end = (run.up_since if over else None) or run.finished_at
    away = ((end or now) - run.down_since).total_seconds()
    if check is not None and check.state == StepState.SUCCEEDED and check.finished_at is not None:
        away -= (stopped_again - check.finished_at).total_seconds()
    return Downtime(away, end is not None)


def _stopped_at(step: RunStep | None) -> datetime | None:
    """When the way back stopped the application. Online it goes on while rows flow: the step says when it was told."""
    if step is None or step.name != "back_fall_back":
        return step.started_at if step is not None else None
    told = (step.evidence or {}).get("down_since")
    return datetime.fromisoformat(told) if told else None
