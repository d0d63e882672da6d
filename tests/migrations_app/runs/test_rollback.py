"""The way back from every point: priced before the click, two people where rows leave, nothing lost unsaid."""

from __future__ import annotations

import threading
from contextlib import closing
from pathlib import Path

import psycopg2
import pytest
from django.db import connection

from controlplane.audit.models import AuditEvent
from controlplane.embedded import EmbeddedPostgres
from migrations_app.applications import disk_reserve
from migrations_app.engine.hash_files import hash_file
from migrations_app.models import MigrationRun, RollbackRequest
from migrations_app.services.errors import Forbidden, ServiceRefused, Stale
from migrations_app.services.execution import work_on_run
from migrations_app.services.price import price_of
from migrations_app.services.rollback import agree_rollback, preview_rollback, refuse_rollback, request_rollback
from migrations_app.services.runs import resume_run
from migrations_app.steps import workplace
from tests import factories as make
from tests.migrations_app.runs.conftest import World
from tests.migrations_app.runs.workers import add_ballast, chunks_loaded, manage, wait_for


def ask(world: World, run: MigrationRun, name: str = "ana", rows: int | None = None, **more: object) -> RollbackRequest:
    return request_rollback(
        **{
            "actor": world.people[name],
            "run": world.fresh(run),
            "reason": "it is wrong",
            "typed_name": "tiny",
            "rows_typed": rows,
            "reauthenticated": True,
            **more,
        }
    )


def signed_go(world: World) -> MigrationRun:
    """A run whose gates up to go / no-go are passed; nothing of the data phase is done."""
    plan = world.plan()
    make.rehearsed(plan, world.ana)
    run = world.started(plan)
    assert run.state == "waiting", run.held_reason
    world.sign(run, "go", "ben", "lead")
    world.sign(run, "go", "ana", "ops")
    return world.fresh(run)


def tables_in_target(world: World) -> list[str]:
    with closing(psycopg2.connect(world.target)) as target, target.cursor() as cursor:
        cursor.execute(
            "SELECT schemaname || '.' || tablename FROM pg_tables"
            " WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"
        )
        return [row[0] for row in cursor.fetchall()]


def hanging(world: World) -> int:
    """How many statements of the load wait for a lock."""
    with closing(psycopg2.connect(world.target)) as target, target.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
            " AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO causeway.chunk%'"
        )
        return int(cursor.fetchone()[0])


def assert_original_untouched(world: World, run: MigrationRun) -> None:
    """The main file is, byte for byte, the one that was fingerprinted after the stop."""
    found = hash_file(str(world.sqlite))
    assert found is not None
    assert found[1] == run.facts["final_fingerprint"]["main_sha256"]
    assert world.step(run, "back_restore_source").evidence["restored"] is False


def test_price_grows_with_what_was_done_and_the_command_needs_no_broker(world: World) -> None:
    run = signed_go(world)
    assert price_of(run).price == "R0"
    assert preview_rollback(run) == ["Clean the target"]
    run = world.drive_through(run, "load")
    tag = price_of(run)
    assert (tag.price, tag.rows, tag.people) == ("R1", 0, 1)
    assert tag.seconds is not None
    run = world.drive(run)
    assert price_of(run).price == "R2"
    shown = manage("rollback_migration", "--run", str(run.pk), "--reason", "slow", "--dry-run")
    assert shown.returncode == 0, shown.stderr
    assert "R2" in shown.stdout and "Nothing is lost" in shown.stdout
    assert all(f"- {title}" in shown.stdout for title in preview_rollback(run))
    assert world.fresh(run).state == "waiting"
    assert not RollbackRequest.objects.exists()

    done = manage("rollback_migration", "--run", str(run.pk), "--reason", "slow")
    assert done.returncode == 0, done.stderr
    assert "is rolled back" in done.stdout
    run = world.fresh(run)
    assert run.state == "rolled_back"
    assert_original_untouched(world, run)
    assert tables_in_target(world) == []
    assert "sqlite:///" in world.env_file.read_text()
    request = RollbackRequest.objects.get()
    assert request.requested_by.startswith("cli:") and request.state == "done"
    assert AuditEvent.objects.filter(action="rollback.requested", actor__startswith="cli:").count() == 1
    again = manage("rollback_migration", "--run", str(run.pk), "--reason", "once more")
    assert again.returncode == 2 and "WRONG_STATE" in again.stderr and "Traceback" not in again.stderr
    nobody = manage("rollback_migration", "--run", "987654", "--reason", "x")
    assert nobody.returncode == 2


def test_rollback_before_the_stop_leaves_the_application_alone(world: World) -> None:
    plan = world.plan()
    make.rehearsed(plan, world.ana)
    run = world.started(plan)
    approval = run.gates.get(code="go").approvals
    world.sign(run, "go", "ben", "lead")
    before = (world.env_file.read_bytes(), world.sqlite.read_bytes())
    request = ask(world, run)
    assert (request.price, request.state) == ("R0", "agreed")
    run = world.drive(run)
    assert run.state == "rolled_back", run.held_reason
    assert (world.env_file.read_bytes(), world.sqlite.read_bytes()) == before
    assert approval.get().state == "lapsed"
    assert tables_in_target(world) == []


def test_rollback_takes_the_maintenance_page_down_again(world: World) -> None:
    page = world.folder / "maintenance.html"
    world.application.commands = {"before_stop": "page_up", "after_start": "page_down"}
    world.application.save()
    run = world.drive_through(signed_go(world), "load")
    assert page.exists()
    ask(world, run)
    run = world.drive(run)
    assert run.state == "rolled_back", run.held_reason
    assert not page.exists()


def test_rows_written_since_the_switch_leave_only_as_two_people_confirmed_them(world: World) -> None:
    run = world.drive(signed_go(world))
    assert run.state == "waiting", run.held_reason
    world.execute_in_target("INSERT INTO items (name) VALUES ('written on postgresql')")
    world.execute_in_target("UPDATE items SET name = 'changed' WHERE id = 1")
    world.execute_in_target("DELETE FROM items WHERE id = 2")
    tag = price_of(run)
    assert (tag.price, tag.rows, tag.people) == ("R3", 3, 2)
    assert tag.by_table == {"items": {"insert": 1, "update": 1, "delete": 1}}

    for more, code in (
        ({"rows": 2}, "ROWS_NOT_CONFIRMED"),
        ({"rows": None}, "ROWS_NOT_CONFIRMED"),
        ({"rows": 3, "reauthenticated": False}, "PASSWORD_NEEDED"),
        ({"rows": 3, "typed_name": "tinx"}, "NAME_NOT_TYPED"),
        ({"rows": 3, "reason": " "}, "REASON_MISSING"),
        ({"rows": 3, "name": "chika"}, "NOT_ALLOWED"),
        ({"rows": 3, "name": "dana"}, "NOT_ALLOWED"),
    ):
        with pytest.raises(ServiceRefused) as refused:
            ask(world, run, **more)  # type: ignore[arg-type]
        assert refused.value.code == code
    assert not RollbackRequest.objects.exists()

    filed = manage("rollback_migration", "--run", str(run.pk), "--reason", "from the machine")
    assert filed.returncode == 2 and "second person" in filed.stderr
    by_operator = RollbackRequest.objects.get()
    assert (by_operator.state, by_operator.rows_confirmed) == ("waiting", 3)
    with pytest.raises(Stale):
        ask(world, run, rows=3)  # one request at a time
    refuse_rollback(actor=world.ben, request=by_operator, reason="ana asks herself")
    assert world.fresh(run).state == "waiting"

    request = ask(world, run, rows=3)
    assert request.state == "waiting" and world.fresh(run).state == "waiting"
    for name, code in (("ana", "SAME_PERSON"), ("chika", "NOT_ALLOWED"), ("dana", "NOT_ALLOWED")):
        with pytest.raises(Forbidden) as refused:
            agree_rollback(actor=world.people[name], request=request, reauthenticated=True)
        assert refused.value.code == code
    with pytest.raises(Forbidden) as refused:
        agree_rollback(actor=world.ben, request=request, reauthenticated=False)
    assert refused.value.code == "PASSWORD_NEEDED"
    world.execute_in_target("INSERT INTO items (name) VALUES ('a fourth')")
    with pytest.raises(Stale):
        agree_rollback(actor=world.ben, request=request, reauthenticated=True)
    refuse_rollback(actor=world.ana, request=request, reason="one more row")

    request = ask(world, run, rows=4)
    agree_rollback(actor=world.ben, request=request, reauthenticated=True)
    world.execute_in_target("INSERT INTO items (name) VALUES ('a fifth, before it was stopped')")
    run = world.drive(run)
    assert run.state == "held"
    assert world.step(run, "back_save_changes").error_code == "ROWS_CHANGED"
    resume_run(actor=world.ana, run=run)
    run = world.drive(run)
    assert run.state == "held", "resuming must not confirm rows that nobody confirmed"
    with pytest.raises(ServiceRefused):
        ask(world, run, rows=4)
    request = ask(world, run, rows=5)
    assert request.state == "waiting" and world.fresh(run).state == "held"
    agree_rollback(actor=world.ben, request=request, reauthenticated=True)
    run = world.drive(run)
    assert run.state == "rolled_back", run.held_reason
    delta = Path(run.artifacts.get(kind="delta").path).read_text(encoding="utf-8")
    assert all(text in delta for text in ("written on postgresql", "changed", "a fourth", "a fifth"))
    assert_original_untouched(world, run)
    assert len(world.items_in_sqlite()) == 7


def test_rollback_works_while_postgresql_is_down_and_says_that_rows_are_unknown(
    world: World, postgres: EmbeddedPostgres
) -> None:
    run = world.drive(signed_go(world))
    assert run.state == "waiting", run.held_reason
    world.execute_in_target("INSERT INTO items (name) VALUES ('nobody can count me')")
    postgres.stop()
    try:
        tag = price_of(run)
        assert (tag.price, tag.rows, tag.people) == ("R3", None, 2)
        assert "can't be asked" in tag.sentence
        request = ask(world, run)
        assert (request.state, request.rows_confirmed) == ("waiting", None)
        agree_rollback(actor=world.ben, request=request, reauthenticated=True)
        run = world.drive(run)
        assert run.state == "rolled_back", run.held_reason
        assert world.step(run, "back_check").state == "succeeded"
        evidence = world.step(run, "back_save_changes").evidence
        assert (evidence["rows"], evidence["inconclusive"]) == ("unknown", True)
        assert_original_untouched(world, run)
    finally:
        postgres.start()
    assert "nobody can count me" in [name for _, name in world.items_in_target()], "what nobody counted must stay"


def test_rollback_stops_a_load_that_hangs_and_leaves_nothing_of_it(world: World) -> None:
    add_ballast(world.sqlite, 60_000)
    run = world.drive_through(signed_go(world), "refresh_export")

    def load() -> None:
        try:
            work_on_run(run_id=run.pk)
        finally:
            connection.close()

    with closing(psycopg2.connect(world.target)) as blocker:
        worker = threading.Thread(target=load)
        worker.start()
        wait_for("the first chunk", lambda: chunks_loaded(world.target) >= 1, 60, 0.01)
        with blocker.cursor() as cursor:  # from here on the load hangs inside a statement
            cursor.execute("LOCK TABLE causeway.chunk IN ACCESS EXCLUSIVE MODE")
        assert world.step(run, "load").state == "running"
        wait_for("a statement that hangs", lambda: hanging(world), 30)
        request = ask(world, run)
        assert (request.price, request.state) == ("R1", "agreed")
        wait_for("the end of the statement that hung", lambda: not hanging(world), 30)
    worker.join(30)
    assert not worker.is_alive(), "the load did not stop"
    assert (world.step(run, "load").state, world.step(run, "load").error_code) == ("failed", "CANCELLED")
    run = world.drive(run)
    assert run.state == "rolled_back", run.held_reason
    assert tables_in_target(world) == []
    with closing(psycopg2.connect(world.target)) as target, target.cursor() as cursor:
        cursor.execute("SELECT application_name FROM pg_stat_activity WHERE application_name LIKE 'causeway%'")
        assert cursor.fetchall() == []
    assert_original_untouched(world, run)
    assert not [step.name for step in run.steps.filter(phase="rollback") if step.state != "succeeded"]


def test_rollback_that_lost_nothing_when_it_was_asked_for_asks_again_when_that_is_no_longer_known(
    world: World, postgres: EmbeddedPostgres
) -> None:
    run = world.drive(signed_go(world))
    request = ask(world, run)
    assert (request.price, request.rows_confirmed, request.state) == ("R2", 0, "agreed")
    world.execute_in_target("INSERT INTO items (name) VALUES ('between the click and the stop')")
    postgres.stop()
    try:
        run = world.drive(run)
        assert (run.state, world.step(run, "back_save_changes").error_code) == ("held", "ROWS_UNKNOWN")
        request = ask(world, run)
        assert (request.price, request.rows_confirmed, request.state) == ("R3", None, "waiting"), "one person decided"
        agree_rollback(actor=world.ben, request=request, reauthenticated=True)
        run = world.drive(run)
        assert run.state == "rolled_back", run.held_reason
    finally:
        postgres.start()
    assert "between the click and the stop" in [name for _, name in world.items_in_target()]


def test_postgresql_that_goes_away_before_the_switch_keeps_nobody_from_going_back(
    world: World, postgres: EmbeddedPostgres
) -> None:
    run = world.drive_through(signed_go(world), "arm_change_queue")
    assert ask(world, run).price == "R1"
    postgres.stop()
    try:
        run = world.drive(run)
        assert run.state == "rolled_back", run.held_reason
        assert_original_untouched(world, run)
    finally:
        postgres.start()


def test_room_is_kept_back_on_the_artefacts_disk_until_the_way_back_begins(world: World) -> None:
    """So that stopping and starting can be written down on a disk that is full to the last block."""
    run = signed_go(world)
    reserve = workplace.run_directory(run) / disk_reserve.NAME
    assert reserve.stat().st_blocks * 512 >= disk_reserve.BYTES
    run = world.drive_through(run, "load")
    ask(world, run)
    assert work_on_run(run_id=run.pk) and world.step(run, "back_stop").state == "succeeded"
    assert not reserve.exists()


@pytest.mark.parametrize(
    "last", ["stop_application", "final_backup", "verify", "arm_change_queue", "start_application"]
)
def test_rollback_is_one_action_from_every_point_of_the_crossing(world: World, last: str) -> None:
    run = world.drive_through(signed_go(world), last)
    request = ask(world, run)
    assert request.state == "agreed" and request.price in ("R1", "R2")
    run = world.drive(run)
    assert run.state == "rolled_back", run.held_reason
    assert world.step(run, "back_check").state == "succeeded" and len(world.items_in_sqlite()) == 7
    assert "DATABASE_URL=sqlite://" in world.env_file.read_text() and tables_in_target(world) == []
