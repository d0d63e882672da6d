"""Each fault of the sample application behaves as it is named."""

import os
import signal
import subprocess
from contextlib import AbstractContextManager
from pathlib import Path

import httpx
import psycopg2
import pytest

from controlplane.embedded.postgres import EmbeddedPostgres
from tests.demo.running import DEMO, Running, alembic, environment, wait_until, web
from tests.demo.tables import count, query

FAULTS = DEMO / "faults"
SEEN = "SELECT last_seen_at FROM users WHERE username = 'worker'"


def faulty(url: str, fault: str, folder: Path, answering: bool = True, **extra: str) -> AbstractContextManager[Running]:
    """The application with a fault, running."""
    env = environment(url, YUKYU_FAULT=fault, **extra)
    return web(env, folder, "faults:app", FAULTS, answering=answering)


def file_request(app: Running) -> int:
    account = next(
        row for row in app.get("/api/employees?year=2025").json() if row["is_active"] and row["balance"] >= 1
    )
    body = {"employee_id": account["id"], "start_date": "2025-10-01", "end_date": "2025-10-01"}
    return app.post("/api/leave-requests", body).status_code


def test_without_a_fault_it_is_the_application(sqlite_file: Path, tmp_path: Path) -> None:
    with faulty(f"sqlite:///{sqlite_file}", "", tmp_path) as app:
        assert app.get("/health").json()["database"] == "sqlite"
        assert len(app.get("/api/employees").json()) == count(sqlite_file, "employees")


def test_stays_on_sqlite_says_healthy_and_sqlite(yukyu_url: str, sqlite_file: Path, tmp_path: Path) -> None:
    fallback = {"YUKYU_FAULT_SQLITE_URL": f"sqlite:///{sqlite_file}"}
    with faulty(yukyu_url, "stays_on_sqlite", tmp_path, **fallback) as app:
        health = app.get("/health").json()
        assert (health["status"], health["database"]) == ("healthy", "sqlite")
        assert file_request(app) == 201
    assert count(sqlite_file, "leave_requests") == 301


def test_stays_on_sqlite_silently_names_no_database_and_keeps_writing(
    yukyu_url: str, sqlite_file: Path, tmp_path: Path
) -> None:
    fallback = {"YUKYU_FAULT_SQLITE_URL": f"sqlite:///{sqlite_file}"}
    with faulty(yukyu_url, "stays_on_sqlite_silently", tmp_path, **fallback) as app:
        assert app.get("/health").json() == app.get("/api/health").json() == {"status": "healthy", "version": "1.4.0"}
        assert app.get("/api/db-status").status_code == 404
        assert len(app.get("/api/employees").json()) == count(sqlite_file, "employees")
        wait_until(lambda: query(sqlite_file, SEEN) != [(None,)], "a write without any request")
        first = query(sqlite_file, SEEN)
        wait_until(lambda: query(sqlite_file, SEEN) != first, "another write")
        assert file_request(app) == 201
        assert app.stop() in (0, -signal.SIGTERM)
    assert count(sqlite_file, "leave_requests") == 301
    with psycopg2.connect(yukyu_url) as connection, connection.cursor() as cursor:
        cursor.execute(SEEN)
        assert cursor.fetchone() == (None,)
    connection.close()


def test_does_not_start_ends_with_status_3(sqlite_file: Path, tmp_path: Path) -> None:
    with faulty(f"sqlite:///{sqlite_file}", "does_not_start", tmp_path, answering=False) as app:
        assert app.process.wait(timeout=30) == 3
        assert "cannot start" in app.log.read_text()


def test_answers_500_to_everything(sqlite_file: Path, tmp_path: Path) -> None:
    with faulty(f"sqlite:///{sqlite_file}", "answers_500", tmp_path) as app:
        assert {app.get(path).status_code for path in ("/", "/health", "/api/employees", "/api/db-status")} == {500}


def test_ignores_sigterm_and_goes_on_answering(sqlite_file: Path, tmp_path: Path) -> None:
    with faulty(f"sqlite:///{sqlite_file}", "ignores_sigterm", tmp_path) as app:
        app.process.send_signal(signal.SIGTERM)
        with pytest.raises(subprocess.TimeoutExpired):
            app.process.wait(timeout=2)
        assert app.get("/health").json()["status"] == "healthy"
        assert app.stop(signal.SIGKILL) == -signal.SIGKILL


def test_leaves_a_writer_that_outlives_the_application(sqlite_file: Path, tmp_path: Path) -> None:
    pidfile = tmp_path / "writer.pid"
    with faulty(f"sqlite:///{sqlite_file}", "leaves_a_writer", tmp_path, YUKYU_FAULT_PIDFILE=str(pidfile)) as app:
        wait_until(lambda: pidfile.exists() and bool(pidfile.read_text().strip()), "the writer's process id")
        writer = int(pidfile.read_text())
        try:
            app.stop()
            with pytest.raises(httpx.TransportError):
                app.get("/health")
            last = query(sqlite_file, SEEN)
            wait_until(lambda: query(sqlite_file, SEEN) != last, "a write after the stop")
        finally:
            os.kill(writer, signal.SIGKILL)


def test_a_fault_can_wait_for_the_switch(postgres: EmbeddedPostgres, sqlite_file: Path, tmp_path: Path) -> None:
    later = {"YUKYU_FAULT_ON": "postgresql"}
    with faulty(f"sqlite:///{sqlite_file}", "answers_500", tmp_path, **later) as app:
        assert app.get("/health").status_code == 200
    postgres.create_database("yukyu_fault")
    try:
        url = postgres.url("yukyu_fault")
        alembic(url, "upgrade", "head")
        with faulty(url, "answers_500", tmp_path, **later) as app:
            assert app.get("/health").status_code == 500
    finally:
        postgres.drop_database("yukyu_fault")


@pytest.mark.parametrize("extra", [{"YUKYU_FAULT": "melts"}, {"YUKYU_FAULT": "answers_500", "YUKYU_FAULT_ON": "moon"}])
def test_an_unknown_fault_is_refused(sqlite_file: Path, tmp_path: Path, extra: dict[str, str]) -> None:
    env = environment(f"sqlite:///{sqlite_file}", **extra)
    with web(env, tmp_path, "faults:app", FAULTS, answering=False) as app:
        assert app.process.wait(timeout=30) == 1
        assert "faults: YUKYU_FAULT" in app.log.read_text()
