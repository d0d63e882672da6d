"""A whole world for a run: a tiny application that really runs, its people, its target, and a driver of steps."""

from __future__ import annotations

import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from controlplane.embedded import EmbeddedBroker, EmbeddedPostgres
from controlplane.registry.models import Application, Membership
from migrations_app.applications.processes import create_time
from migrations_app.applications.supervisor import LIFELINE_VARIABLE
from migrations_app.models import Gate, MigrationPlan, MigrationRun, RunStep
from migrations_app.services.evidence import evidence_digest
from migrations_app.services.execution import work_on_run
from migrations_app.services.gates import sign_gate
from migrations_app.services.plan_making import work_on_plan
from migrations_app.services.plans import request_plan
from migrations_app.services.runs import create_run, start_run, submit_run
from migrations_app.steps import workplace
from tests import factories as make
from tests.migrations_app.applications.conftest import free_port
from tests.migrations_app.runs.workers import Workers, workers_on

TINY = Path(__file__).parents[1] / "applications" / "tiny_app.py"
PEOPLE = {"ana": ("ops",), "ben": ("lead",), "chika": ("qa",), "dana": ("viewer",), "eve": ("lead",)}


@dataclass
class World:
    folder: Path
    application: Application
    people: dict[str, User]
    target: str
    runs: list[MigrationRun] = field(default_factory=list)

    @property
    def sqlite(self) -> Path:
        return self.folder / "app.db"

    @property
    def env_file(self) -> Path:
        return self.folder / ".env"

    def __getattr__(self, name: str) -> User:
        try:
            return self.people[name]
        except KeyError:
            raise AttributeError(name) from None

    def plan(self, **settings: Any) -> MigrationPlan:
        settings = {
            **{"soak_seconds": 0, "soak_interval_seconds": 1, "load_seconds": 1, "load_per_second": 20},
            **settings,
        }
        plan = request_plan(actor=self.people["ana"], application=self.application, settings=settings)
        assert work_on_plan(plan_id=plan.pk)
        plan.refresh_from_db()
        assert plan.state == "draft", plan.error_message
        return plan

    def run(self, plan: MigrationPlan, kind: str = "production") -> MigrationRun:
        run = create_run(actor=self.people["ana"], plan=plan, kind=kind)
        self.runs.append(run)
        return run

    def rehearse(self, plan: MigrationPlan) -> MigrationRun:
        run = self.run(plan, "rehearsal")
        start_run(actor=self.people["ana"], run=run)
        return self.drive(run)

    def started(self, plan: MigrationPlan) -> MigrationRun:
        """A production run after gate 1, started, at gate 2 or wherever it was held."""
        run = self.run(plan)
        submit_run(actor=self.people["ana"], run=run)
        self.sign(run, "plan", "ben", "lead")
        start_run(actor=self.people["ana"], run=self.fresh(run))
        return self.drive(run)

    def crossed(self, plan: MigrationPlan) -> MigrationRun:
        """A production run that has gone through gate 2, at gate 3 or wherever it was held."""
        run = self.started(plan)
        assert run.state == "waiting", run.held_reason
        self.sign(run, "go", "ben", "lead")
        self.sign(run, "go", "ana", "ops")
        return self.drive(run)

    def sign(self, run: MigrationRun, code: str, name: str, role: str, **more: Any) -> None:
        run = self.fresh(run)
        if (
            code == "go" and not run.gates.get(code="go").approvals.exists()
        ):  # what people prove before the crossing is proved
            make.people_passed(run, "prepare", "go")
        sign_gate(
            **{
                "actor": self.people[name],
                "gate": Gate.objects.select_related("run__application", "run__plan", "step").get(run=run, code=code),
                "role": role,
                "reason": "looked at the evidence",
                "plan_digest": run.plan.digest,
                "evidence_digest": evidence_digest(run),
                "typed_name": self.application.name,
                "reauthenticated": True,
                **more,
            }
        )

    def drive(self, run: MigrationRun, rounds: int = 60) -> MigrationRun:
        """What the workers would do, until nothing is left for them."""
        for _ in range(rounds):
            RunStep.objects.filter(run=run, not_before__isnull=False).update(not_before=timezone.now())
            if not work_on_run(run_id=run.pk):
                break
        return self.fresh(run)

    def drive_through(self, run: MigrationRun, name: str) -> MigrationRun:
        """Step by step, until the step of that name has succeeded."""
        for _ in range(60):
            if self.step(run, name).state == "succeeded":
                return self.fresh(run)
            assert work_on_run(run_id=run.pk), self.fresh(run).held_reason
        raise AssertionError(f"{name} was not reached")

    def fresh(self, run: MigrationRun) -> MigrationRun:
        return MigrationRun.objects.select_related("application", "plan").get(pk=run.pk)

    def step(self, run: MigrationRun, name: str) -> RunStep:
        return RunStep.objects.get(run=run, name=name)

    def start_application(self) -> None:
        driver = workplace.production_driver(self.application)
        driver.start("sqlite")

    def items_in_target(self) -> list[tuple[int, str]]:
        with closing(psycopg2.connect(self.target)) as connection, connection.cursor() as cursor:
            cursor.execute("SELECT id, name FROM items ORDER BY id")
            return cursor.fetchall()

    def execute_in_target(self, statement: str) -> None:
        with closing(psycopg2.connect(self.target)) as connection:
            connection.autocommit = True
            connection.cursor().execute(statement)

    def items_in_sqlite(self) -> list[tuple[int, str]]:
        with closing(sqlite3.connect(self.sqlite)) as connection:
            return connection.execute("SELECT id, name FROM items ORDER BY id").fetchall()

    def stop_everything(self) -> None:
        workplace.production_driver(self.application).stop(10)
        for run in self.runs:
            workplace.driver_of(self.fresh(run)).stop(10)

    def set_fault(self, fault: str) -> None:
        write_operator_file(self.folder, fault)


def write_operator_file(folder: Path, fault: str = "") -> None:
    commands = "".join(
        f"""
[commands.{role}]
argv = ["{sys.executable}", "{TINY}", "{role}"{', "{port}"' if role == "web" else ""}]
cwd = "{folder}"
[commands.{role}.environment]
TINY_SQLITE = "{folder / "app.db"}"
TINY_FAULT = "{fault}"
"""
        for role in ("web", "worker")
    )
    page = folder / "maintenance.html"
    for name, tool, file in (
        ("page_up", "touch", page),
        ("page_down", "rm", page),
        ("version", "cat", folder / "VERSION"),
    ):
        commands += f'[commands.{name}]\nargv = ["{tool}", "{file}"]\ncwd = "{folder}"\n'
    path = folder / "operator.toml"
    path.write_text(f'[roots]\nfiles = ["{folder}"]\nhosts = []\n{commands}')
    path.chmod(0o600)


def make_database(path: Path, items: int = 7) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL)")
        connection.execute("CREATE TABLE beats (id INTEGER PRIMARY KEY, name TEXT)")
        connection.executemany("INSERT INTO items VALUES (?, ?)", [(n, f"項目 {n}") for n in range(1, items + 1)])
        connection.commit()


@pytest.fixture
def world(
    tmp_path: Path,
    transactional_db: None,
    settings: Any,
    target_url: str,
    postgres: EmbeddedPostgres,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[World]:
    # The application's supervisors end with the test run, should it be killed.
    monkeypatch.setenv(LIFELINE_VARIABLE, f"{os.getpid()}:{create_time(os.getpid())}")
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]  # five slow hashes a test help nobody
    folder = tmp_path / "srv"
    folder.mkdir(mode=0o700)
    make_database(folder / "app.db")
    (folder / ".env").write_text(f"# where the data is\nDATABASE_URL=sqlite:///{folder / 'app.db'}\nCOLOUR=blue\n")
    write_operator_file(folder)
    settings.CAUSEWAY_ARTIFACTS_DIR = tmp_path / "artifacts"
    settings.CAUSEWAY_OPERATOR_FILE = str(folder / "operator.toml")
    people = {name: User.objects.create_user(name, password=f"{name}-has-a-password") for name in PEOPLE}
    application = Application(
        name="tiny",
        host="here",
        source_path=str(folder / "app.db"),
        processes=[
            {"name": "web", "command": "web", "order": 1, "port": free_port(), "rehearsal_port": free_port()},
            {"name": "worker", "command": "worker", "order": 2},
        ],
        pointing={
            "mechanism": "file",
            "file": str(folder / ".env"),
            "keys": {"DATABASE_URL": {"sqlite": "sqlite:///{path}", "postgresql": "{url}"}},
        },
        endpoints=[
            {"name": "health", "process": "web", "path": "/health", "json": {"status": "healthy"}},
            {"name": "items", "process": "web", "path": "/items", "length_equals_table": "items"},
        ],
        identity={"process": "web", "path": "/health", "field": "database", "watch_seconds": 0.6},
    )
    application.target_url = target_url
    application.rehearsal_target_url = postgres.url()
    application.save()
    for name, roles in PEOPLE.items():
        for role in roles:
            Membership.objects.create(application=application, user=people[name], role=role)
    made = World(folder, application, people, target_url)
    made.start_application()
    yield made
    made.set_fault("")
    made.stop_everything()


@pytest.fixture
def own_broker(servers_dir: Path) -> Iterator[EmbeddedBroker]:
    with EmbeddedBroker(servers_dir / "broker") as server:
        yield server


@pytest.fixture
def workers(world: World, own_broker: EmbeddedBroker, tmp_path: Path) -> Iterator[Workers]:
    with workers_on(tmp_path, own_broker.url) as started:
        yield started
