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
    check, stop_again = by_name.get("check_application"), by_name.get("back_stop")
    if stop_again is None or stop_again.started_at is None:
        end = run.up_since or run.finished_at
        return Downtime(((end or now) - run.down_since).total_seconds(), end is not None)
    back = by_name.get("back_start")
    over = back is not None and back.state == StepState.SUCCEEDED
    end = (run.up_since if over else None) or run.finished_at
    away = ((end or now) - run.down_since).total_seconds()
    if check is not None and check.state == StepState.SUCCEEDED and check.finished_at is not None:
        away -= (stop_again.started_at - check.finished_at).total_seconds()
    return Downtime(away, end is not None)
