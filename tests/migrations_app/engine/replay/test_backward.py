"""SQLite follows PostgreSQL: what is written there comes home whole, each cell as SQLite itself would have kept it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from migrations_app.engine.capture.fence import lift_fence
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.capture.state import state_of
from migrations_app.engine.capture.writing import write_transaction
from migrations_app.engine.conversions.inverse import InverseForms
from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.replay import replication, target_changes
from migrations_app.engine.replay.backward import Flowed, Returner
from migrations_app.engine.replay.replication import GIVEN_BACK, TAKEN_OVER
from migrations_app.engine.target.target import Cursor, connect
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.moves import Look
from tests.migrations_app.engine.replay.following import BUSY_MS, follow, target
from tests.migrations_app.engine.replay.returning import (
    assert_home,
    contents,
    flow,
    flow_locked,
    take_over,
    waiting,
)

SCHEMA = """
CREATE TABLE team (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, place INTEGER UNIQUE);
CREATE TABLE member (
    id INTEGER PRIMARY KEY, team INTEGER REFERENCES team(id) ON DELETE CASCADE ON UPDATE CASCADE,
    mail TEXT COLLATE NOCASE UNIQUE, score REAL, photo BLOB, joined TIMESTAMP, active BOOLEAN NOT NULL DEFAULT 1,
    price DECIMAL(10,2), day DATE, born TIME, code UUID, seen INTEGER AS (id + 1) VIRTUAL
);
CREATE TABLE seat (hall TEXT NOT NULL, row INTEGER NOT NULL, note TEXT, PRIMARY KEY (hall, row)) WITHOUT ROWID;
CREATE TABLE word (word TEXT PRIMARY KEY NOT NULL COLLATE NOCASE, used);
CREATE TRIGGER shout AFTER UPDATE ON team BEGIN UPDATE team SET name = upper(name) WHERE id = NEW.id; END;
INSERT INTO team VALUES (1, 'red', 1), (2, 'blue', 2), (3, 'green', NULL);
INSERT INTO member (id, team, mail, score, photo, joined, active, price, day, born, code) VALUES
    (1, 1, 'A@b.c', 1.5, x'00ff', '2024-01-02 03:04:05.000600', 1, 3, '2024-01-02', '01:02:03',
     '01234567-89ab-cdef-0123-456789abcdef'),
    (2, 2, 'd@e.f', -0.0, NULL, '2024-01-02 03:04:05', 0, 3.25, NULL, NULL, NULL),
    (3, 3, NULL, 1e300, x'', NULL, 1, NULL, NULL, NULL, NULL);
INSERT INTO seat VALUES ('a', 1, 'x'), ('a', 2, NULL), ('b', 1, 'tab' || char(9) || 'new' || char(10));
INSERT INTO word VALUES ('one', 1), ('Two', 'zwei'), ('three', 3.5);
"""


@dataclass
class Crossed:
    """A crossing whose application lives on PostgreSQL."""

    pair: Pair
    forms: InverseForms
    look: Look

    def run(self, sql: str) -> None:
        self.look.run(sql)

    def flow(self) -> Flowed:
        return flow(self.pair, self.forms)

    def file(self, sql: str) -> list[tuple[object, ...]]:
        with contextlib.closing(sqlite3.connect(self.pair.source)) as connection:
            return connection.execute(sql).fetchall()

    def contents(self, table: str) -> set[object]:
        return set(contents(self.pair.source, table))


def make_file(path: Path, *, wal: bool, encoding: str = "UTF-8") -> Path:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA encoding='{encoding}'")
    connection.execute(f"PRAGMA journal_mode={'WAL' if wal else 'DELETE'}")
    connection.executescript(SCHEMA)
    connection.close()
    return path


CHOICES = (("MIXED_STORAGE@word.used", "tagged_text"), ("TYPE_FOLLOWS_VALUES@word.used", "tagged_text"))


@pytest.fixture(params=[("wal", "UTF-8"), ("journal", "UTF-16le")], ids=lambda p: "-".join(p))
def crossed(applier_url: TargetUrl, look: Look, tmp_path: Path, request: pytest.FixtureRequest) -> Crossed:
    journal, encoding = request.param
    path = make_file(tmp_path / "app.db", wal=journal == "wal", encoding=encoding)
    pair = follow(path, applier_url, choices=CHOICES[1:])
    return Crossed(pair, take_over(pair), look)


STEPS: list[tuple[str, str]] = [
    ("an insert", "INSERT INTO team (id, name) VALUES (9, 'white'), (10, 'black')"),
    ("an update", "UPDATE member SET score = score + 0.1, price = 7.10, joined = '2030-01-01 00:00:00.000001'"),
    ("a delete", "DELETE FROM member WHERE id = 2"),
    ("a cascade", "DELETE FROM team WHERE id = 1"),
    ("a cascade of keys", "UPDATE team SET id = 77 WHERE id = 2"),
    ("an upsert", "INSERT INTO word VALUES ('one', 'i:5') ON CONFLICT (word) DO UPDATE SET used = EXCLUDED.used"),
    ("a change of key", "UPDATE seat SET hall = 'c', row = 9 WHERE hall = 'a' AND row = 1"),
    ("a key of other case", "UPDATE word SET word = 'TWO' WHERE word = 'Two'"),
    (
        "a swap of unique values",
        "BEGIN; UPDATE team SET place = NULL WHERE id = 1; UPDATE team SET place = 1 WHERE id = 2;"
        " UPDATE team SET place = 2 WHERE id = 1; COMMIT",
    ),
    ("a delete and an insert of one key", "DELETE FROM seat WHERE hall = 'b'; INSERT INTO seat VALUES ('b', 1, 'new')"),
    ("a truncate", "TRUNCATE member; INSERT INTO member (id, active) VALUES (1, true), (50, false)"),
    ("a truncate of all", "TRUNCATE team, member, seat, word"),
    ("odd texts", "INSERT INTO seat VALUES (E'\\\\N', 1, E'\\\\.'), (E'a\\tb\\n', 2, ''), ('日本', 3, E'\\u0001')"),
    ("nothing but blanks", "INSERT INTO seat VALUES (' ', 0, ' '), ('', 0, NULL)"),
]


@pytest.mark.parametrize(("what", "sql"), STEPS, ids=[what for what, _ in STEPS])
def test_what_is_written_on_postgresql_comes_home(crossed: Crossed, what: str, sql: str) -> None:
    crossed.run(sql)
    flowed = crossed.flow()
    assert flowed.rows + flowed.deletes > 0 or "truncate" in what
    assert flowed.queue_left == waiting(crossed.pair) == 0
    assert_home(crossed.pair)
    with pytest.raises(sqlite3.IntegrityError):
        crossed.file("INSERT INTO team (name) VALUES ('past the fence')")  # the fence stands again


def test_rows_that_nobody_changed_keep_every_byte(crossed: Crossed) -> None:
    tables = ("team", "member", "seat", "word")
    before = {table: crossed.contents(table) for table in tables}
    crossed.run("UPDATE member SET score = 2 WHERE id = 1; INSERT INTO word VALUES ('four', 'r:4.0')")
    crossed.run("UPDATE team SET name = name; UPDATE seat SET note = note")  # changed, and yet the same
    assert crossed.flow().rows == 2
    after = {table: crossed.contents(table) for table in tables}
    changed = {table: len(before[table] - after[table]) for table in tables}
    assert changed == {"team": 0, "member": 1, "seat": 0, "word": 0}
    assert len(after["word"] - before["word"]) == 1
    assert crossed.file("SELECT typeof(used), used FROM word WHERE word = 'four'") == [("real", 4.0)]


def test_the_files_own_triggers_do_not_act_on_what_comes_home(crossed: Crossed) -> None:
    crossed.run("UPDATE team SET name = 'quiet' WHERE id = 1")
    crossed.flow()
    assert crossed.file("SELECT name FROM team WHERE id = 1") == [("quiet",)]


def test_a_transaction_that_commits_late_is_not_lost(crossed: Crossed, target_url: str) -> None:
    """Its changes are numbered below others that came home before it committed."""
    late = Look(target_url)
    late.run("BEGIN; INSERT INTO team (id, name) VALUES (100, 'late')")
    crossed.run("INSERT INTO team (id, name) VALUES (101, 'early')")
    assert crossed.flow().rows == 1
    assert crossed.file("SELECT id FROM team WHERE id >= 100") == [(101,)]
    late.run("COMMIT")
    late.connection.close()
    assert crossed.flow().rows == 1
    assert crossed.file("SELECT id FROM team WHERE id >= 100 ORDER BY id") == [(100,), (101,)]
    assert_home(crossed.pair)


def test_changes_that_come_while_others_flow_stay_in_the_queue(
    crossed: Crossed, monkeypatch: pytest.MonkeyPatch
) -> None:
    crossed.run("UPDATE team SET place = 50 WHERE id = 1")
    take = target_changes.take_from_queue

    def late_take(cursor: Cursor) -> int:
        crossed.run("UPDATE team SET place = 51 WHERE id = 1; UPDATE team SET place = 52 WHERE id = 2")
        return take(cursor)

    with monkeypatch.context() as patched:
        patched.setattr("migrations_app.engine.replay.backward.take_from_queue", late_take)
        flowed = crossed.flow()
    assert (flowed.rows, flowed.queue_left) == (1, 2)
    assert crossed.file("SELECT place FROM team WHERE id = 1") == [(50,)]
    crossed.flow()
    assert_home(crossed.pair)


UNFIT: list[tuple[str, str, str]] = [
    ("UPDATE member SET joined = 'infinity' WHERE id = 2", "member.joined", '{"id": 2}'),
    ("UPDATE member SET score = 'NaN' WHERE id = 3", "member.score", '{"id": 3}'),
    ("UPDATE member SET price = 'NaN' WHERE id = 3", "member.price", '{"id": 3}'),
    ("INSERT INTO word VALUES ('new', 'no tag')", "word.used", '{"word": "new"}'),
    ("DROP INDEX word_word_nocase; INSERT INTO word VALUES ('ONE', 'i:1')", "row of word", '{"word": "ONE"}'),
    ("UPDATE team SET name = NULL WHERE id = 1", "team.name", '{"id": 1}'),
]


@pytest.mark.parametrize(("sql", "place", "key"), UNFIT, ids=[place for _, place, _ in UNFIT])
def test_a_value_without_a_way_back_is_named_and_nothing_is_written(
    crossed: Crossed, sql: str, place: str, key: str
) -> None:
    crossed.run("ALTER TABLE team ALTER name DROP NOT NULL; INSERT INTO team (id, name) VALUES (50, 'fits')")
    crossed.run(sql)
    before = {table: crossed.contents(table) for table in ("team", "member", "word")}
    with pytest.raises(Failed) as caught:
        crossed.flow()
    assert caught.value.code == "NO_WAY_BACK_FOR_VALUE"
    assert place in caught.value.message
    assert key in caught.value.message
    assert "no tag" not in caught.value.message
    assert {table: crossed.contents(table) for table in before} == before
    assert waiting(crossed.pair) >= 2


def test_a_value_that_is_mended_flows(crossed: Crossed) -> None:
    crossed.run("UPDATE member SET joined = 'infinity' WHERE id = 2")
    with pytest.raises(Failed):
        crossed.flow()
    crossed.run("UPDATE member SET joined = '2031-01-01' WHERE id = 2")
    assert crossed.flow().rows == 1
    assert crossed.file("SELECT joined FROM member WHERE id = 2") == [("2031-01-01 00:00:00",)]


def test_the_last_flow_stands_in_the_callers_transaction(crossed: Crossed) -> None:
    crossed.run("DELETE FROM seat; INSERT INTO seat VALUES ('z', 1, 'last')")
    assert flow_locked(crossed.pair, crossed.forms).rows == 1
    assert waiting(crossed.pair) == 0
    assert_home(crossed.pair)


def test_a_last_flow_that_is_taken_back_flows_again(crossed: Crossed) -> None:
    crossed.run("DELETE FROM seat")
    connection = connect(crossed.pair.url, application_name="causeway:test:0")
    Returner(crossed.pair, crossed.forms, busy_timeout_ms=BUSY_MS).flow_from(connection)
    connection.rollback()
    connection.close()
    assert waiting(crossed.pair) == 3
    crossed.run("INSERT INTO seat VALUES ('z', 1, 'later')")
    crossed.flow()
    assert_home(crossed.pair)


def test_a_snapshot_from_before_the_locks_is_refused(crossed: Crossed) -> None:
    connection = connect(crossed.pair.url, application_name="causeway:test:0")
    connection.set_session(isolation_level="REPEATABLE READ")
    with pytest.raises(ValueError, match="READ COMMITTED"):
        Returner(crossed.pair, crossed.forms, busy_timeout_ms=BUSY_MS).flow_from(connection)
    connection.close()


def test_the_lag_says_how_many_wait_and_since_when(crossed: Crossed) -> None:
    with Returner(crossed.pair, crossed.forms, busy_timeout_ms=BUSY_MS) as returner:
        assert returner.lag().rows == 0
        crossed.run("UPDATE causeway.changes SET at = at")
        crossed.run("DELETE FROM seat; UPDATE causeway.changes SET at = at - interval '1 hour'")
        lag = returner.lag()
        assert lag.rows == 3
        assert lag.seconds >= 3600
        returner.flow()
        assert (returner.lag().rows, returner.lag().seconds) == (0, 0.0)


# Guards: nothing is written where anything isn't as the crossing left it.


def _open_again(crossed: Crossed) -> None:
    with write_transaction(crossed.pair.source, BUSY_MS, "testing") as file:
        state = state_of(file)
        assert state is not None
        lift_fence(file, state)


def _give_back(crossed: Crossed) -> None:
    with target(crossed.pair) as cursor:
        replication.change_phase(cursor, crossed.pair, {TAKEN_OVER}, GIVEN_BACK)


def _other_file(crossed: Crossed) -> None:
    crossed.pair = replace(crossed.pair, identity="another")


def _drop_table_and_make_another(crossed: Crossed) -> None:
    with write_transaction(crossed.pair.source, BUSY_MS, "testing") as file:
        file.execute("CREATE TABLE past_the_fence (x)")


def _lose_a_fence(crossed: Crossed) -> None:
    with write_transaction(crossed.pair.source, BUSY_MS, "testing") as file:
        names = file.execute("SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'seat'").fetchall()
        file.execute(f"DROP TRIGGER {names[0][0]}")


def _strange_queue(crossed: Crossed) -> None:
    crossed.run("INSERT INTO causeway.changes (schema_name, table_name, op, key) VALUES ('public', 'x', 'U', '{1}')")


def _disarmed(crossed: Crossed) -> None:
    crossed.run("DELETE FROM causeway.watched WHERE table_name = 'seat'")


GUARDS: list[tuple[Callable[[Crossed], None], str]] = [
    (_open_again, "MODE_DIFFERS"),
    (_give_back, "PHASE_CHANGED"),
    (_other_file, "IDENTITY_DIFFERS"),
    (_drop_table_and_make_another, "SOURCE_SCHEMA_CHANGED"),
    (_lose_a_fence, "CAPTURE_LOST"),
    (_strange_queue, "QUEUE_NOT_OURS"),
    (_disarmed, "NOT_ARMED"),
]


@pytest.mark.parametrize(("spoil", "code"), GUARDS, ids=[code for _, code in GUARDS])
def test_nothing_flows_where_something_is_not_as_it_was(
    crossed: Crossed, spoil: Callable[[Crossed], None], code: str
) -> None:
    crossed.run("UPDATE team SET place = 99 WHERE id = 1")
    spoil(crossed)
    with pytest.raises((Failed, Refused)) as caught:
        crossed.flow()
    assert caught.value.code == code
    assert crossed.file("SELECT place FROM team WHERE id = 1") == [(1,)]


def test_forms_of_another_plan_are_refused(crossed: Crossed) -> None:
    forms = replace(crossed.forms, plan_digest="another")
    with pytest.raises(ValueError, match="another plan"):
        Returner(crossed.pair, forms, busy_timeout_ms=BUSY_MS)
