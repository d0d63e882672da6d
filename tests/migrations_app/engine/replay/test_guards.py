"""What ends the following instead of a silent loss: each is told by its code, and nothing of the step is kept."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from migrations_app.engine.capture.capture import install, prune, remove
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.control import Control
from migrations_app.engine.conversions.inverse import learn
from migrations_app.engine.errors import EngineError
from migrations_app.engine.plan import MODE_EXISTING
from migrations_app.engine.replay import obstacles, replication
from migrations_app.engine.replay.applier import applier_right
from migrations_app.engine.replay.forward import Follower
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target.target import rows
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.fragile import text_of
from tests.migrations_app.engine.moves import Look
from tests.migrations_app.engine.replay.following import (
    BUSY_MS,
    assert_equal,
    begin,
    catch_up,
    follow,
    position,
    target,
    writer,
)
from tests.migrations_app.engine.sqlite_files import build

SCRIPT = """
CREATE TABLE owner (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE);
CREATE TABLE pet (id INTEGER PRIMARY KEY, owner INTEGER REFERENCES owner(id) ON DELETE CASCADE, born DATE);
CREATE TABLE tag (tag TEXT PRIMARY KEY, n INTEGER);
INSERT INTO owner VALUES (1, 'Ann'), (2, 'Bob'), (3, 'Cid');
INSERT INTO pet VALUES (10, 1, '2020-01-01'), (11, 2, '2021-01-01');
INSERT INTO tag VALUES ('a', 1);
"""


@pytest.fixture
def pair(tmp_path: Path, applier_url: TargetUrl) -> Pair:
    return follow(build(tmp_path / "app.db", SCRIPT), applier_url)


def write(pair: Pair, script: str) -> None:
    with closing(writer(pair.source)) as connection:
        connection.executescript(script)


def refused(pair: Pair) -> EngineError:
    """What catching up says; neither rows nor the position have moved."""
    before = state(pair)
    with pytest.raises(EngineError) as error:
        catch_up(pair)
    assert state(pair) == before
    return error.value


def state(pair: Pair) -> list[object]:
    with target(pair) as cursor:
        tables = [rows(cursor, f"SELECT * FROM public.{name} ORDER BY 1") for name in ("owner", "pet", "tag")]
        return [*tables, rows(cursor, "SELECT position, phase FROM causeway.replication")]


def test_a_file_that_was_restored_from_before_is_told(pair: Pair, tmp_path: Path) -> None:
    shutil.copy(pair.source, tmp_path / "old.db")
    write(pair, "INSERT INTO owner VALUES (4, 'Dee')")
    catch_up(pair)
    shutil.copy(tmp_path / "old.db", pair.source)
    assert refused(pair).code == "LOG_WENT_BACK"


def test_a_restored_file_that_was_written_to_again_is_told(pair: Pair, tmp_path: Path) -> None:
    """Its log is longer than the position: what stands at the position tells it."""
    shutil.copy(pair.source, tmp_path / "old.db")
    write(pair, "INSERT INTO owner VALUES (4, 'Dee')")
    catch_up(pair)
    shutil.copy(tmp_path / "old.db", pair.source)
    write(pair, "INSERT INTO owner VALUES (7, 'Gil'); INSERT INTO owner VALUES (8, 'Hal')")
    assert refused(pair).code == "LOG_WENT_BACK"


def test_a_restored_file_that_wrote_the_same_rows_again_is_told(pair: Pair, tmp_path: Path) -> None:
    """Its log names the same key at the position: it is another row of the log all the same."""
    shutil.copy(pair.source, tmp_path / "old.db")
    write(pair, "INSERT INTO owner VALUES (4, 'Dee'); UPDATE tag SET n = 2")
    catch_up(pair)
    shutil.copy(tmp_path / "old.db", pair.source)
    write(pair, "UPDATE tag SET n = 3; UPDATE tag SET n = 4; UPDATE tag SET n = 5")
    assert refused(pair).code == "LOG_WENT_BACK"


def test_a_file_of_another_crossing_is_told(pair: Pair) -> None:
    remove(pair.source, pair.identity, busy_timeout_ms=BUSY_MS)
    install(pair.source, pair.plan, busy_timeout_ms=BUSY_MS)
    assert refused(pair).code == "IDENTITY_DIFFERS"


def test_a_file_that_records_nothing_is_told(pair: Pair) -> None:
    remove(pair.source, pair.identity, busy_timeout_ms=BUSY_MS)
    assert refused(pair).code == "NOT_CAPTURED"


def test_a_target_of_another_crossing_is_told(pair: Pair) -> None:
    assert refused(replace(pair, identity="00" * 16)).code == "IDENTITY_DIFFERS"
    with pytest.raises(EngineError) as error:
        begin(replace(pair, identity="00" * 16), 0)
    assert error.value.code == "IDENTITY_DIFFERS"


def test_a_target_copied_by_another_plan_is_told(pair: Pair) -> None:
    assert refused(replace(pair, plan=replace(pair.plan, excluded=("x",)))).code == "IDENTITY_DIFFERS"


def test_a_target_that_follows_nothing_is_told(pair: Pair) -> None:
    with target(pair) as cursor:
        replication.forget(cursor)
    with pytest.raises(EngineError) as error:
        catch_up(pair)
    assert error.value.code == "NOT_FOLLOWING"


def test_beginning_twice_leaves_the_position_where_it_is(pair: Pair) -> None:
    write(pair, "INSERT INTO owner VALUES (4, 'Dee')")
    catch_up(pair)
    there = position(pair)
    begin(pair, 0)
    assert position(pair) == there


@pytest.mark.parametrize("phase", [replication.TAKEN_OVER, replication.GIVEN_BACK])
def test_nothing_is_brought_over_in_another_phase(pair: Pair, phase: str) -> None:
    write(pair, "INSERT INTO owner VALUES (4, 'Dee')")
    with target(pair) as cursor:
        replication.change_phase(cursor, pair, {replication.FOLLOWING}, phase)
    assert refused(pair).code == "PHASE_CHANGED"


def test_a_changed_schema_is_told(pair: Pair) -> None:
    write(pair, "ALTER TABLE owner ADD COLUMN phone TEXT; INSERT INTO owner VALUES (4, 'Dee', '1')")
    assert refused(pair).code == "SOURCE_SCHEMA_CHANGED"


def test_a_table_that_was_rebuilt_without_its_triggers_is_told(pair: Pair) -> None:
    """The same schema, letter for letter: as frameworks rebuild a table."""
    write(
        pair,
        "CREATE TABLE keep AS SELECT * FROM tag; DROP TABLE tag; CREATE TABLE tag (tag TEXT PRIMARY KEY, n INTEGER);"
        "INSERT INTO tag SELECT * FROM keep; DROP TABLE keep; INSERT INTO tag VALUES ('unseen', 2)",
    )
    assert refused(pair).code == "CAPTURE_LOST"


def test_a_log_that_was_shortened_past_the_position_is_told(pair: Pair) -> None:
    write(pair, "INSERT INTO owner VALUES (4, 'Dee'); INSERT INTO owner VALUES (5, 'Eva')")
    prune(pair.source, 1, busy_timeout_ms=BUSY_MS)
    assert refused(pair).code == "LOG_PRUNED"


def test_a_target_that_was_restored_from_a_backup_is_told(pair: Pair) -> None:
    """The log was shortened since: what it misses is gone for good."""
    for number in (4, 5, 6):
        write(pair, f"INSERT INTO owner VALUES ({number}, 'o{number}')")
        catch_up(pair)
    prune(pair.source, position(pair) - 1, busy_timeout_ms=BUSY_MS)
    with target(pair) as cursor:
        cursor.execute("UPDATE causeway.replication SET position = 1, mark = ''")
    assert refused(pair).code == "LOG_PRUNED"


def test_a_value_that_the_plan_has_no_answer_for_is_told_with_its_place_and_not_shown(pair: Pair) -> None:
    write(pair, "INSERT INTO owner VALUES (4, 'Dee'); UPDATE pet SET born = 'sometime soon' WHERE id = 11")
    error = refused(pair)
    assert error.code == "VALUE_UNFIT"
    assert "pet.born" in str(error) and '{"id": 11}' in str(error)
    assert "sometime" not in str(error)
    write(pair, "UPDATE pet SET born = '2022-02-02' WHERE id = 11")
    catch_up(pair)
    assert_equal(pair)


def test_a_row_that_the_target_refuses_is_told_with_its_place(pair: Pair) -> None:
    with target(pair) as cursor:
        cursor.execute("ALTER TABLE public.tag ADD CONSTRAINT small CHECK (n < 10)")
    write(pair, "INSERT INTO tag VALUES ('b', 5), ('c', 5000)")
    error = refused(pair)
    assert error.code == "VALUE_REFUSED"
    assert '{"tag": "c"}' in str(error) and "small" in str(error) and "5000" not in str(error)


def test_a_row_without_a_key_is_told_until_it_is_gone(pair: Pair) -> None:
    write(pair, "INSERT INTO tag VALUES (NULL, 7)")
    assert refused(pair).code == "ONLINE_NULL_IN_KEY"
    write(pair, "DELETE FROM tag WHERE tag IS NULL; INSERT INTO tag VALUES ('z', 1)")
    catch_up(pair)
    assert_equal(pair)


@pytest.mark.parametrize(
    ("event", "body", "script", "place"),
    [
        (
            "INSERT",
            "NEW.name = lower(NEW.name); RETURN NEW",
            "UPDATE owner SET name = 'Zoe' WHERE id = 1",
            "owner.name",
        ),
        ("INSERT", "RETURN NULL", "INSERT INTO owner VALUES (4, 'Dee')", 'owner, row {"id": "4"} isn\'t there'),
        ("DELETE", "RETURN NULL", "DELETE FROM owner WHERE id = 3", 'owner, row {"id": "3"} is still there'),
    ],
)
def test_a_row_that_the_target_changed_on_its_way_is_told(
    pair: Pair, event: str, body: str, script: str, place: str
) -> None:
    """By a trigger that fires always, past our putting it to sleep."""
    look = Look(text_of(pair.url))
    look.run(
        f"CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN {body}; END$$;"
        f"CREATE TRIGGER meddle BEFORE {event} ON owner FOR EACH ROW EXECUTE FUNCTION meddle();"
        "ALTER TABLE owner ENABLE ALWAYS TRIGGER meddle"
    )
    look.connection.close()
    write(pair, script)
    error = refused(pair)
    assert error.code == "REPLAY_DIFFERS"
    assert place in str(error) and "Zoe" not in str(error)


def test_a_target_without_a_unique_key_is_refused(pair: Pair) -> None:
    with target(pair) as cursor:
        cursor.execute("ALTER TABLE public.tag DROP CONSTRAINT tag_pkey")
    assert refused(pair).code == "ONLINE_NO_TARGET_KEY"


# The applier's right


def test_the_right_is_tried_and_the_grant_is_told(url: TargetUrl, target_superuser_url: str) -> None:
    right = applier_right(url)
    assert not right.granted
    look = Look(target_superuser_url)
    look.run(right.grant)
    assert applier_right(url).granted
    look.run(f'REVOKE SET ON PARAMETER session_replication_role FROM "{url.user}"')
    look.connection.close()


def test_without_the_right_foreign_keys_stand_aside_and_come_back(tmp_path: Path, url: TargetUrl) -> None:
    pair = follow(build(tmp_path / "app.db", SCRIPT), url)
    with target(pair) as cursor:
        assert [each.name for each in obstacles.aside(cursor)] == ["pet_owner_fkey"]
    write(pair, "UPDATE owner SET name = 'Anna' WHERE id = 1; DELETE FROM pet WHERE id = 11")
    catch_up(pair)
    with target(pair) as cursor:
        assert rows(cursor, "SELECT id FROM public.pet") == [(10,)]
        assert obstacles.put_back(cursor) == ("pet_owner_fkey",)
        assert obstacles.put_back(cursor) == ()
    with target(pair) as cursor:
        assert obstacles.validate(cursor) == ()
        assert obstacles.aside(cursor) == ()
    assert_equal(pair)


def test_without_the_right_a_standing_foreign_key_is_refused_with_the_grant(tmp_path: Path, url: TargetUrl) -> None:
    pair = follow(build(tmp_path / "app.db", SCRIPT), url)
    with target(pair) as cursor:
        obstacles.put_back(cursor)
    error = refused(pair)
    assert error.code == "ONLINE_NO_APPLIER_RIGHT"
    assert "pet.pet_owner_fkey" in str(error)
    assert f'GRANT SET ON PARAMETER session_replication_role TO "{url.user}";' in error.hint


def test_without_the_right_mode_existing_is_refused(tmp_path: Path, url: TargetUrl) -> None:
    look = Look(text_of(url))
    look.run("CREATE TABLE tag (tag text PRIMARY KEY, n bigint)")
    look.connection.close()
    script = "CREATE TABLE tag (tag TEXT PRIMARY KEY NOT NULL, n INTEGER); INSERT INTO tag VALUES ('a', 1)"
    pair = follow(build(tmp_path / "app.db", script), url, MODE_EXISTING)
    with pytest.raises(EngineError) as error, Follower(pair):
        pass
    assert error.value.code == "ONLINE_NO_APPLIER_RIGHT"


def test_a_key_that_rows_break_stays_not_valid_and_is_told(tmp_path: Path, url: TargetUrl) -> None:
    pair = follow(build(tmp_path / "app.db", SCRIPT), url)
    write(pair, "PRAGMA foreign_keys=OFF; INSERT INTO pet VALUES (99, 777, NULL)")
    catch_up(pair)
    with target(pair) as cursor:
        obstacles.put_back(cursor)
        assert obstacles.validate(cursor) == ("pet_owner_fkey",)
        found = rows(cursor, "SELECT convalidated FROM pg_constraint WHERE conname = 'pet_owner_fkey'")
        assert found == [(False,)]


def test_a_locked_file_is_told_after_its_time(tmp_path: Path, applier_url: TargetUrl) -> None:
    pair = follow(build(tmp_path / "app.db", f"PRAGMA journal_mode=DELETE; {SCRIPT}"), applier_url)
    with closing(writer(pair.source)) as connection, Follower(pair, busy_timeout_ms=50) as follower:
        connection.execute("BEGIN EXCLUSIVE")
        with pytest.raises(EngineError) as error:
            follower.catch_up()
        connection.execute("ROLLBACK")
        assert error.value.code == "LOCKED"
        follower.catch_up()


def test_the_follower_never_writes_to_the_file(pair: Pair) -> None:
    with Follower(pair) as follower, follower._file.reading() as snapshot, pytest.raises(sqlite3.Error):
        snapshot.select("DELETE FROM owner")


def test_a_value_that_could_not_come_back_is_told_once_there_must_be_a_way_back(
    tmp_path: Path, applier_url: TargetUrl
) -> None:
    """PostgreSQL's uuid knows one spelling: the one that was learned, not the one that came later."""
    look = Look(text_of(applier_url))
    look.run("CREATE TABLE thing (id bigint PRIMARY KEY, code uuid)")
    script = "CREATE TABLE thing (id INTEGER PRIMARY KEY, code TEXT);"
    script += "INSERT INTO thing VALUES (1, '0a0a0a0a-1111-2222-3333-444444444444')"
    pair = follow(build(tmp_path / "app.db", script), applier_url, MODE_EXISTING)
    with open_source(pair.source) as source:
        forms = learn(source, pair.plan, Control())
    write(pair, "INSERT INTO thing VALUES (2, '0B0B0B0B-1111-2222-3333-444444444444')")
    with pytest.raises(EngineError) as error, Follower(pair, forms=forms) as follower:
        follower.catch_up()
    assert error.value.code == "NO_WAY_BACK_FOR_VALUE"
    assert "thing.code" in str(error.value) and '{"id": 2}' in str(error.value) and "0B0B" not in str(error.value)
    assert look.rows("SELECT id FROM thing") == [(1,)]
    assert catch_up(pair).rows == 1  # where no way back is wanted, the value is as good as any
    look.connection.close()
