"""Small databases on which a random search once broke the move; each is moved there and back."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from migrations_app.engine.errors import Refused
from migrations_app.engine.source.opening import open_source
from tests.migrations_app.engine.random_databases import ODD_COLLATION, Database, Insert, RawText
from tests.migrations_app.engine.round_trip import Target, there_and_back
from tests.migrations_app.engine.test_property_export import exported_and_back


def small(ddl: str, *rows: Insert, encoding: str = "UTF-8") -> Database:
    """`ddl`: statements divided by semicolons."""
    return Database(encoding, tuple(ddl.split("; ")), rows)


NULL_KEY = small("CREATE TABLE t (a TEXT PRIMARY KEY, b)", Insert("INSERT INTO t VALUES", (None, 1)))


def test_a_name_may_spell_the_mark_of_the_schema(target: Target) -> None:
    rows = Insert('INSERT INTO "{schema}" VALUES', (1, "x"))
    columns = """"{schema}." INTEGER PRIMARY KEY, b TEXT DEFAULT '{schema}' CHECK (b <> '{schema}1')"""
    ddl = f'CREATE TABLE "{{schema}}" ({columns})'
    plan = there_and_back(target, small(f'{ddl}; CREATE INDEX "i{{schema}}" ON "{{schema}}" (b)', rows), 0)
    assert plan is not None
    found = target.run("SELECT indexname::text FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1")
    assert found == [("i{schema}",), ("{schema}_pkey",)]
    target.run("""INSERT INTO public."{schema}" DEFAULT VALUES""")
    assert target.run('SELECT b FROM public."{schema}" ORDER BY 1') == [("x",), ("{schema}",)]


def test_rows_without_a_key_are_left_out_by_choice(target: Target) -> None:
    plan = there_and_back(target, NULL_KEY, 0, [("NULL_IN_PRIMARY_KEY", "skip_rows")])
    assert plan is not None
    assert target.run("SELECT * FROM public.t") == []


def test_rows_without_a_key_are_kept_by_choice(target: Target) -> None:
    there_and_back(target, NULL_KEY, 0, [("NULL_IN_PRIMARY_KEY", "unique")])
    assert target.run("SELECT a, b::text FROM public.t") == [(None, "1")]


@pytest.mark.parametrize("choice", ["omit", "try"])
def test_a_wide_key_with_an_expression_can_be_chosen_about(target: Target, choice: str) -> None:
    ddl = "CREATE TABLE t (a, b TEXT, c); CREATE INDEX i ON t (c, lower(b), a)"
    database = small(ddl, Insert("INSERT INTO t VALUES", ("y" * 3000, "x", "z")))
    plan = there_and_back(target, database, 0, [("KEY_TOO_WIDE@t.c,a", choice)])
    assert plan is not None
    assert ("KEY_TOO_WIDE", choice) in [(finding.code, finding.choice) for finding in plan.findings]


def test_large_reals_stay_apart_from_integers(target: Target) -> None:
    rows = [Insert("INSERT INTO t VALUES", (value,)) for value in (1, 10**16, 1e16, -(2.0**53), 2**53, 1e300, 2.0)]
    there_and_back(target, small("CREATE TABLE t (a)", *rows), 0)
    found = {text for (text,) in target.run("SELECT a::text FROM public.t WHERE a = 10000000000000000")}
    assert found == {"10000000000000000", "10000000000000000.0"}


ODD = f"a TEXT COLLATE {ODD_COLLATION}"


@pytest.mark.parametrize("ddl", [f"({ODD} UNIQUE)", f"({ODD} PRIMARY KEY)", f"({ODD} PRIMARY KEY) WITHOUT ROWID"])
def test_an_order_that_only_the_application_knows_is_no_damage(target: Target, ddl: str) -> None:
    rows = [Insert("INSERT INTO t VALUES", (text,)) for text in "bcade"]
    assert there_and_back(target, small(f"CREATE TABLE t {ddl}", *rows), 0) is not None


def test_invalid_text_under_such_an_order_is_a_finding(target: Target) -> None:
    row = Insert("INSERT INTO t VALUES", (RawText(b"\xff"),))
    plan = there_and_back(target, small(f"CREATE TABLE t ({ODD} UNIQUE)", row), 0)
    assert plan is not None
    assert "INVALID_TEXT" in [finding.code for finding in plan.findings]


def test_damage_is_found_beside_such_an_order(tmp_path: Path) -> None:
    """Another table's index, whose definition was changed behind its back, doesn't hold what it should."""
    ddl = f"CREATE TABLE t ({ODD} UNIQUE); CREATE TABLE u (b, c); CREATE INDEX i ON u (b)"
    path = small(ddl, Insert("INSERT INTO u VALUES", (1, 2))).build(tmp_path / "source.db")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_schema SET sql = 'CREATE INDEX i ON u (c)' WHERE name = 'i'")
        connection.commit()
    with open_source(path) as source, pytest.raises(Refused) as caught:
        source.check_integrity()
    assert caught.value.code == "CORRUPT"


def test_reals_of_a_virtual_column_stay_reals_when_rows_are_sorted(target: Target) -> None:
    ddl = "CREATE TABLE t (a INT, b REAL AS (a + 1) VIRTUAL, PRIMARY KEY (a COLLATE NOCASE)) WITHOUT ROWID"
    plan = there_and_back(target, small(ddl, Insert("INSERT INTO t (a) VALUES", (1,))), 0)
    assert plan is not None


def test_an_export_gives_back_generated_columns_and_odd_collations(tmp_path: Path) -> None:
    ddl = f"CREATE TABLE t ({ODD} UNIQUE, b REAL AS (length(a)) VIRTUAL); PRAGMA user_version = 7"
    exported_and_back(small(ddl, Insert("INSERT INTO t (a) VALUES", ("x",))), 0)


def test_invalid_text_that_such_an_order_would_compare_is_a_refusal(tmp_path: Path) -> None:
    rows = [Insert("INSERT INTO t VALUES", (RawText(raw),)) for raw in (b"\xff", b"\xfe")]
    path = small(f"CREATE TABLE t ({ODD})", *rows).build(tmp_path / "source.db")
    with open_source(path) as source, pytest.raises(Refused) as caught:
        list(source.query("SELECT a FROM t ORDER BY a"))
    assert caught.value.code == "NOT_READABLE"
