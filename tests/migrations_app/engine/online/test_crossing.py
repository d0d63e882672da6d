"""An application that never stops writing crosses over, comes back, and crosses again: nothing is lost or doubled."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from bench.crossing.acknowledged import read_acknowledged
from bench.crossing.application import Load
from bench.crossing.stage import Stage
from migrations_app.engine.online import ending
from migrations_app.engine.online.decisions import FLOW_BACK, FOLLOW, NOTHING, decide
from migrations_app.engine.online.facts import POSTGRESQL, SQLITE
from migrations_app.engine.online.looking import look
from migrations_app.engine.online.settling import settle
from migrations_app.engine.replay.backward import Returner
from migrations_app.engine.replay.forward import Follower
from migrations_app.engine.source.opening import open_source
from tests.migrations_app.engine.moves import Look
from tests.migrations_app.engine.online.conftest import QUICK, MakeStage

FEW = 60  # transactions that must pass before something is done


def assert_right(stage: Stage) -> None:
    """With the application stopped and all flowed: each acknowledged transaction once, every cell equal."""
    ledger = stage.ledger()
    assert ledger.right, ledger
    assert ledger.acknowledged >= FEW
    assert stage.differences() == []


def flow_all(stage: Stage) -> None:
    """What is still on its way, in the direction that things flow."""
    if stage.application.configuration == SQLITE:
        with Follower(stage.pair) as follower:
            follower.catch_up()
    else:
        with Returner(stage.pair, stage.forms, busy_timeout_ms=5000) as returner:
            returner.flow()


@pytest.mark.parametrize("wal", [True, False], ids=["wal", "journal"])
def test_a_writer_crosses_comes_back_and_crosses_again_and_loses_nothing(make_stage: MakeStage, wal: bool) -> None:
    stage = make_stage(wal=wal)
    app = stage.application
    app.wait_for(FEW)
    stage.prepare()
    checked = stage.check()
    assert checked.verify.equal, checked.verify.differences

    stage.cross()
    assert decide(look(stage.pair, app.configuration)).action == FLOW_BACK
    app.wait_for(FEW)
    settle(stage.pair)
    stage.come_back()
    assert decide(look(stage.pair, app.configuration)).action == FOLLOW
    app.wait_for(FEW)
    stage.cross()  # no new copy
    app.wait_for(FEW)

    app.stop()
    flow_all(stage)
    assert app.configuration == POSTGRESQL
    assert_right(stage)
    acknowledged = read_acknowledged(app.folder)
    assert len(acknowledged.starts) == 4, "each crossing restarted the application, once"


def test_after_a_fall_back_sqlite_holds_every_cell_that_postgresql_held(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.application.wait_for(FEW)
    stage.prepare()
    stage.cross()
    stage.application.wait_for(FEW)
    stage.come_back()
    stage.application.stop()
    flow_all(stage)
    assert stage.application.configuration == SQLITE
    assert_right(stage)


def test_many_tables_and_many_writers_cross_too(make_stage: MakeStage) -> None:
    load = Load(threads=8, per_second=200, busy_timeout_ms=10_000, accounts=60)
    stage = make_stage(load=load, more_tables=40)
    stage.application.wait_for(FEW)
    stage.prepare()
    stage.cross()
    stage.application.wait_for(FEW)
    stage.come_back()
    stage.application.wait_for(FEW)
    stage.application.stop()
    flow_all(stage)
    assert_right(stage)


def test_a_number_that_postgresql_gave_out_and_took_back_is_not_given_out_again(
    make_stage: MakeStage, look: Look
) -> None:
    stage = make_stage()
    stage.application.wait_for(FEW)
    stage.prepare()
    stage.cross()
    stage.application.wait_for(FEW)
    gone = look.value("INSERT INTO entries (account_id, amount, made_at) VALUES (1, 0, now()) RETURNING id")
    look.run(f"DELETE FROM entries WHERE id = {gone}")
    stage.come_back()
    stage.application.wait_for(FEW)
    stage.application.stop()
    connection = sqlite3.connect(stage.source)
    assert connection.execute("SELECT count(*) FROM entries WHERE id = ?", (gone,)).fetchone() == (0,)
    assert connection.execute("SELECT count(*) FROM entries WHERE id > ?", (gone,)).fetchone()[0] >= FEW
    connection.close()


def test_the_end_leaves_no_trace_on_either_side(make_stage: MakeStage, look: Look) -> None:
    stage = make_stage()
    stage.application.wait_for(FEW)
    before = objects(stage.source)
    stage.prepare()
    stage.cross()
    ending.end(stage.pair, stage.application.configuration)
    ending.end(stage.pair, stage.application.configuration)  # twice is once
    stage.application.wait_for(FEW)
    stage.application.stop()
    assert objects(stage.source) == before
    names = look.rows(
        "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal UNION ALL SELECT relname FROM pg_class"
        " WHERE relnamespace = to_regnamespace('causeway')"
        " AND relname IN ('replication', 'changes', 'watched', 'aside')"
    )
    assert names == []
    state = decide_now(stage)
    assert state == NOTHING


def decide_now(stage: Stage) -> str:
    return decide(look(stage.pair, stage.application.configuration)).action


def objects(path: Path) -> list[tuple[str, str]]:
    connection = sqlite3.connect(path)
    try:
        return sorted(connection.execute("SELECT name, coalesce(sql, '') FROM sqlite_schema"))
    finally:
        connection.close()


def test_what_is_said_of_the_file_is_the_same_with_capture_and_fenced(make_stage: MakeStage) -> None:
    stage = make_stage(load=QUICK)
    stage.application.wait_for(FEW)
    stage.plan()
    digest = stage.pair.plan.schema_digest
    stage.capture()
    with open_source(stage.source) as source:
        assert source.schema.digest == digest
    stage.copy()
    stage.arm_back()
    stage.cross()
    with open_source(stage.source) as source:
        assert source.schema.digest == digest
