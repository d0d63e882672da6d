"""Query times from pg_stat_statements: of the interval, without a value, and never an invented one."""

from __future__ import annotations

import json
from urllib.parse import urlsplit

import pytest

from controlplane.embedded import EmbeddedPostgres
from tests.monitoring_app.probes.measuring import execute, measure, one

pytestmark = pytest.mark.usefixtures("statistics")
PEOPLE = "CREATE TABLE people (id bigint PRIMARY KEY, name text)"


def test_interval_shows_what_the_lifetime_mean_hides(target_url: str, watcher_url: str) -> None:
    fast = "SELECT 1 FROM generate_series(1, 10)"
    execute(target_url, *[fast] * 300)
    execute(target_url, "SELECT pg_sleep(0.001)", *["SELECT pg_sleep(0.001)"] * 100)
    before = measure(watcher_url)
    assert one(before, "query_mean").value is None  # one snapshot has no interval
    execute(target_url, *["SELECT pg_sleep(0.15)"] * 3, fast)
    after = measure(watcher_url, before.memory)
    slowest = one(after, "query_slowest_mean")
    assert slowest.value is not None and slowest.value > 150 and slowest.count == 3
    mean = one(after, "query_mean")
    assert mean.count == 4 and mean.value is not None and mean.value > 100
    (shown,) = after.seen["statements"]["by_mean"]
    assert shown["calls"] == 3 and shown["lifetime_calls"] == 104
    assert shown["mean_ms"] > 150 > shown["lifetime_mean_ms"]
    query_time = one(after, "query_time")
    assert (query_time.value, query_time.view) == (slowest.value, "full")


def test_no_statement_in_the_interval_is_zero_of_zero_calls(target_url: str, watcher_url: str) -> None:
    round_ = measure(watcher_url, measure(watcher_url).memory)
    mean = one(round_, "query_mean")
    assert (mean.value, mean.count) == (0.0, 0)
    # Other tests' statements on the same server may push entries out meanwhile, which is said instead.
    assert mean.note == "no statement ended in the interval" or "evicted in the interval" in mean.note


def test_no_value_of_a_statement_is_kept_or_shown(target_url: str, watcher_url: str) -> None:
    execute(target_url, PEOPLE)
    before = measure(watcher_url)
    execute(
        target_url,
        "INSERT INTO people VALUES (48151623, 'hanako-yamada')",
        "SELECT name FROM people, pg_sleep(0.12) WHERE name = 'hanako-yamada' /* hanako-yamada */",
        "SET app.x = 'hanako-yamada'",
        "PREPARE hanako AS SELECT 'hanako-yamada', pg_sleep(0.12)",
    )
    after = measure(watcher_url, before.memory)
    said = json.dumps([after.memory, after.seen]) + repr(after.measurements)
    assert "hanako" not in said and "48151623" not in said
    assert any("SELECT name FROM people" in shown["text"] for shown in after.seen["statements"]["by_mean"])


def test_lists_of_different_lengths_are_one_statement(target_url: str, watcher_url: str) -> None:
    execute(target_url, PEOPLE)
    before = measure(watcher_url)
    lengths = range(2, 22)
    execute(
        target_url,
        *(f"SELECT name FROM people WHERE id IN ({', '.join(map(str, range(length)))})" for length in lengths),
    )
    after = measure(watcher_url, before.memory)
    (shown,) = [row for row in after.seen["statements"]["by_total"] if "FROM people" in row["text"]]
    assert shown["calls"] == len(lengths)
    assert "IN (…)" in shown["text"]


def test_own_questions_and_maintenance_are_no_measure_of_the_application(target_url: str, watcher_url: str) -> None:
    """The application's own role watches here, so that ours stand among the application's statements."""
    execute(target_url, PEOPLE)
    memory = measure(target_url).memory
    execute(target_url, "VACUUM people", "CREATE INDEX ON people (name)", "ANALYZE people")
    memory = measure(target_url, memory).memory
    assert one(measure(target_url, memory), "query_mean").count == 0


def test_reset_statistics_are_no_interval_but_the_next_one_is(
    target_url: str, watcher_url: str, postgres: EmbeddedPostgres
) -> None:
    before = measure(watcher_url)
    execute(target_url, "SELECT pg_sleep(0.11)")
    postgres.execute("SELECT pg_stat_statements_reset()", database=urlsplit(target_url).path[1:])
    reset = measure(watcher_url, before.memory)
    assert one(reset, "query_mean").value is None and "reset" in one(reset, "query_mean").note
    execute(target_url, "SELECT pg_sleep(0.11)")
    assert (one(measure(watcher_url, reset.memory), "query_slowest_mean").value or 0) > 110


def test_statement_that_was_forgotten_and_came_back_counts_from_nothing(
    target_url: str, watcher_url: str, postgres: EmbeddedPostgres
) -> None:
    execute(target_url, *["SELECT pg_sleep(0.01)"] * 5)
    before = measure(watcher_url)
    database = urlsplit(target_url).path[1:]
    forget = "SELECT pg_stat_statements_reset(userid, dbid, queryid) FROM pg_stat_statements WHERE query ~ 'pg_sleep'"
    postgres.execute(forget, database=database)
    execute(target_url, "SELECT pg_sleep(0.12)")
    slowest = one(measure(watcher_url, before.memory), "query_slowest_mean")
    assert slowest.count == 1 and slowest.value is not None and slowest.value > 120


def test_statements_of_other_roles_are_a_partial_view(target_url: str, postgres: EmbeddedPostgres) -> None:
    execute(postgres.url(urlsplit(target_url).path[1:]), "SELECT pg_sleep(0.01)")
    round_ = measure(target_url, measure(target_url).memory)
    mean = one(round_, "query_mean")
    assert mean.view == "partial" and "pg_monitor" in mean.note
    assert one(round_, "query_time").view == "partial"


def test_interval_that_is_too_long_ago_says_nothing_of_now(target_url: str, watcher_url: str) -> None:
    memory = measure(watcher_url).memory
    memory["statements"]["snapshot"]["at"] -= 3600
    assert "too long ago" in one(measure(watcher_url, memory), "query_mean").note
