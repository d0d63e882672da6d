"""The background worker writes while it is enabled, is quiet while it isn't, and ends when it is asked to."""

import shutil
import signal
from pathlib import Path

import psycopg2
import pytest

from controlplane.embedded.postgres import EmbeddedPostgres
from tests.demo.running import alembic, environment, wait_until, worker
from tests.demo.tables import copy_tables, count, query

SEEN = "SELECT last_seen_at FROM users WHERE username = 'worker'"
PENDING = "SELECT count(*) FROM leave_requests WHERE status = 'pending'"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_worker_beats_and_ends_cleanly(sqlite_file: Path, tmp_path: Path, number: int) -> None:
    with worker(environment(f"sqlite:///{sqlite_file}", WORKER_INTERVAL_SECONDS="0.2"), tmp_path) as running:
        wait_until(lambda: query(sqlite_file, SEEN) != [(None,)], "a heartbeat")
        first = query(sqlite_file, SEEN)
        wait_until(lambda: query(sqlite_file, SEEN) != first, "another heartbeat")
        assert running.stop(number) == 0
    assert not sqlite_file.with_name("yukyu.db-wal").exists()


def test_stale_requests_expire_and_their_days_come_back(sqlite_file: Path, tmp_path: Path) -> None:
    assert query(sqlite_file, PENDING) != [(0,)]
    outbox = tmp_path / "outbox.log"
    env = environment(f"sqlite:///{sqlite_file}", WORKER_INTERVAL_SECONDS="0.02", MAIL_OUTBOX=str(outbox))
    (mails,) = query(sqlite_file, PENDING)
    with worker({**env, "MAIL_ENABLED": "1"}, tmp_path) as running:
        wait_until(lambda: query(sqlite_file, PENDING) == [(0,)], "nothing is pending")
        assert running.stop() == 0
    wrong = """SELECT count(*) FROM employees e WHERE e.used <>
               (SELECT coalesce(sum(d.days_used), 0) FROM yukyu_usage_details d WHERE d.employee_id = e.id)
               OR e.balance <> e.granted - e.used"""
    assert query(sqlite_file, wrong) == [(0,)]
    assert len(outbox.read_text().splitlines()) == mails[0]


def test_no_mail_leaves_while_mail_is_off(sqlite_file: Path, tmp_path: Path) -> None:
    outbox = tmp_path / "outbox.log"
    env = environment(f"sqlite:///{sqlite_file}", WORKER_INTERVAL_SECONDS="0.02", MAIL_OUTBOX=str(outbox))
    with worker(env, tmp_path) as running:
        wait_until(lambda: query(sqlite_file, PENDING) == [(0,)], "nothing is pending")
        assert running.stop() == 0
    assert not outbox.exists()


def test_a_disabled_worker_touches_nothing(generated: Path, tmp_path: Path) -> None:
    path = Path(shutil.copy(generated, tmp_path / "yukyu.db"))
    before = path.read_bytes()
    with worker(environment(f"sqlite:///{path}", WORKER_ENABLED="0"), tmp_path) as running:
        wait_until(lambda: "disabled" in running.log.read_text(), "the worker says that it is disabled")
        assert running.stop() == 0
    assert path.read_bytes() == before
    assert count(path, "users") == 6


def test_the_worker_works_on_postgresql(postgres: EmbeddedPostgres, generated: Path, tmp_path: Path) -> None:
    postgres.create_database("yukyu_worker")
    try:
        url = postgres.url("yukyu_worker")
        alembic(url, "upgrade", "head")
        copy_tables(generated, url)

        def ask(statement: str) -> object:
            connection = psycopg2.connect(url)
            try:
                with connection.cursor() as cursor:
                    cursor.execute(statement)
                    return cursor.fetchone()
            finally:
                connection.close()

        with worker(environment(url, WORKER_INTERVAL_SECONDS="0.02"), tmp_path) as running:
            wait_until(lambda: ask(PENDING) == (0,), "nothing is pending")
            here = "application_name = 'yukyu' AND datname = current_database()"
            assert ask(f"SELECT count(*) FROM pg_stat_activity WHERE {here}") == (1,)
            assert running.stop() == 0
    finally:
        postgres.drop_database("yukyu_worker")
