"""Starts and stops an application's processes, and proves from the kernel that they are stopped."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from controlplane.redaction import redact
from migrations_app.applications import configuration, processes, supervision
from migrations_app.applications.commands import minimal_environment
from migrations_app.applications.description import ApplicationDescription, Dialect, PointingValues
from migrations_app.applications.drivers.interface import Driver
from migrations_app.applications.drivers.stop_proof import open_ports, prove_stopped, refuse_taken_ports, still_alive
from migrations_app.applications.launching import make_launch, refuse_other_configuration
from migrations_app.applications.reality import ProcessReality, Reality, StopProof, StopResult
from migrations_app.applications.strangers import Running, describe_process, find_running
from migrations_app.applications.supervision import Launch, Status
from migrations_app.applications.supervisor import LIFELINE_VARIABLE, instance_processes, request_stop
from migrations_app.engine.errors import Failed, Refused

ROOT = Path(__file__).resolve().parents[2]
SPAWN_SECONDS = 15.0
STOP_EXTRA_SECONDS = 15.0
LOOK_SECONDS = 5.0  # in which whoever only looks at the file lets it go


class ProcessDriver(Driver):
    """Drives one instance of an application. `state_dir` belongs to that instance alone.

    beside: folders of instances whose processes are no strangers, and aren't ours to stop either (blue_green.py).
    """

    def __init__(self, description: ApplicationDescription, state_dir: Path, beside: tuple[Path, ...] = ()) -> None:
        self.description = description
        self.state_dir = state_dir
        self._beside = beside

    def start(self, dialect: Dialect, values: PointingValues | None = None) -> Reality:
        """Start all processes on the database that the configuration names; returns when they are up.

        `values` are needed when the environment points (Pointing.mechanism). Twice is once: with the same launch under
        way it waits for it. Raises Refused (CONFIGURATION_SAYS_OTHERWISE, ALREADY_RUNNING, PORT_TAKEN,
        ENVIRONMENT_OVERRIDES_FILE) and Failed START_FAILED, with nothing left running.
        """
        refuse_other_configuration(self.description, dialect)
        launch = make_launch(self.description, dialect, values)
        with self._alone():
            status = self._status()
            if status is not None and status.supervisor_alive and _is_under_way(status, launch):
                launch_id = status.launch_id
            else:
                self._refuse_if_running(status)
                self._spawn(launch)
                launch_id = launch.launch_id
            started = self._wait_until_started(launch_id)
            if started.state != "running":
                request_stop(self.state_dir, self._stop_budget())
        if started.state != "running":
            raise Failed(
                "START_FAILED",
                f"{self.description.name} did not start on {dialect}: {started.message or started.state}",
                f"Read the logs in {self.state_dir}; the last lines: {self.log_tail() or 'none'}",
            )
        return self.status()

    def stop(self, timeout: float | None = None, only: Dialect | None = None) -> StopResult:
        """Stop all processes in reverse order; those started by hand, too, when they match the operator's commands.

        Raises Refused PORT_TAKEN or FILE_HELD_BY_OTHERS for processes that are not recognisable as the application's,
        and Failed STOP_FAILED.
        """
        return self._stop(timeout, sweep=True)

    def stop_supervised(self, timeout: float | None = None) -> StopResult:
        """Only what this instance's own supervisor started. Raises Failed STOP_FAILED."""
        return self._stop(timeout, sweep=False)

    def signal_stop(self, only: Dialect | None = None) -> None:
        """The supervisor ends them in order; those started by hand are told themselves, if there is no supervisor."""
        if self.signal_supervisor():
            return
        for running in self._found():
            if running.ours:
                processes.send(running.pid, signal.SIGTERM)

    def signal_supervisor(self) -> bool:
        """Whether there was one to be told."""
        status = self._status()
        if status is None or not status.supervisor_alive:
            return False
        (self.state_dir / supervision.STOP).touch(mode=0o600)
        processes.send(status.pid, signal.SIGTERM)  # it wakes at once instead of looking for the file in a moment
        return True

    def prove_stopped(self, only: Dialect | None = None) -> StopProof:
        """Ask kernel and file, not the supervisor's word. Changes nothing."""
        return prove_stopped(self.description, instance_processes(self.state_dir))

    def members(self) -> set[int]:
        """Supervised by us, or recognised by its command."""
        return instance_processes(self.state_dir) | {running.pid for running in self._found() if running.ours}

    def status(self) -> Reality:
        """What is true now. Changes nothing."""
        status = self._status()
        known = {entry.name: entry for entry in status.processes} if status else {}
        entries = []
        for process in self.description.in_start_order():
            entry = known.get(process.name)
            alive = entry is not None and entry.alive
            state = "absent" if entry is None else entry.state
            if entry is not None and not alive and state in ("running", "starting", "stopping"):
                state = "crashed"  # the supervisor was gone too, so nobody noted it
            exit_status = entry.exit_status if entry else None
            entries.append(
                ProcessReality(
                    process.name, state, alive, entry.pid if entry and alive else 0, process.port, exit_status
                )
            )
        mine = instance_processes(self.state_dir)
        return Reality(
            supervisor_alive=bool(status and status.supervisor_alive),
            state=status.state if status else "none",
            message=status.message if status else "",
            launched_for=status.dialect if status and mine else "",
            configuration=configuration.current(self.description.pointing),
            processes=tuple(entries),
            open_ports=open_ports(self.description),
            holders=processes.holders(self.description.source_path),
            unsupervised=tuple(running.pid for running in self._found() if running.ours),
        )

    def log_tail(self, lines: int = 5) -> str:
        """The last lines of each process's log, redacted, for a message."""
        parts = []
        for process in self.description.in_start_order():
            with contextlib.suppress(OSError):
                with open(self.state_dir / f"{process.name}.log", "rb") as handle:
                    handle.seek(max(0, os.fstat(handle.fileno()).st_size - 4096))
                    text = handle.read().decode(errors="replace").strip()
                if text:
                    parts.append(f"{process.name}: {' | '.join(text.splitlines()[-lines:])}")
        return redact("; ".join(parts))

    def _stop(self, timeout: float | None, sweep: bool) -> StopResult:
        begun = time.monotonic()
        with self._alone():
            running = bool(instance_processes(self.state_dir))
            budget = timeout if timeout is not None else self._stop_budget()
            left = request_stop(self.state_dir, budget) if running else set()
            adopted = self._stop_unsupervised(budget) if sweep and not left else ()
        if left:
            raise still_alive(self.description, map(describe_process, sorted(left)))
        status = self._status()
        killed = tuple(entry.name for entry in status.processes if entry.killed) if status and running else ()
        return StopResult(running or bool(adopted), adopted, killed, time.monotonic() - begun)

    def _refuse_if_running(self, status: Status | None) -> None:
        if status is not None and instance_processes(self.state_dir):
            raise Refused(
                "ALREADY_RUNNING",
                f"{self.description.name} already runs, on {status.dialect}.",
                "Stop it first, so that no process stays on another database.",
            )
        for running in self._found():
            if running.ours:
                raise Refused(
                    "ALREADY_RUNNING",
                    f"{self.description.name} already runs, started by others: {describe_process(running.pid)}.",
                    "Stop it first.",
                )
        refuse_taken_ports(self.description)

    def _found(self) -> tuple[Running, ...]:
        """What uses something of the application's, besides this instance and those beside it."""
        known = instance_processes(self.state_dir)
        for folder in self._beside:
            known |= instance_processes(folder)
        return find_running(self.description, known)

    def _spawn(self, launch: Launch) -> None:
        supervision.write_launch(self.state_dir / supervision.LAUNCH, launch)
        environment = minimal_environment({"PYTHONPATH": str(ROOT)})
        if LIFELINE_VARIABLE in os.environ:
            environment[LIFELINE_VARIABLE] = os.environ[LIFELINE_VARIABLE]
        # -S would be faster, but a venv's python needs its site only for packages, and the supervisor uses none.
        subprocess.run(
            [sys.executable, "-m", "migrations_app.applications.supervisor", str(self.state_dir), "--detach"],
            env=environment,
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            timeout=SPAWN_SECONDS,
            check=False,
        )

    def _wait_until_started(self, launch_id: str) -> Status:
        budget = SPAWN_SECONDS + sum(process.start_timeout_seconds for process in self.description.processes)
        until = time.monotonic() + budget
        appeared_by = time.monotonic() + SPAWN_SECONDS
        while time.monotonic() < until:
            status = self._status()
            if status is not None and status.launch_id == launch_id:
                if status.state not in ("starting", "stopping"):
                    return status
                if not status.supervisor_alive:
                    break
            elif time.monotonic() > appeared_by:
                break
            time.sleep(0.05)
        raise Failed(
            "START_FAILED",
            f"The supervisor of {self.description.name} did not come up, or did not finish, within {budget:g} s.",
            f"Read {self.state_dir / supervision.LOG}.",
        )

    def _found_for_good(self) -> tuple[Running, ...]:
        """Like _found(), without those who only look at the file for a moment, as probes of ours do."""
        until = time.monotonic() + LOOK_SECONDS
        while True:
            found = self._found()
            only_looking = [running for running in found if not running.ours and running.port is None]
            if not only_looking or time.monotonic() > until:
                return found
            time.sleep(0.1)

    def _stop_unsupervised(self, grace: float) -> tuple[str, ...]:
        """Those started by hand, before Causeway. Nobody else's process is ever signalled."""
        found = self._found_for_good()
        strangers = [running for running in found if not running.ours]
        if strangers:
            raise _not_ours(self.description, strangers)
        roots = [running.pid for running in found]
        if not roots:
            return ()
        named = tuple(describe_process(pid) for pid in sorted(roots))
        created = {pid: processes.create_time(pid) or 0.0 for pid in processes.family(roots)}

        def left() -> set[int]:
            return processes.family(pid for pid, begun in created.items() if processes.is_same(pid, begun))

        remaining, _ = processes.end_all(left, grace=grace)
        if remaining:
            raise still_alive(self.description, map(describe_process, sorted(remaining)))
        return named

    def _stop_budget(self) -> float:
        per_process = sum(process.stop_timeout_seconds + 5.0 for process in self.description.processes)
        return per_process + STOP_EXTRA_SECONDS

    def _status(self) -> Status | None:
        return supervision.read_status(self.state_dir)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One driver at a time; a dead one's lock is gone with it. Raises Failed DRIVER_BUSY."""
        self.state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.state_dir.chmod(0o700)
        descriptor = os.open(self.state_dir / "driver.lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            until = time.monotonic() + self._stop_budget()
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > until:
                        raise Failed(
                            "DRIVER_BUSY", f"Someone else drives {self.description.name}.", "Try again when it is done."
                        ) from None
                    time.sleep(0.1)
            yield
        finally:
            os.close(descriptor)


def _is_under_way(status: Status, launch: Launch) -> bool:
    return status.digest == launch.digest and status.state in ("starting", "running")


def _not_ours(description: ApplicationDescription, strangers: list[Running]) -> Refused:
    first = strangers[0]
    return Refused(
        "PORT_TAKEN" if first.port else "FILE_HELD_BY_OTHERS",
        f"{describe_process(first.pid)} {first.why}, but is not started by a command of {description.name}. "
        "It was left alone.",
        "End it by hand, or correct the command in the operator's file.",
    )
