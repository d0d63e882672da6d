"""Our end of the tether: start a process that can't outlive us, ask whether it runs, stop it."""

import os
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Self

from controlplane.embedded import tether
from controlplane.embedded.errors import EmbeddedError

STOP_SECONDS = tether.GRACE_SECONDS + 3.0


class TetheredProcess:
    """A child process tied to our life. It runs in a session of its own, so Ctrl-C reaches only us.

    `stop_signal` is a name without SIG. `log` receives both output streams (appended). `user` needs root.
    `descendants` ends what the child detached, too (Linux; elsewhere only its process group).
    Raises EmbeddedError (tether.not_started) when the command can't be run.
    """

    def __init__(
        self,
        argv: Sequence[str | Path],
        *,
        log: Path,
        stop_signal: str = "TERM",
        user: str | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | str | None = None,
        descendants: bool = False,
    ) -> None:
        self.log = log
        ours, theirs = socket.socketpair()
        with theirs, open(log, "ab") as output:
            self._control = ours
            self._tether = subprocess.Popen(
                self._command(argv, theirs.fileno(), stop_signal, user, descendants),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(env) if env is not None else None,
                cwd=cwd,
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        self.pid = self._read_pid()

    @staticmethod
    def _command(
        argv: Sequence[str | Path], fd: int, stop_signal: str, user: str | None, descendants: bool
    ) -> list[str]:
        # By path and isolated: the child's PYTHONPATH and our packages play no part in starting the tether.
        command = [sys.executable, "-I", "-S", str(Path(tether.__file__)), "--control-fd", str(fd)]
        command += ["--stop-signal", stop_signal]
        if user:
            command += ["--user", user]
        if descendants:
            command.append("--descendants")
        return [*command, "--", *map(str, argv)]

    def _read_pid(self) -> int:
        self._control.settimeout(10)
        try:
            line = self._control.makefile("rb").readline()
        except TimeoutError:
            line = b""
        self._control.settimeout(None)
        if not line:
            self.stop()
            raise EmbeddedError(
                "tether.not_started",
                f"A child process did not start: {self.tail(3)}",
                f"See {self.log}.",
            )
        return int(line)

    @property
    def tether_pid(self) -> int:
        return self._tether.pid

    @property
    def running(self) -> bool:
        return self._tether.poll() is None

    @property
    def returncode(self) -> int | None:
        """None while it runs; else the child's exit status, 128 + n for signal n."""
        return self._tether.poll()

    def wait(self, seconds: float) -> bool:
        """Wait for its end, at most so long; whether it ended."""
        try:
            self._tether.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self) -> None:
        """Stop signal, grace, SIGKILL; returns when it is gone. Doing it twice is harmless."""
        self._control.close()
        if not self.wait(STOP_SECONDS):
            self._tether.kill()
            self._tether.wait(STOP_SECONDS)

    def tail(self, lines: int = 10) -> str:
        """The last lines of its log, for a message."""
        return tail(self.log, lines)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()


def tail(log: Path, lines: int = 10) -> str:
    """The last lines of a log file, joined for one sentence; "" when there is none."""
    if not log.exists():
        return ""
    with open(log, "rb") as handle:
        handle.seek(max(0, os.fstat(handle.fileno()).st_size - 8192))
        return " | ".join(_text(handle).splitlines()[-lines:])


def _text(handle: IO[bytes]) -> str:
    return handle.read().decode(errors="replace").strip()
