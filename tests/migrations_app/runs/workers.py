"""Real Celery workers on the test's control database, and a broker that can go away."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
from celery import current_app
from django.conf import settings
from django.db import connection

from tests.servers import STATE

ROOT = Path(__file__).parents[3]


def wait_for(what: str, condition: Callable[[], Any], seconds: float = 90, every: float = 0.05) -> Any:
    """Poll until it is true; fails with what was waited for."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = condition()
        if found:
            return found
        time.sleep(every)
    raise AssertionError(f"waited {seconds:g} s in vain for {what}")


def control_url() -> str:
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    return urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()


def own_environment() -> dict[str, str]:
    """What a process of the product needs to see this test's world."""
    return {
        "CAUSEWAY_READ_DOTENV": "0",
        "CAUSEWAY_STATE_DIR": str(STATE),
        "CAUSEWAY_ARTIFACTS_DIR": str(settings.CAUSEWAY_ARTIFACTS_DIR),
        "CAUSEWAY_OPERATOR_FILE": str(settings.CAUSEWAY_OPERATOR_FILE),
        "DATABASE_URL": control_url(),
        "PYTHONUNBUFFERED": "1",
    }


def manage(*arguments: str, seconds: float = 120) -> subprocess.CompletedProcess[str]:
    """A command as an operator runs it; its broker is out of reach."""
    return subprocess.run(
        [sys.executable, "manage.py", *arguments],
        cwd=ROOT,
        env={**os.environ, **own_environment(), "REDIS_URL": "redis://127.0.0.1:1/0"},
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
    )


def add_ballast(path: Path, count: int) -> None:
    """A table large enough that its load takes a while."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE ballast (id INTEGER PRIMARY KEY, word TEXT, amount REAL)")
        rows = ((n, f"Zeile {n} ☃", n / 3) for n in range(1, count + 1))
        database.executemany("INSERT INTO ballast VALUES (?, ?, ?)", rows)
        database.commit()


def chunks_loaded(url: str) -> int:
    """How many chunks the target's ledger has."""
    with closing(psycopg2.connect(url)) as target, target.cursor() as cursor:
        cursor.execute("SELECT to_regclass('causeway.chunk')")
        if cursor.fetchone() == (None,):
            return 0
        cursor.execute("SELECT count(*) FROM causeway.chunk")
        return int(cursor.fetchone()[0])


@dataclass
class Worker:
    """One worker with its pool and its own beat, in a process group of its own."""

    process: subprocess.Popen[bytes]
    log: Path

    def kill(self) -> None:
        """SIGKILL to all of it at once, as the kernel does when memory runs out."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    @property
    def is_ready(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()[-3000:]
        return b" ready." in self.log.read_bytes()


@dataclass
class Workers:
    folder: Path
    broker_url: str
    started: list[Worker] = field(default_factory=list)

    def start(self, host: str = "here", **environment: str) -> Worker:
        number = len(self.started) + 1
        log = self.folder / f"worker-{number}.log"
        command = [sys.executable, "-m", "celery", "-A", "controlplane", "worker", "--beat"]
        command += ["--schedule", str(self.folder / f"beat-{number}"), "--hostname", f"{host}{number}@%h"]
        command += ["--queues", f"common,host.{host}", "--concurrency", "1", "--without-gossip", "--without-mingle"]
        with open(log, "wb") as output:
            process = subprocess.Popen(
                [*command, "--loglevel", "INFO"],
                cwd=ROOT,
                env={**os.environ, **self._environment(), **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        worker = Worker(process, log)
        self.started.append(worker)
        wait_for("the worker to be ready", lambda: worker.is_ready, 60)
        return worker

    def stop(self) -> None:
        for worker in self.started:
            if worker.process.poll() is None:
                worker.kill()

    def _environment(self) -> dict[str, str]:
        return {
            **own_environment(),
            "CAUSEWAY_LEASE_SECONDS": "3",
            "CAUSEWAY_HEARTBEAT_SECONDS": "1",
            "REDIS_URL": self.broker_url,
        }


@contextmanager
def workers_on(folder: Path, broker_url: str) -> Iterator[Workers]:
    """Workers, and this process's own bell, on one broker."""
    before = current_app.conf.broker_url
    current_app.conf.broker_url = broker_url
    workers = Workers(folder, broker_url)
    try:
        yield workers
    finally:
        workers.stop()
        current_app.conf.broker_url = before
