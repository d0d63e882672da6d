"""Causeway's own processes: web, worker and beat, each tied to the life of this command."""

from __future__ import annotations

import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from controlplane.embedded import EmbeddedError, TetheredProcess
from demo.stage.console import Console
from demo.stage.errors import StageError
from demo.stage.home import ROOT, Home

HOST_NAME = "demo"  # of this machine, as the applications' rows name it: their steps go to the queue host.demo
MOST_RESTARTS = 3
WEB_THREADS = 8
WORKER_PROCESSES = 3  # a long step of a run, one of another, and the monitor's rounds between them


@dataclass(frozen=True)
class Member:
    """One process. stop_signal is a name without SIG."""

    name: str
    argv: tuple[str, ...]


class Crew:
    """Starts, watches and stops the members."""

    def __init__(self, home: Home, environment: Mapping[str, str], web_port: int, console: Console) -> None:
        self._home, self._environment, self._console = home, dict(environment), console
        self.address = f"http://127.0.0.1:{web_port}"
        self._members = _members(home, web_port)
        self._running: dict[str, TetheredProcess] = {}
        self._restarts: dict[str, int] = {}

    def launch(self) -> None:
        """Start those that don't run; they need some seconds until they are up."""
        for member in self._members:
            if member.name not in self._running:
                self._launch(member)

    def launch_web(self) -> None:
        """Start only what serves pages, and executes nothing."""
        self._launch(self._members[0])

    def wait_until_up(self) -> None:
        """Until pages are served and the worker listens. Raises StageError."""
        self._console.wait_for("the web server to answer", self._web_answers, 60)
        self._console.wait_for("the worker to listen", self._worker_listens, 60)

    def check(self) -> None:
        """Start a member that ended by itself again, a few times. Raises StageError demo.died when that is no help."""
        for member in self._members:
            process = self._running.get(member.name)
            if process is None or process.running:
                continue
            times = self._restarts[member.name] = self._restarts.get(member.name, 0) + 1
            what = f"{member.name} ended with status {process.returncode}"
            if times > MOST_RESTARTS:
                raise StageError("demo.died", f"{what} again: {process.tail(3)}", f"See {process.log}.")
            self._console.complain(f"{what}; starting it again ({times} of {MOST_RESTARTS}). Its log: {process.log}")
            self._launch(member)

    def stop(self) -> None:
        """Stop all at once; returns when they are gone."""
        together(self.stops())

    def stops(self) -> list[Callable[[], None]]:
        """How to end the members, each on its own; they are not watched from here on."""
        processes = list(self._running.values())
        self._running = {}
        return [process.stop for process in processes]

    def pids(self) -> dict[str, int]:
        """Process ids by name, of what runs."""
        return {name: process.pid for name, process in self._running.items()}

    def _launch(self, member: Member) -> None:
        log = self._home.log(member.name)
        self._running[member.name] = TetheredProcess(member.argv, log=log, env=self._environment, cwd=ROOT)

    def _web_answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/sign-in/", timeout=5) as answer:
                return bool(answer.status == 200)
        except urllib.error.HTTPError as error:
            if error.code >= 500:
                raise StageError(
                    "demo.web",
                    f"The web server answers {error.code}: {self._running['web'].tail(3)}",
                    f"See {self._home.log('web')}.",
                ) from None
            return True  # it serves; whether the page is there is not the stage's question
        except OSError:
            return False

    def _worker_listens(self) -> bool:
        from controlplane.celery import app

        # Not from the pool: its connections may be to a broker that has been stopped since.
        with app.connection_for_write() as connection:
            answers = app.control.inspect(timeout=1.0, connection=connection).ping() or {}
        return any(name.startswith(f"{HOST_NAME}@") for name in answers)


def together(actions: Iterable[Callable[[], None]]) -> None:
    """Run all at the same time and wait for them; the first error is raised when all have ended."""
    errors: list[EmbeddedError] = []

    def run(action: Callable[[], None]) -> None:
        try:
            action()
        except EmbeddedError as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=[action]) for action in actions]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


def _members(home: Home, web_port: int) -> tuple[Member, ...]:
    python = sys.executable
    celery = (python, "-m", "celery", "-A", "controlplane")
    return (
        Member("web", (python, "-m", "gunicorn", *gunicorn_options(web_port), "controlplane.wsgi:application")),
        Member(
            "worker",
            (
                *(*celery, "worker", "--hostname", f"{HOST_NAME}@%h", "--queues", f"common,host.{HOST_NAME}"),
                *("--concurrency", str(WORKER_PROCESSES), "--prefetch-multiplier", "1"),
                *("--without-gossip", "--without-mingle", "--loglevel", "INFO"),
            ),
        ),
        Member("beat", (*celery, "beat", "--schedule", str(_schedule(home)), "--pidfile=", "--loglevel", "INFO")),
    )


def gunicorn_options(port: int) -> tuple[str, ...]:
    """How the web server is started."""
    return (
        *("--bind", f"127.0.0.1:{port}", "--workers", "1", "--worker-class", "gthread"),
        *("--threads", str(WEB_THREADS), "--graceful-timeout", "2", "--access-logfile", "-"),
        *("--logger-class", "demo.stage.access_log.MaskingLogger"),
    )


def _schedule(home: Home) -> Path:
    return home.folder("beat") / "schedule"
