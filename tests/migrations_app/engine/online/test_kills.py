"""Whatever is killed and when: what the facts say is done, and no acknowledged transaction is lost or doubled."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from bench.crossing.stage import Stage
from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.errors import EngineError
from migrations_app.engine.online.decisions import FLOW_BACK, FOLLOW
from migrations_app.engine.online.facts import POSTGRESQL, SQLITE
from tests.migrations_app.engine.fragile import database, own_server, text_of
from tests.migrations_app.engine.online.conftest import MakeStage
from tests.migrations_app.engine.online.orchestrator import BACK, THERE
from tests.migrations_app.engine.online.test_crossing import FEW, assert_right, flow_all

_PATIENCE = 60


def orchestrate(stage: Stage, direction: str, point: str) -> int:
    """The crossing in a process of its own, killed at `point`. Its exit status."""
    pid = stage.application.starts[-1].pid
    command = [sys.executable, "-m", "tests.migrations_app.engine.online.orchestrator"]
    return subprocess.run([*command, stage.save(), direction, point, str(pid)], timeout=_PATIENCE).returncode


def bring_to(stage: Stage, side: str) -> None:
    """Cross or come back, unless the application works there."""
    if stage.application.configuration != side:
        stage.cross() if side == POSTGRESQL else stage.come_back()


def prepared(make_stage: MakeStage, **more: object) -> Stage:
    stage = make_stage(**more)
    stage.application.wait_for(FEW)
    stage.prepare()
    return stage


def assert_recovered(stage: Stage) -> None:
    decision = stage.recover()
    assert decision.action == (FOLLOW if stage.application.configuration == SQLITE else FLOW_BACK)
    stage.application.wait_for(20)


@pytest.mark.parametrize("wal", [True, False], ids=["wal", "journal"])
def test_killed_at_each_point_of_crossing_and_falling_back_the_facts_say_how_to_go_on(
    make_stage: MakeStage, wal: bool
) -> None:
    stage = prepared(make_stage, wal=wal)
    for direction, point in [("there", p) for p in THERE] + [("back", p) for p in BACK]:
        bring_to(stage, SQLITE if direction == "there" else POSTGRESQL)
        stage.application.wait_for(20)
        assert orchestrate(stage, direction, point) == -signal.SIGKILL, f"{direction} {point} was never reached"
        assert_recovered(stage)
        over = point == THERE[-1] or (direction == "back" and point not in ("given_back", "lifted"))
        assert stage.application.configuration == (POSTGRESQL if over else SQLITE), f"{direction} {point}"
    stage.application.stop()
    flow_all(stage)
    assert_right(stage)


def test_the_application_killed_in_the_freeze_loses_nothing_that_it_acknowledged(make_stage: MakeStage) -> None:
    stage = prepared(make_stage)
    for move in (stage.cross, stage.come_back):

        def killing(name: str) -> None:
            if name == "locked":
                stage.application.kill()

        move(killing)
        stage.application.wait_for(20)
    stage.application.stop()
    flow_all(stage)
    assert_right(stage)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    """A server that a test may crash."""
    with own_server() as running:
        yield running


@pytest.fixture
def fragile_url(server: EmbeddedPostgres) -> Iterator[str]:
    with database(server) as url:
        server.execute(f'GRANT SET ON PARAMETER session_replication_role TO "{url.user}"')
        yield text_of(url)
        server.execute(f'REVOKE SET ON PARAMETER session_replication_role FROM "{url.user}"')


def crash(server: EmbeddedPostgres) -> None:
    """What pg_ctl -m immediate sends, until it is gone."""
    os.kill(server.pid, signal.SIGQUIT)
    until = time.monotonic() + 30
    while server.running and time.monotonic() < until:
        time.sleep(0.01)
    assert not server.running


@pytest.mark.parametrize("point", ["locked", "applied", "taken_over", "fenced"])
def test_postgresql_that_crashes_in_the_freeze_gives_it_up_or_finishes_it(
    make_stage: MakeStage, server: EmbeddedPostgres, fragile_url: str, point: str
) -> None:
    stage = prepared(make_stage, target=fragile_url)

    def crashing(name: str) -> None:
        if name == point:
            crash(server)

    try:
        stage.cross(crashing)
    except EngineError as error:
        assert point in ("locked", "applied"), error
    server.start()
    assert_recovered(stage)
    bring_to(stage, POSTGRESQL)
    stage.application.wait_for(20)
    stage.application.stop()
    flow_all(stage)
    assert_right(stage)


@pytest.mark.parametrize("point", ["locked", "last_flow", "given_back"])
def test_postgresql_that_crashes_in_the_fall_back_gives_it_up_or_finishes_it(
    make_stage: MakeStage, server: EmbeddedPostgres, fragile_url: str, point: str
) -> None:
    stage = prepared(make_stage, target=fragile_url)
    stage.cross()
    stage.application.wait_for(20)

    def crashing(name: str) -> None:
        if name == point:
            crash(server)

    with pytest.raises(EngineError):
        stage.come_back(crashing)
    server.start()
    assert_recovered(stage)
    bring_to(stage, SQLITE)
    stage.application.wait_for(20)
    stage.application.stop()
    flow_all(stage)
    assert_right(stage)


@pytest.mark.chaos
def test_a_hundred_kills_at_random_points_lose_and_double_nothing(make_stage: MakeStage) -> None:
    chance = random.Random(100)
    stage = prepared(make_stage)
    for number in range(100):
        there = stage.application.configuration == SQLITE
        point = chance.choice(THERE if there else BACK)
        if chance.random() < 0.3:
            threading.Timer(chance.random() * 0.3, stage.application.kill).start()
        orchestrate(stage, "there" if there else "back", point)
        assert_recovered(stage)
        if number % 10 == 9:
            bring_to(stage, POSTGRESQL if chance.random() < 0.5 else SQLITE)
            stage.application.stop()
            flow_all(stage)
            assert_right(stage)
            stage.application.start()
            stage.application.wait_for(20)
