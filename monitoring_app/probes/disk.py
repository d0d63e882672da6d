"""How full each volume is: by its path on this host, or by an operator's command where it isn't mounted here.

In use is what `df` says: used of what an ordinary user may use, so that 100 % is when writing fails. A volume without
inodes left is full as well.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from monitoring_app.probes.measurement import Measurement

_OUTPUT_LIMIT = 64_000
# A command answers with two numbers in bytes: how large the volume is and how much of it is free for use.
_ANSWER = re.compile(r"^\s*(\d{1,20})\s+(\d{1,20})\s*$")
_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TZ")


@dataclass(frozen=True)
class Volume:
    """One volume: a path on this host, or a command's argv; `problem` where the operator's file refuses it."""

    name: str
    path: Path | None = None
    argv: Sequence[str] = ()
    cwd: Path | None = None
    environment: tuple[tuple[str, str], ...] = ()
    seconds: float = 3.0
    problem: str = ""


def probe_disk(volume: Volume) -> list[Measurement]:
    """disk_used (%) and disk_free (bytes) of the volume."""
    labels = {"volume": volume.name}
    try:
        if volume.problem:
            raise _Unknown(volume.problem)
        used, free, note = _by_path(volume.path) if volume.path else _by_command(volume)
    except _Unknown as why:
        return [Measurement.unknown(name, f"{volume.name}: {why}", labels) for name in ("disk_used", "disk_free")]
    return [Measurement("disk_used", used, labels, note=note), Measurement("disk_free", free, labels, note=note)]


class _Unknown(Exception):
    pass


def _by_path(path: Path) -> tuple[float, float, str]:
    try:
        found = os.statvfs(path)
    except OSError as error:
        raise _Unknown(f"its path can't be asked ({error.strerror})") from None
    used = (found.f_blocks - found.f_bfree) * found.f_frsize
    free = found.f_bavail * found.f_frsize
    if used + free <= 0:
        raise _Unknown("its path says that it has no size")
    share = 100.0 * used / (used + free)
    if found.f_files and not found.f_favail:
        return 100.0, float(free), "no inode is left: no file can be made"
    if found.f_files:
        inodes = 100.0 * (found.f_files - found.f_ffree) / found.f_files
        if inodes > share:
            return inodes, float(free), "inodes are scarcer than bytes"
    return share, float(free), ""


def _by_command(volume: Volume) -> tuple[float, float, str]:
    if not volume.argv:
        raise _Unknown("it has neither a path nor a command")
    said = _run(volume)
    found = _ANSWER.match(said.splitlines()[-1]) if said.strip() else None
    if not found:
        raise _Unknown("its command must print two numbers: size and free bytes")
    size, free = int(found[1]), int(found[2])
    if size <= 0 or free > size:
        raise _Unknown("its command says that more is free than there is")
    return 100.0 * (size - free) / size, float(free), "from the operator's command"


def _run(volume: Volume) -> str:
    environment = {name: os.environ[name] for name in _INHERITED if name in os.environ} | dict(volume.environment)
    try:
        child = subprocess.Popen(
            list(volume.argv),
            cwd=volume.cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise _Unknown(f"its command could not be run ({error.strerror})") from None
    try:
        output, _ = child.communicate(timeout=volume.seconds)
    except subprocess.TimeoutExpired:
        raise _Unknown(f"its command gave no answer within {volume.seconds:g} s") from None
    finally:
        _end(child)
    if child.returncode:
        raise _Unknown(f"its command ended with {child.returncode}")
    return output[-_OUTPUT_LIMIT:].decode("ascii", errors="replace").strip()


def _end(child: subprocess.Popen[bytes]) -> None:
    """End the command with all that it left behind in its group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    if child.stdout is not None:
        child.stdout.close()
    child.wait()
