"""Ties a child's life to ours: any death of the parent, kill -9 included, ends the child within 5 s.

    python -m controlplane.embedded.tether [--stop-signal INT] [--user NAME] [--descendants] -- argv ...

The tether sits between the parent and the child. It learns of the parent's death from two things that a
kill -9 can't prevent: the control socket ends, and the kernel gives the tether another parent. It is a
plain script of the standard library, so that it starts fast and as any user; what it passes on to the
child is its environment, so secrets need not stand in a process list.
"""

import argparse
import contextlib
import ctypes
import os
import pwd
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

POLL_SECONDS = 0.25
GRACE_SECONDS = 3.0  # between the stop signal and SIGKILL; poll + grace stay under the promised 5 s
PR_SET_PDEATHSIG = 1  # <linux/prctl.h>
PR_SET_CHILD_SUBREAPER = 36


class Tether:
    """Runs one child in a session of its own and ends it when told to, or when the parent is gone."""

    def __init__(self, argv: list[str], *, stop_signal: int, user: str | None, descendants: bool, control: int) -> None:
        self.argv = argv
        self.stop_signal = stop_signal
        self.user = user
        self.descendants = descendants
        self.control = socket.socket(fileno=control) if control >= 0 else None
        self.parent = os.getppid()
        self.asked_to_stop = False
        self.child = 0
        self.status: int | None = None

    def run(self) -> int:
        """Start the child, wait for its end or ours, leave nothing behind; the child's exit status as in a shell."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        if self.descendants:
            _prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.child = self._spawn()
        self._tell(f"{self.child}\n")
        while self.status is None and not self.asked_to_stop and self._parent_lives():
            self._wait(POLL_SECONDS)
        self._end()
        return 0 if self.status is None else _shell_status(self.status)

    def _spawn(self) -> int:
        account = pwd.getpwnam(self.user) if self.user else None
        process = subprocess.Popen(
            self.argv,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            user=account.pw_uid if account else None,
            group=account.pw_gid if account else None,
            extra_groups=[] if account else None,
            preexec_fn=self._die_with_tether(),
        )
        process.returncode = 0  # we wait for every child with waitpid(-1); Popen shall not wait again
        return process.pid

    def _die_with_tether(self) -> Callable[[], object] | None:
        """Linux: the child gets its stop signal even if the tether is killed. Called after setuid, which clears it."""
        prctl = _libc_prctl()
        number = self.stop_signal
        return (lambda: prctl(PR_SET_PDEATHSIG, number, 0, 0, 0)) if prctl else None

    def _parent_lives(self) -> bool:
        return os.getppid() == self.parent

    def _ask_to_stop(self, number: int, frame: object) -> None:
        self.asked_to_stop = True

    def _tell(self, text: str) -> None:
        if self.control is None:
            return
        try:
            self.control.sendall(text.encode())
        except OSError:  # the parent is gone already; the loop will see it
            self.asked_to_stop = True

    def _wait(self, seconds: float) -> None:
        """Sleep, but wake at the end of the control socket; take the status of children that ended."""
        if self.control is None or self.asked_to_stop:
            time.sleep(seconds)
        elif select.select([self.control], [], [], seconds)[0]:
            self.asked_to_stop = True  # EOF, or a word from the parent: both mean stop
        self._reap()

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.child:
                self.status = status

    def _end(self) -> None:
        """The stop signal, the grace, then SIGKILL; members of the group that outlive their leader end too."""
        self.asked_to_stop = True
        self._signal(self.stop_signal)
        until = time.monotonic() + GRACE_SECONDS
        while time.monotonic() < until:
            self._reap()
            if self.status is not None and not self._others():
                return
            time.sleep(0.02)
        self._signal(signal.SIGKILL)
        until = time.monotonic() + 1.0
        while time.monotonic() < until and (self.status is None or self._others()):
            self._reap()
            self._signal(signal.SIGKILL)
            time.sleep(0.02)

    def _others(self) -> bool:
        """Whether anything of the child's group, or (asked for) any descendant, still lives."""
        try:
            os.killpg(self.child, 0)
        except ProcessLookupError:
            return self.descendants and bool(_descendants(os.getpid()))
        except PermissionError:  # macOS says so of a group that holds only zombies
            return False
        return True

    def _signal(self, number: int) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.child, number)
        if not self.descendants:
            return
        for pid in _descendants(os.getpid()):
            if pid != self.child:  # it got the signal with its group
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)


def _libc_prctl() -> Callable[..., int] | None:
    if not sys.platform.startswith("linux"):
        return None
    prctl: Callable[..., int] = ctypes.CDLL(None, use_errno=True).prctl
    return prctl


def _prctl(option: int, value: int) -> None:
    prctl = _libc_prctl()
    if prctl:
        prctl(option, value, 0, 0, 0)


def _parents() -> Iterator[tuple[int, int]]:
    """(pid, parent's pid) of every process, zombies left out; `ps` as POSIX has it, for Linux and macOS alike."""
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,stat="], capture_output=True, text=True, check=False)
    for line in listing.stdout.splitlines():
        pid, parent, state = line.split()[:3]
        if not state.startswith("Z"):
            yield int(pid), int(parent)


def _proc_parents() -> Iterator[tuple[int, int]]:
    """As `_parents`, from /proc: slim images have no `ps`."""
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            with open(f"/proc/{entry.name}/stat") as stat:
                state, parent = stat.read().rpartition(") ")[2].split()[:2]
        except OSError:  # ended while we looked
            continue
        if state != "Z":
            yield int(entry.name), int(parent)


def _descendants(root: int) -> list[int]:
    """Every living process under `root`; with the subreaper set, also those that detached themselves."""
    children: dict[int, list[int]] = {}
    for pid, parent in _proc_parents() if sys.platform.startswith("linux") else _parents():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    waiting = list(children.get(root, []))
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting.extend(children.get(pid, []))
    return found


def _shell_status(status: int) -> int:
    code = os.waitstatus_to_exitcode(status)
    return 128 - code if code < 0 else code


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Run a command that ends when its parent ends.")
    parser.add_argument("--stop-signal", default="TERM", help="sent to the command's process group first (TERM)")
    parser.add_argument("--user", help="run the command as this user (root only)")
    parser.add_argument("--descendants", action="store_true", help="end detached descendants too (Linux)")
    parser.add_argument("--control-fd", type=int, default=-1, help="socket whose end means: stop")
    parser.add_argument("argv", nargs="+", help="the command")
    options = parser.parse_args(arguments)
    return Tether(
        options.argv,
        stop_signal=getattr(signal, f"SIG{options.stop_signal}"),
        user=options.user,
        descendants=options.descendants,
        control=options.control_fd,
    ).run()


if __name__ == "__main__":
    sys.exit(main())
