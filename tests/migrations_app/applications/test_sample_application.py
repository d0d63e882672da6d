"""The sample application, web and worker, taken across and back by the drivers; each of its faults is noticed."""

import shutil
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
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
    ProcessSpec,
)
from migrations_app.applications.endpoints import check_endpoints
from migrations_app.applications.identity import IdentityProof, prove_identity
from migrations_app.applications.process_driver import ProcessDriver
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
