"""The sample application, web and worker, taken across and back by the drivers; each of its faults is noticed."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import psycopg2
import pytest

from controlplane.embedded.postgres import EmbeddedPostgres
from migrations_app.applications import configuration
from migrations_app.applications.description import (
    ApplicationDescription,
    Canary,
    CommandSpec,
    EndpointCheck,
    Identity,
    Pointing,
    PointingValues,
    Pool,
    ProcessSpec,
)
from migrations_app.applications.endpoints import check_endpoints
from migrations_app.applications.identity import IdentityProof, prove_identity
from migrations_app.applications.load_test import at_once
from migrations_app.applications.pool import read_pool, read_pool_at_rest
from migrations_app.applications.process_driver import ProcessDriver
from migrations_app.applications.sessions import SessionWatch, wait_until_idle
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed
from migrations_app.engine.source.fingerprint import Fingerprint, fingerprint
from migrations_app.engine.target.target_url import parse_target_url
from tests.demo import running
from tests.demo.tables import copy_tables

KEYS = {
    "DATABASE_TYPE": {"sqlite": "sqlite", "postgresql": "postgresql"},
    "DATABASE_URL": {
        "sqlite": "sqlite:///{path}",
        "postgresql": "postgresql+psycopg2://{user}:{password}@{host}:{port}/{database}",
    },
}
LISTS = {"/api/employees": "employees", "/api/genzai": "genzai", "/api/leave-requests": "leave_requests"}


@dataclass
class Yukyu:
    """One installation: its file, its .env, its target."""

    folder: Path
    url: str
    port: int
    driver: ProcessDriver | None = None
    baseline: Fingerprint | None = None

    @property
    def sqlite(self) -> Path:
        return self.folder / "yukyu.db"

    @property
    def values(self) -> PointingValues:
        return PointingValues.of(parse_target_url(self.url), self.sqlite)

    def describe(self, fault: str) -> ApplicationDescription:
        environment = {
            "YUKYU_ENV_FILE": str(self.folder / ".env"),
            "YUKYU_FAULT": fault,
            "YUKYU_FAULT_ON": "postgresql",
            "YUKYU_FAULT_SQLITE_URL": f"sqlite:///{self.sqlite}",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        uvicorn = (
            "{python}",
            "-m",
            "uvicorn",
            "--app-dir",
            str(running.DEMO / "faults"),
            "faults:app",
            "--port",
            "{port}",
        )
        web = CommandSpec("web", uvicorn, running.YUKYU, {**environment, "PYTHONPATH": str(running.YUKYU)})
        worker = CommandSpec("worker", ("{python}", "worker.py"), running.YUKYU, environment)
        return ApplicationDescription(
            name="yukyu",
            source_path=self.sqlite,
            processes=(
                ProcessSpec("web", web, order=1, port=self.port, stop_timeout_seconds=5),
                ProcessSpec("worker", worker, order=2, stop_timeout_seconds=5),
            ),
            pointing=Pointing("file", KEYS, self.folder / "state" / "pointing.json", self.folder / ".env"),
            endpoints=(
                EndpointCheck("health", "/health", "web", json={"status": "healthy", "database": "{dialect}"}),
                *(EndpointCheck(path, path, "web", length_equals_table=table) for path, table in LISTS.items()),
            ),
            identity=Identity(
                process="web",
                watch_seconds=2.5,
                canary=Canary("/api/employees", "employees", "id", "id", {"name": "name", "balance": "balance"}),
            ),
            http_timeout_seconds=20,
            adopts=False,  # other tests run the same worker in the same folder
        )

    def cut_over(self, fault: str = "") -> ProcessDriver:
        """Start on SQLite, stop, prove it, switch, start on PostgreSQL."""
        self.driver = ProcessDriver(self.describe(fault), self.folder / "state")
        self.driver.start("sqlite")
        self.driver.stop()
        proof = self.driver.prove_stopped()
        assert proof.stopped, proof.reasons
        self.baseline = fingerprint(self.sqlite)
        copy_tables(self.sqlite, self.url)
        configuration.switch(self.driver.description.pointing, "postgresql", self.values)
        self.driver.start("postgresql", self.values)
        return self.driver

    def prove(self, dialect: str = "postgresql") -> IdentityProof:
        assert self.driver is not None
        url = parse_target_url(self.url)
        return prove_identity(
            self.driver.description, dialect, url, state_dir=self.driver.state_dir, baseline=self.baseline
        )

    def rows(self) -> dict[str, int]:
        with closing(psycopg2.connect(self.url)) as connection, connection.cursor() as cursor:
            counts = {}
            for table in LISTS.values():
                cursor.execute(f"SELECT count(*) FROM {table}")
                counts[table] = cursor.fetchone()[0]
            return counts


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("generated")
    return running.generate(folder / "yukyu.db", "--employees", "60", "--requests", "80", "--details", "200")


@pytest.fixture
def yukyu(generated: Path, postgres: EmbeddedPostgres, tmp_path: Path) -> Iterator[Yukyu]:
    shutil.copy(generated, tmp_path / "yukyu.db")
    example = (running.YUKYU / ".env.example").read_text()
    example = example.replace("sqlite:///./yukyu.db", f"sqlite:///{tmp_path / 'yukyu.db'}")
    (tmp_path / ".env").write_text(example.replace("WORKER_INTERVAL_SECONDS=3", "WORKER_INTERVAL_SECONDS=1"))
    name = f"yukyu_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    url = postgres.url(name)
    running.alembic(url, "upgrade", "head")
    app = Yukyu(tmp_path, url, running.free_port())
    yield app
    if app.driver is not None:
        app.driver.stop(20)
    postgres.drop_database(name)


def test_it_goes_across_is_proved_and_comes_back(yukyu: Yukyu) -> None:
    before = (yukyu.folder / ".env").read_bytes()
    driver = yukyu.cut_over()
    results = check_endpoints(driver.description, "postgresql", yukyu.rows())
    assert [result.problem for result in results] == [""] * 4
    proof = yukyu.prove()
    assert proof.proved and {item.outcome for item in proof.proofs} == {"passed"}
    assert fingerprint(yukyu.sqlite) == yukyu.baseline
    driver.stop()
    configuration.switch(driver.description.pointing, "sqlite", yukyu.values)
    assert (yukyu.folder / ".env").read_bytes() == before
    driver.start("sqlite")
    assert yukyu.prove("sqlite").proved


@pytest.mark.parametrize(
    ("fault", "failed"),
    [
        ("stays_on_sqlite", {"own_word", "connections", "sqlite_still"}),
        ("stays_on_sqlite_silently", {"connections", "sqlite_still"}),
    ],
)
def test_one_that_stays_on_sqlite_is_caught(yukyu: Yukyu, fault: str, failed: set[str]) -> None:
    yukyu.cut_over(fault)
    proof = yukyu.prove()
    assert not proof.proved
    seen = {item.name for item in proof.proofs if item.outcome == "failed"}
    assert seen - {"canary"} == failed  # the worker's rows differ by now, and it is connected, rightly


def test_one_that_does_not_start_leaves_nothing_running(yukyu: Yukyu) -> None:
    with pytest.raises(Failed) as error:
        yukyu.cut_over("does_not_start")
    assert "exit status 3" in error.value.message and "licence" in error.value.hint
    assert yukyu.driver is not None and yukyu.driver.prove_stopped().stopped


def test_one_that_answers_500_passes_no_check(yukyu: Yukyu) -> None:
    driver = yukyu.cut_over("answers_500")
    results = check_endpoints(driver.description, "postgresql", yukyu.rows())
    assert {result.code for result in results} == {"ENDPOINT_STATUS"}
    assert not yukyu.prove().proved


def test_one_that_ignores_sigterm_is_stopped_by_force(yukyu: Yukyu) -> None:
    driver = yukyu.cut_over("ignores_sigterm")
    assert driver.stop().killed == ("web",)
    assert driver.prove_stopped().stopped


def test_the_writer_that_one_leaves_behind_is_ended(yukyu: Yukyu) -> None:
    driver = yukyu.cut_over("leaves_a_writer")
    driver.stop()
    proof = driver.prove_stopped()
    assert proof.stopped, proof.reasons


def test_its_pool_opens_at_the_size_that_is_set_serves_clients_at_once_and_comes_to_rest(yukyu: Yukyu) -> None:
    dotenv = yukyu.folder / ".env"
    dotenv.write_text(dotenv.read_text().replace("DB_POOL_SIZE=5", "DB_POOL_SIZE=3"))
    pool = Pool("/api/db-status", size="pool.size", used="pool.checked_out", configured=3)
    driver = yukyu.cut_over()
    assert driver.description.identity is not None
    description = replace(driver.description, identity=replace(driver.description.identity, pool=pool))
    with SessionWatch(parse_target_url(yukyu.url)) as watch:
        before = read_pool(description)
        assert (before.size, before.problem) == (3, "")
        served = at_once(description, 12, Control())
        assert [(one.requests, one.failures) for one in served.endpoints] == [(12, 0)] * 4, served.refusals
        _sessions, seconds = wait_until_idle(watch, 30)
        assert seconds is not None
        assert 3 <= watch.peak.total <= 2 * (3 + 10), "its pool, with what it may open besides, and its worker's"
        after = read_pool_at_rest(description, before.used, 30)
        assert after.used is not None and before.used is not None and after.used <= before.used


def test_pool_that_runs_dry_refuses_and_is_counted(yukyu: Yukyu) -> None:
    """One connection, none besides, and nobody waits for it: of twenty clients some are refused."""
    dotenv = yukyu.folder / ".env"
    small = {"DB_POOL_SIZE=5": "DB_POOL_SIZE=1", "DB_MAX_OVERFLOW=10": "DB_MAX_OVERFLOW=0"}
    text = dotenv.read_text()
    for old, new in {**small, "DB_POOL_TIMEOUT=10": "DB_POOL_TIMEOUT=0.001"}.items():
        assert old in text
        text = text.replace(old, new)
    dotenv.write_text(text)
    driver = yukyu.cut_over()
    served = at_once(driver.description, 20, Control())
    assert served.failures and served.refusals == {"status 503": served.failures}
    assert served.failures == sum(one.server_errors for one in served.endpoints)
