"""PostgreSQL follows what the application writes to SQLite, exactly."""

from __future__ import annotations

import random
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from migrations_app.engine.capture import capture
from migrations_app.engine.capture.capture import read_state
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.capture.state import state_of
from migrations_app.engine.capture.writing import open_for_writing
from migrations_app.engine.errors import EngineError, Failed
from migrations_app.engine.plan import MODE_EXISTING, EncryptedColumn
from migrations_app.engine.replay import dirty_rows, forward, obstacles, pace, replication
from migrations_app.engine.replay.forward import Follower
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target.target import Cursor, rows
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.fragile import text_of
from tests.migrations_app.engine.moves import Look
from tests.migrations_app.engine.replay.busy_file import Application, make_busy_file
from tests.migrations_app.engine.replay.following import (
    BUSY_MS,
    assert_equal,
    catch_up,
    compared,
    different,
    follow,
    position,
    target,
    writer,
)
from tests.migrations_app.engine.sqlite_files import build


@pytest.mark.parametrize(
    ("seed", "wal", "encoding"),
    [(1, True, "UTF-8"), (2, False, "UTF-8"), (3, True, "UTF-16le"), (4, False, "UTF-16be")],
)
def test_whatever_the_application_did_is_there_after_catching_up(
    tmp_path: Path, applier_url: TargetUrl, seed: int, wal: bool, encoding: str
) -> None:
    path = make_busy_file(tmp_path / "app.db", wal=wal, encoding=encoding)
    pair = follow(path, applier_url)
    chance = random.Random(seed)
    for _ in range(6):
        with closing(writer(path)) as connection:
            Application(connection, chance).work(chance.randint(1, 120))
        applied = catch_up(pair)
        assert applied.position == applied.head == position(pair)
        assert_equal(pair)


TWO = """
CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE pet (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES owner(id) ON DELETE CASCADE, name TEXT);
INSERT INTO owner VALUES (1, 'Ann'), (2, 'Bob'), (3, 'Cid');
INSERT INTO pet VALUES (10, 1, 'Rex'), (11, 2, 'Tom'), (12, 3, 'Kit');
"""


@pytest.fixture
def pair(tmp_path: Path, applier_url: TargetUrl) -> Pair:
    """Two tables with a cascading foreign key, followed."""
    return follow(build(tmp_path / "two.db", f"PRAGMA journal_mode=WAL; {TWO}"), applier_url)


def write(pair: Pair, script: str) -> None:
    with closing(writer(pair.source)) as connection:
        connection.executescript(script)


def test_swapped_unique_values_arrive_swapped(pair: Pair) -> None:
    write(
        pair,
        "BEGIN; UPDATE owner SET name = 'x' WHERE id = 1; UPDATE owner SET name = 'Ann' WHERE id = 2;"
        " UPDATE owner SET name = 'Bob' WHERE id = 1; COMMIT",
    )
    applied = catch_up(pair)
    assert (applied.rows, applied.deletes) == (2, 0)
    with target(pair) as cursor:
        assert rows(cursor, "SELECT id, name FROM public.owner ORDER BY id") == [(1, "Bob"), (2, "Ann"), (3, "Cid")]


def test_a_parent_that_is_written_again_keeps_its_children(pair: Pair) -> None:
    write(pair, "UPDATE owner SET name = 'Anna' WHERE id = 1")
    catch_up(pair)
    with target(pair) as cursor:
        assert rows(cursor, "SELECT id FROM public.pet ORDER BY id") == [(10,), (11,), (12,)]
    assert_equal(pair)


def test_what_a_cascade_took_away_is_gone(pair: Pair) -> None:
    write(pair, "PRAGMA foreign_keys=ON; DELETE FROM owner WHERE id = 2")
    assert catch_up(pair).deletes == 2
    assert_equal(pair)


def test_catching_up_with_nothing_to_do_changes_nothing(pair: Pair) -> None:
    write(pair, "INSERT INTO owner VALUES (4, 'Dee')")
    first, again = catch_up(pair), catch_up(pair)
    assert (first.rows, again.rows, again.position) == (1, 0, first.position)


def test_columns_that_only_the_target_has_keep_their_default(tmp_path: Path, applier_url: TargetUrl) -> None:
    look = Look(text_of(applier_url))
    look.run(
        "CREATE TABLE item (id bigint PRIMARY KEY, name text NOT NULL, extra text NOT NULL DEFAULT 'new');"
        "CREATE TABLE touched (n int); CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN INSERT INTO touched VALUES (1); RETURN NULL; END$$;"
        "CREATE TRIGGER touch AFTER INSERT OR UPDATE OR DELETE ON item FOR EACH ROW EXECUTE FUNCTION touch()"
    )
    path = build(
        tmp_path / "a.db", "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT); INSERT INTO item VALUES (1, 'a')"
    )
    pair = follow(path, applier_url, MODE_EXISTING)
    write(pair, "INSERT INTO item VALUES (2, 'b'); UPDATE item SET name = 'z' WHERE id = 1")
    catch_up(pair)
    assert look.rows("SELECT id, name, extra FROM item ORDER BY id") == [(1, "z", "new"), (2, "b", "new")]
    assert look.rows("SELECT count(*) FROM touched") == [(0,)]  # the application's own trigger slept
    look.connection.close()
    assert_equal(pair)


def test_a_snapshot_is_followed_exactly_and_what_came_later_waits(pair: Pair) -> None:
    write(pair, "INSERT INTO owner VALUES (4, 'Dee')")
    with open_source(pair.source) as source, Follower(pair) as follower:
        write(pair, "INSERT INTO owner VALUES (5, 'Eva')")
        follower.apply_from(source, follower.lag().head - 1)
        assert follower.lag().rows == 1
        assert different(compared(pair, source)) == []
    catch_up(pair)
    assert_equal(pair)


def test_the_last_rows_are_taken_inside_a_transaction_that_holds_the_write_lock(pair: Pair) -> None:
    told: list[str] = []
    with closing(open_for_writing(pair.source, BUSY_MS)) as file, Follower(pair) as follower:
        follower.prepare()
        file.execute("BEGIN IMMEDIATE")
        file.execute("INSERT INTO owner VALUES (4, 'Dee')")
        state = state_of(file)
        assert state is not None
        follower.apply_from(file, state.head, before_commit=lambda cursor: told.append(str(position_in(cursor))))
        file.execute("COMMIT")
    assert told == [str(position(pair))]
    assert_equal(pair)


def position_in(cursor: Cursor) -> int:
    record = replication.read(cursor)
    assert record is not None
    return record.position


def test_what_before_commit_raises_takes_everything_back(pair: Pair) -> None:
    write(pair, "INSERT INTO owner VALUES (4, 'Dee')")
    before = position(pair)

    def refuse(_: Cursor) -> None:
        raise Failed("NO", "No.")

    with open_source(pair.source) as source, Follower(pair) as follower, pytest.raises(Failed, match="No"):
        follower.apply_from(source, follower.lag().head, before_commit=refuse)
    with target(pair) as cursor:
        assert rows(cursor, "SELECT count(*) FROM public.owner") == [(3,)]
    assert position(pair) == before


def test_outside_wal_mode_a_backlog_is_read_in_short_parts_while_the_application_writes(
    tmp_path: Path, applier_url: TargetUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys come in several parts, again and again, and swap their unique values between two of them."""
    path = make_busy_file(tmp_path / "app.db", wal=False)
    pair = follow(path, applier_url)
    with closing(writer(path)) as connection:
        Application(connection, random.Random(7)).work(300)
    monkeypatch.setattr(pace, "_FIRST", 20)
    monkeypatch.setattr(pace, "_MOST", 20)
    parts: list[int] = []
    with closing(writer(path)) as connection:
        application = Application(connection, random.Random(8))
        original = dirty_rows.spool_dirty

        def between(*given: Any) -> None:
            original(*given)
            parts.append(1)

        monkeypatch.setattr(forward, "spool_dirty", between)
        monkeypatch.setattr(pace.Pace, "took", lambda _self, _seconds: application.work(3))
        catch_up(pair)
    assert len(parts) > 10
    assert_equal(pair)


def test_the_lag_counts_rows_and_is_over_when_they_are_there(pair: Pair) -> None:
    with Follower(pair) as follower:
        assert (follower.lag().rows, follower.lag().seconds) == (0, 0)
        write(pair, "INSERT INTO owner VALUES (4, 'Dee'); INSERT INTO owner VALUES (5, 'Eva')")
        lag = follower.lag()
        assert (lag.rows, lag.head - lag.position) == (2, 2)
        assert lag.seconds > 0
        follower.catch_up()
        assert follower.lag().rows == 0


def test_what_was_applied_leaves_the_log_but_for_the_last_row(pair: Pair, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "PRUNED_FROM", 10)
    write(pair, ";".join(f"INSERT INTO owner VALUES ({n}, 'o{n}')" for n in range(100, 130)))
    applied = catch_up(pair)
    state = read_state(pair.source)
    assert state is not None
    assert state.oldest == state.head == applied.position
    write(pair, "DELETE FROM owner WHERE id = 100")
    catch_up(pair)
    assert_equal(pair)


def test_the_row_at_the_position_stays_in_the_log_while_newer_ones_come(
    pair: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forward, "PRUNED_FROM", 10)
    shorten = capture.prune

    def write_first(*given: Any, **more: Any) -> int:
        write(pair, "INSERT INTO owner VALUES (200, 'late')")
        return shorten(*given, **more)

    monkeypatch.setattr(capture, "prune", write_first)
    write(pair, ";".join(f"INSERT INTO owner VALUES ({n}, 'o{n}')" for n in range(100, 130)))
    applied = catch_up(pair)
    state = read_state(pair.source)
    assert state is not None
    assert (state.oldest, state.head) == (applied.position, applied.position + 1)
    catch_up(pair)
    assert_equal(pair)


def test_a_snapshot_that_ends_elsewhere_than_was_said_is_refused(pair: Pair) -> None:
    write(pair, "INSERT INTO owner VALUES (4, 'Dee')")
    with open_source(pair.source) as source, Follower(pair) as follower, pytest.raises(EngineError) as error:
        follower.apply_from(source, follower.lag().head + 1)
    assert error.value.code == "LOG_WENT_BACK"


def test_a_table_whose_key_is_a_unique_index_is_followed_by_it(tmp_path: Path, applier_url: TargetUrl) -> None:
    path = build(
        tmp_path / "a.db",
        "CREATE TABLE seat (hall TEXT NOT NULL, place INTEGER NOT NULL, who TEXT, UNIQUE (hall, place));"
        "INSERT INTO seat VALUES ('A', 1, 'x'), ('A', 2, 'y')",
    )
    pair = follow(path, applier_url)
    write(pair, "UPDATE seat SET who = 'z' WHERE place = 1; DELETE FROM seat WHERE place = 2; VACUUM")
    catch_up(pair)
    assert_equal(pair)


def test_keys_that_only_differ_in_their_storage_class_are_two(tmp_path: Path, applier_url: TargetUrl) -> None:
    path = build(tmp_path / "a.db", "CREATE TABLE t (k PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a'), ('x', 'b')")
    pair = follow(path, applier_url)
    write(pair, "UPDATE t SET k = '1' WHERE k = 1")
    catch_up(pair)
    write(pair, "DELETE FROM t WHERE k = '1'; INSERT INTO t VALUES (1, 'c')")
    catch_up(pair)
    assert_equal(pair)


@pytest.mark.chaos
@pytest.mark.parametrize("seed", range(100, 160))
def test_sixty_applications_that_do_anything_are_followed_exactly(
    tmp_path: Path, applier_url: TargetUrl, seed: int
) -> None:
    chance = random.Random(seed)
    encoding = chance.choice(("UTF-8", "UTF-8", "UTF-16le", "UTF-16be"))
    path = make_busy_file(tmp_path / "app.db", wal=chance.random() < 0.5, encoding=encoding)
    pair = follow(path, applier_url)
    for _ in range(8):
        with closing(writer(path)) as connection:
            Application(connection, chance).work(chance.randint(1, 300))
        catch_up(pair)
    assert_equal(pair)


def test_a_key_that_became_a_real_is_another_key(tmp_path: Path, applier_url: TargetUrl) -> None:
    """SQLite holds 1 and 1.0 for equal; as text they are two."""
    script = "CREATE TABLE t (k PRIMARY KEY, v TEXT); INSERT INTO t VALUES (1, 'a'), ('x', 'b'), (2.5, 'c')"
    pair = follow(build(tmp_path / "a.db", script), applier_url)
    write(pair, "UPDATE t SET k = 1.0 WHERE k = 1")
    catch_up(pair)
    with target(pair) as cursor:
        assert rows(cursor, "SELECT k FROM public.t ORDER BY v") == [("1.0",), ("x",), ("2.5",)]


def test_rows_that_a_choice_leaves_out_stay_out_and_come_when_they_fit(tmp_path: Path, applier_url: TargetUrl) -> None:
    look = Look(text_of(applier_url))
    look.run("CREATE TABLE event (id bigint PRIMARY KEY, day date)")
    script = (
        "CREATE TABLE event (id INTEGER PRIMARY KEY, day TEXT); INSERT INTO event VALUES (1, '2024-01-01'), (2, 'soon')"
    )
    path = build(tmp_path / "a.db", script)
    pair = follow(path, applier_url, MODE_EXISTING, choices=[("VALUE_DOES_NOT_FIT", "skip_rows")])
    write(pair, "UPDATE event SET day = 'later' WHERE id = 1; UPDATE event SET day = '2024-02-02' WHERE id = 2")
    catch_up(pair)
    assert look.rows("SELECT id, day::text FROM event") == [(2, "2024-02-02")]
    look.connection.close()
    assert_equal(pair)


def test_rows_that_a_choice_accepted_against_a_check_can_be_written_again(
    tmp_path: Path, applier_url: TargetUrl
) -> None:
    look = Look(text_of(applier_url))
    look.run("CREATE TABLE mark (id bigint PRIMARY KEY, points bigint CONSTRAINT few CHECK (points < 10), note text)")
    script = (
        "CREATE TABLE mark (id INTEGER PRIMARY KEY, points INTEGER, note TEXT); INSERT INTO mark VALUES (1, 99, 'a')"
    )
    pair = follow(
        build(tmp_path / "a.db", script), applier_url, MODE_EXISTING, choices=[("CHECK_VIOLATED", "not_valid")]
    )
    write(pair, "UPDATE mark SET note = 'b'")
    catch_up(pair)
    assert look.rows("SELECT points, note FROM mark") == [(99, "b")]
    with target(pair) as cursor:
        assert obstacles.put_back(cursor) == ("few",)
        assert obstacles.validate(cursor) == ()  # it wasn't validated before
    assert look.rows("SELECT convalidated FROM pg_constraint WHERE conname = 'few'") == [(False,)]
    look.connection.close()
    assert_equal(pair)


def test_keys_that_only_differ_in_case_are_two(tmp_path: Path, applier_url: TargetUrl) -> None:
    """A NOCASE key finds 'a' where 'A' is asked for: the row that is there now is 'a' and no other."""
    script = (
        "CREATE TABLE word (word TEXT PRIMARY KEY NOT NULL COLLATE NOCASE, n INTEGER); INSERT INTO word VALUES ('A', 1)"
    )
    pair = follow(build(tmp_path / "a.db", script), applier_url)
    write(pair, "UPDATE word SET word = 'a', n = 2")
    assert catch_up(pair).rows == 1
    with target(pair) as cursor:
        assert rows(cursor, "SELECT word, n FROM public.word") == [("a", 2)]


def test_cells_of_encrypted_columns_arrive_as_they_are_and_are_never_shown(
    tmp_path: Path, applier_url: TargetUrl
) -> None:
    script = "CREATE TABLE safe (id INTEGER PRIMARY KEY, secret TEXT UNIQUE); INSERT INTO safe VALUES (1, 'gAAAAAone')"
    pair = follow(build(tmp_path / "a.db", script), applier_url)
    secret = EncryptedColumn("safe", "secret", "fernet", "KEY")
    pair = replace(pair, plan=replace(pair.plan, encrypted=(secret,)))
    with target(pair) as cursor:
        cursor.execute("UPDATE causeway.replication SET plan_digest = %s", (pair.plan.digest,))
        cursor.execute("ALTER TABLE public.safe ADD CONSTRAINT short CHECK (length(secret) < 12)")
    write(pair, "UPDATE safe SET secret = 'gAAAAAtwo'")
    catch_up(pair)
    with target(pair) as cursor:
        assert rows(cursor, "SELECT secret FROM public.safe") == [("gAAAAAtwo",)]
    write(pair, "UPDATE safe SET secret = 'gAAAAAthree_and_longer'")
    with pytest.raises(EngineError) as error:
        catch_up(pair)
    assert "gAAAA" not in f"{error.value} {error.value.hint}"
