"""SQLite follows PostgreSQL: what is written there comes home whole, each cell as SQLite itself would have kept it."""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import pytest

from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.conversions.inverse import InverseForms
from migrations_app.engine.replay.backward import Flowed
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.moves import Look
from tests.migrations_app.engine.replay.following import follow
from tests.migrations_app.engine.replay.returning import (
    assert_home,
    contents,
    flow,
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
