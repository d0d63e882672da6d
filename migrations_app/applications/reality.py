"""What the process driver tells: plain facts, asked from the kernel and from files."""

from __future__ import annotations

from dataclasses import dataclass

from migrations_app.applications.configuration import Chosen
from migrations_app.applications.processes import Holder


@dataclass(frozen=True)
class ProcessReality:
    """One process of the description as it is now. state as in supervision.ProcessStatus, or "absent"."""

    name: str
    state: str
    alive: bool
    pid: int
    port: int | None
    exit_status: int | None


@dataclass(frozen=True)
class Reality:
    """What is true now, asked from kernel and files, not from memory."""

    supervisor_alive: bool
    state: str  # the supervisor's word: running, degraded, failed …; "none" when it never ran
    message: str
    launched_for: str  # the dialect that the processes were started with; "" when none were
    configuration: Chosen
    processes: tuple[ProcessReality, ...]
    open_ports: tuple[int, ...]
    holders: tuple[Holder, ...]  # who has the SQLite file open
    unsupervised: tuple[int, ...]  # processes of this application that no supervisor of ours started


@dataclass(frozen=True)
class StopProof:
    """Whether the application is stopped. `reasons` is empty when `stopped`; caveats are what can't be seen."""

    stopped: bool
    no_process: bool
    ports_closed: bool
    file_released: bool
    lock_free: bool
    wal_bytes: int  # what a checkpoint has not yet moved into the main file; a backup reads it all the same
    reasons: tuple[str, ...]
    caveats: tuple[str, ...] = ()


@dataclass(frozen=True)
class StopResult:
    """What stopping took. killed: names of processes that ended only on SIGKILL."""

    was_running: bool
    adopted: tuple[str, ...]  # processes started by hand that were recognised and stopped
    killed: tuple[str, ...]
    seconds: float
