"""Small databases on which a random search once broke the move; each is moved there and back."""

from __future__ import annotations

import pytest

from tests.migrations_app.engine.random_databases import Database, Insert
from tests.migrations_app.engine.round_trip import Target, there_and_back


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
