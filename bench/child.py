"""Runs one path in a process of its own and measures seconds, CPU of client and server, most memory of the client."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench import processes
from bench.phases import MARK

ROOT = Path(__file__).resolve().parents[1]
_SAMPLE_SECONDS = 0.05
_TAIL = 600  # characters of what a failed path said last


class PathFailed(Exception):
    """A path could not be measured; its text says why, in a line."""


@dataclass(frozen=True)
class Phase:
    """`peak_mb` is of the client, with all its processes, sampled; 0 where the system doesn't tell."""

    seconds: float
    client_cpu: float
    server_cpu: float
    peak_mb: float

    @property
    def cpu(self) -> float:
        return self.client_cpu + self.server_cpu


@dataclass(frozen=True)
class Measured:
    """One run of one path, from the start of its process to its end."""

    whole: Phase
    exit_status: int
    output: str
    phases: dict[str, Phase] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)


def run_child(
    command: Sequence[str | Path],
    *,
    postmaster: int = 0,
    environment: Mapping[str, str] | None = None,
    timeout: float = 1800,
    strict: bool = True,
) -> Measured:
    """Run it and wait. `strict`: raise PathFailed for a status other than 0; a path that exceeds `timeout` (s) always.

    The server's CPU is read when its sessions have ended, so nothing else may work on it meanwhile.
    """
    tells = bool(postmaster) and processes.known()
    if tells:
        processes.wait_for_sessions_to_end(postmaster)
    before = processes.cpu_seconds(postmaster) if tells else 0.0
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        begun = time.monotonic()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=ROOT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
        )
        sampler = _Sampler(process.pid)
        try:
            usage, status = _wait(process, timeout)
        finally:
            sampler.stop()
        ended = time.monotonic()
        if tells:
            processes.wait_for_sessions_to_end(postmaster)
        server = processes.cpu_seconds(postmaster) - before if tells else 0.0
        output.seek(0)
        said = output.read()
    if strict and status:
        raise PathFailed(f"exit status {status}: {' '.join(said[-_TAIL:].split())}")
    whole = Phase(ended - begun, usage.ru_utime + usage.ru_stime, server, sampler.peak_mb(begun, ended))
    return Measured(whole, status, said, *_told(said, sampler))


def _wait(process: subprocess.Popen[bytes], timeout: float) -> tuple[Any, int]:
    """wait4 gives the CPU of the process and of its children that it waited for; Popen doesn't."""
    late = threading.Timer(timeout, _end_group, [process.pid])
    late.daemon = True
    late.start()
    try:
        _pid, status, usage = os.wait4(process.pid, 0)
    except BaseException:
        _end_group(process.pid)
        raise
    finally:
        expired = not late.is_alive()
        late.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    if expired:
        raise PathFailed(f"not finished after {timeout:,.0f} s")
    return usage, process.returncode


def _end_group(pid: int) -> None:
    try:
        os.killpg(pid, 9)
    except ProcessLookupError:
        return


def _told(said: str, sampler: _Sampler) -> tuple[dict[str, Phase], dict[str, Any]]:
    told = [line[len(MARK) :] for line in said.splitlines() if line.startswith(MARK)]
    if not told:
        return {}, {}
    document = json.loads(told[-1])
    phases = {
        name: Phase(one["seconds"], one["client_cpu"], one["server_cpu"], sampler.peak_mb(one["begun"], one["ended"]))
        for name, one in document["phases"].items()
    }
    return phases, document["facts"]


class _Sampler(threading.Thread):
    """Looks at the memory of a process and its descendants twenty times a second, while it lives."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self._pid = pid
        self._done = threading.Event()
        self._samples: list[tuple[float, int]] = []
        if processes.known():
            self.start()

    def run(self) -> None:
        while not self._done.wait(_SAMPLE_SECONDS):
            self._samples.append((time.monotonic(), processes.resident_bytes(self._pid)))

    def stop(self) -> None:
        self._done.set()
        if self.is_alive():
            self.join()

    def peak_mb(self, begun: float, ended: float) -> float:
        seen = [size for moment, size in self._samples if begun <= moment <= ended]
        return max(seen, default=0) / 1e6
