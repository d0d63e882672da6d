"""Is the run on plan, how long is left, and does what is still to come end before the last safe moment?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from migrations_app.models import MigrationRun, RunStep
from migrations_app.models.states import RUN_ACTIVE, Phase, StepState
from migrations_app.services.words import in_words

# Up to here people call it "on plan".
_SLACK_SECONDS = 60
_SLACK_SHARE = 0.1
# What must be over before it is known whether one goes back: the soak comes after that.
_CROSSING = frozenset({Phase.PREPARE, Phase.GO, Phase.DATA, Phase.RESTART, Phase.VERIFICATION})


@dataclass(frozen=True)
class Pace:
    """behind_seconds: negative where the run is ahead. verified_at: when gate 3 can be expected to have been signed."""

    behind_seconds: float
    elapsed_seconds: float
    verified_at: datetime | None

    @property
    def on_plan(self) -> bool:
        return abs(self.behind_seconds) <= max(_SLACK_SECONDS, self.elapsed_seconds * _SLACK_SHARE)

    @property
    def is_late(self) -> bool:
        return self.behind_seconds > 0 and not self.on_plan

    @property
    def sentence(self) -> str:
        """'On plan.', '12 min behind the plan.': whole minutes, as that is how exact a plan is."""
        if self.on_plan:
            return "On plan."
        minutes = max(60, round(abs(self.behind_seconds) / 60) * 60)
        return f"{in_words(minutes)} {'behind' if self.behind_seconds > 0 else 'ahead of'} the plan."


def pace_of(
    run: MigrationRun, steps: Sequence[RunStep], now: datetime, *, expected_left: float | None = None
) -> Pace | None:
    """None where the run is not under way forward, or nothing of it is planned.

    expected_left: seconds that the running step will still need by its own speed; counts where it is more than planned.
    """
    forward = [step for step in steps if step.phase != Phase.ROLLBACK and not _was_before(step, run)]
    goes_back = any(step.phase == Phase.ROLLBACK for step in steps)
    if run.state not in RUN_ACTIVE or run.started_at is None or goes_back:
        return None
    if not any(step.planned_seconds for step in forward):
        return None
    done = sum(step.planned_seconds or 0 for step in forward if step.is_done)
    current = next((step for step in forward if not step.is_done), None)
    planned = float(current.planned_seconds or 0) if current else 0.0
    since = (now - current.started_at).total_seconds() if current and current.started_at else 0.0
    elapsed = (now - run.started_at).total_seconds()
    left = max(planned - since, expected_left or 0.0, 0.0)
    return Pace(
        behind_seconds=elapsed - done - (planned - left),
        elapsed_seconds=elapsed,
        verified_at=_verified_at(forward, current, left, now),
    )


def _was_before(step: RunStep, run: MigrationRun) -> bool:
    """Signed or done before the run was started: gate 1, often the day before."""
    return bool(run.started_at and step.finished_at and step.finished_at < run.started_at)


def _verified_at(steps: Sequence[RunStep], current: RunStep | None, left: float, now: datetime) -> datetime | None:
    if current is None or current.phase not in _CROSSING:
        return None
    to_come = [step for step in steps if step is not current and not step.is_done and step.phase in _CROSSING]
    return now + timedelta(seconds=left + sum(step.planned_seconds or 0 for step in to_come))


@dataclass(frozen=True)
class Speed:
    """Of a load: rows a second since it began, and seconds that are left at that."""

    rows_per_second: int
    seconds_left: float


def speed_of(step: RunStep | None, done: int, total: int, now: datetime) -> Speed | None:
    """None in the first seconds, and for a load that was taken up again: its earlier rows would flatter it."""
    if step is None or step.state != StepState.RUNNING or step.started_at is None or step.attempts > 1:
        return None
    since = (now - step.started_at).total_seconds()
    if since < 5 or done <= 0:
        return None
    rate = done / since
    return Speed(round(rate), max(total - done, 0) / rate)
