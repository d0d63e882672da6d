"""Processes as the kernel shows them: alive, since when, whose children, who has a file open.

Standard library only: the supervisor and rollback.sh use it on the day that nothing else works.
Linux reads /proc; elsewhere `ps` and `lsof` answer the same questions as far as they can.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

INSTANCE_VARIABLE = "CAUSEWAY_INSTANCE"  # in the environment of every process that a supervisor starts
CREATE_TIME_TOLERANCE = 2.0  # seconds; the clock's boot time is rounded
_PROC = Path("/proc")
_WRITABLE = os.O_WRONLY | os.O_RDWR


@dataclass(frozen=True)
class Holder:
    """A process that has a file open."""

    pid: int
    command: str
    path: str
    writable: bool


def has_proc() -> bool:
    return (_PROC / "self" / "stat").exists()


def create_time(pid: int) -> float | None:
    """When the process began, in seconds since 1970; None when it is gone or only a zombie is left."""
    if not has_proc():
        return _create_time_by_ps(pid)
    fields = _stat(pid)
    if fields is None or fields[0] in "ZX":
        return None
    return _boot_time() + int(fields[19]) / os.sysconf("SC_CLK_TCK")


def is_same(pid: int, created: float) -> bool:
    """Whether the process that began then is still there: a recycled pid is another process."""
    now = create_time(pid)
    return now is not None and abs(now - created) <= CREATE_TIME_TOLERANCE


def command_line(pid: int) -> tuple[str, ...]:
    """Its argv, or () when it is gone or hidden."""
    if not has_proc():
        listing = subprocess.run(["ps", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
        return tuple(listing.stdout.split())
    try:
        return tuple(
            part.decode(errors="replace") for part in (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
        )[:-1]
    except OSError:
        return ()


def working_directory(pid: int) -> Path | None:
    try:
        return Path(os.readlink(_PROC / str(pid) / "cwd"))
    except OSError:
        return None


def parents() -> dict[int, int]:
    """{pid: parent's pid} of every living process."""
    found: dict[int, int] = {}
    if has_proc():
        for pid in _pids():
            fields = _stat(pid)
            if fields is not None and fields[0] not in "ZX":
                found[pid] = int(fields[1])
        return found
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=False)
    for line in listing.stdout.splitlines():
        pid_text, parent, state = line.split()[:3]
        if not state.startswith("Z"):
            found[int(pid_text)] = int(parent)
    return found


def family(roots: Iterable[int]) -> set[int]:
    """The living ones among `roots`, and every living descendant."""
    tree = parents()
    children: dict[int, list[int]] = {}
    for pid, parent in tree.items():
        children.setdefault(parent, []).append(pid)
    found: set[int] = set()
    waiting = [pid for pid in roots if pid in tree]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            waiting.extend(children.get(pid, []))
    return found


def marked(instance: str) -> set[int]:
    """Living processes whose environment carries this instance's mark: detached grandchildren too (Linux)."""
    if not has_proc():
        return set()
    mark = f"{INSTANCE_VARIABLE}={instance}".encode()
    found = set()
    for pid in _pids():
        try:
            environment = (_PROC / str(pid) / "environ").read_bytes()
        except OSError:
            continue
        if mark in environment.split(b"\0") and create_time(pid) is not None:
            found.add(pid)
    return found


def has_mark(pid: int) -> bool:
    """Whether some supervisor of ours started it, or an ancestor of it."""
    try:
        environment = (_PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return any(entry.startswith(f"{INSTANCE_VARIABLE}=".encode()) for entry in environment.split(b"\0"))


def holders(path: Path) -> tuple[Holder, ...]:
    """Who has the SQLite file, its -wal, -shm or -journal open, ourselves left out."""
    wanted = {}
    for suffix in ("", "-wal", "-shm", "-journal"):
        try:
            status = os.stat(f"{path}{suffix}")
        except OSError:
            continue
        wanted[status.st_dev, status.st_ino] = f"{path}{suffix}"
    if not wanted:
        return ()
    found = _holders_by_proc(wanted) if has_proc() else _holders_by_lsof(wanted.values())
    return tuple(holder for holder in found if holder.pid != os.getpid())


def hidden_processes() -> int:
    """How many processes of other users we can't look into: 0 for root."""
    return sum(1 for pid in _pids() if not os.access(_PROC / str(pid) / "fd", os.R_OK)) if has_proc() else 0


def listeners(port: int) -> set[int]:
    """Processes that listen on this TCP port, as far as we may see them; `port_is_open` sees the rest."""
    if not has_proc():
        command = ["lsof", "-nP", f"-iTCP:{port}", "-sTCP:LISTEN", "-t"]
        listing = subprocess.run(command, capture_output=True, text=True, check=False)
        return {int(line) for line in listing.stdout.split()}
    sockets = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    found = set()
    for pid in _pids() if sockets else ():
        try:
            if any(os.readlink(descriptor.path) in sockets for descriptor in os.scandir(_PROC / str(pid) / "fd")):
                found.add(pid)
        except OSError:
            continue
    return found


def port_is_open(host: str, port: int) -> bool:
    """Whether anything accepts connections there, whoever it is."""
    try:
        with socket.create_connection((host, port), timeout=1.0):
            return True
    except OSError:
        return False


def end_all(find: Callable[[], set[int]], *, grace: float, kill_seconds: float = 5.0) -> tuple[set[int], bool]:
    """SIGTERM to all that `find` names, wait up to `grace` seconds, then SIGKILL until it names none.

    `find` is asked again and again, since a dying process may fork. Returns (those left, whether SIGKILL was needed).
    """
    told: set[int] = set()
    killed = False
    for number, seconds in ((signal.SIGTERM, grace), (signal.SIGKILL, kill_seconds)):
        until = time.monotonic() + seconds
        while left := find():
            for pid in left if number == signal.SIGKILL else left - told:
                send(pid, number)
            killed = killed or number == signal.SIGKILL
            told |= left
            if time.monotonic() >= until:
                break
            time.sleep(0.05)
        if not left:
            return set(), killed
    return left, killed


def send(pid: int, number: int) -> None:
    """A signal to a process that may have ended meanwhile, or belong to someone else."""
    try:
        os.kill(pid, number)
    except (ProcessLookupError, PermissionError):
        return


def _listening_inodes(port: int) -> Iterator[str]:
    for name in ("tcp", "tcp6"):
        try:
            lines = (_PROC / "net" / name).read_text().splitlines()[1:]
        except OSError:
            continue
        for line in lines:
            fields = line.split()
            if (
                fields[3] == "0A" and int(fields[1].rpartition(":")[2], 16) == port
            ):  # 0A: TCP_LISTEN, <net/tcp_states.h>
                yield fields[9]


def _pids() -> Iterator[int]:
    for entry in os.scandir(_PROC):
        if entry.name.isdigit():
            yield int(entry.name)


def _stat(pid: int) -> list[str] | None:
    """Fields of /proc/PID/stat from the third (state) on; the second holds the name, with any character in it."""
    try:
        return (_PROC / str(pid) / "stat").read_text(errors="replace").rpartition(") ")[2].split()
    except OSError:
        return None


def _boot_time() -> float:
    for line in (_PROC / "stat").read_text().splitlines():
        if line.startswith("btime "):
            return float(line.split()[1])
    raise RuntimeError("/proc/stat tells no boot time")


def _create_time_by_ps(pid: int) -> float | None:
    listing = subprocess.run(
        ["ps", "-o", "stat=,lstart=", "-p", str(pid)],
        capture_output=True,
        text=True,
        check=False,
        env={"LC_ALL": "C", "PATH": os.defpath},
    )
    state, _, begun = listing.stdout.strip().partition(" ")
    if not begun or state.startswith("Z"):
        return None
    return time.mktime(time.strptime(begun.strip(), "%a %b %d %H:%M:%S %Y"))


def _holders_by_proc(wanted: dict[tuple[int, int], str]) -> Iterator[Holder]:
    for pid in _pids():
        try:
            descriptors = list(os.scandir(_PROC / str(pid) / "fd"))
        except OSError:
            continue
        for descriptor in descriptors:
            try:
                status = os.stat(descriptor.path)
                path = wanted.get((status.st_dev, status.st_ino))
                if path is not None:
                    writable = _is_writable(pid, descriptor.name)
                    yield Holder(pid, " ".join(command_line(pid))[:200], path, writable)
            except OSError:
                continue


def _is_writable(pid: int, descriptor: str) -> bool:
    for line in (_PROC / str(pid) / "fdinfo" / descriptor).read_text().splitlines():
        if line.startswith("flags:"):
            return bool(int(line.split()[1], 8) & _WRITABLE)
    return True


def _holders_by_lsof(paths: Iterable[str]) -> Iterator[Holder]:
    listing = subprocess.run(["lsof", "-F", "pan", "--", *paths], capture_output=True, text=True, check=False)
    pid, writable = 0, True
    for line in listing.stdout.splitlines():
        kind, rest = line[:1], line[1:]
        if kind == "p":
            pid = int(rest)
        elif kind == "a":
            writable = rest.strip() != "r"
        elif kind == "n" and pid:
            yield Holder(pid, " ".join(command_line(pid))[:200], rest, writable)


def main() -> int:
    """`python -m migrations_app.applications.processes --holders FILE`: exit 0 when nobody has it open, else 1."""
    parser = argparse.ArgumentParser(description="Who has this SQLite file open?")
    parser.add_argument("--holders", type=Path, required=True)
    found = holders(parser.parse_args().holders)
    for holder in found:
        print(f"process {holder.pid} has {holder.path} open: {holder.command}")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
