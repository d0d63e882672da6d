"""Waiting for a run, and saying on the way which of its steps are done."""

from __future__ import annotations

from collections.abc import Sequence

from demo.stage.console import Console
from demo.stage.errors import StageError
from migrations_app.models import MigrationRun, RunStep
from migrations_app.models.states import RunState, StepState


class Follower:
    """Says each step of some runs once, when it is done."""

    def __init__(self, runs: Sequence[MigrationRun], console: Console) -> None:
        self._runs, self._console = runs, console
        self._said = {step.pk for step in self._done()}

    def look(self) -> None:
        for step in self._done():
            if step.pk in self._said or step.is_gate:
                continue
            self._said.add(step.pk)
            lasted = (step.finished_at - step.started_at).total_seconds() if step.finished_at and step.started_at else 0
            self._console.say(f"  {step.run.application.name}: {step.title}: {step.message} ({lasted:.1f} s)")

    def _done(self) -> list[RunStep]:
        done = RunStep.objects.filter(run__in=self._runs, state=StepState.SUCCEEDED)
        return list(done.select_related("run__application").order_by("finished_at"))


def reach(
    run: MigrationRun, states: tuple[str, ...], seconds: float, console: Console, follower: Follower | None = None
) -> float:
    """Wait until the run is in one of the states; the seconds. Raises StageError demo.held when it stops before."""
    following = follower or Follower([run], console)

    def there() -> bool:
        run.refresh_from_db()
        following.look()
        if run.state in states:
            return True
        refuse_if_stopped(run)
        return False

    wanted = " or ".join(RunState(state).label.lower() for state in states)
    return console.wait_for(f"run {run.pk} of {run.application.name} to be {wanted}", there, seconds)


def refuse_if_stopped(run: MigrationRun) -> None:
    """Raises StageError demo.held when the run can't come any further by itself."""
    if run.state == RunState.HELD or run.is_finished:
        raise StageError("demo.held", f"{run} is {run.get_state_display().lower()}: {_why(run)}", "See its page.")


def _why(run: MigrationRun) -> str:
    failed = run.steps.filter(state__in=[StepState.FAILED, StepState.ERRORED, StepState.IN_DOUBT]).last()
    if failed is None:
        return run.held_reason
    return f"{failed.title}: {failed.error_message} {failed.error_hint} [{failed.error_code}]"
