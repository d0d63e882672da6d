"""Once the fence is up nobody writes to the file but a transaction of ours, and lifting it brings all of it back."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from migrations_app.engine.capture.capture import CaptureState, check_armed, install, read_state
from migrations_app.engine.capture.capture_sql import FENCE_MESSAGE
from migrations_app.engine.capture.fence import flowing, lift_fence, raise_fence
from migrations_app.engine.capture.writing import open_for_writing, write_transaction
from migrations_app.engine.errors import EngineError
from tests.migrations_app.engine.capture.files import everything, make_file, opened, plan_the_move

WRITES = [
    "INSERT INTO users(email) VALUES ('c@example.org')",
    "INSERT OR IGNORE INTO users(email) VALUES ('a@example.org')",
    "REPLACE INTO users(id, email) VALUES (1, 'z@example.org')",
    "INSERT INTO users(id, email) VALUES (1, 'q') ON CONFLICT (id) DO UPDATE SET email = 'q'",
    "INSERT INTO names VALUES ('through a view')",
    "UPDATE OR IGNORE users SET name = 'x'",
    "UPDATE OR REPLACE tags SET note = 'x' WHERE b = 1",
    "DELETE FROM tags",
    "DELETE FROM users WHERE id = 1",
    "INSERT INTO history(what) VALUES ('a table that is not moved')",
]


@pytest.fixture(params=["WAL", "DELETE"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make_file(tmp_path / "app.sqlite", journal=request.param)


@pytest.fixture
def state(file: Path) -> CaptureState:
    return install(file, plan_the_move(file, excluded=["history"]), busy_timeout_ms=1000)


def _close(file: Path, state: CaptureState) -> None:
    with write_transaction(file, 1000, "closing it") as connection:
        raise_fence(connection, state)


def _open(file: Path, state: CaptureState) -> None:
    with write_transaction(file, 1000, "opening it") as connection:
        lift_fence(connection, state)


@pytest.mark.parametrize("sql", WRITES)
def test_a_write_is_refused_whoever_had_the_file_open_before(file: Path, state: CaptureState, sql: str) -> None:
    with opened(file) as writer:
        writer.execute("UPDATE tags SET note = 'before' WHERE b = 2")
        _close(file, state)
        before = everything(file)
        for _ in range(2):
            with pytest.raises(sqlite3.IntegrityError, match=FENCE_MESSAGE):
                writer.execute(sql)
        assert everything(file) == before


def test_a_writer_that_waits_for_the_lock_is_refused_on_release(file: Path, state: CaptureState) -> None:
    with opened(file) as writer:
        connection = open_for_writing(file, 1000)
        connection.execute("BEGIN IMMEDIATE")
        writer.execute("PRAGMA busy_timeout=0")
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            writer.execute(WRITES[0])
        raise_fence(connection, state)
        connection.execute("COMMIT")
        connection.close()
        with pytest.raises(sqlite3.IntegrityError, match=FENCE_MESSAGE):
            writer.execute(WRITES[0])


def test_readers_go_on(file: Path, state: CaptureState) -> None:
    _close(file, state)
    with opened(file) as reader:
        assert reader.execute("SELECT count(*) FROM names").fetchone() == (2,)


def test_a_closed_file_says_so_and_its_schema_counts_as_before(file: Path, state: CaptureState) -> None:
    _close(file, state)
    found = read_state(file)
    assert found is not None and found.mode == "fenced"
    check_armed(found)
    with opened(file) as connection:
        triggers = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger'")}
    assert not triggers & {"noted", "added"}  # put aside: they would fire for rows that flow back


def test_rows_flow_in_a_transaction_of_ours_and_nobody_else_gets_through(file: Path, state: CaptureState) -> None:
    _close(file, state)
    connection = open_for_writing(file, 1000)
    connection.execute("BEGIN IMMEDIATE")
    with flowing(connection):
        connection.execute("DELETE FROM users WHERE id = 1")
        connection.execute("INSERT INTO users(id, email, name) VALUES (5, 'e@example.org', 'Eve')")
    connection.execute("COMMIT")
    with opened(file) as other:
        assert other.execute("SELECT id FROM users ORDER BY 1").fetchall() == [(2,), (5,)]
        assert other.execute("SELECT count(*) FROM history").fetchone() == (0,)
        assert other.execute("SELECT max(seq) FROM causeway_log").fetchone() == (None,)
        for writer in (other, connection):
            with pytest.raises(sqlite3.IntegrityError, match=FENCE_MESSAGE):
                writer.execute(WRITES[0])
    connection.close()


def test_the_fence_stands_again_when_the_flow_breaks_off(file: Path, state: CaptureState) -> None:
    _close(file, state)
    connection = open_for_writing(file, 1000)
    connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(KeyError), flowing(connection):
        raise KeyError("in the middle")
    with pytest.raises(sqlite3.IntegrityError, match=FENCE_MESSAGE):
        connection.execute(WRITES[0])
    connection.execute("COMMIT")
    connection.close()
    with opened(file) as writer, pytest.raises(sqlite3.IntegrityError, match=FENCE_MESSAGE):
        writer.execute(WRITES[0])


def test_a_flow_outside_a_transaction_or_into_an_open_file_is_refused(file: Path, state: CaptureState) -> None:
    connection = open_for_writing(file, 1000)
    for prepare in ("BEGIN IMMEDIATE", "ROLLBACK"):
        connection.execute(prepare)
        with pytest.raises(EngineError) as failed, flowing(connection):
            pass
        assert failed.value.code == "MODE_DIFFERS"
    _close(file, state)
    with pytest.raises(EngineError) as failed, flowing(connection):
        pass
    assert failed.value.code == "MODE_DIFFERS"
    connection.close()


def test_lifting_the_fence_brings_capture_and_the_applications_triggers_back(file: Path, state: CaptureState) -> None:
    with opened(file) as connection:
        connection.execute("UPDATE tags SET note = 'logged' WHERE b = 1")
    before = everything(file)
    _close(file, state)
    _open(file, state)
    assert everything(file) == before
    found = read_state(file)
    assert found is not None and (found.mode, found.armed, found.head) == ("capture", True, 1)
    with opened(file) as connection:
        connection.execute("UPDATE users SET name = 'Zoe' WHERE id = 1")
        assert connection.execute("SELECT what FROM history").fetchall() == [("Zoe",)]
        assert connection.execute("SELECT tbl, k1 FROM causeway_log WHERE seq > 1").fetchall() == [(2, 1)]


def test_capture_still_fires_before_the_applications_triggers_after_a_crossing_and_back(file: Path) -> None:
    """SQLite fires the newest first; an application's trigger that ends the others must not end capture."""
    with opened(file) as connection:
        connection.execute("CREATE TRIGGER ends AFTER DELETE ON tags BEGIN SELECT RAISE(IGNORE); END")
    state = install(file, plan_the_move(file), busy_timeout_ms=1000)
    _close(file, state)
    _open(file, state)
    with opened(file) as connection:
        connection.execute("DELETE FROM tags WHERE b = 1")
        assert connection.execute("SELECT k1, k2 FROM causeway_log").fetchall() == [("x", 1)]


def test_a_fence_that_is_rolled_back_was_never_there(file: Path, state: CaptureState) -> None:
    before = everything(file)
    connection = open_for_writing(file, 1000)
    connection.execute("BEGIN IMMEDIATE")
    raise_fence(connection, state)
    connection.execute("ROLLBACK")
    connection.close()
    assert everything(file) == before


def test_the_fence_is_raised_once_and_lifted_once(file: Path, state: CaptureState) -> None:
    with pytest.raises(EngineError) as failed:
        _open(file, state)
    assert failed.value.code == "MODE_DIFFERS"
    _close(file, state)
    with pytest.raises(EngineError) as failed:
        _close(file, state)
    assert failed.value.code == "MODE_DIFFERS"


def test_a_file_of_another_crossing_is_not_closed(file: Path, state: CaptureState, tmp_path: Path) -> None:
    other = install(
        make_file(tmp_path / "other.sqlite"), plan_the_move(tmp_path / "other.sqlite"), busy_timeout_ms=1000
    )
    with pytest.raises(EngineError) as refused:
        _close(file, other)
    assert refused.value.code == "IDENTITY_DIFFERS"


def test_a_table_made_after_the_fence_is_noticed(file: Path, state: CaptureState) -> None:
    _close(file, state)
    with opened(file) as connection:
        connection.executescript("CREATE TABLE past(a); INSERT INTO past VALUES (1)")
    found = read_state(file)
    assert found is not None
    with pytest.raises(EngineError) as failed:
        check_armed(found)
    assert failed.value.code == "SOURCE_SCHEMA_CHANGED"


def test_a_fence_that_somebody_took_a_piece_of_is_noticed(file: Path, state: CaptureState) -> None:
    _close(file, state)
    with opened(file) as connection:
        connection.execute("DROP TRIGGER causeway_f_1_bi")
    found = read_state(file)
    assert found is not None
    with pytest.raises(EngineError) as failed:
        check_armed(found)
    assert failed.value.code == "CAPTURE_LOST"
