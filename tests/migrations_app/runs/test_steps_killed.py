"""Every step of a run, and of its rollback, dies once after its work and before its result is recorded."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from migrations_app.models import MigrationRun, RunStep
from migrations_app.services import execution
from migrations_app.services.execution import work_on_run
from migrations_app.services.rollback import agree_rollback, request_rollback
from migrations_app.services.runs import start_run, submit_run
from migrations_app.services.sweep import sweep
from tests import factories as make
from tests.migrations_app.runs.conftest import World


class Killed(BaseException):
    """No handler of the product may catch it: the worker is gone."""


def drive_with_deaths(world: World, run: MigrationRun, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each step is done by a worker that dies before it can record it, and then by another. Returns their names."""
    died = []
    for _ in range(60):
        RunStep.objects.filter(run=run, not_before__isnull=False).update(not_before=timezone.now())
        with monkeypatch.context() as patch:
            patch.setattr(execution, "record_result", _die)
            try:
                if not work_on_run(run_id=run.pk):
                    return died
            except Killed:
                pass
        dead = RunStep.objects.get(run=run, state="running")
        died.append(dead.name)
        assert sweep(now=timezone.now() + timedelta(seconds=16))["reclaimed"] == 1
        assert work_on_run(run_id=run.pk)
        again = world.step(run, dead.name)
        assert again.state in ("succeeded", "skipped"), f"{dead.name}: {again.error_message}"
        assert again.attempts == 2
    raise AssertionError("it never ended")


def _die(**_: Any) -> bool:
    raise Killed


def test_run_whose_every_step_dies_once_ends_exactly_where_it_should(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = world.plan()
    make.rehearsed(plan, world.ana)
    run = world.run(plan)
    start(world, run)
    before = drive_with_deaths(world, run, monkeypatch)
    assert "export" in before
    world.sign(run, "go", "ben", "lead")
    world.sign(run, "go", "ana", "ops")
    crossing = drive_with_deaths(world, run, monkeypatch)
    assert {"stop_application", "load", "switch_configuration", "start_application"} <= set(crossing)
    run = world.fresh(run)
    assert run.state == "waiting", run.held_reason
    assert world.items_in_target() == world.items_in_sqlite()
    assert "DATABASE_URL=postgresql://" in world.env_file.read_text()
    assert "COLOUR=blue" in world.env_file.read_text()

    world.execute_in_target("INSERT INTO items (name) VALUES ('written on postgresql')")
    request = request_rollback(
        actor=world.ana, run=run, reason="back", typed_name="tiny", rows_typed=1, reauthenticated=True
    )
    agree_rollback(actor=world.ben, request=request, reauthenticated=True)
    back = drive_with_deaths(world, run, monkeypatch)
    run = world.fresh(run)
    assert run.state == "rolled_back", run.held_reason
    assert back[0] == "back_stop" and "back_clean_target" in back
    assert "DATABASE_URL=sqlite://" in world.env_file.read_text()
    assert len(world.items_in_sqlite()) == 7
    assert run.artifacts.filter(kind="delta").values("sha256").distinct().count() == 1
    with open(run.artifacts.filter(kind="delta").first().path, encoding="utf-8") as delta:
        assert delta.read().count("written on postgresql") == 1
    deaths = len(before) + len(crossing) + len(back)
    assert AuditEvent.objects.filter(action="step.reclaimed").count() == deaths


def test_rehearsal_whose_every_step_dies_once_leaves_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    run = world.run(world.plan(), "rehearsal")
    start_run(actor=world.ana, run=run)
    died = drive_with_deaths(world, run, monkeypatch)
    run = world.fresh(run)
    assert run.state == "completed", run.held_reason
    assert {"create_scratch", "start_copy", "rehearse_rollback", "tear_down"} <= set(died)
    assert world.step(run, "tear_down").evidence["production"]["file"] == "byte-identical"


def start(world: World, run: MigrationRun) -> None:
    """Gate 1 signed and the run started."""
    submit_run(actor=world.ana, run=run)
    world.sign(run, "plan", "ben", "lead")
    start_run(actor=world.ana, run=world.fresh(run))
