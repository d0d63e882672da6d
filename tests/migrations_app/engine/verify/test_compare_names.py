"""Tables that bear names of PostgreSQL's own: it spells those with their schema, and that is no difference."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations_app.engine.load import clean
from migrations_app.engine.plan import MODE_EXISTING
from migrations_app.engine.target.pg_names import quote
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.moves import RUN, Look
from tests.migrations_app.engine.sqlite_files import build
from tests.migrations_app.engine.whole_moves import again, move

# pg_catalog is searched before any schema, so what bears a name of its own is printed qualified. A table that is called
# as its schema is prints the schema's name where none is meant.
SCRIPT = """
    CREATE TABLE pg_class(oid INTEGER PRIMARY KEY, relname TEXT DEFAULT 'public.pg_class',
                          parent INTEGER REFERENCES pg_class(oid), kind INTEGER REFERENCES pg_type(oid),
                          CHECK (parent IS NULL OR parent <= oid));
    CREATE TABLE pg_type(oid INTEGER PRIMARY KEY, typname TEXT UNIQUE CHECK (typname <> 'public.'));
    CREATE TABLE public(public INTEGER PRIMARY KEY, x INTEGER REFERENCES public(public));
    CREATE TABLE "text"(id INTEGER PRIMARY KEY, "date" TEXT CHECK (length("date") < 9));
    CREATE INDEX small ON pg_class(relname) WHERE parent > 0;
    CREATE VIEW pg_tables AS SELECT c.relname, t.typname FROM pg_class c JOIN pg_type t ON t.oid = c.kind;
    CREATE VIEW pg_views AS SELECT public, x FROM public;
    INSERT INTO pg_type VALUES(1, 'a'), (2, 'b');
    INSERT INTO pg_class VALUES(1, 'one', NULL, 1), (2, 'two', 1, 2);
    INSERT INTO public VALUES(1, 1); INSERT INTO "text" VALUES(1, 'date');
"""


@pytest.mark.parametrize("schema", ["public", "Odd schema", "x"])
def test_tables_called_like_postgresqls_catalogs_are_equal_and_their_changes_are_found(
    tmp_path: Path, url: TargetUrl, look: Look, schema: str
) -> None:
    path = build(tmp_path / "t.db", SCRIPT)
    plan, result = move(path, url, schema=schema)
    assert (result.equal, result.differences) == (True, ())
    lost = {(each.kind, each.name) for each in result.objects if not each.carried}
    assert lost == set()
    look.run(f"SET search_path = {quote(schema)}, pg_catalog")
    assert look.rows("SELECT * FROM pg_tables ORDER BY 1") == [("one", "a"), ("two", "b")]
    look.run("CREATE TABLE other(oid bigint PRIMARY KEY); INSERT INTO other VALUES(1), (2)")
    (key,) = (each.name for each in plan.table("pg_class").objects if each.name == "pg_class_parent_fkey")
    look.run(f"ALTER TABLE pg_class DROP CONSTRAINT {key}, ADD CONSTRAINT {key} FOREIGN KEY (parent) REFERENCES other")
    found = {(each.kind, each.column) for each in again(path, plan, url).differences}
    assert found == {("foreign_key_changed", key), ("table_extra", "")}


def test_such_tables_of_the_applications_own_are_put_back_and_equal(tmp_path: Path, url: TargetUrl, look: Look) -> None:
    path = build(tmp_path / "t.db", SCRIPT)
    move(path, url)
    clean.remove_traces(url, RUN)
    look.run('TRUNCATE public.pg_class, public.pg_type, public.public, public."text"')
    plan, result = move(path, url, MODE_EXISTING)
    assert (result.equal, result.differences) == (True, ())
    look.run("ALTER TABLE public.pg_class DROP CONSTRAINT pg_class_check1")
    assert [each.kind for each in again(path, plan, url).differences] == ["check_missing"]
