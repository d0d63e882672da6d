"""Advice from what a real server said, and from figures."""

from __future__ import annotations

from typing import Any

from monitoring_app.probes import advice
from monitoring_app.probes.advice import GB, MB, Urgency
from tests.monitoring_app.probes.measuring import execute, measure

LARGE: dict[str, Any] = {"memory_bytes": 16 * GB, "database_bytes": 20 * GB, "temp_files": 40, "temp_bytes": 3 * GB}


def settings(**values: object) -> dict[str, Any]:
    return {
        **LARGE,
        "settings": {
            name: {"value": value, "source": "default", "restart": name == "shared_buffers", "waits": False}
            for name, value in values.items()
        },
    }


def by_code(found: Any) -> dict[str, advice.Advice]:
    return {one.code: one for one in found}


def test_errors_name_the_sqlite_ism_and_come_by_how_often() -> None:
    counts = {"22P02": 3, "23505": 40, "57014": 2, "XX999": 1, "SomeError": 5}
    found = list(advice.of_errors(counts, counts.keys()))
    assert [one.count for one in found] == [40, 5, 3, 2, 1]
    named = by_code(found)
    assert "sequence" in named["23505"].why and "setval" in named["23505"].do
    assert "SQLite takes any text" in named["22P02"].why
    assert named["57014"].urgency > named["22P02"].urgency
    assert named["SomeError"].title == "SomeError" and named["XX999"].title == "Error XX999"


def test_error_that_came_no_more_for_a_day_is_not_urgent() -> None:
    now, mended = advice.of_errors({"23505": 40, "22P02": 3}, {"23505"})
    assert (now.urgency, mended.urgency) == (Urgency.NOW, Urgency.CONSIDER)
    assert "None came in the last 24 hours" in mended.why


def test_real_servers_settings_are_read_and_changing_one_as_advised_ends_the_advice(target_url: str) -> None:
    seen = measure(target_url).seen["settings"]
    assert seen["settings"]["max_connections"]["value"] == 100.0
    assert seen["settings"]["work_mem"]["value"] == 4 * MB
    assert seen["memory_bytes"] > 256 * MB  # the server is on this machine
    assert seen["database_bytes"] > MB
    found = by_code(advice.of_settings({**seen, **LARGE}))
    for one in ("work_mem", "maintenance_work_mem", "effective_cache_size", "idle_in_transaction_session_timeout"):
        execute(
            target_url, f"SELECT set_config('{one}', '{found[one].worth}', true)"
        )  # PostgreSQL takes what is advised
    assert found["fsync"].urgency == Urgency.NOW  # the tests' server runs without
    assert {"shared_buffers", "work_mem", "random_page_cost", "maintenance_work_mem"} <= found.keys()
    assert found["shared_buffers"].restart and "restart" in found["shared_buffers"].do
    changed = {**seen["settings"], "work_mem": {**seen["settings"]["work_mem"], "value": 64.0 * MB}}
    assert "work_mem" not in by_code(advice.of_settings({**seen, **LARGE, "settings": changed}))


def test_memory_settings_follow_the_machine_and_the_evidence() -> None:
    small = settings(shared_buffers=128.0 * MB, work_mem=4.0 * MB, max_connections=100.0)
    found = by_code(advice.of_settings(small))
    assert (found["shared_buffers"].worth, found["shared_buffers"].current) == ("4096MB", "128MB")
    assert found["work_mem"].worth == "40MB"
    assert not list(advice.of_settings({**small, "temp_files": 0, "database_bytes": 90 * MB}))
    assert not list(advice.of_settings({**small, "memory_bytes": None}))
    assert not list(advice.of_settings({}))


def test_pool_that_runs_dry_names_what_to_turn() -> None:
    (server,) = advice.of_pool(96.0, 100.0, "97 for the server")
    assert server.code == "server" and "DB_POOL_SIZE" in server.do and "DB_MAX_OVERFLOW" in server.do
    (own,) = advice.of_pool(30.0, 100.0, "")
    assert own.code == "application" and "Raise DB_POOL_SIZE" in own.do and "server has room" in own.why
    (unsure,) = advice.of_pool(None, 100.0, "")
    assert "not known" in unsure.why
    assert not list(advice.of_pool(None, None, "")) and not list(advice.of_pool(70.0, 70.0, ""))


def test_unused_index_is_no_advice_before_the_statistics_are_a_week_old() -> None:
    index = {"table": "t", "index": "t_x", "bytes": 5 * MB}
    assert not list(advice.of_indexes({"unused": [index], "statistics_seconds": 86_400.0}))
    (one,) = advice.of_indexes({"unused": [index], "statistics_seconds": 9 * 86_400.0})
    assert "Not once in 9 days" in one.why and one.urgency == Urgency.CONSIDER


def test_tables_nobody_analysed_are_named_until_they_are(target_url: str) -> None:
    execute(target_url, "CREATE TABLE fresh (n int)", "INSERT INTO fresh SELECT generate_series(1, 10)")
    execute(target_url, "SELECT pg_stat_force_next_flush()")
    (one,) = advice.of_statistics(measure(target_url).seen["dead_rows"])
    assert "fresh" in one.why
    execute(target_url, "ANALYZE fresh", "SELECT pg_stat_force_next_flush()")
    assert not list(advice.of_statistics(measure(target_url).seen["dead_rows"]))
