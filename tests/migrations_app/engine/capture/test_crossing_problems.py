"""What can't be followed while the application writes is said before anything is put into its file."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from migrations_app.engine.capture.capture import install
from migrations_app.engine.capture.stable_keys import crossing_problems, stable_key
from migrations_app.engine.errors import Refused
from migrations_app.engine.plan import LOAD, MODE_CREATE, SKIP, ColumnPlan, Finding, MovePlan, TablePlan
from migrations_app.engine.source.opening import open_source
from tests.migrations_app.engine.capture.files import make_file, opened


def _problems(path: Path, *, skipped: tuple[str, ...] = (), dropped: tuple[str, ...] = ()) -> tuple[Finding, ...]:
    with open_source(path) as source:
        tables = tuple(
            TablePlan(
                table.name,
                table.name,
                SKIP if table.name in skipped or table.kind != "table" else LOAD,
                tuple(
                    ColumnPlan(c.name, c.name, "", "text", "text", load=c.name not in dropped) for c in table.columns
                ),
                table.key,
            )
            for table in source.schema.tables
        )
        return crossing_problems(
            source, MovePlan(MODE_CREATE, "public", source.schema.digest, source.schema.encoding, tables)
        )


def _codes(tmp_path: Path, sql: str, **how: tuple[str, ...]) -> list[tuple[str, str, str]]:
    return [(f.code, f.table, f.column) for f in _problems(make_file(tmp_path / "app.sqlite", sql), **how)]


@pytest.mark.parametrize(
    ("sql", "code"),
    [
        ("CREATE TABLE t(a, b)", "ONLINE_NO_KEY"),
        ("CREATE TABLE t(a UNIQUE, b)", "ONLINE_NO_KEY"),
        ("CREATE TABLE t(a NOT NULL, b); CREATE UNIQUE INDEX i ON t(a) WHERE b > 0", "ONLINE_NO_KEY"),
        ("CREATE TABLE t(a NOT NULL, b NOT NULL); CREATE UNIQUE INDEX i ON t(a, lower(b))", "ONLINE_NO_KEY"),
        ("CREATE TABLE t(id INTEGER PRIMARY KEY, a NOT NULL DEFAULT CURRENT_TIMESTAMP UNIQUE)", "ONLINE_UNIQUE_UNSEEN"),
        ("CREATE TABLE t(id INTEGER PRIMARY KEY, a NOT NULL DEFAULT (random()) UNIQUE)", "ONLINE_UNIQUE_UNSEEN"),
        ("CREATE TABLE t(id INTEGER PRIMARY KEY, g AS (id % 10) UNIQUE)", "ONLINE_UNIQUE_UNSEEN"),
        ("CREATE TABLE t(id INTEGER PRIMARY KEY, a NOT NULL DEFAULT 1, g AS (a + 1) UNIQUE)", "ONLINE_UNIQUE_UNSEEN"),
        ("CREATE TABLE t(id INTEGER PRIMARY KEY, a); CREATE UNIQUE INDEX i ON t(a + id)", "ONLINE_UNIQUE_UNSEEN"),
        ("CREATE TABLE t(id INTEGER PRIMARY KEY, a INT); CREATE UNIQUE INDEX i ON t(a = '1')", "ONLINE_UNIQUE_UNSEEN"),
        ("CREATE TABLE t(id INTEGER PRIMARY KEY, a INT); CREATE UNIQUE INDEX i ON t(CASE a WHEN '1' THEN 2 END)",
         "ONLINE_UNIQUE_UNSEEN"),
        ("CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE);"
         "CREATE TRIGGER r UPDATE OF id ON t BEGIN UPDATE OR IGNORE T SET u = 1 WHERE id = NEW.id; END",
         "ONLINE_TRIGGER_UNSURE"),
    ],
)  # fmt: skip
def test_a_table_that_cannot_be_followed_is_refused_with_the_way_out(tmp_path: Path, sql: str, code: str) -> None:
    file = make_file(tmp_path / "app.sqlite", sql)
    (finding,) = _problems(file)
    assert (finding.code, finding.table, finding.severity) == (code, "t", "refuse")
    assert "offline" in finding.message
    assert _problems(file, skipped=("t",)) == ()  # a table that isn't moved needs no capture


@pytest.mark.parametrize(
    "sql",
    [
        "CREATE TABLE t(a NOT NULL, b INT NOT NULL, UNIQUE (a, b))",
        "CREATE TABLE t(a TEXT PRIMARY KEY, u UNIQUE); CREATE UNIQUE INDEX i ON t(u) WHERE a > 'x'",
        "CREATE TABLE t(a TEXT NOT NULL DEFAULT (hex(randomblob(16))) PRIMARY KEY)",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a NOT NULL DEFAULT (1 + 1) UNIQUE, b NOT NULL DEFAULT CURRENT_DATE)",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT); CREATE UNIQUE INDEX i ON t(lower(a) COLLATE NOCASE DESC)",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, a INT, b); CREATE UNIQUE INDEX i ON t(CASE WHEN a = 1 THEN b END)",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, u UNIQUE);"
        "CREATE TRIGGER r AFTER UPDATE ON t BEGIN UPDATE t SET u = 1 WHERE id = NEW.id; END",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, o TEXT); CREATE UNIQUE INDEX i ON t(json_extract(o, '$.a'))",
    ],
)
def test_what_can_be_followed_is_and_capture_can_be_installed(tmp_path: Path, sql: str) -> None:
    file = make_file(tmp_path / "app.sqlite", sql)
    assert _problems(file) == ()
    with open_source(file) as source:
        digest = source.schema.digest
    plan = MovePlan(MODE_CREATE, "public", digest, "UTF-8", (TablePlan("t", "t", LOAD, (), ()),))
    assert install(file, plan, busy_timeout_ms=1000).armed


def test_null_in_a_key_is_refused_with_its_place(tmp_path: Path) -> None:
    sql = "CREATE TABLE t(a TEXT PRIMARY KEY, b); INSERT INTO t VALUES ('x', 1), (NULL, 2), (NULL, 3)"
    (finding,) = _problems(make_file(tmp_path / "app.sqlite", sql))
    assert (finding.code, finding.table, finding.column) == ("ONLINE_NULL_IN_KEY", "t", "a")
    assert (finding.count, finding.row_key) == (2, '{"rowid": 2}')


def test_a_virtual_table_is_refused_even_where_the_plan_leaves_it_out(tmp_path: Path) -> None:
    sql = "CREATE TABLE t(id INTEGER PRIMARY KEY); CREATE VIRTUAL TABLE words USING fts5(w)"
    assert _codes(tmp_path, sql) == [("ONLINE_VIRTUAL_TABLE", "words", "")]


def test_a_key_that_the_plan_drops_is_refused(tmp_path: Path) -> None:
    sql = "CREATE TABLE t(a TEXT NOT NULL PRIMARY KEY, b)"
    assert _codes(tmp_path, sql, dropped=("a",)) == [("ONLINE_KEY_NOT_MOVED", "t", "a")]


@pytest.mark.parametrize("sql", ["CREATE TABLE CAUSEWAY_LOG(a)", "CREATE VIEW causeway_state AS SELECT 1"])
def test_a_name_that_is_needed_is_refused(tmp_path: Path, sql: str) -> None:
    found = _codes(tmp_path, f"CREATE TABLE t(id INTEGER PRIMARY KEY); {sql}", skipped=("CAUSEWAY_LOG",))
    assert [code for code, _, _ in found] == ["ONLINE_NAME_TAKEN"]


def test_a_function_or_collation_that_only_the_application_has_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "app.sqlite"
    with opened(file) as connection:
        connection.create_function("own", 1, lambda value: value, deterministic=True)
        connection.create_collation("strange", lambda one, two: (one > two) - (one < two))
        connection.executescript(
            "CREATE TABLE f(id INTEGER PRIMARY KEY, v); CREATE INDEX fi ON f(own(v));"
            "CREATE TABLE c(id INTEGER PRIMARY KEY, v TEXT COLLATE strange UNIQUE);"
            "CREATE TABLE g(id INTEGER PRIMARY KEY, v, w AS (own(v)) STORED);"
            "CREATE TABLE h(id INTEGER PRIMARY KEY, v CHECK (own(v) > 0))"
        )
    found = _problems(file)
    assert {(finding.code, finding.table) for finding in found} == {
        ("ONLINE_NEEDS_APPLICATION", name) for name in ("c", "f", "g", "h")
    }


def test_a_foreign_key_that_sqlite_only_notices_beside_a_trigger_is_refused(tmp_path: Path) -> None:
    sql = "CREATE TABLE p(id INTEGER PRIMARY KEY, code); CREATE TABLE c(id INTEGER PRIMARY KEY, p REFERENCES p(code))"
    assert _codes(tmp_path, sql) == [("ONLINE_FOREIGN_KEY", "p", "")]
    with opened(tmp_path / "app.sqlite") as connection:
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("INSERT INTO p(code) VALUES (1)")
        connection.execute("CREATE TABLE log(a)")
        connection.execute("CREATE TRIGGER like_capture AFTER INSERT ON p BEGIN INSERT INTO log VALUES (1); END")
        with pytest.raises(sqlite3.OperationalError, match="mismatch"):
            connection.execute("INSERT INTO p(code) VALUES (2)")


@pytest.mark.parametrize(("parent", "child"), [("TEXT", "REAL"), ("VARCHAR(9)", "INTEGER"), ("", "NUMERIC")])
def test_a_key_that_a_foreign_key_compares_as_another_type_is_refused(tmp_path: Path, parent: str, child: str) -> None:
    sql = f"CREATE TABLE p(k {parent} PRIMARY KEY); CREATE TABLE c(id INTEGER PRIMARY KEY, k {child} REFERENCES P)"
    assert _codes(tmp_path, f"{sql}; CREATE INDEX i ON c(k)") == [("ONLINE_FOREIGN_KEY", "p", "")]
    with opened(tmp_path / "app.sqlite") as connection:  # why: what a trigger is told then
        connection.executescript("PRAGMA foreign_keys=ON; CREATE TABLE told(k); INSERT INTO p VALUES ('01.0')")
        connection.execute("CREATE TRIGGER like_capture AFTER DELETE ON p BEGIN INSERT INTO told VALUES (OLD.k); END")
        connection.execute("DELETE FROM p")
        assert connection.execute("SELECT k FROM told").fetchone() != ("01.0",)


def test_a_key_that_its_foreign_keys_compare_as_it_is_is_fine(tmp_path: Path) -> None:
    sql = (
        "CREATE TABLE p(k TEXT PRIMARY KEY); CREATE TABLE q(id INTEGER PRIMARY KEY, u TEXT UNIQUE);"
        "CREATE TABLE c(id INTEGER PRIMARY KEY, a VARCHAR(3) REFERENCES p, b TEXT REFERENCES q(id), d REFERENCES p,"
        " e REAL REFERENCES q(u))"
    )
    assert _codes(tmp_path, sql) == []


def test_installing_refuses_what_nobody_asked_about_before(tmp_path: Path) -> None:
    file = make_file(tmp_path / "app.sqlite", "CREATE TABLE t(a, b)")
    with open_source(file) as source:
        plan = MovePlan(MODE_CREATE, "public", source.schema.digest, "UTF-8", (TablePlan("t", "t", LOAD, (), ()),))
        table = source.schema.table("t")
    with pytest.raises(Refused, match="can't be followed"):
        install(file, plan, busy_timeout_ms=1000)
    with opened(file) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_schema").fetchone() == (1,)
    with pytest.raises(Refused):
        stable_key(replace(table, name="renamed"))


def test_the_primary_key_goes_before_other_keys_and_the_shortest_of_those_first(tmp_path: Path) -> None:
    file = make_file(
        tmp_path / "app.sqlite",
        "CREATE TABLE a(x NOT NULL UNIQUE, y, PRIMARY KEY (y)); "
        "CREATE TABLE b(x NOT NULL, y NOT NULL, z NOT NULL UNIQUE, UNIQUE (x, y)); "
        "CREATE TABLE c(id INTEGER PRIMARY KEY, x NOT NULL UNIQUE)",
    )
    with open_source(file) as source:
        assert [stable_key(source.schema.table(name)) for name in "abc"] == [("y",), ("z",), ("id",)]
