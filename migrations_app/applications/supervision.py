"""What driver and supervisor tell each other through files in the instance's state folder (0700).

launch.json  driver to supervisor: what to start. Holds the processes' environments, so 0600, and gone once read.
status.json  supervisor to all: what runs. Holds no secret.
stop         driver, or anyone with a shell, to supervisor: stop everything and end.

Standard library only, so that rollback.sh can use it.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from migrations_app.applications.processes import is_same

LAUNCH, STATUS, STOP, LOCK, LOG = "launch.json", "status.json", "stop", "supervisor.lock", "supervisor.log"


@dataclass(frozen=True)
class LaunchProcess:
    """One process to start. The environment is complete: nothing is inherited."""

    name: str
    argv: tuple[str, ...]
    cwd: str
    environment: Mapping[str, str] = field(repr=False)
    port: int | None
    stop_timeout_seconds: float
    start_timeout_seconds: float


@dataclass(frozen=True)
class Launch:
    """What one supervisor starts, in this order."""

    launch_id: str
    application: str
    instance: str  # the mark in the environment of every process
    dialect: str
    host: str
    digest: str  # of all that matters: the same digest needs no restart
    processes: tuple[LaunchProcess, ...]


@dataclass
class ProcessStatus:
    """One process as its supervisor sees it. state: pending, starting, running, crashed, stopping, stopped."""

    name: str
    state: str = "pending"
    pid: int = 0
    created: float = 0.0  # together with pid: a recycled pid is another process
    port: int | None = None
    exit_status: int | None = None
    killed: bool = False  # SIGTERM was not enough

    @property
    def alive(self) -> bool:
        return self.pid > 0 and is_same(self.pid, self.created)


@dataclass
class Status:
    """The supervisor's view. state: starting, running, degraded (one crashed), stopping, stopped, failed."""

    launch_id: str
    application: str
    instance: str
    dialect: str
    digest: str
    pid: int
    created: float
    state: str = "starting"
    message: str = ""
    processes: list[ProcessStatus] = field(default_factory=list)

    @property
    def supervisor_alive(self) -> bool:
        return is_same(self.pid, self.created)


def write_private(path: Path, content: bytes) -> None:
    """Replace a file atomically: 0600, on disk before it has its name."""
    descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def write_launch(path: Path, launch: Launch) -> None:
    write_private(path, json.dumps(asdict(launch)).encode())


def read_launch(path: Path) -> Launch:
    """Raises OSError, ValueError, KeyError or TypeError when it isn't there or isn't whole."""
    document = json.loads(path.read_bytes())
    processes = [LaunchProcess(**{**entry, "argv": tuple(entry["argv"])}) for entry in document.pop("processes")]
    return Launch(processes=tuple(processes), **document)


def write_status(state_dir: Path, status: Status) -> None:
    write_private(state_dir / STATUS, json.dumps(asdict(status), indent=1).encode())


def read_status(state_dir: Path) -> Status | None:
    """The last status written, or None when no supervisor ever ran here."""
    try:
        document: dict[str, Any] = json.loads((state_dir / STATUS).read_bytes())
    except FileNotFoundError:
        return None
    processes = [ProcessStatus(**entry) for entry in document.pop("processes")]
    return Status(processes=processes, **document)
