"""What monitoring hears of a run, and what the soak hears of the alerts."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import DatabaseError
from django.utils import timezone

from migrations_app import doorbell
from migrations_app.models import MigrationRun, RunStep
from migrations_app.models.states import StepState
from migrations_app.services import watching
from migrations_app.services.execution import claim_step
from migrations_app.services.recording import record_result
from migrations_app.services.runs import start_run
from migrations_app.services.transitions import change_run
from migrations_app.steps.base import AlertsSeen, StepResult
from migrations_app.steps.checks import Soak, soak
from monitoring_app.models import Alert, Marker, Round, Series, Silence, Target
from monitoring_app.services import targets
from tests import factories as make
from tests.migrations_app.services.conftest import Stage


@pytest.fixture(autouse=True)
def unheard(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doorbell, "_send", lambda *ring: None)


def due(stage: Stage, name: str) -> MigrationRun:
    """A running production run whose next step is `name`."""
    run = make.run(stage.plan, stage.who.ops)
    make.reach(run, name, state=StepState.PENDING, run_state="running", signers={})
    RunStep.objects.filter(run=run, name=name).update(attempts=0, started_at=None)
    return run


def work(run: MigrationRun, **result: Any) -> None:
    """Claim the next step and record a result."""
    now = timezone.now()
    step = claim_step(run_id=run.pk, holder="worker:1", now=now)
    assert step is not None
    made = StepResult(**{"outcome": "succeeded", "message": "done", **result})
    assert record_result(step=step, token=step.lease_token, result=made, now=now)


def silences() -> list[tuple[str, bool]]:
    return [(row.about, row.ended_at is None) for row in Silence.objects.order_by("pk")]


def test_mails_are_held_back_from_the_stop_until_the_application_is_proved_to_be_up(stage: Stage) -> None:
    run = due(stage, "stop_application")
    assert silences() == []
    work(run)
    assert silences() == [(f"run:{run.pk}", True)]
    run_up = due_again(run, "check_application")
    work(run_up, outcome="failed", code="APPLICATION_NOT_PROVED")
    assert silences() == [(f"run:{run.pk}", True)]  # it is not up
    MigrationRun.objects.filter(pk=run.pk).update(state="running")
    work(due_again(run, "check_application"))
    assert silences() == [(f"run:{run.pk}", False)]


def due_again(run: MigrationRun, name: str) -> MigrationRun:
    position = run.steps.get(name=name).position
    run.steps.filter(position__lt=position).update(state=StepState.SUCCEEDED)
    run.steps.filter(name=name).update(state=StepState.PENDING, finished_at=None)
    return run


def test_a_run_that_ends_leaves_no_silence_behind(stage: Stage) -> None:
    run = due(stage, "stop_application")
    work(run)
    run.refresh_from_db()
    change_run(run, "held", at=timezone.now())
    assert silences() == [(f"run:{run.pk}", True)]
    change_run(run, "failed", at=timezone.now())
    assert silences() == [(f"run:{run.pk}", False)]


def test_the_switch_and_the_way_back_are_drawn_and_the_file_left_behind_is_known(stage: Stage) -> None:
    target = targets.watch(application=stage.application, actor="system")
    run = due(stage, "switch_configuration")
    at = timezone.now() - timedelta(seconds=3)
    work(run, moments={"switched_at": at})
    marker = Marker.objects.get(kind="cut_over")
    assert (marker.at, marker.about) == (at, f"run:{run.pk}")
    target.refresh_from_db()
    assert target.frozen_copy == stage.application.source_path
    assert target.rules.get(code="wrong-database").enabled  # that it be on PostgreSQL is watched from here on
    run.refresh_from_db()
    step = RunStep(name="back_switch_configuration", state=StepState.SUCCEEDED, run=run)
    watching.step_ended(run=run, step=step, now=timezone.now())
    assert Marker.objects.filter(kind="back").count() == 1
    target.refresh_from_db()
    assert target.frozen_copy == ""
    assert not target.rules.get(code="wrong-database").enabled


def test_a_rule_that_a_person_switched_off_stays_off_at_the_switch(stage: Stage) -> None:
    target = targets.watch(application=stage.application, actor="system")
    target.rules.filter(code="wrong-database").update(why_off="it reads its archive from SQLite")
    work(due(stage, "switch_configuration"), moments={"switched_at": timezone.now()})
    assert not target.rules.get(code="wrong-database").enabled


def test_a_switch_that_failed_is_no_switch(stage: Stage) -> None:
    work(due(stage, "switch_configuration"), outcome="failed", code="X")
    assert not Marker.objects.filter(kind="cut_over").exists()


def test_a_rehearsal_says_nothing_to_monitoring(stage: Stage) -> None:
    run = make.run(stage.plan, stage.who.ops, kind="rehearsal")
    start_run(actor=stage.who.ops, run=run)
    step = run.steps.get(name="stop_application")
    watching.step_began(run=run, step=step, now=timezone.now())
    assert not Marker.objects.exists() and not Silence.objects.exists()


@pytest.mark.parametrize("error", [DatabaseError("gone"), RuntimeError("a fault of Causeway itself")])
def test_monitoring_that_fails_never_stops_a_run(
    stage: Stage, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(**unheard: object) -> None:
        raise error

    monkeypatch.setattr("monitoring_app.services.silences.open_silence", broken)
    monkeypatch.setattr("monitoring_app.services.markers.mark", broken)
    run = due(stage, "stop_application")
    work(run)
    work(due_again(run, "switch_configuration"))
    assert run.steps.get(name="switch_configuration").state == StepState.SUCCEEDED


# --- the soak ---------------------------------------------------------------------------------------


class _Context:
    """What a soak is given: settings, its evidence so far, and the alerts that a test says."""

    def __init__(self, alerts: AlertsSeen, seconds: int = 0) -> None:
        self.run = type("Run", (), {})()
        settings = {"soak_seconds": seconds, "soak_interval_seconds": 1}
        self.run.plan = type("Plan", (), {"settings": settings})()
        self.step = type("Row", (), {"evidence": {}})()
        self.seen = alerts

    def now(self) -> Any:
        return timezone.now()

    def alerts(self) -> AlertsSeen:
        return self.seen


@pytest.fixture
def green(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak, "check_endpoints", lambda *unheard: ())
    monkeypatch.setattr(soak.workplace, "description_of", lambda run: None)


def sample(context: _Context, *critical: str, watched: bool = True) -> StepResult:
    context.seen = AlertsSeen(watched, "" if watched else "the application is not under watch", critical)
    result = Soak().run(context)  # type: ignore[arg-type]
    context.step.evidence = dict(result.evidence)
    return result


def test_a_critical_alert_once_is_a_missed_sample_and_twice_in_a_row_a_gap(green: None) -> None:
    context = _Context(AlertsSeen(True, ""), seconds=3600)
    assert sample(context).evidence["missed"] == 0
    once = sample(context, "Pool nearly full")
    assert (once.outcome, once.evidence["missed"], once.evidence["last"]) == ("again", 1, ["alert: Pool nearly full"])
    assert sample(context).evidence["missed_in_a_row"] == 0
    sample(context, "Pool nearly full")
    twice = sample(context, "Replication lag")
    assert (twice.outcome, twice.code) == ("failed", "SOAK_GAP") and "Replication lag" in twice.message


def test_a_soak_says_whether_its_alerts_were_watched_wholly_partly_or_not(green: None) -> None:
    assert sample(_Context(AlertsSeen(True, ""))).evidence["alerts"] == "alerts watched"
    none = sample(_Context(AlertsSeen(True, "")), watched=False)
    assert none.evidence["alerts"] == "alerts not watched: the application is not under watch"
    assert "not watched" in none.message
    context = _Context(AlertsSeen(True, ""), seconds=3600)
    sample(context, watched=False)
    assert sample(context).evidence["alerts"] == "alerts watched in 1 of them"


def test_the_soak_hears_of_critical_alerts_and_of_a_silent_monitor_alone(stage: Stage) -> None:
    run = due(stage, "soak")
    now = timezone.now()
    assert not watching.alerts_of(run, now).watched
    target: Target = targets.watch(application=stage.application, actor="system")
    for part, of in (("server", target), ("host", target), ("evaluate", None)):
        Round.objects.create(target=of, part=part, ended_at=now)
    assert watching.alerts_of(run, now) == AlertsSeen(True, "", ())
    series = Series.objects.create(target=target, metric="pool_used")
    warning, critical = (
        target.rules.filter(severity="warning").first(),
        target.rules.filter(severity="critical").first(),
    )
    assert warning is not None and critical is not None
    Alert.objects.create(rule=warning, series=series, state="firing", began_at=now, threshold=1)
    assert watching.alerts_of(run, now).critical == ()
    Alert.objects.create(rule=critical, series=series, state="acknowledged", began_at=now, threshold=1)
    assert watching.alerts_of(run, now).critical == (critical.title,)
    assert len(watching.alerts_of(run, now + timedelta(minutes=2)).critical) == 4
