"""What a private server is to us, whatever it serves: a home, a port that is kept, one process that we tether."""

from __future__ import annotations

import shutil
from abc import ABC, abstractmethod
from pathlib import Path
from typing import ClassVar, Self

from controlplane.embedded.errors import EmbeddedError
from controlplane.embedded.home import server_home, unprivileged_account
from controlplane.embedded.ports import free_port, is_free
from controlplane.embedded.process import TetheredProcess, tail

_ATTEMPTS = 3  # a free port may be taken before the server binds it


class EmbeddedServer(ABC):
    """A server with its data under `state_dir`; the same folder gives the same data, port and password.

    Subclasses make what it needs and launch it. `word` begins the codes of its errors, `title` their sentences.
    Every method may raise EmbeddedError.
    """

    word: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, state_dir: Path, port: int | None) -> None:
        self._account = unprivileged_account()
        self.home = server_home(Path(state_dir), self._account)
        self.log = self.home / "server.log"
        self._port = port
        self._process: TetheredProcess | None = None

    def start(self) -> Self:
        """Make what is missing, start it, wait until it answers and prove that the answer is our process's."""
        if self.running:
            return self
        self._prepare()
        given = self._port or self._remembered_port()
        for _attempt in range(_ATTEMPTS):
            self._port = given or free_port()
            if given and not is_free(given):
                raise self._error(
                    "port", f"Port {given} on 127.0.0.1 is taken by another program.", "Stop it and start again."
                )
            if self._launch():
                (self.home / "port").write_text(f"{self._port}\n")
                return self
        raise self._error("start", f"{self.title} did not start: {tail(self.log, 4)}", f"See {self.log}.")

    def stop(self) -> None:
        """Orderly shutdown; twice is harmless."""
        if self._process is not None:
            self._process.stop()
            self._process = None

    def erase(self) -> None:
        """Stop it and remove everything that it kept."""
        self.stop()
        shutil.rmtree(self.home, ignore_errors=True)

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int:
        """The process id of the server itself: PostgreSQL's postmaster."""
        if self._process is None:
            raise self._error("stopped", f"{self.title} is not running.", "Start it first.")
        return self._process.pid

    def check(self) -> None:
        """Raise EmbeddedError (….died) if the server ended by itself; for a caller that watches."""
        if self._process is not None and not self._process.running:
            raise self._error("died", f"{self.title} ended: {tail(self.log, 4)}", f"See {self.log}.")

    @property
    def port(self) -> int:
        port = self._port or self._remembered_port()
        if port is None:
            raise self._error("stopped", f"{self.title} has no port yet.", "Start it first.")
        return port

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    @abstractmethod
    def _prepare(self) -> None:
        """What must be there before the first launch."""

    @abstractmethod
    def _tethered(self) -> TetheredProcess:
        """The server's process, launched on the port."""

    @abstractmethod
    def _wait_until_it_answers(self, process: TetheredProcess) -> bool:
        """False when it ended, or time ran out. Raises EmbeddedError (….foreign) if another one answers."""

    def _launch(self) -> bool:
        """One try; False when the port was taken in between or the server ended."""
        self._process = self._tethered()
        try:
            answered = self._wait_until_it_answers(self._process)
        except BaseException:
            self.stop()
            raise
        if not answered:
            self.stop()
        return answered

    def _remembered_port(self) -> int | None:
        remembered = self.home / "port"
        return int(remembered.read_text()) if remembered.exists() else None

    def _error(self, what: str, message: str, hint: str) -> EmbeddedError:
        return EmbeddedError(f"{self.word}.{what}", message, hint)
