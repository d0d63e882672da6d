"""A live crossing from its plan to its end: a real application that writes, a real PostgreSQL, real processes."""

from __future__ import annotations

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from controlplane.audit.models import AuditEvent
from migrations_app.models import RunStep
from migrations_app.services.checklist import record_result
from migrations_app.services.downtime import downtime_of
from migrations_app.services.price import price_of
from migrations_app.services.reality import probe_reality
from migrations_app.services.rollback import request_rollback
from migrations_app.services.runs import resume_run
from migrations_app.steps import cut_over, workplace
from migrations_app.steps.crossing import Moments
from tests import factories as make
from tests.migrations_app.runs.conftest import World
from tests.migrations_app.runs.online import (
    crossed,
    follow_once,
    go,
    prepared,
    read_sqlite,
    read_target,
    rehearse,
    replication_of,
    write_sqlite,
)
from tests.migrations_app.runs.workers import wait_for

BEATS = "SELECT id, name FROM beats ORDER BY id"
ITEMS = "SELECT id, name FROM items ORDER BY id"


@pytest.fixture
def writing(world: World) -> World:
    """Its processes write a row each 0.1 s, all the while."""
    world.stop_everything()
    operator = world.folder / "operator.toml"
    operator.write_text(operator.read_text().replace('TINY_FAULT = ""', 'TINY_FAULT = ""\nTINY_WRITES = "1"'))
    world.start_application()
    return world


def ours_in(path: Path) -> list[str]:
    with closing(sqlite3.connect(path)) as connection:
        return [n for (n,) in connection.execute("SELECT name FROM sqlite_master WHERE name LIKE 'causeway%'")]


def back(world: World, run, **more):  # type: ignore[no-untyped-def]
    given = {"reason": "slow", "typed_name": "tiny", "rows_typed": None, "reauthenticated": True, **more}
    return request_rollback(actor=world.ana, run=world.fresh(run), **given)


def test_a_rehearsal_crosses_a_copy_and_falls_back(world: World) -> None:
    before = world.env_file.read_bytes()
    run = rehearse(world, world.plan())
    assert run.state == "completed", run.held_reason
    assert run.facts["crossed"]["locked_ms"] > 0
    assert run.facts["rollback_seconds"] > 0 and run.facts["downtime_seconds"] > 0
    assert world.step(run, "rehearse_fall_back").evidence["follows_again_at"] >= 0
    assert world.env_file.read_bytes() == before
    assert ours_in(world.sqlite) == []


def test_it_crosses_under_a_writer_falls_back_and_crosses_again_without_a_copy(writing: World) -> None:
    world = writing
    plan = world.plan()
    run = crossed(world, plan)
    assert run.state == "waiting", run.held_reason
    assert "DATABASE_URL=postgresql://" in world.env_file.read_text()
    replication = replication_of(world)
    assert (replication.direction, replication.window_open, replication.run_id) == ("back", True, run.pk)
    beats = len(read_target(world, BEATS))
    wait_for("the application to write on PostgreSQL", lambda: len(read_target(world, BEATS)) > beats)
    with pytest.raises(sqlite3.IntegrityError, match="closed"):
        write_sqlite(world.application, "INSERT INTO items (name) VALUES ('past the fence')")

    world.execute_in_target("INSERT INTO items (name) VALUES ('written on postgresql')")
    replication = follow_once(world)
    assert replication.flowed_rows > 0
    assert "written on postgresql" in [name for _, name in read_sqlite(world.application, ITEMS)]
    world.execute_in_target("UPDATE items SET name = 'still on its way' WHERE id = 1")
    tag = price_of(run)
    assert (tag.price, tag.people, tag.lossless) == ("R3", 1, True)
    assert tag.waiting and tag.flowed

    request = back(world, run)
    assert (request.state, request.lossless) == ("agreed", True)
    run = world.drive(run)
    assert run.state == "rolled_back", run.held_reason
    assert "sqlite:///" in world.env_file.read_text()
    assert (1, "still on its way") in read_sqlite(world.application, ITEMS)
    target = read_target(world, BEATS)
    assert [row for row in read_sqlite(world.application, BEATS) if row[0] <= target[-1][0]] == target
    gone = downtime_of(run, run.steps.all(), run.finished_at)
    assert gone is not None and gone.over and 0 < gone.seconds < 60

    replication = follow_once(world)
    assert (replication.direction, replication.state) == ("forward", "following")
    again = prepared(world, plan)
    assert again.state == "waiting", again.held_reason
    assert world.step(again, "copy_online").evidence["continued"] is True
    again = go(world, again)
    assert again.state == "waiting", again.held_reason
    assert replication_of(world).run_id == again.pk
    assert read_target(world, ITEMS)[0] == (1, "still on its way")


def test_what_is_written_between_the_copy_and_the_freeze_is_there(world: World) -> None:
    plan = world.plan()
    make.rehearsed(plan, world.ana, strategy="online")
    run = prepared(world, plan)
    assert run.state == "waiting", run.held_reason
    write_sqlite(
        world.application,
        "INSERT INTO items (name) VALUES ('after the copy')",
        "DELETE FROM items WHERE id = 2",
        "UPDATE items SET id = 100 WHERE id = 3",
    )
    assert follow_once(world).lag_rows == 0
    write_sqlite(world.application, "INSERT OR REPLACE INTO items VALUES (1, 'the last moment')")
    run = go(world, run)
    assert run.state == "waiting", run.held_reason
    assert read_target(world, ITEMS) == read_sqlite(world.application, ITEMS)
    assert (1, "the last moment") in read_target(world, ITEMS)


def test_following_does_not_void_a_signature(world: World) -> None:
    """Gate 2 signs the last full check; what is applied and read back since says nothing against it."""
    plan = world.plan()
    make.rehearsed(plan, world.ana, strategy="online")
    run = prepared(world, plan)
    world.sign(run, "go", "ben", "lead")
    write_sqlite(world.application, "INSERT INTO items (name) VALUES ('meanwhile')")
    follow_once(world)
    world.sign(run, "go", "ana", "ops")
    assert world.drive(run).state == "waiting"
    assert world.step(run, "cut_over").state == "succeeded"


def test_a_freeze_that_is_given_up_leaves_the_application_on_sqlite(world: World) -> None:
    world.application.busy_timeout_ms = 500
    world.application.save()
    plan = world.plan()
    make.rehearsed(plan, world.ana, strategy="online")
    run = prepared(world, plan)
    world.sign(run, "go", "ben", "lead")
    world.sign(run, "go", "ana", "ops")
    with closing(sqlite3.connect(world.sqlite, isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        run = world.drive(run)
    assert run.state == "held"
    assert world.step(run, "cut_over").error_code == "FREEZE_GAVE_UP"
    assert "sqlite:///" in world.env_file.read_text()
    write_sqlite(world.application, "INSERT INTO items (name) VALUES ('it takes writes')")
    resume_run(actor=world.ana, run=run)
    run = world.drive(run)
    assert run.state == "waiting", run.held_reason
    assert "it takes writes" in [name for _, name in read_target(world, ITEMS)]


def test_an_application_that_a_cut_off_freeze_told_to_stop_is_up_again_when_the_next_one_is_given_up(
    world: World,
) -> None:
    """It takes its time to stop: to the worker that goes on it seems to be up, and a moment later it is gone."""
    world.stop_everything()
    world.set_fault("ignores_sigterm")
    world.application.busy_timeout_ms = 500
    for process in world.application.processes:
        process["stop_timeout_seconds"] = 2
    world.application.save()
    world.start_application()
    plan = world.plan()
    make.rehearsed(plan, world.ana, strategy="online")
    run = prepared(world, plan)
    world.sign(run, "go", "ben", "lead")
    world.sign(run, "go", "ana", "ops")
    before = (world.folder / "events.log").read_text().count("start web")
    driver = workplace.driver_of(run)
    Moments(run, "cut_over").note("down_since")  # the worker died between this and SQLite's commit
    driver.signal_stop()
    with closing(sqlite3.connect(world.sqlite, isolation_level=None)) as somebody:
        somebody.execute("BEGIN IMMEDIATE")
        run = world.drive(run)
    assert (run.state, world.step(run, "cut_over").error_code) == ("held", "FREEZE_GAVE_UP")
    assert (world.folder / "events.log").read_text().count("start web") == before + 1
    status = driver.status()
    assert status.state == "running" and all(process.alive for process in status.processes)


@pytest.mark.parametrize("moment", ["stop", "point", "start"])
def test_a_cut_over_that_broke_after_the_fence_goes_on_by_what_is_true(
    world: World, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = world.plan()
    make.rehearsed(plan, world.ana, strategy="online")
    run = prepared(world, plan)
    world.sign(run, "go", "ben", "lead")
    world.sign(run, "go", "ana", "ops")

    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("killed here")

    with monkeypatch.context() as patch:
        if moment == "point":
            patch.setattr(cut_over, "point", broken)
        else:
            driver = type(workplace.driver_of(world.fresh(run)))
            patch.setattr(driver, {"stop": "prove_stopped", "start": "start"}[moment], broken)
        run = world.drive(run)
    assert run.state == "held"
    assert world.step(run, "cut_over").state == "errored"
    reality = probe_reality(run_id=run.pk)["crossing"]
    assert reality["sqlite"] == "fenced" and reality["postgresql"] == "taken_over"
    resume_run(actor=world.ana, run=world.fresh(run))
    run = world.drive(run)
    assert run.state == "waiting", run.held_reason
    assert world.fresh(run).down_since is not None
    assert read_target(world, ITEMS) == read_sqlite(world.application, ITEMS)


def test_a_sign_off_leaves_no_trace_on_either_side(world: World) -> None:
    run = crossed(world, world.plan())
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
    assert ours_in(world.sqlite) == []
    assert read_target(world, "SELECT 1 FROM pg_namespace WHERE nspname = 'causeway'") == []
    assert replication_of(world).state == "ended"
    actions = set(AuditEvent.objects.values_list("action", flat=True))
    assert {"replication.began", "replication.copied", "replication.turned", "replication.ended"} <= actions
    too_late = by_hand(world, run, url=world.target)  # its file is as of the sign-off, and gets nothing any more
    assert too_late.returncode == 2 and "nothing of the crossing" in too_late.stdout + too_late.stderr
    assert "postgresql://" in world.env_file.read_text()


def test_a_rollback_before_the_cut_over_leaves_postgresql_following(world: World) -> None:
    plan = world.plan()
    make.rehearsed(plan, world.ana, strategy="online")
    run = prepared(world, plan)
    assert price_of(run).price == "R0"
    assert back(world, run).state == "agreed"
    run = world.drive(run)
    assert run.state == "rolled_back", run.held_reason
    assert [s.name for s in RunStep.objects.filter(run=run, phase="rollback")] == ["back_keep_following"]
    write_sqlite(world.application, "INSERT INTO items (name) VALUES ('later')")
    follow_once(world)
    assert "later" in [name for _, name in read_target(world, ITEMS)]


def by_hand(world: World, run, *arguments: str, url: str = "") -> subprocess.CompletedProcess[str]:  # type: ignore[no-untyped-def]
    """rollback.sh as an operator runs it, with none of Causeway's own environment."""
    script = workplace.run_directory(world.fresh(run)) / "rollback.sh"
    given = {"TARGET_DATABASE_URL": url} if url else {}
    return subprocess.run(
        ["sh", str(script), *arguments],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", **given},
        cwd="/",
        timeout=120,
    )


def test_rollback_sh_brings_every_row_back_and_refuses_to_lose_one_unasked(world: World) -> None:
    run = crossed(world, world.plan())
    world.execute_in_target("INSERT INTO items (name) VALUES ('has not flowed yet')")
    refused = by_hand(world, run)
    assert refused.returncode == 2 and "TARGET_DATABASE_URL" in refused.stderr
    assert "postgresql://" in world.env_file.read_text()
    dry = by_hand(world, run, "--dry-run", url=world.target)
    assert dry.returncode == 0 and "would bring every row back" in dry.stdout
    done = by_hand(world, run, url=world.target)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "sqlite:///" in world.env_file.read_text()
    assert "has not flowed yet" in [name for _, name in read_sqlite(world.application, ITEMS)]
    again = by_hand(world, run, url=world.target)
    assert again.returncode == 0 and "nothing to do" in again.stdout
    password = str(world.application.target_url.reveal()).split("@")[0].rsplit(":", 1)[1]
    folder = workplace.run_directory(world.fresh(run))
    assert not [path for path in folder.glob("rollback*") if password in path.read_text()]

    write_sqlite(world.application, "INSERT INTO items (name) VALUES ('written since')")
    assert follow_once(world).direction == "forward"
    back(world, run)
    run = world.drive(run)
    assert run.state == "rolled_back", run.held_reason
    assert "written since" in [name for _, name in read_target(world, ITEMS)]


def test_rollback_sh_opens_the_file_without_postgresql_only_when_told_to_give_rows_up(world: World) -> None:
    run = crossed(world, world.plan())
    world.execute_in_target("INSERT INTO items (name) VALUES ('flowed')")
    follow_once(world)
    world.execute_in_target("INSERT INTO items (name) VALUES ('given up')")
    gone = "postgresql://nobody:x@127.0.0.1:1/none"
    refused = by_hand(world, run, url=gone)
    assert refused.returncode == 2 and "--give-up-rows" in refused.stderr
    with pytest.raises(sqlite3.IntegrityError):
        write_sqlite(world.application, "INSERT INTO items (name) VALUES ('x')")
    done = by_hand(world, run, "--give-up-rows")
    assert done.returncode == 0, done.stdout + done.stderr
    write_sqlite(world.application, "INSERT INTO items (name) VALUES ('it takes writes')")
    names = [name for _, name in read_sqlite(world.application, ITEMS)]
    assert "flowed" in names and "given up" not in names
