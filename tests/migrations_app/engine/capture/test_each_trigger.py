"""Each trigger of capture, and each question that it asks, is there for a write that goes unseen without it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from migrations_app.engine.source.own_objects import CAPTURE_PREFIX
from tests.migrations_app.engine.capture.followed import play
from tests.migrations_app.engine.capture.random_statements import Application, Step


@dataclass(frozen=True)
class Case:
    """needs: the kind of trigger without which `statement` changes a row unseen."""

    what: str
    needs: str
    schema: str
    rows: str
    statement: str
    foreign_keys: bool = False

    def application(self, **how: object) -> Application:
        settings = {"encoding": "UTF-8", "journal": "WAL", "recursive_triggers": False, **how}
        statements = tuple(part.strip() for part in self.schema.split(";\n") if part.strip())
        steps = tuple(Step(0, part) for part in self.statement.split(";\n"))
        rows = tuple(f"INSERT INTO {row}" for row in self.rows.split("; ")) if self.rows else ()
        return Application(foreign_keys=self.foreign_keys, schema=statements, rows=rows, steps=steps, **settings)  # type: ignore[arg-type]


T = "CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE, v)"
CASES = [
    Case("an insert", "ai", T, "", "INSERT INTO t VALUES (1, 'a', 1)"),
    Case("a numbered insert", "ai", T, "", "INSERT INTO t(u) VALUES ('a')"),
    Case("an update", "au", T, "t VALUES (1, 'a', 1)", "UPDATE t SET v = 2"),
    Case("a changed key", "au", T, "t VALUES (1, 'a', 1)", "UPDATE t SET id = 2"),
    Case("a key changed through another name", "au", T, "t VALUES (1, 'a', 1)", "UPDATE t SET rowid = 2"),
    Case("a key changed in its case", "au", "CREATE TABLE t(k TEXT PRIMARY KEY COLLATE NOCASE) WITHOUT ROWID",
         "t VALUES ('a')", "UPDATE t SET k = 'A'"),
    Case("a key changed in its class", "au", "CREATE TABLE t(k PRIMARY KEY, v)", "t VALUES (1, 1)",
         "UPDATE t SET k = 1.0"),
    Case("a delete", "ad", T, "t VALUES (1, 'a', 1)", "DELETE FROM t"),
    Case("a delete by a foreign key", "ad",
         f"{T};\nCREATE TABLE c(id INTEGER PRIMARY KEY, t REFERENCES t ON DELETE CASCADE)",
         "t VALUES (1, 'a', 1); c VALUES (1, 1)", "DELETE FROM t", foreign_keys=True),
    Case("a replaced row", "bi", T, "t VALUES (1, 'a', 1)", "REPLACE INTO t(u) VALUES ('a')"),
    Case("a replaced row, by the schema", "bi", "CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE ON CONFLICT REPLACE)",
         "t VALUES (1, 'a')", "INSERT INTO t(u) VALUES ('a')"),
    Case("a replaced row of a key in another case", "bi", "CREATE TABLE t(k TEXT PRIMARY KEY COLLATE NOCASE, v)",
         "t VALUES ('a', 1)", "REPLACE INTO t VALUES ('A', 2)"),
    Case("a replaced row of a key of another class", "bi", "CREATE TABLE t(k PRIMARY KEY, v)", "t VALUES (1, 1)",
         "REPLACE INTO t VALUES (1.0, 1)"),
    Case("a row replaced by an expression", "bi", f"{T};\nCREATE UNIQUE INDEX i ON t(lower(v))",
         "t VALUES (1, 1, 'a')", "REPLACE INTO t(v) VALUES ('A')"),
    Case("a row replaced by a partial index", "bi", f"{T};\nCREATE UNIQUE INDEX i ON t(v) WHERE u > 0",
         "t VALUES (1, 1, 'a')", "REPLACE INTO t(u, v) VALUES (2, 'a')"),
    Case("a row replaced by a generated column", "bi",
         "CREATE TABLE t(id INTEGER PRIMARY KEY, a, g AS (a || 'x') UNIQUE)", "t(a) VALUES ('a')",
         "REPLACE INTO t(a) VALUES ('a')"),
    Case("a row replaced by a default in the place of NULL", "bi",
         "CREATE TABLE t(id INTEGER PRIMARY KEY, u INTEGER NOT NULL DEFAULT '7' UNIQUE)", "t VALUES (1, 7)",
         "REPLACE INTO t(u) VALUES (NULL)"),
    Case("a row replaced by a default that is a bare word", "bi",
         "CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT NOT NULL DEFAULT new UNIQUE)", "t VALUES (1, 'new')",
         "REPLACE INTO t(u) VALUES (NULL)"),
    Case("a row replaced by a default inside an expression", "bi",
         "CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT NOT NULL DEFAULT 'B');\nCREATE UNIQUE INDEX i ON t(lower(u))",
         "t VALUES (1, 'b')", "REPLACE INTO t(u) VALUES (NULL)"),
    Case("a row replaced by its hidden number", "bi", "CREATE TABLE t(k TEXT PRIMARY KEY)", "t VALUES ('a')",
         "REPLACE INTO t(rowid, k) VALUES (1, 'b')"),
    Case("a row replaced by an update", "bu", T, "t VALUES (1, 'a', 1); t VALUES (2, 'b', 1)",
         "UPDATE OR REPLACE t SET u = 'b' WHERE id = 1"),
    Case("a row replaced by an update that makes it part of an index", "bu",
         f"{T};\nCREATE UNIQUE INDEX i ON t(v) WHERE u > 0", "t VALUES (1, 1, 'a'); t VALUES (2, 0, 'a')",
         "UPDATE OR REPLACE t SET u = 2 WHERE id = 2"),
    Case("a row replaced by an update of its hidden number", "bu", "CREATE TABLE t(k TEXT PRIMARY KEY)",
         "t VALUES ('a'); t VALUES ('b')", "UPDATE OR REPLACE t SET rowid = 2 WHERE k = 'a'"),
    Case("a row replaced by an update to NULL", "bu",
         "CREATE TABLE t(id INTEGER PRIMARY KEY, u NOT NULL DEFAULT 7 UNIQUE)", "t VALUES (1, 7); t VALUES (2, 8)",
         "UPDATE OR REPLACE t SET u = NULL WHERE id = 2"),
]  # fmt: skip
IDS = [case.what for case in CASES]


def without(kind: str) -> Callable[[Path], None]:
    """Takes the triggers of one kind away, behind capture's back."""

    def weaken(path: Path) -> None:
        connection = sqlite3.connect(path, isolation_level=None)
        for number in (1, 2):
            connection.execute(f"DROP TRIGGER IF EXISTS {CAPTURE_PREFIX}{number}_{kind}")
        connection.close()

    return weaken


@pytest.mark.parametrize("case", CASES, ids=IDS)
@pytest.mark.parametrize("encoding", ["UTF-8", "UTF-16le"])
def test_a_write_is_seen(tmp_path: Path, case: Case, encoding: str) -> None:
    assert play(case.application(encoding=encoding), tmp_path)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_a_write_goes_unseen_without_the_trigger_that_is_there_for_it(tmp_path: Path, case: Case) -> None:
    with pytest.raises(AssertionError, match="changed unseen"):
        play(case.application(), tmp_path, without(case.needs))


def test_an_upsert_that_updates_is_seen(tmp_path: Path) -> None:
    case = Case("an upsert", "au", T, "t VALUES (1, 'a', 1)",
                "INSERT INTO t VALUES (1, 'b', 2) ON CONFLICT (id) DO UPDATE SET v = 3, id = 9")  # fmt: skip
    assert play(case.application(), tmp_path)
    with pytest.raises(AssertionError, match="changed unseen"):
        (tmp_path / "again").mkdir()
        play(case.application(), tmp_path / "again", without("au"))


@pytest.mark.parametrize("moment", ["BEFORE", "AFTER"])
@pytest.mark.parametrize("event", ["INSERT", "UPDATE", "DELETE"])
def test_a_trigger_of_the_application_that_ends_the_others_hides_nothing(
    tmp_path: Path, moment: str, event: str
) -> None:
    schema = f"{T};\nCREATE TRIGGER app {moment} {event} ON t BEGIN SELECT RAISE(IGNORE); END"
    statement = "REPLACE INTO t(u, v) VALUES ('b', 2);\nUPDATE t SET v = 9, id = id + 5;\nDELETE FROM t"
    case = Case("", "", schema, "t VALUES (1, 'a', 1)", statement)
    assert play(case.application(), tmp_path) == 1
