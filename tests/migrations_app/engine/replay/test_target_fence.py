"""PostgreSQL's fence: none but the applier writes to the copy; taking over waits for nobody; no comparison sees it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.plan import LOAD, TablePlan
from migrations_app.engine.replay import target_fence
from migrations_app.engine.target.target import connect
from migrations_app.engine.target.target_digest import schema_digest
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.moves import Look, make_plan
from tests.migrations_app.engine.replay.following import target

TABLES = """CREATE TABLE city (code text PRIMARY KEY, name text);
            CREATE TABLE person (id bigint PRIMARY KEY, city text REFERENCES city ON DELETE CASCADE);
            CREATE TABLE note (text text);
            INSERT INTO city VALUES ('a', 'A'); INSERT INTO person VALUES (1, 'a')"""


@pytest.fixture
def pair(url: TargetUrl, look: Look) -> Iterator[Pair]:
    look.run(TABLES)
    pair = Pair(Path("unused"), make_plan(), url, "identity")
    with target(pair) as cursor:
        target_fence.arm_fence(cursor, pair)
    yield pair


STATEMENTS = [
    "INSERT INTO city VALUES ('b', 'B')",
    "INSERT INTO city VALUES ('a', 'B') ON CONFLICT (code) DO NOTHING",
    "UPDATE person SET city = NULL WHERE false",
    "DELETE FROM city",
    "TRUNCATE note",
    "WITH gone AS (DELETE FROM person RETURNING id) SELECT count(*) FROM gone",
]


@pytest.mark.parametrize("statement", STATEMENTS)
def test_no_statement_writes_past_it(pair: Pair, look: Look, statement: str) -> None:
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction, match="takes no writes here") as caught:
        look.run(statement)
    assert caught.value.pgcode == target_fence.SQLSTATE
    assert look.rows("SELECT id, city FROM person") == [(1, "a")]


def test_copy_does_not_write_past_it(pair: Pair, look: Look) -> None:
    with look.connection.cursor() as cursor, pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        cursor.copy_expert("COPY note FROM STDIN", io.StringIO("x\n"))


@pytest.mark.usefixtures("pair")
def test_reading_goes_on(look: Look) -> None:
    assert look.value("SELECT count(*) FROM city") == 1


def test_the_applier_passes_by_its_setting(pair: Pair, look: Look) -> None:
    look.run("BEGIN; SET LOCAL causeway.applier = 'on'; INSERT INTO note VALUES ('x'); COMMIT")
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        look.run("INSERT INTO note VALUES ('y')")


@pytest.mark.usefixtures("applier_url")
def test_the_replica_role_alone_passes_nobody(pair: Pair, look: Look) -> None:
    """A subscription, or a restore, writes in it."""
    become = "BEGIN; SET LOCAL session_replication_role = replica;"
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        look.run(f"{become} INSERT INTO note VALUES ('y')")
    look.run("ROLLBACK")
    look.run(f"{become} SET LOCAL causeway.applier = 'on'; INSERT INTO note VALUES ('x'); COMMIT")


def test_a_prepared_fence_stops_nobody_and_closing_it_touches_no_table(pair: Pair, look: Look) -> None:
    with target(pair) as cursor:
        target_fence.drop_fence(cursor, pair)
    look.run("BEGIN; INSERT INTO city VALUES ('b', 'B')")  # it holds its table: that one is left for later
    with closing(connect(pair.url, application_name="causeway:test:0")) as connection:
        target_fence.prepare_fence(connection, pair)
    look.run("COMMIT")
    assert look.value("SELECT count(*) FROM pg_trigger WHERE tgname = 'causeway_fence'") == 2
    look.run("INSERT INTO note VALUES ('still open')")
    with closing(connect(pair.url, application_name="causeway:test:0")) as connection:
        target_fence.prepare_fence(connection, pair)
    look.run("BEGIN; LOCK TABLE note, city, person IN ROW EXCLUSIVE MODE")  # no trigger could be made now
    with target(pair) as cursor:
        cursor.execute("SET LOCAL lock_timeout = '200ms'")
        target_fence.arm_fence(cursor, pair)
    look.run("COMMIT")
    for table in ("note", "city", "person"):
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            look.run(f"DELETE FROM {table}")


def test_a_partition_is_closed_as_its_table_is(url: TargetUrl, look: Look) -> None:
    look.run("CREATE TABLE wide (id bigint PRIMARY KEY) PARTITION BY RANGE (id)")
    look.run("CREATE TABLE wide_1 PARTITION OF wide FOR VALUES FROM (0) TO (9)")
    plan = replace(make_plan(), tables=(TablePlan("wide", "wide", LOAD, (), ()),))
    pair = Pair(Path("unused"), plan, url, "identity")
    with target(pair) as cursor:
        target_fence.arm_fence(cursor, pair)
    for relation in ("wide", "wide_1"):
        with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
            look.run(f"INSERT INTO {relation} VALUES (1)")


def test_taking_over_waits_for_no_reader_and_no_vacuum(pair: Pair, look: Look) -> None:
    look.run("BEGIN; SELECT * FROM city; SELECT * FROM person; LOCK TABLE note IN SHARE UPDATE EXCLUSIVE MODE")
    with target(pair) as cursor:
        cursor.execute("SET LOCAL lock_timeout = '200ms'")
        target_fence.disarm_fence(cursor, pair)
    look.run("COMMIT")
    look.run("DELETE FROM city")
    assert look.value("SELECT count(*) FROM person") == 0


def test_a_transaction_with_an_old_snapshot_meets_the_fence(pair: Pair, look: Look) -> None:
    """It began while PostgreSQL was live, and writes for the first time once it is closed."""
    with target(pair) as cursor:
        target_fence.disarm_fence(cursor, pair)
    look.run("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT * FROM city")
    with target(pair) as cursor:
        cursor.execute("LOCK TABLE public.city, public.person, public.note IN EXCLUSIVE MODE")
        target_fence.arm_fence(cursor, pair)
    with pytest.raises(psycopg2.errors.ReadOnlySqlTransaction):
        look.run("INSERT INTO city VALUES ('b', 'B')")
    look.run("ROLLBACK")


def test_closing_again_is_one_function_and_dropping_leaves_nothing(pair: Pair, look: Look, url: TargetUrl) -> None:
    for _ in range(2):
        with target(pair) as cursor:
            target_fence.arm_fence(cursor, pair)
    assert look.value("SELECT count(*) FROM pg_trigger WHERE tgname = 'causeway_fence'") == 3
    for _ in range(2):
        with target(pair) as cursor:
            target_fence.drop_fence(cursor, pair)
    assert look.value("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == 0
    assert look.value("SELECT count(*) FROM pg_proc WHERE pronamespace = 'causeway'::regnamespace") == 0
    look.run("DELETE FROM person")


def test_the_applications_schema_is_the_same_with_it(url: TargetUrl, look: Look) -> None:
    look.run(TABLES)
    look.run("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$")
    before = schema_digest(url, "public")
    pair = Pair(Path("unused"), make_plan(), url, "identity")
    with target(pair) as cursor:
        target_fence.arm_fence(cursor, pair)
    assert schema_digest(url, "public") == before
    look.run("CREATE TRIGGER causeway_fence_2 AFTER DELETE ON note FOR EACH STATEMENT EXECUTE FUNCTION f()")
    assert schema_digest(url, "public") != before
