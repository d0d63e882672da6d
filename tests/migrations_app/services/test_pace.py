"""On plan or behind it, and whether what is to come ends before the last safe moment."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from controlplane.registry.models import Application
from migrations_app.models import MigrationRun, RunStep
from migrations_app.models.states import RunState, StepState
from migrations_app.services.pace import pace_of, speed_of
from tests import factories as make

NOW = timezone.now()


@pytest.fixture
def run(db: None) -> MigrationRun:
    """Started ten minutes ago; planned are 10 minutes of backup, 10 of load, 20 of tests, an hour of soak."""
    of: Application = make.application()
    who = make.people(of)
    made = make.run(make.plan(of, who.second_lead), who.ops)
    planned = {"backup": 600, "load": 600, "check_integrity": 1200, "soak": 3600}
    for step in made.steps.all():
        step.planned_seconds = planned.get(step.name)
        step.save()
    made.state, made.started_at = RunState.RUNNING, NOW - timedelta(minutes=10)
    made.save()
    _done(made, "gate_plan", -600, -590)
    return made


def _done(run: MigrationRun, name: str, begin: float, end: float) -> None:
    """A step that ran from so many minutes after the start to so many."""
    start = NOW - timedelta(minutes=10)
    run.steps.filter(name=name).update(
        state=StepState.SUCCEEDED,
        started_at=start + timedelta(minutes=begin),
        finished_at=start + timedelta(minutes=end),
    )


def _at_load(run: MigrationRun, began: float) -> list[RunStep]:
    """All before the load done, the load running for the rest of the ten minutes."""
    position = run.steps.get(name="load").position
    for step in run.steps.filter(position__lt=position).exclude(name__in=("gate_plan", "backup")):
        _done(run, step.name, 0, 0)
    _done(run, "backup", 0, began)
    run.steps.filter(name="load").update(
        state=StepState.RUNNING, attempts=1, started_at=NOW - timedelta(minutes=10 - began)
    )
    return list(run.steps.all())


def test_a_run_that_does_what_was_planned_is_on_plan(run: MigrationRun) -> None:
    pace = pace_of(run, _at_load(run, began=10), NOW)
    assert pace is not None and pace.sentence == "On plan." and not pace.is_late


def test_a_run_that_was_quicker_is_ahead(run: MigrationRun) -> None:
    pace = pace_of(run, _at_load(run, began=4), NOW)
    assert pace is not None and pace.sentence == "6 min ahead of the plan."


def test_a_gate_signed_the_day_before_is_no_delay_and_a_slow_load_is(run: MigrationRun) -> None:
    steps = _at_load(run, began=10)
    pace = pace_of(run, steps, NOW + timedelta(minutes=25))
    assert pace is not None and pace.sentence == "15 min behind the plan." and pace.is_late


def test_what_a_load_still_needs_by_its_own_speed_counts(run: MigrationRun) -> None:
    steps = _at_load(run, began=10)
    pace = pace_of(run, steps, NOW, expected_left=1500)
    assert pace is not None and pace.sentence == "15 min behind the plan."


def test_the_end_of_the_verification_is_expected_without_the_soak(run: MigrationRun) -> None:
    pace = pace_of(run, _at_load(run, began=10), NOW)
    assert pace is not None and pace.verified_at == NOW + timedelta(seconds=600 + 1200)


def test_a_run_that_rests_or_goes_back_has_no_pace(run: MigrationRun) -> None:
    steps = _at_load(run, began=10)
    run.state = RunState.COMPLETED
    assert pace_of(run, steps, NOW) is None
    run.state = RunState.ROLLING_BACK
    steps[-1].phase = "rollback"
    assert pace_of(run, steps, NOW) is None


def test_speed_says_rows_a_second_and_what_is_left(run: MigrationRun) -> None:
    load = next(step for step in _at_load(run, began=0) if step.name == "load")
    speed = speed_of(load, 60_000, 90_000, NOW)
    assert speed is not None and (speed.rows_per_second, speed.seconds_left) == (100, 300.0)


@pytest.mark.parametrize(("attempts", "seconds", "rows"), [(2, 600, 10), (1, 2, 10), (1, 600, 0)])
def test_no_speed_is_told_where_it_would_be_a_guess(
    run: MigrationRun, attempts: int, seconds: float, rows: int
) -> None:
    load = next(step for step in _at_load(run, began=0) if step.name == "load")
    load.attempts, load.started_at = attempts, NOW - timedelta(seconds=seconds)
    assert speed_of(load, rows, 100, NOW) is None
