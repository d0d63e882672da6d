"""Real workers: one is killed in the middle of a load, the broker goes away, and the run still ends exactly right."""

from __future__ import annotations

import os
import signal
import sqlite3
import threading
from contextlib import closing

import psycopg2
import pytest
from django.db import connection, transaction

from controlplane.audit.models import AuditEvent
from controlplane.embedded import EmbeddedBroker
from migrations_app import doorbell
from migrations_app.models import MigrationRun
from migrations_app.services.runs import start_run, submit_run
from tests import factories as make
from tests.migrations_app.runs.conftest import World
from tests.migrations_app.runs.workers import Workers, add_ballast, chunks_loaded, wait_for

ROWS = 300_000


def sums(world: World) -> tuple[tuple[object, ...], tuple[object, ...]]:
    question = "SELECT count(*), count(DISTINCT id), sum(id), sum(length(word)) FROM ballast"
    with closing(psycopg2.connect(world.target)) as target, target.cursor() as cursor:
        cursor.execute(question)
        there = cursor.fetchone()
    with closing(sqlite3.connect(world.sqlite)) as source:
        here = source.execute(question).fetchone()
    return tuple(map(int, there)), tuple(map(int, here))


def state_of(run: MigrationRun) -> str:
    return MigrationRun.objects.values_list("state", flat=True).get(pk=run.pk)


def reached(world: World, run: MigrationRun, *states: str) -> MigrationRun:
    wait_for(f"the run to be {states}, it is {state_of(run)}", lambda: state_of(run) in (*states, "held"), 150, 0.2)
    run = world.fresh(run)
    assert run.state in states, run.held_reason
    return run


def test_worker_killed_in_the_middle_of_a_load_is_followed_by_one_that_finishes_it(
    world: World, workers: Workers
) -> None:
    add_ballast(world.sqlite, ROWS)
    plan = world.plan()
    make.rehearsed(plan, world.ana)
    first = workers.start()
    run = world.run(plan)
    submit_run(actor=world.ana, run=run)
    world.sign(run, "plan", "ben", "lead")
    start_run(actor=world.ana, run=world.fresh(run))
    reached(world, run, "waiting")
    world.sign(run, "go", "ben", "lead")
    world.sign(run, "go", "ana", "ops")
    wait_for("a chunk to be loaded", lambda: chunks_loaded(world.target) >= 2, 120, 0.02)
    first.kill()
    at_kill = chunks_loaded(world.target)
    load = world.step(run, "load")
    assert (load.state, load.attempts) == ("running", 1), "it was killed too late to prove anything"
    workers.start()
    run = reached(world, run, "waiting")
    load = world.step(run, "load")
    assert load.attempts == 2
    assert at_kill * 10_000 < ROWS
    there, here = sums(world)
    assert there == here == (ROWS, ROWS, ROWS * (ROWS + 1) // 2, here[3])
    assert world.step(run, "verify").state == "succeeded"
    assert AuditEvent.objects.filter(action="step.reclaimed").count() == 1
    assert not run.steps.filter(attempts__gt=1).exclude(name="load").exists()


def ring_once() -> None:
    try:
        with transaction.atomic():
            doorbell.ring("migrations_app.work", 1, "common")
    finally:
        connection.close()


def within_three_seconds(act: object) -> bool:
    thread = threading.Thread(target=act, daemon=True)  # type: ignore[arg-type]
    thread.start()
    thread.join(3)
    return not thread.is_alive()


def test_run_that_started_while_the_broker_was_down_runs_when_it_is_back(
    world: World, workers: Workers, own_broker: EmbeddedBroker
) -> None:
    plan = world.plan()
    workers.start()
    own_broker.stop()
    run = world.run(plan, "rehearsal")

    def start() -> None:
        try:
            start_run(actor=world.ana, run=world.fresh(run))
        finally:
            connection.close()

    assert within_three_seconds(start), "the button hung because the broker was down"
    assert state_of(run) == "running"
    own_broker.start()
    run = reached(world, run, "completed")
    assert not run.steps.filter(attempts__gt=1).exists()


def test_frozen_broker_does_not_hold_up_a_page(
    world: World, workers: Workers, own_broker: EmbeddedBroker, caplog: pytest.LogCaptureFixture
) -> None:
    os.kill(own_broker.pid, signal.SIGSTOP)
    try:
        assert within_three_seconds(ring_once)
        assert "broker out of reach" in caplog.text
    finally:
        os.kill(own_broker.pid, signal.SIGCONT)
