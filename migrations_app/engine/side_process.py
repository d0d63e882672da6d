"""A second process for work that wants a core of its own.

Threads won't do. SQLite's own allocator statistics (SQLITE_CONFIG_MEMSTATUS, on by default) take one lock a process at
every allocation: two threads that write lines spent 1.6 times the CPU of one, and hardly less time. Python's lock comes
on top. Nor will multiprocessing: workers of Celery are daemons to it, which may have no children.

What crosses is pickled, over a socket that only the two processes hold: secrets in it are seen by nobody else.
"""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from pathlib import Path
from types import TracebackType
from typing import Any

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed

_MAIN = "import sys; from migrations_app.engine.side_process import main; main(int(sys.argv[1]))"
_ROOT = str(Path(__file__).resolve().parents[2])
_LOOK_SECONDS = 0.2  # between two looks at the stop flag
_PATIENCE_SECONDS = 5.0  # for a helper that was told to stop, or to end


@dataclass(frozen=True)
class _Raised:
    error: BaseException


@dataclass(frozen=True)
class _Stop:
    reason: str


class Channel:
    """The helper's end. Iterating gives what the other side sends, until there is no more to come."""

    def __init__(self, connection: Connection, control: Control) -> None:
        self._connection, self._control = connection, control
        self._received: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._listen, daemon=True).start()

    def send(self, message: object) -> None:
        self._connection.send(message)

    def receive(self) -> Any:
        return self._received.get()

    def __iter__(self) -> Iterator[Any]:
        while True:
            yield self.receive()

    def _listen(self) -> None:
        """Orders to stop are heard while work goes on; the end of whoever sent us is our own."""
        while True:
            try:
                message = self._connection.recv()
            except (EOFError, OSError):
                os._exit(0)
            if isinstance(message, _Stop):
                self._control.stop_reason = message.reason
                self._control.stop.set()
            else:
                self._received.put(message)


class SideProcess:
    """Runs `work(channel, control, *arguments)` in a process of its own. Use as a context manager, from one thread.

    `work` is a function of a module. It ends with us, however we end. What it raises, receive() raises.
    """

    def __init__(self, work: Callable[..., None], *arguments: object, control: Control) -> None:
        self._task = (work, arguments)
        self._control = control

    def __enter__(self) -> SideProcess:
        self._connection, theirs = Pipe()
        path = os.pathsep.join(part for part in (_ROOT, os.environ.get("PYTHONPATH", "")) if part)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-c", _MAIN, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C is for us; we tell it
                env={**os.environ, "PYTHONPATH": path},
            )
        self.send(self._task)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()  # which ends it
        self._ended()

    def send(self, message: object) -> None:
        """Raises Failed HELPER_DIED."""
        try:
            self._connection.send(message)
        except OSError:
            raise self._died() from None

    def receive(self) -> Any:
        """The next thing that it sends. Raises what it raised; Failed HELPER_DIED; Cancelled."""
        deadline: float | None = None
        while True:
            try:
                if self._connection.poll(_LOOK_SECONDS):
                    message = self._connection.recv()
                    if isinstance(message, _Raised):
                        raise message.error
                    return message
            except (EOFError, OSError):
                raise self._died() from None
            if deadline is not None and time.monotonic() > deadline:
                self._process.kill()
                self._control.checkpoint()
            if deadline is None and self._control.stop.is_set():
                deadline = time.monotonic() + _PATIENCE_SECONDS
                self.send(_Stop(self._control.stop_reason))

    def _ended(self) -> int:
        """Wait for its end, and see to it."""
        try:
            return self._process.wait(_PATIENCE_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _died(self) -> Failed:
        self._control.checkpoint()
        status = self._ended()
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        return Failed("HELPER_DIED", f"A process that helped with the work ended {how}.", "Run it again to go on.")


def main(descriptor: int) -> None:
    """The helper's life: one task, then waiting for its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    control = Control()
    connection = Connection(descriptor)
    work, arguments = connection.recv()
    channel = Channel(connection, control)
    try:
        work(channel, control, *arguments)
    except BaseException as error:  # noqa: BLE001 - raised again by receive() in the other process
        channel.send(_Raised(_portable(error)))
    channel.receive()  # never comes: the listener ends us


def _portable(error: BaseException) -> BaseException:
    """The error, or, where it can't be pickled, one that says its kind; where it was raised goes with it as a note."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    try:
        pickle.loads(pickle.dumps(error))
    except (TypeError, AttributeError, pickle.PickleError):
        error = RuntimeError(type(error).__name__)
    error.add_note(f"raised in a helper process at {Path(place.filename).name}:{place.lineno}, {place.name}")
    return error
