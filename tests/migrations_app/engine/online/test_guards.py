"""A crossing that can't be done safely isn't done: SQLite goes on, nothing is lost, and the error says why."""

from __future__ import annotations

import sqlite3
import threading
from dataclasses import replace

import pytest

from bench.crossing.acknowledged import read_acknowledged
from bench.crossing.application import Load
from bench.crossing.stage import Stage
from migrations_app.engine.capture import capture
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.online.copying import export_snapshot, journal_problem
from migrations_app.engine.online.decisions import ASK, FOLLOW, decide
from migrations_app.engine.online.facts import POSTGRESQL, SQLITE
from migrations_app.engine.online.freeze import confirm_stopped, cross_over
from migrations_app.engine.online.looking import look as look_at
from migrations_app.engine.online.recovery import mend, take_back
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target.target_url import parse_target_url
from tests.migrations_app.engine.fragile import text_of
from tests.migrations_app.engine.moves import Look
from tests.migrations_app.engine.online.conftest import MakeStage
from tests.migrations_app.engine.online.slow_wire import SlowWire
from tests.migrations_app.engine.online.test_crossing import FEW, assert_right, flow_all
from tests.migrations_app.engine.online.test_kills import prepared

HASTY = Load(threads=3, per_second=150, busy_timeout_ms=2000, accounts=60)


def goes_on(stage: Stage) -> None:
    """The application works on SQLite, and PostgreSQL follows."""
    assert stage.recover().action == FOLLOW
    assert stage.application.configuration == SQLITE
    stage.application.wait_for(20)


def test_over_a_slow_link_the_crossing_is_right(make_stage: MakeStage, applier_url: str) -> None:
    with SlowWire(parse_target_url(applier_url)) as wire:
        stage = prepared(make_stage, load=replace(HASTY, busy_timeout_ms=20_000))
        stage.pair = replace(stage.pair, url=wire.url)
        stage.cross()
        stage.application.wait_for(FEW)
        stage.come_back()
        stage.application.wait_for(FEW)
        stage.application.stop()
        flow_all(stage)
        assert_right(stage)


def test_a_link_that_falls_silent_in_the_freeze_costs_no_write(make_stage: MakeStage, applier_url: str) -> None:
    with SlowWire(parse_target_url(applier_url), latency=0.0) as wire:
        stage = prepared(make_stage, load=HASTY)
        stage.pair = replace(stage.pair, url=wire.url)
        errors = len(read_acknowledged(stage.application.folder).errors)

        def silencing(name: str) -> None:
            if name == "locked":
                wire.fall_silent()
                threading.Timer(3, wire.speak_again).start()

        with pytest.raises(Failed) as gave_up:
            stage.cross(silencing)
        assert gave_up.value.code == "FREEZE_GAVE_UP"
        stage.application.wait_for(FEW)
        assert len(read_acknowledged(stage.application.folder).errors) == errors, "no write was refused"
        wire.speak_again()
        goes_on(stage)
        stage.cross()
        stage.application.wait_for(FEW)
        stage.application.stop()
        flow_all(stage)
        assert_right(stage)


def test_outside_wal_mode_a_reader_that_stays_makes_the_freeze_give_up(make_stage: MakeStage) -> None:
    stage = prepared(make_stage, wal=False, load=HASTY)
    readers: list[sqlite3.Connection] = []

    def reading(name: str) -> None:
        if name == "stop_signalled":
            reader = sqlite3.connect(stage.source, isolation_level=None)
            readers.append(reader)
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM accounts").fetchone()

    with pytest.raises(Failed) as gave_up:
        stage.cross(reading)
    assert gave_up.value.code == "FREEZE_GAVE_UP"
    readers[0].close()
    goes_on(stage)
    stage.application.stop()
    flow_all(stage)
    assert_right(stage)


def test_a_schema_that_changes_while_changes_are_recorded_is_refused_in_the_freeze(make_stage: MakeStage) -> None:
    stage = prepared(make_stage)

    def altering(name: str) -> None:
        if name == "caught_up":
            connection = sqlite3.connect(stage.source, timeout=10)
            connection.execute("ALTER TABLE counters ADD COLUMN colour TEXT")
            connection.close()

    with pytest.raises(Failed) as refused:
        stage.cross(altering)
    assert refused.value.code == "SOURCE_SCHEMA_CHANGED"
    stage.application.wait_for(FEW)
    assert stage.application.configuration == SQLITE


def test_a_table_that_slips_past_the_fence_is_seen_after_the_stop_and_the_crossing_taken_back(
    make_stage: MakeStage,
) -> None:
    stage = prepared(make_stage)
    cross_over(stage.pair, busy_timeout_ms=5000, signal_stop=stage.application.signal_stop)
    connection = sqlite3.connect(stage.source)
    connection.execute("CREATE TABLE late (x)")
    connection.execute("INSERT INTO late VALUES (1)")
    connection.commit()
    connection.close()
    stage.application.stop()
    with pytest.raises(Failed) as refused:
        confirm_stopped(stage.pair)
    assert refused.value.code == "SOURCE_SCHEMA_CHANGED"

    take_back(stage.pair)
    goes_on(stage)
    stage.application.stop()
    assert stage.ledger().right


def test_the_fence_refuses_a_writer_on_sqlite_after_the_crossing(make_stage: MakeStage) -> None:
    stage = prepared(make_stage)
    stage.cross()
    connection = sqlite3.connect(stage.source, timeout=5)
    for statement in (
        "INSERT INTO counters VALUES ('late', 1)",
        "UPDATE accounts SET balance = 0",
        "DELETE FROM carts",
        "INSERT OR REPLACE INTO accounts VALUES (1, 'x@example.org', 0, NULL)",
    ):
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(statement)
    connection.close()


def test_postgresql_refuses_a_writer_while_it_follows_and_after_it_was_given_back(
    make_stage: MakeStage, look: Look
) -> None:
    stage = prepared(make_stage)
    writes = ("UPDATE accounts SET balance = 0", "DELETE FROM carts", "TRUNCATE carts")
    for statement in writes:
        with pytest.raises(Exception, match=r"(?i)causeway|sqlite"):
            look.run(statement)
    stage.cross()
    look.run("UPDATE counters SET value = value")  # it is live
    stage.come_back()
    for statement in writes:
        with pytest.raises(Exception, match=r"(?i)causeway|sqlite"):
            look.run(statement)


def test_a_restored_file_is_in_doubt_and_nothing_is_done(make_stage: MakeStage) -> None:
    stage = prepared(make_stage)
    stage.application.stop()
    kept = sqlite3.connect(stage.folder / "kept.sqlite")
    connection = sqlite3.connect(stage.source)
    connection.backup(kept)
    stage.application.start()
    stage.application.wait_for(FEW)
    stage.application.stop()
    flow_all(stage)
    kept.backup(connection)
    connection.close()
    kept.close()
    assert decide(look_at(stage.pair, SQLITE)).action == ASK
    with pytest.raises(Failed) as doubt:
        mend(stage.pair, SQLITE)
    assert doubt.value.code == "IN_DOUBT"
    with pytest.raises(Failed):
        stage.cross()


def test_a_file_of_another_crossing_is_in_doubt(make_stage: MakeStage) -> None:
    stage = prepared(make_stage)
    stage.application.stop()
    capture.remove(stage.source, stage.pair.identity, busy_timeout_ms=5000)
    capture.install(stage.source, stage.pair.plan, busy_timeout_ms=5000)
    for configuration in (SQLITE, POSTGRESQL):
        assert decide(look_at(stage.pair, configuration)).action == ASK


def test_an_application_that_waits_for_no_lock_is_refused(make_stage: MakeStage) -> None:
    stage = prepared(make_stage)
    with pytest.raises(Refused) as refused:
        cross_over(stage.pair, busy_timeout_ms=0, signal_stop=stage.application.signal_stop)
    assert refused.value.code == "BUSY_TIMEOUT_ZERO"


def test_outside_wal_mode_a_file_too_large_for_the_busy_timeout_is_refused(make_stage: MakeStage) -> None:
    journal = make_stage(wal=False)
    with open_source(journal.source) as source:
        assert journal_problem(source, 5000) is None
        found = journal_problem(source, 1)
        assert found is not None and found.code == "ONLINE_JOURNAL_TOO_LARGE" and "WAL" in found.message


def test_an_export_that_is_whole_is_kept_and_one_of_another_crossing_is_made_anew(make_stage: MakeStage) -> None:
    stage = make_stage()
    stage.application.wait_for(FEW)
    stage.plan()
    stage.capture()
    folder = stage.folder / "export"
    first = export_snapshot(stage.pair, folder, Control())
    stage.application.wait_for(2 * FEW)
    again = export_snapshot(stage.pair, folder, Control())
    assert (again.moment, again.manifest_sha256, again.made) == (first.moment, first.manifest_sha256, False)

    capture.remove(stage.source, stage.pair.identity, busy_timeout_ms=5000)
    stage.capture()
    other = export_snapshot(stage.pair, folder, Control())
    assert other.made and other.moment.identity != first.moment.identity


def test_a_url_with_its_password_is_in_no_error(make_stage: MakeStage) -> None:
    stage = prepared(make_stage)
    broken = replace(stage.pair, url=replace(stage.pair.url, port=1))
    facts = look_at(broken, SQLITE)
    assert facts.postgresql == "unknown" and stage.pair.url.password not in facts.problem
    assert text_of(stage.pair.url) not in facts.problem
