"""The application's sessions in a real PostgreSQL, and its own word about its pool."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import Any

import psycopg2
import pytest

from controlplane.embedded import EmbeddedPostgres
from migrations_app.applications.description import Pool
from migrations_app.applications.pool import PoolWord, read_pool, read_pool_at_rest
from migrations_app.applications.sessions import SessionWatch, wait_until_idle
from migrations_app.engine.target.target_url import parse_target_url
from tests.migrations_app.applications.conftest import Tiny

Connect = Callable[..., Any]


@pytest.fixture
def connect(target_url: str) -> Iterator[Connect]:
    """connect(name) is a session of the application; all are closed in the end."""
    with ExitStack() as stack:
        yield lambda name="shop": stack.enter_context(closing(psycopg2.connect(target_url, application_name=name)))


@pytest.fixture
def watch(target_url: str) -> SessionWatch:
    return SessionWatch(parse_target_url(target_url))


def until(what: Callable[[], bool], seconds: float = 15) -> None:
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "it did not come to be"
        time.sleep(0.02)


def test_sessions_are_counted_at_their_peak_and_ours_are_not_among_them(watch: SessionWatch, connect: Connect) -> None:
    connect("causeway:load:1")
    connect()
    with watch:
        assert (watch.before.total, watch.before.busy) == (1, 0)
        others = [connect() for _ in range(4)]
        with others[0].cursor() as cursor:
            cursor.execute("SELECT 1")  # a transaction is open from here on
        until(lambda: watch.peak.total == 5 and watch.peak.idle_in_transaction == 1)
        assert watch.max_connections > 5 and watch.problem == ""
        assert wait_until_idle(watch, 0.3)[1] is None, "a transaction that stays open is no rest"
        others[0].rollback()
        seen, seconds = wait_until_idle(watch, 15)
        assert seconds is not None and (seen.total, seen.busy) == (5, 0)
    assert watch.to_document()["peak"]["total"] == 5


def test_sessions_of_a_name_are_told_from_others(target_url: str, connect: Connect) -> None:
    connect("shop")
    connect("reports")
    with SessionWatch(parse_target_url(target_url), "shop") as watch:
        assert watch.before.total == 1


def test_session_that_waits_for_a_lock_and_one_that_was_killed_are_seen(watch: SessionWatch, connect: Connect) -> None:
    holder, waiter = connect(), connect()
    with holder.cursor() as cursor:
        cursor.execute("CREATE TABLE t (a int)")
        holder.commit()
        cursor.execute("LOCK TABLE t")

    def wait() -> None:
        with pytest.raises(psycopg2.Error), waiter.cursor() as cursor:
            cursor.execute("INSERT INTO t VALUES (1)")

    with watch:
        thread = threading.Thread(target=wait)
        thread.start()
        until(lambda: watch.peak.waiting == 1)
        with holder.cursor() as cursor:
            cursor.execute("SELECT pg_terminate_backend(%s)", (waiter.info.backend_pid,))
        thread.join(15)
        until(lambda: watch.counted()["sessions_killed"] == 1)


def test_sessions_that_the_role_may_not_look_into_are_said_to_be_hidden(
    target_url: str, postgres: EmbeddedPostgres, watch: SessionWatch
) -> None:
    url = parse_target_url(target_url)
    with closing(psycopg2.connect(postgres.url(url.database), application_name="other role")), watch:
        assert (watch.before.total, watch.before.hidden) == (1, 1)


def test_target_out_of_reach_is_a_problem_and_no_error() -> None:
    url = parse_target_url("postgresql://shop:secret@127.0.0.1:1/shop")
    with SessionWatch(url) as watch:
        assert watch.problem and "secret" not in watch.problem
    assert watch.to_document()["peak"]["looks"] == 0


def described(tiny: Tiny, **pool: Any) -> Any:
    description = tiny.describe()
    assert description.identity is not None
    return replace(description, identity=replace(description.identity, pool=Pool(**pool)))


def test_what_the_application_says_of_its_pool(tiny: Tiny) -> None:
    tiny.driver().start("sqlite")
    pool = {"path": "/pool", "size": "pool.size", "used": "pool.used"}
    assert read_pool(described(tiny, **pool)) == PoolWord(4, 1)
    assert read_pool_at_rest(described(tiny, **pool), 1, 10).problem == ""
    busy = read_pool_at_rest(described(tiny, **pool), 0, 0.3)
    assert (busy.used, busy.problem) == (1, ""), "more in use than before, until the time is over"
    assert read_pool(described(tiny, **{**pool, "size": "status"})).problem == "/pool has no number status"
    assert read_pool(described(tiny, **{**pool, "path": "/nowhere"})).problem == "/nowhere answered 404"
    assert read_pool(described(tiny, most=5)).problem == "the application has no word for its pool"


def test_application_that_is_down_says_nothing_of_its_pool(tiny: Tiny) -> None:
    word = read_pool(described(tiny, path="/pool", size="pool.size"))
    assert word.size is None and "did not answer" in word.problem
