"""A worker's process dies in the middle of a live crossing, or of the way back: another ends it where the facts say.

Real workers, a real broker, kill -9. Whatever the application's processes had acknowledged is there once, on the side
that is live.
"""

from __future__ import annotations

import json
import random
import sqlite3
import time
import urllib.request
from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest

from migrations_app.engine.capture import capture
from migrations_app.models import MigrationRun
from migrations_app.services.reality import probe_reality
from migrations_app.services.rollback import request_rollback
from tests import factories as make
from tests.migrations_app.runs.conftest import World, write_operator_file
from tests.migrations_app.runs.online import prepared, read_sqlite, read_target, write_sqlite
from tests.migrations_app.runs.workers import Worker, Workers, wait_for

BEATS = "SELECT name FROM beats"


def serve(world: World, fault: str = "", *, writes: bool = True) -> None:
    """The application anew, with a fault to choose; its stop takes two seconds a process where it doesn't obey."""
    world.stop_everything()
    write_operator_file(world.folder, fault)
    if writes:
        operator = world.folder / "operator.toml"
        operator.write_text(operator.read_text().replace("TINY_FAULT", 'TINY_WRITES = "1"\nTINY_FAULT'))
    for process in world.application.processes:
        process["stop_timeout_seconds"] = 2
    world.application.save()
    world.start_application()


def at_the_gate(world: World) -> MigrationRun:
    """A production run at gate 2; a worker does what follows."""
    plan = world.plan()
    make.rehearsed(plan, world.ana, strategy="online")
    run = prepared(world, plan)
    assert run.state == "waiting", run.held_reason
    return run


def let_go(world: World, run: MigrationRun) -> None:
    world.sign(run, "go", "ben", "lead")
    world.sign(run, "go", "ana", "ops")


def go_back(world: World, run: MigrationRun) -> None:
    request = request_rollback(
        actor=world.ana, run=world.fresh(run), reason="slow", typed_name="tiny", rows_typed=None, reauthenticated=True
    )
    assert (request.state, request.lossless) == ("agreed", True)


def killed_when(world: World, worker: Worker, run: MigrationRun, step: str, true: Callable[[], bool]) -> None:
    """The whole worker, at the moment at which that is true, in the middle of that step."""
    wait_for(f"the moment in {step}: {world.fresh(run).held_reason}", true, 60, 0.005)
    worker.kill()
    assert world.step(run, step).state == "running", "it was killed too late to prove anything"


def reached(world: World, run: MigrationRun, *states: str) -> MigrationRun:
    wait_for(f"the run to be {states}", lambda: world.fresh(run).state in (*states, "held"), 150, 0.1)
    run = world.fresh(run)
    assert run.state in states, run.held_reason
    return run


def sqlite_is(world: World, mode: str) -> bool:
    state = capture.read_state(world.sqlite)
    return state is not None and state.mode == mode


def configured(world: World, dialect: str) -> bool:
    return f"DATABASE_URL={dialect}:" in world.env_file.read_text()


def answers_on(world: World, dialect: str) -> None:
    """People can use the application, and it says that database itself."""
    port = world.application.processes[0]["port"]
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=10) as answer:
        assert json.load(answer)["database"] == dialect


def acknowledged(world: World) -> list[str]:
    return (world.folder / "acknowledged.log").read_text().splitlines()


def nothing_lost_nothing_doubled(world: World, rows: Callable[[], list[tuple[Any, ...]]]) -> None:
    said = acknowledged(world)  # before the rows are read: it goes on writing
    found = [name for (name,) in rows()]
    assert len(said) > 10 and set(said) <= set(found)
    assert len(found) == len(set(found))


def test_a_worker_that_dies_before_the_freeze_is_committed_leaves_an_application_that_crosses_all_the_same(
    world: World, workers: Workers
) -> None:
    """PostgreSQL was told, and so was the application; a reader keeps SQLite's commit waiting when the worker dies."""
    world.stop_everything()
    with closing(sqlite3.connect(world.sqlite)) as database:
        assert database.execute("PRAGMA journal_mode=DELETE").fetchone() == ("delete",)
    reading = world.folder / "reader_is_there"
    serve(world, writes=False)
    operator = world.folder / "operator.toml"
    waiting = f'["sh", "-c", "while [ ! -e {reading} ]; do sleep 0.05; done"]'
    operator.write_text(operator.read_text().replace(f'["touch", "{world.folder / "maintenance.html"}"]', waiting))
    world.application.commands = {"before_stop": "page_up"}
    world.application.save()
    run = at_the_gate(world)
    worker = workers.start()
    let_go(world, run)
    wait_for("the step before", lambda: world.step(run, "before_stop").state == "running", 60, 0.02)
    write_sqlite(world.application, "INSERT INTO items (name) VALUES ('the last moment')")
    with closing(sqlite3.connect(world.sqlite, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM items").fetchone()
        reading.touch()
        phase = "SELECT phase FROM causeway.replication"
        killed_when(world, worker, run, "cut_over", lambda: read_target(world, phase) == [("taken_over",)])
    assert sqlite_is(world, "capture") and configured(world, "sqlite")
    write_sqlite(world.application, "INSERT INTO items (name) VALUES ('after the kill')")
    workers.start()
    reached(world, run, "waiting")
    assert world.step(run, "cut_over").attempts == 2
    answers_on(world, "postgresql")
    names = [name for (name,) in read_target(world, "SELECT name FROM items ORDER BY id")]
    assert names[-2:] == ["the last moment", "after the kill"] and len(names) == len(set(names)) == 9


def test_workers_that_die_there_and_back_lose_nothing_and_leave_the_application_up(
    world: World, workers: Workers
) -> None:
    """Once the freeze is committed and while the application starts; and once SQLite is open again."""
    serve(world, "ignores_sigterm")  # so that there is a while between the commit and the configuration
    run = at_the_gate(world)
    worker = workers.start()
    let_go(world, run)
    killed_when(world, worker, run, "cut_over", lambda: sqlite_is(world, "fenced"))
    assert configured(world, "sqlite")
    facts = probe_reality(run_id=run.pk)["crossing"]
    assert (facts["sqlite"], facts["postgresql"], facts["live"]) == ("fenced", "taken_over", "nobody")

    holding = world.folder / "wait_to_start"
    holding.touch()
    started = (world.folder / "events.log").read_text().count("start web")
    worker = workers.start()
    killed_when(
        world,
        worker,
        run,
        "cut_over",
        lambda: (world.folder / "events.log").read_text().count("start web") > started,
    )
    assert configured(world, "postgresql")
    holding.unlink()
    worker = workers.start()
    reached(world, run, "waiting")
    assert world.step(run, "cut_over").attempts == 3
    answers_on(world, "postgresql")
    nothing_lost_nothing_doubled(world, lambda: read_target(world, BEATS))

    said = len(acknowledged(world))
    wait_for("writes on PostgreSQL", lambda: len(acknowledged(world)) > said + 5)
    go_back(world, run)
    killed_when(world, worker, run, "back_fall_back", lambda: sqlite_is(world, "capture"))
    assert configured(world, "postgresql")
    workers.start()
    reached(world, run, "rolled_back")
    assert world.step(run, "back_fall_back").attempts == 2
    assert configured(world, "sqlite")
    answers_on(world, "sqlite")
    nothing_lost_nothing_doubled(world, lambda: read_sqlite(world.application, BEATS))


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(6))
def test_workers_that_die_at_any_moment_lose_nothing(world: World, workers: Workers, seed: int) -> None:
    chance = random.Random(seed)
    serve(world)
    run = at_the_gate(world)
    for name, act, end in (("cut_over", let_go, "waiting"), ("back_fall_back", go_back, "rolled_back")):
        worker = workers.start()
        act(world, run)
        for _ in range(2):  # the third attempt is the last that is made without asking
            wait_for(name, lambda name=name: _is_at(world, run, name), 60, 0.005)
            time.sleep(chance.uniform(0, 1.2))
            worker.kill()
            worker = workers.start()
        reached(world, run, end)
        worker.kill()
    answers_on(world, "sqlite")
    nothing_lost_nothing_doubled(world, lambda: read_sqlite(world.application, BEATS))


def _is_at(world: World, run: MigrationRun, name: str) -> bool:
    """In that step, or past it."""
    step = run.steps.filter(name=name).first()
    return step is not None and step.state in ("running", "succeeded")
