"""Capture comes into a file in one step, says how it stands, is kept short, and goes without a trace."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from migrations_app.engine.capture.capture import (
    CapturedTable,
    check_armed,
    install,
    prune,
    read_state,
    remove,
    state_of,
)
from migrations_app.engine.capture.fence import raise_fence
from migrations_app.engine.capture.writing import write_transaction
from migrations_app.engine.errors import EngineError
from migrations_app.engine.source.opening import open_source
from tests.migrations_app.engine.capture.files import everything, make_file, opened, plan_the_move


@pytest.fixture(params=["WAL", "DELETE"])
def file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return make_file(tmp_path / "app.sqlite", journal=request.param)


def _add(path: Path, *emails: str) -> None:
    with opened(path) as connection:
        connection.executemany("INSERT INTO users(email) VALUES (?)", [(email,) for email in emails])


def test_a_file_without_capture_has_no_state(file: Path) -> None:
    assert read_state(file) is None


def test_the_state_tells_tables_keys_and_position(file: Path) -> None:
    plan = plan_the_move(file)
    made = install(file, plan, busy_timeout_ms=1000)
    assert made.mode == "capture" and made.armed and made.schema == made.schema_now == plan.schema_digest
    assert made.tables == (
        CapturedTable(1, "history", ("id",)),
        CapturedTable(2, "tags", ("a", "b")),
        CapturedTable(3, "users", ("id",)),
    )
    assert (made.head, made.oldest, made.rows) == (0, 0, 0)
    _add(file, "c@example.org")
    state = read_state(file)
    assert state is not None and state.identity == made.identity
    assert (state.head, state.oldest, state.rows) == (2, 1, 2)  # the row, and what the application's trigger wrote
    with open_source(file) as source:
        assert state_of(source) == state


def test_installing_twice_is_once(file: Path) -> None:
    plan = plan_the_move(file)
    first = install(file, plan, busy_timeout_ms=1000)
    _add(file, "c@example.org")
    again = install(file, plan, busy_timeout_ms=1000)
    assert again.identity == first.identity and again.rows == 2


def test_a_file_that_another_plan_has_captured_is_refused(file: Path) -> None:
    install(file, plan_the_move(file), busy_timeout_ms=1000)
    with pytest.raises(EngineError) as refused:
        install(file, plan_the_move(file, excluded=["tags"]), busy_timeout_ms=1000)
    assert refused.value.code == "CAPTURE_DIFFERS"


def test_a_schema_that_changed_since_the_plan_is_refused_and_nothing_is_left_in_the_file(file: Path) -> None:
    plan = plan_the_move(file)
    with opened(file) as connection:
        connection.execute("ALTER TABLE tags ADD COLUMN more")
    before = everything(file)
    with pytest.raises(EngineError) as refused:
        install(file, plan, busy_timeout_ms=1000)
    assert refused.value.code == "SCHEMA_CHANGED"
    assert everything(file) == before


def test_a_writer_that_does_not_end_makes_installing_give_up(file: Path) -> None:
    plan = plan_the_move(file)
    with opened(file) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(EngineError) as refused:
            install(file, plan, busy_timeout_ms=50)
        writer.execute("COMMIT")
    assert refused.value.code == "LOCKED"
    assert read_state(file) is None


@pytest.mark.parametrize("sql", ["CREATE TABLE Causeway_State(a)", "CREATE VIEW causeway_log AS SELECT 1"])
def test_a_name_that_the_application_has_taken_is_refused(file: Path, sql: str) -> None:
    with opened(file) as connection:
        connection.execute(sql)
    before = everything(file)
    with pytest.raises(EngineError) as refused:
        install(file, plan_the_move(file, excluded=["Causeway_State"] if "TABLE" in sql else []), busy_timeout_ms=1000)
    assert refused.value.code == "ONLINE_NAME_TAKEN"
    assert everything(file) == before


def test_a_table_that_the_plan_leaves_out_is_not_captured(file: Path) -> None:
    made = install(file, plan_the_move(file, excluded=["history"]), busy_timeout_ms=1000)
    assert [table.name for table in made.tables] == ["tags", "users"]
    _add(file, "c@example.org")
    state = read_state(file)
    assert state is not None and state.rows == 1


def test_removing_leaves_the_file_as_it_was_before(file: Path) -> None:
    with opened(file) as connection:
        connection.execute("ANALYZE")
    before = everything(file)
    made = install(file, plan_the_move(file), busy_timeout_ms=1000)
    with opened(file) as connection:
        connection.execute("DELETE FROM tags WHERE b = 2")
        connection.execute("INSERT INTO tags VALUES ('x', 2, 'two')")
        connection.execute("ANALYZE")  # counts our tables, too
    remove(file, made.identity, busy_timeout_ms=1000)
    remove(file, made.identity, busy_timeout_ms=1000)
    assert read_state(file) is None
    assert everything(file) == before


def test_removing_from_a_closed_file_opens_it_with_the_applications_triggers(file: Path) -> None:
    before = everything(file)
    made = install(file, plan_the_move(file), busy_timeout_ms=1000)
    with write_transaction(file, 1000, "closing it") as connection:
        raise_fence(connection, made)
    remove(file, made.identity, busy_timeout_ms=1000)
    assert everything(file) == before


def test_somebody_elses_capture_is_not_removed(file: Path) -> None:
    install(file, plan_the_move(file), busy_timeout_ms=1000)
    with pytest.raises(EngineError) as refused:
        remove(file, "0" * 32, busy_timeout_ms=1000)
    assert refused.value.code == "IDENTITY_DIFFERS"
    assert read_state(file) is not None


def test_pruning_takes_what_is_asked_for_and_never_the_newest(file: Path) -> None:
    install(file, plan_the_move(file, excluded=["history"]), busy_timeout_ms=1000)
    _add(file, *(f"{number}@example.org" for number in range(25)))
    assert prune(file, 10, busy_timeout_ms=1000, batch=4) == 10
    state = read_state(file)
    assert state is not None and (state.oldest, state.head, state.rows) == (11, 25, 15)
    assert prune(file, 1000, busy_timeout_ms=1000, batch=4) == 14
    assert prune(file, 1000, busy_timeout_ms=1000) == 0
    _add(file, "next@example.org")
    state = read_state(file)
    assert state is not None and (state.oldest, state.head) == (25, 26)


def test_pruning_gives_way_to_a_writer(file: Path) -> None:
    install(file, plan_the_move(file), busy_timeout_ms=1000)
    _add(file, "c@example.org", "d@example.org")
    with opened(file) as writer:
        writer.execute("BEGIN IMMEDIATE")
        assert prune(file, 1, busy_timeout_ms=20) == 0
        writer.execute("COMMIT")
    assert prune(file, 1, busy_timeout_ms=1000) == 1


def test_a_table_that_was_made_anew_with_the_same_text_is_noticed(file: Path) -> None:
    """As frameworks alter tables: a new one is filled and renamed, and the triggers go with the old one."""
    made = install(file, plan_the_move(file), busy_timeout_ms=1000)
    with opened(file) as connection:
        (sql,) = connection.execute("SELECT sql FROM sqlite_schema WHERE name = 'tags'").fetchone()
        connection.execute(sql.replace("CREATE TABLE tags", 'CREATE TABLE "new__tags"'))
        connection.executescript("INSERT INTO new__tags SELECT * FROM tags; DROP TABLE tags")
        connection.execute("ALTER TABLE new__tags RENAME TO tags")
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("UPDATE sqlite_schema SET sql = ? WHERE name = 'tags'", (sql,))
    state = read_state(file)
    assert state is not None and state.schema_now == made.schema and not state.armed
    with pytest.raises(EngineError) as failed:
        check_armed(state)
    assert failed.value.code == "CAPTURE_LOST"


def test_a_changed_schema_is_noticed(file: Path) -> None:
    install(file, plan_the_move(file), busy_timeout_ms=1000)
    with opened(file) as connection:
        connection.execute("CREATE TABLE more(a)")
    state = read_state(file)
    assert state is not None
    with pytest.raises(EngineError) as failed:
        check_armed(state)
    assert failed.value.code == "SOURCE_SCHEMA_CHANGED"


def test_vacuum_and_analyze_change_nothing(file: Path) -> None:
    install(file, plan_the_move(file), busy_timeout_ms=1000)
    _add(file, "c@example.org")
    before = read_state(file)
    with opened(file) as connection:
        connection.execute("VACUUM")
        connection.execute("ANALYZE")
    assert before is not None and read_state(file) == before
    check_armed(before)


def test_a_state_that_somebody_has_written_to_is_told_from_none(file: Path) -> None:
    install(file, plan_the_move(file), busy_timeout_ms=1000)
    with opened(file) as connection:
        connection.execute("UPDATE causeway_state SET value = 'x' WHERE name = 'tables'")
    with pytest.raises(EngineError) as refused:
        read_state(file)
    assert refused.value.code == "CAPTURE_DAMAGED"


def test_looking_at_a_file_leaves_nothing_beside_it(tmp_path: Path) -> None:
    file = make_file(tmp_path / "app.sqlite", journal="DELETE")
    install(file, plan_the_move(file), busy_timeout_ms=1000)
    before = file.read_bytes()
    read_state(file)
    assert file.read_bytes() == before
    assert [item.name for item in tmp_path.iterdir()] == ["app.sqlite"]


def test_a_file_that_its_writer_left_in_a_transaction_is_looked_at(tmp_path: Path) -> None:
    """A journal that must be rolled back can't be read past."""
    file = make_file(tmp_path / "app.sqlite", journal="DELETE")
    made = install(file, plan_the_move(file), busy_timeout_ms=1000)
    with opened(file) as connection:
        connection.execute("PRAGMA cache_size=1")
        connection.execute("BEGIN")
        connection.execute("WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 5000) "
                           "INSERT INTO history(what) SELECT hex(randomblob(50)) FROM n")  # fmt: skip
        torn = tmp_path / "torn.sqlite"
        torn.write_bytes(file.read_bytes())
        (tmp_path / "torn.sqlite-journal").write_bytes((tmp_path / "app.sqlite-journal").read_bytes())
        connection.execute("ROLLBACK")
    state = read_state(torn)
    assert state is not None and (state.identity, state.head) == (made.identity, 0)


def test_an_application_that_writes_meanwhile_misses_nothing(file: Path) -> None:
    """Whatever is committed after installing returned is in the log, whoever had the file open before."""
    plan = plan_the_move(file, excluded=["history"])
    installed, failures = threading.Event(), []

    def write() -> None:
        with opened(file) as connection:
            for number in range(60):
                if number == 30:
                    installed.wait(10)
                try:
                    connection.execute("INSERT INTO users(email) VALUES (?)", (f"w{number}@example.org",))
                except sqlite3.Error as error:
                    failures.append(error)

    writer = threading.Thread(target=write)
    writer.start()
    install(file, plan, busy_timeout_ms=5000)
    with opened(file) as connection:
        before = {row[0] for row in connection.execute("SELECT id FROM users")}
    installed.set()
    writer.join()
    with opened(file) as connection:
        after = {row[0] for row in connection.execute("SELECT id FROM users")}
        logged = {row[0] for row in connection.execute("SELECT k1 FROM causeway_log")}
    assert not failures
    assert len(after - before) >= 30 and after - before <= logged


def test_installing_and_removing_find_the_moment_between_writers_that_never_pause(tmp_path: Path) -> None:
    """Outside WAL mode, where SQLite's own waiting would sleep past each such moment."""
    file = make_file(tmp_path / "app.sqlite", journal="DELETE")
    plan = plan_the_move(file)
    stop, written = threading.Event(), [0, 0]

    def write(number: int) -> None:
        with opened(file, timeout=30) as connection:
            connection.execute("PRAGMA synchronous=OFF")
            while not stop.is_set():
                connection.execute("UPDATE tags SET note = ? WHERE b = ?", (str(written[number]), number + 1))
                written[number] += 1

    writers = [threading.Thread(target=write, args=(number,)) for number in (0, 1)]
    for writer in writers:
        writer.start()
    try:
        made = install(file, plan, busy_timeout_ms=10_000)
        remove(file, made.identity, busy_timeout_ms=10_000)
    finally:
        stop.set()
        for writer in writers:
            writer.join()
    assert all(written)
    assert read_state(file) is None
