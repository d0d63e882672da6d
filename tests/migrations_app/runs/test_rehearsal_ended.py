"""A rehearsal that is stopped midway, or fails, leaves no database, no second instance and production as it was."""

from __future__ import annotations

import socket

import pytest

from controlplane.embedded import EmbeddedPostgres
from migrations_app.models import MigrationRun
from migrations_app.services.errors import ServiceRefused
from migrations_app.services.rollback import request_rollback
from migrations_app.services.runs import fail_run, start_run
from migrations_app.steps import workplace
from tests.migrations_app.runs.conftest import World


def begun(world: World) -> MigrationRun:
    run = world.run(world.plan(), "rehearsal")
    start_run(actor=world.ana, run=run)
    return world.fresh(run)


def take_down(world: World, run: MigrationRun) -> MigrationRun:
    request = request_rollback(
        actor=world.ana, run=world.fresh(run), reason="enough", typed_name="tiny", reauthenticated=True
    )
    assert (request.price, request.state) == ("R0", "agreed")
    return world.drive(run)


def scratch_databases(postgres: EmbeddedPostgres) -> list[tuple[str]]:
    return list(postgres.execute("SELECT datname FROM pg_database WHERE datname LIKE 'causeway_rehearsal%'"))


def production(world: World) -> tuple[object, ...]:
    driver = workplace.production_driver(world.application)
    pids = [(process.name, process.pid, process.alive) for process in driver.status().processes]
    return world.env_file.read_bytes(), world.sqlite.read_bytes(), pids


def assert_nothing_left(world: World, run: MigrationRun, postgres: EmbeddedPostgres) -> None:
    assert scratch_databases(postgres) == []
    assert not [process for process in workplace.driver_of(run).status().processes if process.alive]
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", world.application.processes[0]["rehearsal_port"])) != 0
    assert not (workplace.source_of(run)).exists()


@pytest.mark.parametrize("reached", ["create_scratch", "start_copy", "load", "start_application"])
def test_rehearsal_that_is_stopped_midway_leaves_nothing(
    world: World, postgres: EmbeddedPostgres, reached: str
) -> None:
    before = production(world)
    run = world.drive_through(begun(world), reached)
    assert scratch_databases(postgres)
    run = take_down(world, run)
    assert run.state == "rolled_back", run.held_reason
    assert_nothing_left(world, run, postgres)
    assert production(world) == before


def test_rehearsal_that_fails_midway_leaves_nothing(world: World, postgres: EmbeddedPostgres) -> None:
    run = world.drive_through(begun(world), "copy_source")
    before = production(world)
    world.set_fault("does_not_start")
    run = world.drive(run)
    assert run.state == "held" and world.step(run, "start_copy").state == "failed"
    with pytest.raises(ServiceRefused):
        fail_run(actor=world.ana, run=run, reason="its database would stay behind")
    run = take_down(world, run)
    assert run.state == "rolled_back", run.held_reason
    assert_nothing_left(world, run, postgres)
    assert production(world) == before


def test_rehearsal_that_was_refused_at_once_can_be_ended(world: World, postgres: EmbeddedPostgres) -> None:
    """Its preflight saw nothing, so there is nothing to compare production with."""
    run = begun(world)
    world.application.rehearsal_target_url = "postgresql://postgres:wrong@127.0.0.1:1/postgres"
    world.application.save()
    run = world.drive(run)
    assert run.state == "held" and world.step(run, "preflight").error_code == "TARGET_UNREACHABLE"
    assert "Traceback" not in run.held_reason and "wrong" not in run.held_reason
    fail_run(actor=world.ana, run=run, reason="the server is down")
    assert world.fresh(run).state == "failed"

    world.application.rehearsal_target_url = postgres.url()
    world.application.save()
    second = begun(world)
    world.sqlite.rename(world.sqlite.with_suffix(".away"))
    second = world.drive(second)
    assert second.state == "held" and world.step(second, "preflight").error_code == "NOT_FOUND"
    world.sqlite.with_suffix(".away").rename(world.sqlite)
    second = take_down(world, second)
    assert second.state == "rolled_back", second.held_reason
