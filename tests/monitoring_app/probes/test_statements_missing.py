"""Without the extension the reason says exactly what would give query times."""

from __future__ import annotations

from controlplane.embedded import EmbeddedPostgres
from tests.monitoring_app.probes.measuring import measure, one


def test_missing_extension_is_unknown_with_the_statement_that_makes_it(target_url: str, watcher_url: str) -> None:
    mean = one(measure(watcher_url), "query_mean")
    assert mean.value is None
    assert f"CREATE EXTENSION pg_stat_statements; in database {target_url.rpartition('/')[2]}" in mean.note
    assert "shared_preload_libraries" not in mean.note  # it is loaded here


def test_library_that_is_not_loaded_is_named_with_its_setting(small_server: EmbeddedPostgres) -> None:
    url = small_server.url("shop", role="watcher", password="watcher")
    assert "shared_preload_libraries = 'pg_stat_statements'" in one(measure(url), "query_mean").note
    small_server.execute("CREATE EXTENSION pg_stat_statements", database="shop")
    loaded = one(measure(url), "query_mean").note
    assert loaded.startswith("the extension's library is not loaded: shared_preload_libraries = 'pg_stat_statements'")
    ordinary = small_server.url("shop", role="shop", password="shop")
    note = one(measure(ordinary), "query_mean").note
    assert "shared_preload_libraries" in note


def test_running_query_alone_is_a_partial_view_of_query_time(watcher_url: str) -> None:
    query_time = one(measure(watcher_url), "query_time")
    assert (query_time.value, query_time.view) == (0.0, "partial")
    assert "CREATE EXTENSION" in query_time.note
