"""A run from its plan to its end, with a real application, a real PostgreSQL and real processes."""

import sqlite3
from contextlib import closing

import pytest

from controlplane.audit.models import AuditEvent
from migrations_app.services.checklist import record_result
from migrations_app.services.overview import headline
from migrations_app.services.rollback import agree_rollback, request_rollback
from migrations_app.services.runs import resume_run
from migrations_app.steps import workplace
from tests import factories as make
from tests.migrations_app.runs.conftest import World, write_operator_file


def test_rehearsal_moves_a_copy_and_leaves_nothing(world: World) -> None:
    before = world.env_file.read_bytes()
    run = world.rehearse(world.plan())
    assert run.state == "completed", run.held_reason
    assert run.facts["rollback_seconds"] > 0
    assert world.env_file.read_bytes() == before
    evidence = world.step(run, "tear_down").evidence
    assert evidence["production"]["file"] == "byte-identical"
    assert evidence["production"]["processes"] == "the same"


def test_production_run_is_signed_off_on_postgresql(world: World) -> None:
    plan = world.plan()
    assert world.rehearse(plan).state == "completed"
    run = world.crossed(plan)
    assert run.state == "waiting", run.held_reason
    assert world.items_in_target() == world.items_in_sqlite()
    assert "COLOUR=blue" in world.env_file.read_text()
    assert "DATABASE_URL=postgresql://" in world.env_file.read_text()
    for item in run.items.exclude(prover="system"):
        person = world.chika if item.prover == "qa" else world.ana
        record_result(actor=person, item=item, outcome="passed", note="looked at it, as expected")
    world.sign(run, "qa", "chika", "qa")
    run = world.drive(run)
    assert run.state == "waiting", run.held_reason
    for name, role in (("ben", "lead"), ("chika", "qa"), ("ana", "ops")):
        world.sign(run, "sign_off", name, role)
    run = world.drive(run)
    assert run.state == "completed", run.held_reason
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"run.approved", "gate.passed", "step.succeeded", "run.completed"} <= actions


def test_rollback_without_changes_needs_one_person_and_loses_nothing(world: World) -> None:
    plan = world.plan()
    make.rehearsed(plan, world.ana)
    original = world.sqlite.read_bytes()
    run = world.crossed(plan)
    after_stop = world.sqlite.read_bytes()
    env = world.env_file.read_text()
    request = request_rollback(
        actor=world.ana, run=run, reason="slow", typed_name="tiny", rows_typed=None, reauthenticated=True
    )
    assert request.price == "R2"
    run = world.drive(run)
    assert run.state == "rolled_back", run.held_reason
    assert "sqlite:///" in world.env_file.read_text() and env != world.env_file.read_text()
    assert world.sqlite.read_bytes() == after_stop or len(after_stop) == len(original)
    assert len(world.items_in_sqlite()) == 7
    assert world.step(run, "back_check").state == "succeeded"


def test_rollback_with_changes_saves_the_rows_and_needs_two_people(world: World) -> None:
    plan = world.plan()
    make.rehearsed(plan, world.ana)
    run = world.crossed(plan)
    world.execute_in_target("INSERT INTO items (name) VALUES ('written on postgresql')")
    world.execute_in_target("UPDATE items SET name = 'changed' WHERE id = 1")
    request = request_rollback(
        actor=world.ana, run=run, reason="wrong", typed_name="tiny", rows_typed=2, reauthenticated=True
    )
    assert (request.price, request.state) == ("R3", "waiting")
    assert world.fresh(run).state == "waiting"
    agree_rollback(actor=world.ben, request=request, reauthenticated=True)
    run = world.drive(run)
    assert run.state == "rolled_back", run.held_reason
    delta = run.artifacts.get(kind="delta")
    with open(delta.path, encoding="utf-8") as file:
        text = file.read()
    assert "written on postgresql" in text and "changed" in text
    assert len(world.items_in_sqlite()) == 7


def test_table_that_came_after_the_plan_is_not_left_behind(world: World) -> None:
    plan = world.plan()
    world.rehearse(plan)
    run = world.started(plan)
    with closing(sqlite3.connect(world.sqlite)) as connection:
        connection.execute("CREATE TABLE late (id INTEGER PRIMARY KEY, name TEXT)")
        connection.execute("INSERT INTO late VALUES (1, 'came after the plan')")
        connection.commit()
    world.sign(run, "go", "ben", "lead")
    world.sign(run, "go", "ana", "ops")
    run = world.drive(run)
    assert run.state == "held"
    assert world.step(run, "refresh_export").error_code == "SCHEMA_CHANGED"
    assert world.step(run, "load").state == "pending"


def test_full_disk_keeps_the_rows_in_postgresql_and_the_application_comes_back(world: World) -> None:
    plan = world.plan()
    world.rehearse(plan)
    run = world.crossed(plan)
    world.execute_in_target("INSERT INTO items (name) VALUES ('written on postgresql')")
    (workplace.run_directory(run) / f"delta_{run.pk}.jsonl").mkdir()  # no file can be put there
    request = request_rollback(
        actor=world.ana, run=run, reason="wrong", typed_name="tiny", rows_typed=1, reauthenticated=True
    )
    agree_rollback(actor=world.ben, request=request, reauthenticated=True)
    run = world.drive(run)
    assert run.state == "rolled_back", run.held_reason
    assert len(world.items_in_sqlite()) == 7
    assert world.items_in_target()[-1][1] == "written on postgresql"
    assert "only there" in headline(run).meaning


@pytest.mark.parametrize("fault", ["stays_and_lies", "stays_silently", "answers_500", "does_not_start"])
def test_application_that_is_not_on_postgresql_is_caught_and_comes_back(world: World, fault: str) -> None:
    plan = world.plan()
    make.rehearsed(plan, world.ana)
    run = world.started(plan)
    world.set_fault(fault)  # from the next start on, which is the start on PostgreSQL
    world.sign(run, "go", "ben", "lead")
    world.sign(run, "go", "ana", "ops")
    run = world.drive(run)
    assert run.state == "held"
    assert world.step(run, "gate_qa").state == "pending"
    world.set_fault("")
    request_rollback(actor=world.ana, run=run, reason="caught", typed_name="tiny", reauthenticated=True)
    run = world.drive(run)
    assert run.state == "rolled_back", run.held_reason
    assert len(world.items_in_sqlite()) == 7


def test_rehearsal_measures_its_parts_and_shows_them(world: World) -> None:
    run = world.rehearse(world.plan())
    assert run.state == "completed", run.held_reason
    measured = {name: run.facts[name] for name in ("downtime_seconds", "load_seconds", "verify_seconds")}
    assert all(seconds >= 0 for seconds in measured.values()) and run.facts["rollback_seconds"] > 0
    assert measured["load_seconds"] + measured["verify_seconds"] <= measured["downtime_seconds"]
    shown = world.step(run, "tear_down").message
    assert all(word in shown for word in ("downtime", "load", "verification", "way back"))


def test_version_that_was_deployed_after_the_rehearsal_stops_the_run_before_the_application(world: World) -> None:
    """Asked of the application itself at that moment, before gate 2 and once more after it."""
    version = world.folder / "VERSION"
    version.write_text("1.0\n")
    world.application.commands = {"version": "version"}
    world.application.save()
    write_operator_file(world.folder)
    plan = world.plan()
    assert plan.application_version == "1.0"
    rehearsal = world.rehearse(plan)
    assert rehearsal.facts["application_version"] == "1.0"
    version.write_text("1.1\n")
    run = world.started(plan)
    assert (run.state, world.step(run, "rehearsal_is_fresh").error_code) == ("held", "VERSION_CHANGED")
    assert "version 1.1 now" in run.held_reason
    version.write_text("1.0\n")
    resume_run(actor=world.ana, run=run)
    run = world.drive(run)
    assert run.state == "waiting", run.held_reason
    assert world.step(run, "rehearsal_is_fresh").evidence["application_version"] == "1.0"
    world.sign(run, "go", "ben", "lead")
    world.sign(run, "go", "ana", "ops")
    version.write_text("1.1\n")
    run = world.drive(run)
    assert (run.state, world.step(run, "before_stop").error_code) == ("held", "VERSION_CHANGED")
    assert run.down_since is None and workplace.driver_of(run).status().processes, "the application was stopped"


def test_failed_check_leads_back_by_itself_while_nothing_was_written(world: World) -> None:
    plan = world.plan(auto_rollback_seconds=600, endpoint_limit_ms=1)
    make.rehearsed(plan, world.ana)
    run = world.crossed(plan)
    assert run.state == "rolled_back", run.held_reason
    assert world.step(run, "check_performance").error_code == "TOO_SLOW"
    request = run.rollback_requests.get()
    assert (request.requested_by, request.price, request.state) == ("system", "R2", "done")
    assert "DATABASE_URL=sqlite://" in world.env_file.read_text()
    assert world.step(run, "back_check").state == "succeeded"


def test_failed_check_holds_where_a_row_was_written_since_the_switch(world: World) -> None:
    plan = world.plan(auto_rollback_seconds=600, endpoint_limit_ms=1)
    make.rehearsed(plan, world.ana)
    run = world.started(plan)
    world.sign(run, "go", "ben", "lead")
    world.sign(run, "go", "ana", "ops")
    run = world.drive_through(run, "check_application")
    world.execute_in_target("INSERT INTO items (name) VALUES ('written on postgresql')")
    run = world.drive(run)
    assert run.state == "held" and "1 rows written since the switch would leave" in run.held_reason
    assert not run.rollback_requests.exists() and not run.steps.filter(phase="rollback").exists()
    assert "DATABASE_URL=postgresql://" in world.env_file.read_text()
