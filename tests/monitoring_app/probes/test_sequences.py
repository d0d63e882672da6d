"""The classic failure after a move: a sequence behind its column."""

from __future__ import annotations

import json
from contextlib import closing

import psycopg2

from tests.monitoring_app.probes.measuring import dsn_of, execute, measure, one


def test_every_kind_of_sequence_that_is_behind_is_found_and_its_mending_works(target_url: str) -> None:
    execute(
        target_url,
        'CREATE TABLE "Odd name" (id bigserial PRIMARY KEY)',
        "CREATE TABLE by_identity (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY)",
        "CREATE SEQUENCE lonely",
        "CREATE TABLE by_default (id bigint PRIMARY KEY DEFAULT nextval('lonely'))",
        "CREATE TABLE well (id serial PRIMARY KEY, note text)",
        "CREATE TABLE empty (id serial PRIMARY KEY)",
        'INSERT INTO "Odd name" VALUES (815)',
        "INSERT INTO by_identity OVERRIDING SYSTEM VALUE VALUES (1)",
        "INSERT INTO by_default VALUES (4711)",
        "INSERT INTO well (note) VALUES ('a'), ('b')",
    )
    round_ = measure(target_url)
    behind = one(round_, "sequences_behind")
    assert (behind.value, behind.view) == (3.0, "full")
    shown = round_.seen["sequences"]["behind"]
    assert {row["table"] for row in shown} == {"Odd name", "by_identity", "by_default"}
    assert "4711" not in json.dumps(round_.seen) + repr(round_.measurements)
    execute(target_url, *(row["mend"] for row in shown))
    assert one(measure(target_url), "sequences_behind").value == 0.0
    execute(target_url, 'INSERT INTO "Odd name" DEFAULT VALUES', "INSERT INTO by_default DEFAULT VALUES")


def test_last_row_taken_is_not_behind_and_the_next_one_is(target_url: str) -> None:
    execute(target_url, "CREATE TABLE t (id serial PRIMARY KEY)", "INSERT INTO t VALUES (10)")
    execute(target_url, "SELECT setval('t_id_seq', 10)")
    assert one(measure(target_url), "sequences_behind").value == 0.0
    execute(target_url, "SELECT setval('t_id_seq', 10, false)")  # 10 comes next, and is there already
    assert one(measure(target_url), "sequences_behind").value == 1.0


def test_role_that_may_not_read_knows_nothing_and_the_owner_is_asked_instead(target_url: str, watcher_url: str) -> None:
    execute(target_url, "CREATE TABLE t (id serial PRIMARY KEY)", "INSERT INTO t VALUES (10)")
    alone = one(measure(watcher_url), "sequences_behind")
    assert alone.value is None and "may not read" in alone.note
    assert one(measure(watcher_url, owner=dsn_of(target_url)), "sequences_behind").value == 1.0


def test_locked_table_is_left_out_and_said_while_the_others_are_compared(target_url: str) -> None:
    for name in ("one", "two"):
        execute(target_url, f"CREATE TABLE {name} (id serial PRIMARY KEY)", f"INSERT INTO {name} VALUES (10)")
    with closing(psycopg2.connect(target_url)) as other:
        other.cursor().execute("LOCK TABLE one IN ACCESS EXCLUSIVE MODE")
        behind = one(measure(target_url), "sequences_behind")
    assert (behind.value, behind.view) == (1.0, "partial")
    assert "one_id_seq" in behind.note
