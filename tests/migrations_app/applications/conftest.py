"""A tiny application in a folder of its own, and helpers to look at it."""

import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from migrations_app.applications.description import (
    ApplicationDescription,
    CommandSpec,
    EndpointCheck,
    Identity,
    Pointing,
    ProcessSpec,
)
from migrations_app.applications.process_driver import ProcessDriver

TINY = Path(__file__).with_name("tiny_app.py")
KEYS = {"DATABASE_URL": {"sqlite": "sqlite:///{path}", "postgresql": "{url}"}}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def until(condition: Callable[[], object], seconds: float = 15.0) -> object:
    """What the condition answers, as soon as it is true; fails when it isn't in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if answer := condition():
            return answer
        time.sleep(0.05)
    raise AssertionError("not in time")


@dataclass
class Tiny:
    """The application's folder, and every driver made for it, so that nothing outlives a test."""

    folder: Path
    port: int
    drivers: list[ProcessDriver] = field(default_factory=list)
    strays: list[subprocess.Popen] = field(default_factory=list)

    @property
    def sqlite(self) -> Path:
        return self.folder / "app.db"

    @property
    def environment_file(self) -> Path:
        return self.folder / ".env"

    def describe(
        self, *, fault: str = "", writes: bool = False, mechanism: str = "file", **more
    ) -> ApplicationDescription:
        environment = {"TINY_SQLITE": str(self.sqlite), "TINY_FAULT": fault, "TINY_WRITES": "1" if writes else ""}
        argv = ("{python}", str(TINY))
        web = CommandSpec("web", (*argv, "web", "{port}"), self.folder, environment)
        worker = CommandSpec("worker", (*argv, "worker"), self.folder, environment)
        description = ApplicationDescription(
            name="tiny",
            source_path=self.sqlite,
            processes=(
                ProcessSpec("worker", worker, order=2, stop_timeout_seconds=2, start_timeout_seconds=10),
                ProcessSpec("web", web, order=1, port=self.port, stop_timeout_seconds=2, start_timeout_seconds=10),
            ),
            pointing=Pointing(mechanism, KEYS, self.folder / "state" / "pointing.json", self.environment_file),
            endpoints=(
                EndpointCheck("health", "/health", "web", json={"status": "healthy", "database": "{dialect}"}),
                EndpointCheck("items", "/items", "web", length_equals_table="items"),
            ),
            identity=Identity(process="web", watch_seconds=0.6),
        )
        return replace(description, **more)

    def driver(self, description: ApplicationDescription | None = None, name: str = "state") -> ProcessDriver:
        driver = ProcessDriver(description or self.describe(), self.folder / name)
        self.drivers.append(driver)
        return driver

    def by_hand(self, *argv: str, cwd: Path | None = None) -> subprocess.Popen:
        """A process that Causeway did not start."""
        child = subprocess.Popen(argv, cwd=cwd or self.folder, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        self.strays.append(child)
        return child

    def events(self) -> list[str]:
        return (self.folder / "events.log").read_text().splitlines()

    def clean_up(self) -> None:
        for stray in self.strays:
            stray.kill()
            stray.wait(5)
        for driver in self.drivers:
            driver.stop(10)


@pytest.fixture
def tiny(tmp_path: Path) -> Iterator[Tiny]:
    with closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        connection.execute("PRAGMA journal_mode=wal")
        connection.execute("CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT)")
        connection.execute("CREATE TABLE beats (id INTEGER PRIMARY KEY, name TEXT)")
        connection.executemany("INSERT INTO items VALUES (?, ?)", [(n, f"item {n}") for n in range(1, 8)])
        connection.commit()
    (tmp_path / ".env").write_text(f"# the database\nDATABASE_URL=sqlite:///{tmp_path / 'app.db'}\n")
    app = Tiny(tmp_path, free_port())
    yield app
    app.clean_up()


@pytest.fixture
def python() -> str:
    return sys.executable
