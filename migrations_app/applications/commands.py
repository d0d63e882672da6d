"""Runs one of the operator's commands: an argv list, no shell, a minimal environment, an end in time."""

from __future__ import annotations

import contextlib
import os
import secrets
import selectors
import signal
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from controlplane.redaction import MASK, is_secret_name, redact
from migrations_app.applications import processes
from migrations_app.applications.description import CommandSpec
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed

OUTPUT_BYTES = 64_000  # of the end of the output, where the errors stand
STOP_GRACE_SECONDS = 3.0
# Ours would say DATABASE_URL and SECRET_KEY, which must neither leak nor win over the application's own files.
INHERITED = ("PATH", "HOME", "USER", "LOGNAME", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR")


@dataclass(frozen=True)
class CommandResult:
    """How it ended. exit_status is None when the time limit ended it; negative for a signal. output is redacted."""

    name: str
    exit_status: int | None
    output: str
    truncated: bool
    seconds: float

    @property
    def succeeded(self) -> bool:
        return self.exit_status == 0


def minimal_environment(*more: Mapping[str, str]) -> dict[str, str]:
    """What a child gets: a few harmless variables of ours, and what was declared."""
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    environment.setdefault("PATH", os.defpath)
    for mapping in more:
        environment.update(mapping)
    return environment


def run_command(
    spec: CommandSpec,
    extra_environment: Mapping[str, str] | None = None,
    timeout: float | None = None,
    control: Control | None = None,
    *,
    keep_errors: bool = True,
) -> CommandResult:
    """Run it to its end, or to its time limit, or until `control` says stop; leaves no process behind either way.

    keep_errors: whether the output holds what it writes to stderr, too. Raises Failed COMMAND_NOT_RUN when there is no
    such program, and Cancelled.
    """
    environment = minimal_environment(spec.environment, extra_environment or {})
    mark = f"command-{secrets.token_hex(8)}"
    environment[processes.INSTANCE_VARIABLE] = mark
    limit = timeout if timeout is not None else float(spec.timeout_seconds)
    begun = time.monotonic()
    try:
        child = subprocess.Popen(
            spec.resolved_argv(),
            cwd=spec.cwd,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT if keep_errors else subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise _not_run(spec, error) from None
    with child:
        output = _Tail()
        try:
            in_time = _collect(child, output, begun + limit, control)
        finally:
            _end_group(child, mark)
        status = child.returncode if in_time else None
    hidden = _secrets((spec.environment, extra_environment or {}))
    return CommandResult(spec.name, status, output.text(hidden), output.truncated, time.monotonic() - begun)


def begin_command(spec: CommandSpec, log: Path) -> subprocess.Popen[bytes]:
    """Begin it and don't wait: in a session of its own, without our mark, so that it and its children outlive us.

    log: where its output goes, 0600, emptied first. Raises Failed COMMAND_NOT_RUN.
    """
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    output = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        return subprocess.Popen(
            spec.resolved_argv(),
            cwd=spec.cwd,
            env=minimal_environment(spec.environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    except OSError as error:
        raise _not_run(spec, error) from None
    finally:
        os.close(output)


def run_starter(spec: CommandSpec, log: Path) -> CommandResult:
    """Run a command that starts something which stays: only its time limit ends what it began.

    Raises Failed COMMAND_NOT_RUN.
    """
    begun = time.monotonic()
    child = begin_command(spec, log)
    with child:
        try:
            status: int | None = child.wait(spec.timeout_seconds)
        except subprocess.TimeoutExpired:
            status = None
            processes.end_all(lambda: processes.family(_group(child.pid)), grace=STOP_GRACE_SECONDS)
    with open(log, "rb") as handle:
        handle.seek(max(0, os.fstat(handle.fileno()).st_size - OUTPUT_BYTES))
        output = _Tail()
        output.add(handle.read())
    text = output.text(_secrets((spec.environment,)))
    return CommandResult(spec.name, status, text, output.truncated, time.monotonic() - begun)


def _not_run(spec: CommandSpec, error: OSError) -> Failed:
    return Failed(
        "COMMAND_NOT_RUN",
        f"Command {spec.name} could not be run: {error.strerror} ({error.filename}).",
        "Correct its argv or cwd in the operator's file.",
    )


class _Tail:
    """The last bytes of the output."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self.truncated = False

    def add(self, data: bytes) -> None:
        self._bytes += data
        if len(self._bytes) > OUTPUT_BYTES:
            self.truncated = True
            del self._bytes[:-OUTPUT_BYTES]

    def text(self, hidden: Iterable[str]) -> str:
        text = self._bytes.decode(errors="replace")
        if self.truncated:  # a cut first line could show the tail of a secret that no pattern knows any more
            text = text.partition("\n")[2]
        for secret in hidden:
            text = text.replace(secret, MASK)
        return redact(text)


def _collect(child: subprocess.Popen[bytes], output: _Tail, deadline: float, control: Control | None) -> bool:
    """Read until the child ends; False when the deadline came first. Its grandchildren may keep the pipe open."""
    assert child.stdout is not None
    os.set_blocking(child.stdout.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(child.stdout, selectors.EVENT_READ)
        open_pipe = True
        while True:
            if control is not None:
                control.checkpoint()
            ended = child.poll() is not None
            for _ in selector.select(0 if ended else 0.1) if open_pipe else ():
                data = child.stdout.read(65536)
                if data == b"":
                    selector.unregister(child.stdout)
                    open_pipe = False
                elif data:
                    output.add(data)
                    ended = False  # there may be more
            if ended:
                return True
            if time.monotonic() >= deadline:
                return False
            if not open_pipe:
                time.sleep(0.02)


def _end_group(child: subprocess.Popen[bytes], mark: str) -> None:
    """End the child and all that it left behind: in its process group, below it, or detached but marked."""

    def left() -> set[int]:
        child.poll()
        return processes.family(_group(child.pid) | processes.marked(mark) | {child.pid})

    processes.end_all(left, grace=STOP_GRACE_SECONDS)
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(child.pid, signal.SIGKILL)
    child.wait(5)


def _group(leader: int) -> set[int]:
    found = set()
    for pid in processes.parents():
        try:
            if os.getpgid(pid) == leader:
                found.add(pid)
        except ProcessLookupError:
            continue
    return found


def _secrets(environments: Iterable[Mapping[str, str]]) -> set[str]:
    """Values that may not appear in the output, whatever the words around them."""
    found = set()
    for environment in environments:
        for name, value in environment.items():
            if len(value) >= 6 and (is_secret_name(name) or "://" in value):
                found.add(value)
                userinfo = value.partition("://")[2].rpartition("@")[0]
                found.add(userinfo.partition(":")[2])
    return found - {""}
