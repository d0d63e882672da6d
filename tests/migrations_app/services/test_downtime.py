"""How long users were without their application."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from migrations_app.models import MigrationRun, RunStep
from migrations_app.models.states import StepState
from migrations_app.services.downtime import downtime_of

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)


def _at(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def _step(name: str, begun: float, ended: float | None, state: str = StepState.SUCCEEDED) -> RunStep:
    return RunStep(name=name, state=state, started_at=_at(begun), finished_at=None if ended is None else _at(ended))


def test_what_ran_on_postgresql_before_a_rollback_was_not_downtime() -> None:
    run = MigrationRun(down_since=_at(0), up_since=_at(100), finished_at=_at(105))
    steps = [
        _step("stop_application", 0, 1),
        _step("check_application", 8, 12),
        _step("back_stop", 90, 91),
        _step("back_start", 97, 100),
    ]
    away = downtime_of(run, steps, _at(500))
    assert away is not None and away.over and away.seconds == 12 + 10


def test_an_application_that_never_came_up_was_away_all_the_while() -> None:
    run = MigrationRun(down_since=_at(0), up_since=_at(100))
    steps = [
        _step("check_application", 8, 12, StepState.FAILED),
        _step("back_stop", 90, 91),
        _step("back_start", 97, 100),
    ]
    away = downtime_of(run, steps, _at(500))
    assert away is not None and away.over and away.seconds == 100


def test_while_it_is_taken_back_it_is_away_again() -> None:
    run = MigrationRun(down_since=_at(0), up_since=_at(12))
    steps = [_step("check_application", 8, 12), _step("back_stop", 90, None, StepState.RUNNING)]
    away = downtime_of(run, steps, _at(95))
    assert away is not None and not away.over and away.seconds == 12 + 5


def test_what_was_never_stopped_has_no_downtime() -> None:
    assert downtime_of(MigrationRun(), [], NOON) is None
