"""Runs one application's processes and outlives whoever started it: `python -m … supervisor STATE_DIR`.

It starts the processes of STATE_DIR/launch.json in order, each when the one before it is up, keeps their logs bounded,
writes STATE_DIR/status.json, and on STATE_DIR/stop stops them in reverse order: SIGTERM to the process, then to what it
left behind, then SIGKILL to all of it. On SIGTERM all of them are told at once. It never restarts a process: a crash is
a fact for people to see, and a restart after a switch could write to the wrong database.

Standard library only: rollback.sh uses it when nothing else works. `--stop` stops an instance from outside, even when
its supervisor was killed.
"""

from __future__ import annotations

import argparse
import ctypes
import fcntl
import os
import secrets
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from migrations_app.applications import processes
from migrations_app.applications.supervision import (
    LAUNCH,
    LOCK,
    LOG,
    STATUS,
    STOP,
    Launch,
    LaunchProcess,
    ProcessStatus,
    Status,
    read_launch,
    read_status,
    write_launch,
    write_status,
)

LIFELINE_VARIABLE = "CAUSEWAY_LIFELINE"  # pid:create_time; when that process is gone, we stop (the demo's promise)
POLL_SECONDS = 0.1
LIFELINE_SECONDS = 1.0
SETTLE_SECONDS = 0.5  # a process without a port counts as up when it lived so long
LEFTOVER_SECONDS = 3.0  # for what a process left behind, between SIGTERM and SIGKILL
LIFELINE_GRACE_SECONDS = 1.5  # the demo promises that all is gone within 5 s
LOG_BYTES = 5_000_000
PR_SET_CHILD_SUBREAPER = 36  # <linux/prctl.h>


class Supervisor:
    """One application instance, from its launch to its end."""

    def __init__(self, state_dir: Path, launch: Launch, lifeline: tuple[int, float] | None) -> None:
        self.state_dir = state_dir
        self.launch = launch
        self.lifeline = lifeline
        self.signalled = False
        self.cut_off = False
        self.children: dict[int, ProcessStatus] = {}
        self.told: set[int] = set()
        self._next_look = 0.0
        own_start = processes.create_time(os.getpid()) or time.time()
        self.status = Status(
            launch_id=launch.launch_id,
            application=launch.application,
            instance=launch.instance,
            dialect=launch.dialect,
            digest=launch.digest,
            pid=os.getpid(),
            created=own_start,
            processes=[ProcessStatus(name=process.name, port=process.port) for process in launch.processes],
        )

    def run(self) -> int:
        """Start all, watch, stop all. 0 when stopped as asked, 1 when the start failed or something is left."""
        awake, tell = os.pipe()
        os.set_blocking(tell, False)
        signal.set_wakeup_fd(tell)  # a stop that is signalled begins at once: somebody holds a write lock meanwhile
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        _become_subreaper()
        self._write("starting")
        problem = self._start_all()
        if problem:
            self._stop_all("stopping")
            self._write("failed", problem)
            return 1
        self._write("running")
        while not self._asked_to_stop() and not self._all_ended():
            self._look_after()
            select.select([awake], [], [], POLL_SECONDS)
        asked = self._asked_to_stop()
        self._write("stopping")
        left = self._stop_all("stopping")
        if left:
            self._write("failed", f"These processes did not end even on SIGKILL: {sorted(left)}")
            return 1
        self._write("stopped" if asked else "failed")
        return 0 if asked else 1

    def _signalled(self, number: int, frame: object) -> None:
        self.signalled = True

    def _asked_to_stop(self) -> bool:
        if self.lifeline and time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LIFELINE_SECONDS
            self.cut_off = not processes.is_same(*self.lifeline)
        return self.signalled or self.cut_off or (self.state_dir / STOP).exists()

    def _all_ended(self) -> bool:
        return all(entry.state == "crashed" for entry in self.status.processes) and not self._left_behind(())

    def _write(self, state: str, message: str = "") -> None:
        self.status.state = state
        self.status.message = message or self.status.message
        write_status(self.state_dir, self.status)

    def _start_all(self) -> str:
        """Start each process when the one before is up. Returns what went wrong, "" when nothing did."""
        for process, entry in zip(self.launch.processes, self.status.processes, strict=True):
            if self._asked_to_stop():
                return "Told to stop while starting."
            try:
                self._spawn(process, entry)
            except OSError as error:
                return f"Process {process.name} could not be run: {error.strerror} ({process.argv[0]})."
            problem = self._wait_until_up(process, entry)
            if problem:
                return problem
            entry.state = "running"
            self._write("starting")
        return ""

    def _spawn(self, process: LaunchProcess, entry: ProcessStatus) -> None:
        log = self.state_dir / f"{process.name}.log"
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            child = subprocess.Popen(
                process.argv,
                cwd=process.cwd,
                env={**process.environment, processes.INSTANCE_VARIABLE: self.launch.instance},
                stdin=subprocess.DEVNULL,
                stdout=descriptor,
                stderr=descriptor,
                start_new_session=True,
            )
        finally:
            os.close(descriptor)
        child.returncode = 0  # we wait for every child with waitpid(-1); Popen shall not wait again
        entry.pid, entry.state = child.pid, "starting"
        entry.created = processes.create_time(child.pid) or time.time()
        self.children[child.pid] = entry
        self._write("starting")

    def _wait_until_up(self, process: LaunchProcess, entry: ProcessStatus) -> str:
        begun = time.monotonic()
        while time.monotonic() - begun < process.start_timeout_seconds:
            self._reap()
            if entry.state == "crashed":
                return f"Process {process.name} ended while starting, exit status {entry.exit_status}; see its log."
            if self._asked_to_stop():
                return "Told to stop while starting."
            if process.port is None:
                if time.monotonic() - begun >= SETTLE_SECONDS:
                    return ""
            elif self._listens(process.port, entry):
                return ""
            time.sleep(POLL_SECONDS)
        return f"Process {process.name} was not up within {process.start_timeout_seconds:g} s; see its log."

    def _listens(self, port: int, entry: ProcessStatus) -> bool:
        """Whether it is *our* process that answers on the port."""
        if not processes.port_is_open(self.launch.host, port):
            return False
        seen = processes.listeners(port)
        return not seen or bool(seen & processes.family([entry.pid]))

    def _look_after(self) -> None:
        """Take the status of ended children, keep the logs bounded."""
        if self._reap():
            crashed = [entry.name for entry in self.status.processes if entry.state == "crashed"]
            self._write("degraded", f"Ended without being asked: {', '.join(crashed)}; see the logs.")
        for process in self.launch.processes:
            _rotate(self.state_dir / f"{process.name}.log")

    def _reap(self) -> bool:
        """Collect ended children; True when one of our processes ended that should run."""
        news = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return news
            if pid == 0:
                return news
            entry = self.children.pop(pid, None)
            if entry is None:
                continue
            entry.exit_status = os.waitstatus_to_exitcode(status)
            if entry.state in ("starting", "running"):
                entry.state, news = "crashed", True

    def _stop_all(self, state: str) -> set[int]:
        """Stop in reverse order; returns what could not be ended."""
        if self.cut_off or self.signalled:  # no time for an order
            for entry in self.status.processes:
                if entry.state in ("starting", "running"):
                    self._tell(entry)
        pairs = list(zip(self.launch.processes, self.status.processes, strict=True))
        deadline = time.monotonic() + LIFELINE_GRACE_SECONDS
        for process, entry in reversed(pairs):
            grace = process.stop_timeout_seconds
            if self.cut_off:
                grace = max(0.0, min(grace, deadline - time.monotonic()))
            self._stop_one(entry, grace)
            self._write(state)
        leftover_grace = 0.0 if self.cut_off else LEFTOVER_SECONDS
        left, _ = processes.end_all(lambda: self._left_behind(()), grace=leftover_grace)
        return left

    def _stop_one(self, entry: ProcessStatus, grace: float) -> None:
        """SIGTERM to the process itself (it may have to tell its children), then to what is left, then SIGKILL."""
        if entry.pid == 0:
            return
        mine = processes.family([entry.pid])
        if entry.pid in self.children:
            entry.state = "stopping"
            self._tell(entry)
            until = time.monotonic() + grace
            while entry.pid in self.children and time.monotonic() < until:
                mine |= processes.family([entry.pid])
                self._reap()
                time.sleep(0.05)
        entry.killed = entry.pid in self.children
        started = {pid: created for pid in mine if (created := processes.create_time(pid)) is not None}
        leftover_grace = 0.0 if entry.killed or self.cut_off else LEFTOVER_SECONDS
        processes.end_all(lambda: self._still_there(started), grace=leftover_grace)
        if entry.state != "crashed":
            entry.state = "stopped"

    def _tell(self, entry: ProcessStatus) -> None:
        """Once: a second SIGTERM makes some servers drop the requests that they would have answered."""
        if entry.pid not in self.told:
            self.told.add(entry.pid)
            processes.send(entry.pid, signal.SIGTERM)

    def _still_there(self, started: dict[int, float]) -> set[int]:
        self._reap()
        return processes.family(pid for pid, created in started.items() if processes.is_same(pid, created))

    def _left_behind(self, known: Iterable[int]) -> set[int]:
        """All that descends from us or carries our mark; as subreaper we inherit the detached ones."""
        self._reap()
        return (processes.family([os.getpid()]) | processes.marked(self.launch.instance)) - {os.getpid(), *known}


def _rotate(log: Path) -> None:
    """Keep one old log. The process holds the file open in append mode, so copy and cut."""
    try:
        if log.stat().st_size > LOG_BYTES:
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)
    except OSError as error:  # a full disk must not end the application
        print(f"log {log.name} not rotated: {error.strerror}", file=sys.stderr)


def _become_subreaper() -> None:
    if sys.platform.startswith("linux"):
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _lifeline() -> tuple[int, float] | None:
    pid, _, created = os.environ.get(LIFELINE_VARIABLE, "").partition(":")
    return (int(pid), float(created)) if pid and created else None


def _detach() -> bool:
    """Leave the starter's session for good; False in the process that shall return at once."""
    if os.fork():
        return False
    os.setsid()
    if os.fork():
        os._exit(0)
    return True


def supervise(state_dir: Path) -> int:
    """Run the launch of this state folder. 3 when another supervisor has it, or there is nothing to launch."""
    state_dir = state_dir.resolve()
    os.umask(0o077)
    os.chdir("/")
    lock = os.open(state_dir / LOCK, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print("another supervisor is at work here", file=sys.stderr)
        return 3
    try:
        launch = read_launch(state_dir / LAUNCH)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"{LAUNCH} can't be read: {type(error).__name__}", file=sys.stderr)
        return 3
    (state_dir / LAUNCH).unlink()
    (state_dir / STOP).unlink(missing_ok=True)
    return Supervisor(state_dir, launch, _lifeline()).run()


def request_stop(state_dir: Path, seconds: float) -> set[int]:
    """Stop an instance from outside; returns the processes that are left.

    The supervisor does it in order. If it is gone, or does not manage in time, what carries the instance's mark or
    stands in its last status is ended by force.
    """
    status = read_status(state_dir)
    if status is None:
        return set()
    if status.supervisor_alive:
        (state_dir / STOP).touch(mode=0o600)
        until = time.monotonic() + seconds
        while status.supervisor_alive and time.monotonic() < until:
            time.sleep(0.1)
    left, killed = processes.end_all(lambda: instance_processes(state_dir), grace=LEFTOVER_SECONDS)
    _note_end(state_dir, left, killed)
    return left


def instance_processes(state_dir: Path) -> set[int]:
    """Every living process of the instance, its supervisor included."""
    status = read_status(state_dir)
    if status is None:
        return set()
    roots = [entry.pid for entry in status.processes if entry.alive]
    if status.supervisor_alive:
        roots.append(status.pid)
    return (processes.family(roots) | processes.marked(status.instance)) - {os.getpid()}


def start_again(state_dir: Path, launch_file: Path, seconds: float) -> str:
    """Start a saved launch under a new detached supervisor; "" when it runs, else what went wrong."""
    if instance_processes(state_dir):
        return "the application still runs; stop it first"
    try:
        saved = read_launch(launch_file)
        launch = replace(saved, launch_id=secrets.token_hex(8), instance=f"app-{secrets.token_hex(8)}")
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_launch(state_dir / LAUNCH, launch)
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    except (ValueError, KeyError, TypeError):
        return f"{launch_file} is damaged"
    subprocess.run(
        [sys.executable, "-m", "migrations_app.applications.supervisor", str(state_dir), "--detach"],
        stdin=subprocess.DEVNULL,
        start_new_session=True,
        check=False,
        timeout=30,
    )
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        status = read_status(state_dir)
        if status is not None and status.launch_id == launch.launch_id and status.state not in ("starting", "stopping"):
            return "" if status.state == "running" else status.message or status.state
        time.sleep(0.1)
    return f"it was not up within {seconds:g} s"


def _note_end(state_dir: Path, left: set[int], killed: bool) -> None:
    """The last status of a supervisor that could not write it itself."""
    status = read_status(state_dir)
    if status is None or status.state in ("stopped", "failed") or left:
        return
    status.state = "stopped"
    status.message = "Stopped from outside: the supervisor was gone." if not killed else "Ended by force from outside."
    for entry in status.processes:
        entry.state = "stopped"
    write_status(state_dir, status)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run, or stop, the processes of one application.")
    parser.add_argument("state_dir", type=Path)
    parser.add_argument("--detach", action="store_true", help="return at once; the supervisor lives on by itself")
    parser.add_argument("--stop", action="store_true", help="stop the instance and wait for its end")
    parser.add_argument("--start", type=Path, metavar="LAUNCH", help="start this saved launch and wait until it is up")
    parser.add_argument("--runs-on", metavar="DIALECT", help="exit 0 when all processes run on this database, else 1")
    parser.add_argument("--timeout", type=float, default=60, help="seconds to wait for an orderly stop (60)")
    options = parser.parse_args(arguments)
    if options.stop:
        left = request_stop(options.state_dir, options.timeout)
        print(f"still alive: {sorted(left)}" if left else f"stopped ({options.state_dir / STATUS})")
        return 1 if left else 0
    if options.start:
        problem = start_again(options.state_dir, options.start, options.timeout)
        print(problem or "started")
        return 1 if problem else 0
    if options.runs_on:
        status = read_status(options.state_dir)
        runs = status is not None and status.supervisor_alive and status.state == "running"
        return 0 if runs and status is not None and status.dialect == options.runs_on else 1
    if options.detach:
        if not _detach():
            return 0
        _use_log(options.state_dir / LOG)
    return supervise(options.state_dir)


def _use_log(log: Path) -> None:
    descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)


if __name__ == "__main__":
    sys.exit(main())
