"""Archiver, dead rows, cache and indexes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest

from controlplane.embedded import EmbeddedPostgres
from tests.monitoring_app.probes.measuring import execute, measure, one, until
from tests.servers import STATE, _bindir


@pytest.fixture(scope="module")
def archiving() -> Iterator[EmbeddedPostgres]:
    options = {"fsync": "off", "archive_mode": "on", "archive_command": "true"}
    with EmbeddedPostgres(STATE / "archiving", bindir=_bindir(), options=options) as server:
        yield server
    server.erase()


def switch(server: EmbeddedPostgres) -> None:
    server.execute("CREATE TABLE IF NOT EXISTS filler (n int)")
    server.execute("INSERT INTO filler VALUES (1)")
    server.execute("SELECT pg_switch_wal()")


def test_archiver_that_fails_is_counted_and_well_again_after_a_success(archiving: EmbeddedPostgres) -> None:
    switch(archiving)
    well = until(lambda: next((r for r in [measure(archiving.url())] if one(r, "archive_age").value is not None), None))
    assert one(well, "archiver_failing").value == 0.0
    set_command(archiving, "false")
    switch(archiving)
    failing = until(lambda: next((r for r in [measure(archiving.url(), well.memory)] if failures(r)), None))
    assert failures(failing) >= 1
    set_command(archiving, "true")
    until(lambda: not failures(measure(archiving.url(), failing.memory)), seconds=90)


def failures(round_: object) -> float:
    return one(round_, "archiver_failing").value or 0.0  # type: ignore[arg-type]


def set_command(server: EmbeddedPostgres, command: str) -> None:
    """The command line's settings win over postgresql.conf: the server is started anew with another one."""
    server.stop()
    server.options["archive_command"] = command
    server.start()


def test_archive_that_is_off_is_unknown_not_well(target_url: str) -> None:
    failing = one(measure(target_url), "archiver_failing")
    assert failing.value is None and "off" in failing.note


def test_dead_rows_of_the_worst_table_are_shared_out(target_url: str) -> None:
    execute(
        target_url,
        "CREATE TABLE worn (id int) WITH (autovacuum_enabled = off)",
        "INSERT INTO worn SELECT generate_series(1, 4000)",
        "DELETE FROM worn WHERE id > 1000",
    )
    dead = until(lambda: next((m for m in [one(measure(target_url), "dead_rows")] if m.value), None))
    assert (dead.value, dead.note) == (75.0, "table worn")


def test_cache_hits_are_those_of_the_interval(target_url: str) -> None:
    first = measure(target_url)
    assert one(first, "cache_hits").value is None
    execute(target_url, "SELECT count(*) FROM pg_attribute")
    hits = until(lambda: next((m for m in [one(measure(target_url, first.memory), "cache_hits")] if m.count), None))
    assert hits.value is not None and 0 <= hits.value <= 100


def test_indexes_that_are_missing_or_of_no_use_are_seen_and_looked_at_now_and_then(target_url: str) -> None:
    execute(
        target_url,
        "CREATE TABLE owner (id int PRIMARY KEY)",
        "CREATE TABLE pet (id int PRIMARY KEY, owner_id int REFERENCES owner, vet_id int REFERENCES owner, name text)",
        "CREATE INDEX ON pet (vet_id)",
        "CREATE INDEX nobody_asks ON pet (name)",
        "INSERT INTO owner VALUES (1)",
        "INSERT INTO pet SELECT n, 1, 1, 'x' FROM generate_series(1, 15000) n",
        *["SELECT count(*) FROM pet WHERE name || '' = 'y'"] * 60,
    )
    round_ = until(lambda: next((r for r in [measure(target_url)] if r.seen["indexes"]["scanned"]), None))
    seen = round_.seen["indexes"]
    (missing,) = seen["foreign_keys"]
    assert (missing["table"], missing["columns"], missing["references"]) == ("pet", ["owner_id"], "owner")
    execute(target_url, missing["mend"])
    assert [row["table"] for row in seen["scanned"]] == ["pet"]
    assert "nobody_asks" in [row["index"] for row in seen["unused"]]
    again = measure(target_url, round_.memory)
    assert "indexes" not in again.seen
    again.memory["indexes"]["looked_at"] -= 601
    assert measure(target_url, again.memory).seen["indexes"]["foreign_keys"] == []


def test_locked_table_holds_up_none_of_the_probes_that_look_at_tables(target_url: str) -> None:
    execute(target_url, "CREATE TABLE stock (id int PRIMARY KEY, name text)", "CREATE INDEX ON stock (name)")
    with closing(psycopg2.connect(target_url)) as other:
        other.cursor().execute("LOCK TABLE stock IN ACCESS EXCLUSIVE MODE")
        round_ = measure(target_url)
    assert one(round_, "dead_rows").value == 0.0
    assert [row["index"] for row in round_.seen["indexes"]["unused"]] == ["stock_name_idx"]


def test_size_and_wraparound_are_numbers(target_url: str) -> None:
    round_ = measure(target_url)
    assert (one(round_, "database_size").value or 0) > 1024**2
    assert 0 <= (one(round_, "wraparound").value or 0) < 1
