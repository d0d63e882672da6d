"""A round against servers that are well, full, frozen, half frozen and away."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import psycopg2
import pytest

from controlplane.embedded import EmbeddedPostgres
from monitoring_app.metrics import METRICS
from monitoring_app.probes.postgresql.session import close_all
from tests.monitoring_app.probes.measuring import dsn_of, execute, measure, one, until


def watcher(server: EmbeddedPostgres) -> str:
    return server.url("shop", role="watcher", password="watcher")


def shop(server: EmbeddedPostgres) -> str:
    return server.url("shop", role="shop", password="shop")


def fill(stack: ExitStack, url: str, name: str = "shop web") -> int:
    """Open connections until the server takes no more; how many there are."""
    count = 0
    while True:
        try:
            stack.enter_context(closing(psycopg2.connect(url, application_name=name)))
        except psycopg2.OperationalError:
            return count
        count += 1
        assert count < 100


def test_every_metric_of_the_server_is_answered_with_a_number_or_a_reason(target_url: str) -> None:
    round_ = measure(target_url, replicas=["standby"])
    elsewhere = {"loop_age", "crossing_rows", "crossing_lag", "crossing_follows"}  # told by who knows, not by a probe
    expected = {name for name, metric in METRICS.items() if not metric.from_host} - elsewhere
    assert {m.metric for m in round_.measurements} == expected
    for m in round_.measurements:
        assert m.view in ("full", "partial", "unknown")
        assert (m.value is None) == (m.view == "unknown")
        assert m.note or m.view == "full"


def test_role_without_pg_monitor_sees_the_pool_in_full_and_what_sessions_do_in_part(
    target_url: str, watcher_url: str, postgres: EmbeddedPostgres
) -> None:
    with closing(psycopg2.connect(postgres.url(target_url.rpartition("/")[2]), application_name="other role")):
        ordinary, monitor = measure(target_url), measure(watcher_url)
    assert one(ordinary, "pool_used").view == "full"
    hidden = one(ordinary, "connections", application="other role", state="hidden")
    assert (hidden.view, hidden.value) == ("partial", 1) and "pg_monitor" in hidden.note
    assert "pg_monitor" in one(ordinary, "query_running").note
    seen = one(monitor, "connections", application="other role", state="idle")
    assert (seen.view, seen.value) == ("full", 1)
    assert one(monitor, "query_running").view == "full"


def test_full_server_is_looked_into_by_the_connection_that_was_kept(small_server: EmbeddedPostgres) -> None:
    before = measure(watcher(small_server))
    assert one(before, "pool_used").value == pytest.approx(100 / 9)  # 12 less 3 reserved; the watcher's own
    with ExitStack() as stack:
        held = fill(stack, shop(small_server))
        full = measure(watcher(small_server), before.memory)
        assert one(full, "pool_used").value == 100.0
        assert one(full, "connections", application="shop web", state="idle").value == held
        assert full.seen["connections"]["limits"][0] == {"limit": "the server", "used": 9, "usable": 9}
        assert one(full, "database_size").value


def test_full_server_that_lets_nobody_in_is_100_percent_and_the_rest_unknown(small_server: EmbeddedPostgres) -> None:
    with ExitStack() as stack:
        fill(stack, shop(small_server))
        round_ = measure(watcher(small_server))
    assert (one(round_, "postgresql_up").value, one(round_, "pool_used").value) == (1.0, 100.0)
    assert "too many clients" in one(round_, "pool_used").note
    assert one(round_, "database_size").value is None and one(round_, "query_time").value is None


def test_limit_of_the_applications_role_is_nearer_than_the_servers(small_server: EmbeddedPostgres) -> None:
    small_server.execute("ALTER ROLE shop CONNECTION LIMIT 4")
    try:
        with ExitStack() as stack:
            assert fill(stack, shop(small_server)) == 4
            pool = one(measure(watcher(small_server)), "pool_used")
    finally:
        small_server.execute("ALTER ROLE shop CONNECTION LIMIT -1")
    assert (pool.value, pool.note) == (100.0, "4 of 4 connections of role shop")


def test_names_with_process_ids_make_one_series_and_those_gone_are_zero(target_url: str) -> None:
    with ExitStack() as stack:
        for number in range(3):
            stack.enter_context(closing(psycopg2.connect(target_url, application_name=f"worker-{4711 + number}")))
        crowded = measure(target_url)
    assert one(crowded, "connections", application="worker-#", state="idle").value == 3
    until(lambda: not execute(target_url, "SELECT 1 FROM pg_stat_activity WHERE application_name LIKE 'worker%'"))
    later = measure(target_url, crowded.memory)
    assert one(later, "connections", application="worker-#", state="idle").value == 0


def test_frozen_backend_of_the_kept_connection_is_replaced_by_a_new_one(small_server: EmbeddedPostgres) -> None:
    before = measure(watcher(small_server))
    ((pid,),) = small_server.execute("SELECT pid FROM pg_stat_activity WHERE application_name = 'causeway monitor'")
    os.kill(pid, signal.SIGSTOP)
    try:
        round_ = measure(watcher(small_server), before.memory)
    finally:
        os.kill(pid, signal.SIGCONT)
    assert one(round_, "postgresql_up").value == 1.0
    assert one(round_, "database_size").value


def test_frozen_server_is_down_and_nothing_of_it_is_known(small_server: EmbeddedPostgres) -> None:
    os.kill(small_server.pid, signal.SIGSTOP)  # takes connections, never answers
    try:
        round_ = measure(watcher(small_server))
    finally:
        os.kill(small_server.pid, signal.SIGCONT)
    assert one(round_, "postgresql_up").value == 0.0
    rest = [m for m in round_.measurements if m.metric != "postgresql_up"]
    assert all(m.value is None for m in rest)
    assert "does not answer" in one(round_, "pool_used").note
    assert (
        "does not answer" in round_.seen["statements"]["problem"]
    )  # a page must not show the last good ones as today's
    assert "indexes" not in round_.seen


def test_connection_that_was_cut_between_two_rounds_is_made_anew(small_server: EmbeddedPostgres) -> None:
    before = measure(watcher(small_server))
    small_server.execute(
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'causeway monitor'"
    )
    round_ = measure(watcher(small_server), before.memory)
    assert one(round_, "postgresql_up").value == 1.0
    assert not [m for m in round_.measurements if "connection lost" in m.note]


@contextmanager
def swallowing(server: EmbeddedPostgres, word: bytes) -> Iterator[str]:
    """A proxy before the server that lets all through, and on a connection on which it reads `word`, nothing more."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve(client: socket.socket) -> None:
        with client, socket.create_connection(("127.0.0.1", server.port)) as upstream:
            while True:
                ready, _, _ = select.select([client, upstream], [], [], 30)
                for source in ready:
                    data = source.recv(65536)
                    if not data:
                        return
                    if word in data:
                        client.recv(1)  # hold the line until the client has given up
                        return
                    (upstream if source is client else client).sendall(data)

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=[client], daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield watcher(server).replace(f":{server.port}/", f":{listener.getsockname()[1]}/")
    finally:
        close_all()
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


def test_probe_that_hangs_is_unknown_and_the_others_go_on(small_server: EmbeddedPostgres) -> None:
    with swallowing(small_server, b"pg_stat_archiver") as url:
        round_ = measure(url)
    hung = one(round_, "archiver_failing")
    assert (hung.value, hung.note) == (None, "no answer within 2 s")
    assert one(round_, "postgresql_up").value == 1.0
    for metric in ("pool_used", "blocked_sessions", "database_size", "wraparound", "dead_rows"):
        assert one(round_, metric).value is not None, metric


@pytest.mark.parametrize(
    ("changes", "up", "words"),
    [
        ({"port": 1}, 0.0, "can't be reached"),
        ({"host": "no-such-host.invalid"}, 0.0, "can't be reached"),
        ({"password": "word-not-to-be-seen"}, None, "password is refused"),
        ({"dbname": "no_such_db"}, None, "does not exist"),
    ],
)
def test_server_that_can_not_be_used_says_why_without_a_secret(
    target_url: str, changes: dict[str, Any], up: float | None, words: str
) -> None:
    from monitoring_app.probes.server import measure_server

    round_ = measure_server({**dsn_of(target_url), **changes}, schema="public", replicas=["standby"], memory={})
    state = one(round_, "postgresql_up")
    assert state.value == up and words in state.note
    assert one(round_, "pool_used").value is None and one(round_, "replication_lag").value is None
    assert "word-not-to-be-seen" not in repr(round_)


def test_memory_that_another_release_wrote_costs_one_answer_not_the_round(target_url: str) -> None:
    names = ("connections", "statements", "archiver", "cache", "indexes")
    strange = {name: {"series": [1], "hits": "x", "snapshot": 7, "looked_at": "never"} for name in names}
    round_ = measure(target_url, strange)
    assert one(round_, "cache_hits").value is None
    assert one(round_, "database_size").value
    assert one(measure(target_url, round_.memory), "pool_used").value is not None


def test_one_connection_is_kept_and_it_can_write_nothing(target_url: str, postgres: EmbeddedPostgres) -> None:
    for _ in range(3):
        measure(target_url)
    name = target_url.rpartition("/")[2]
    kept = postgres.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [name])
    assert kept == [(1,)]
    close_all()
    until(lambda: postgres.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [name]) == [(0,)])


def test_forked_process_connects_for_itself_and_leaves_the_kept_connection_whole(
    target_url: str, postgres: EmbeddedPostgres
) -> None:
    measure(target_url)
    name = target_url.rpartition("/")[2]
    sessions = "SELECT pid FROM pg_stat_activity WHERE datname = %s"
    kept = postgres.execute(sessions, [name])
    child = os.fork()
    if child == 0:
        well = one(measure(target_url), "postgresql_up").value == 1.0
        os._exit(0 if well else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert one(measure(target_url), "postgresql_up").value == 1.0
    until(lambda: postgres.execute(sessions, [name]) == kept)


def test_another_process_that_keeps_a_connection_keeps_the_only_one(
    target_url: str, postgres: EmbeddedPostgres
) -> None:
    name = target_url.rpartition("/")[2]
    end, begin = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(begin)
        measure(target_url)  # keeps its connection
        os.read(end, 1)  # until the parent has seen enough
        os._exit(0)
    os.close(end)
    try:
        kept = until(
            lambda: postgres.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname = %s AND state = 'idle' AND query LIKE '%%pg_stat%%'",
                [name],
            )
        )
        assert one(measure(target_url), "pool_used").value is not None
        until(lambda: postgres.execute("SELECT count(*) FROM pg_stat_activity WHERE datname = %s", [name]) == [(1,)])
        assert len(kept) == 1
    finally:
        os.close(begin)
        os.waitpid(child, 0)
