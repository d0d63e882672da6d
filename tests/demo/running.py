"""Real processes of the sample application: made, waited for within bounds, ended."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

DEMO = Path(__file__).resolve().parents[2] / "demo"
YUKYU = DEMO / "yukyu"
KEY = b"yukyu-demo-key-only-for-demos-01".hex()
PATIENCE = 30.0


def environment(url: str, **extra: str) -> dict[str, str]:
    """A process environment that names a database, and nothing of the tests' own."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "TMPDIR", "LANG", "TZ")}
    return {
        **kept,
        "DATABASE_TYPE": "sqlite" if url.startswith("sqlite") else "postgresql",
        "DATABASE_URL": url,
        "DATABASE_ENCRYPTION_KEY": KEY,
        "YUKYU_ENV_FILE": os.devnull,
        "PYTHONDONTWRITEBYTECODE": "1",
        **extra,
    }


def run(*arguments: str | Path, env: Mapping[str, str], cwd: Path = YUKYU) -> subprocess.CompletedProcess[str]:
    """Run a Python program to its end."""
    argv = [sys.executable, *map(str, arguments)]
    return subprocess.run(argv, env=dict(env), cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def alembic(url: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the application's Alembic; it must succeed."""
    done = run("-m", "alembic", *arguments, env=environment(url))
    assert done.returncode == 0, done.stderr
    return done


def generate(path: Path, *arguments: str) -> Path:
    """Make a database with the generator."""
    done = run(DEMO / "generate.py", path, *arguments, env=environment("sqlite://"), cwd=path.parent)
    assert done.returncode == 0, done.stderr
    return path


def wait_until(condition: Callable[[], bool], what: str, seconds: float = PATIENCE) -> None:
    """Wait for a condition, at most so long."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds:g} s in vain: {what}"
        time.sleep(0.05)


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Running:
    """A process under test, with what it said so far."""

    process: subprocess.Popen[bytes]
    log: Path
    address: str

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.address + path, trust_env=False, timeout=PATIENCE)

    def post(self, path: str, body: object) -> httpx.Response:
        return httpx.post(self.address + path, json=body, trust_env=False, timeout=PATIENCE)

    def answers(self) -> bool:
        assert self.process.poll() is None, self.log.read_text()
        try:
            return bool(self.get("/health").status_code)
        except httpx.TransportError:
            return False

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Ask it to end; its exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=PATIENCE)


@contextmanager
def started(argv: list[str], env: Mapping[str, str], folder: Path, port: int = 0) -> Iterator[Running]:
    """A process that is certainly gone afterwards."""
    log = folder / f"{port or 'worker'}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, *argv], env=dict(env), cwd=YUKYU, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield Running(process, log, f"http://127.0.0.1:{port}")
    finally:
        process.kill()
        process.wait(timeout=PATIENCE)


@contextmanager
def web(
    env: Mapping[str, str], folder: Path, target: str = "main:app", app_dir: Path = YUKYU, answering: bool = True
) -> Iterator[Running]:
    """The web application under uvicorn, once it answers."""
    port = free_port()
    argv = ["-m", "uvicorn", "--app-dir", str(app_dir), target, "--port", str(port)]
    with started(argv, env, folder, port) as running:
        if answering:
            wait_until(running.answers, "the application answers")
        yield running


@contextmanager
def worker(env: Mapping[str, str], folder: Path) -> Iterator[Running]:
    """The background worker."""
    with started(["worker.py"], env, folder) as running:
        yield running
