"""Stops and starts by commands of the operator's file (`docker compose stop`, say), and asks kernel and file after."""

from __future__ import annotations

import contextlib
import subprocess
import time
from pathlib import Path

from migrations_app.applications.commands import CommandResult, begin_command, run_command, run_starter
from migrations_app.applications.description import ApplicationDescription, Dialect, PointingValues
from migrations_app.applications.drivers import launched
from migrations_app.applications.drivers.elsewhere import (
    begin_start,
    not_started,
    reality_of,
    recognised,
    refuse_environment,
    start_budget,
    wait_for_ports,
)
from migrations_app.applications.drivers.interface import Driver
from migrations_app.applications.drivers.specs import ByCommands
from migrations_app.applications.drivers.stop_proof import open_ports, prove_stopped, refuse_taken_ports, still_alive
from migrations_app.applications.processes import listeners
from migrations_app.applications.reality import ProcessReality, Reality, StopProof, StopResult
from migrations_app.applications.strangers import describe_process
from migrations_app.engine.errors import EngineError, Failed

SHOWN = 5  # lines of what the status command prints
START_LOG, SIGNAL_LOG = "start.log", "signal.log"


class CommandDriver(Driver):
    """Drives an application through the operator's own commands."""

    def __init__(self, description: ApplicationDescription, state_dir: Path, spec: ByCommands) -> None:
        self.description = description
        self.state_dir = state_dir
        self.spec = spec
        self._told: subprocess.Popen[bytes] | None = None  # the signal that is under way

    def check(self) -> None:
        """Raises Refused POINTING_NEEDS_FILE, Failed STATUS_UNKNOWN."""
        refuse_environment(self.description)
        self._running()

    def start(self, dialect: Dialect, values: PointingValues | None = None) -> Reality:
        running = self._running()
        if begin_start(self.description, self.state_dir, dialect, bool(running), ", ".join(running[:SHOWN])):
            refuse_taken_ports(self.description)
        problem = self._start()
        if problem:
            self._give_up()
            raise not_started(self.description, dialect, problem, f"Look at what {self.spec.start.name} does.")
        return self.status()

    def stop(self, timeout: float | None = None, only: Dialect | None = None) -> StopResult:
        begun = time.monotonic()
        self._let_signal_end()
        running = bool(self._running()) or bool(open_ports(self.description))
        if running:
            self._stop(timeout)
        left = self._running()
        if left:
            raise still_alive(self.description, [f"{self.spec.status.name} says: {line}" for line in left[:SHOWN]])
        answering = open_ports(self.description)
        if answering:
            raise still_alive(self.description, [_port(port) for port in answering])
        launched.clear(self.state_dir)
        return StopResult(running, (), (), time.monotonic() - begun)

    def signal_stop(self, only: Dialect | None = None) -> None:
        """Its own session, so that it lives on when the step's process is killed."""
        self._told = begin_command(self.spec.signal or self.spec.stop, self.state_dir / SIGNAL_LOG)

    def prove_stopped(self, only: Dialect | None = None) -> StopProof:
        """The command's word alone proves nothing; what it says still runs counts, and what the kernel sees."""
        more = [f"{self.spec.status.name} says that it runs: {line}" for line in self._running()[:SHOWN]]
        return prove_stopped(self.description, (), more)

    def members(self) -> set[int]:
        return recognised(self.description)

    def status(self) -> Reality:
        try:
            running, message = self._running(), ""
        except EngineError as error:
            running, message = (), error.message
        state = "unknown" if message else "running" if running else "stopped"
        entries = [ProcessReality(line[:63], "running", True, 0, None, None) for line in running[:SHOWN]]
        return reality_of(
            self.description, self.state_dir, state=state, message=message, entries=entries, members=self.members()
        )

    def _running(self) -> tuple[str, ...]:
        """What the status command prints, a line for each thing that runs. Raises Failed STATUS_UNKNOWN."""
        result = run_command(self.spec.status, keep_errors=False)
        if not result.succeeded:
            raise Failed(
                "STATUS_UNKNOWN",
                f"Command {result.name} {_ending(result)}: nobody knows whether the application runs.",
                "It has to end with 0, print what runs, and print nothing when nothing runs.",
            )
        return tuple(line.strip() for line in result.output.splitlines() if line.strip())

    def _start(self) -> str:
        """What went wrong; "" when it is up."""
        try:
            result = run_starter(self.spec.start, self.state_dir / START_LOG)
        except Failed as error:
            return error.message
        if not result.succeeded:
            return f"command {result.name} {_ending(result)}"
        problem = wait_for_ports(self.description, time.monotonic() + start_budget(self.description))
        return problem or ("" if self._running() else f"{self.spec.status.name} says that nothing runs")

    def _stop(self, timeout: float | None) -> None:
        result = run_command(self.spec.stop, timeout=timeout)
        if not result.succeeded:
            raise Failed(
                "STOP_FAILED",
                f"Command {result.name} {_ending(result)}: {self.description.name} may still run, in part.",
                "Mend what it says, then run the step again.",
            )

    def _let_signal_end(self) -> None:
        """Two stops at once would get in each other's way; one that hangs is left to the stop command."""
        if self._told is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._told.wait((self.spec.signal or self.spec.stop).timeout_seconds)
                self._told = None

    def _give_up(self) -> None:
        """Nothing half-started; what can't be stopped is told by prove_stopped()."""
        self._stop(None)
        launched.clear(self.state_dir)


def _ending(result: CommandResult) -> str:
    said = " ".join(result.output.split())[-300:]
    how = "did not end in time" if result.exit_status is None else f"ended with {result.exit_status}"
    return f"{how} ({said})" if said else how


def _port(port: int) -> str:
    who = "; ".join(describe_process(pid) for pid in sorted(listeners(port)))
    return f"port {port} still answers ({who or 'a process that we may not see'})"
