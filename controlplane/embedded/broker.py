"""A private broker: valkey on a free port of the loopback interface, the same redis:// path as production's."""

import secrets
import shutil
import time
from pathlib import Path
from typing import Self

import redis

from controlplane.embedded.binaries import find_broker
from controlplane.embedded.cluster import server_environment
from controlplane.embedded.errors import EmbeddedError
from controlplane.embedded.home import give, reachable_copy, server_home, unprivileged_account, write_private
from controlplane.embedded.ports import free_port, is_free
from controlplane.embedded.process import TetheredProcess, tail

START_SECONDS = 30


class EmbeddedBroker:
    """A valkey server with its data under `state_dir`; the same folder gives the same queue, port and password.

    Every write is on disk before it is answered: after kill -9 and a restart no message is lost.
    Every method may raise EmbeddedError.
    """

    def __init__(self, state_dir: Path, *, port: int | None = None) -> None:
        self._account = unprivileged_account()
        self.home = server_home(Path(state_dir), self._account)
        program = find_broker()
        self.program = reachable_copy(program.parent, [], self.home, self._account) / program.name
        self.log = self.home / "server.log"
        self._port = port
        self._process: TetheredProcess | None = None

    def start(self) -> Self:
        """Start it, wait until it answers to our password and prove that the answer is our process's."""
        if self.running:
            return self
        if not (self.home / "password").exists():
            write_private(self.home / "password", secrets.token_urlsafe(24))
        given = self._port or self._remembered_port()
        for _attempt in range(3):
            self._port = given or free_port()
            if given and not is_free(given):
                raise EmbeddedError(
                    "broker.port", f"Port {given} on 127.0.0.1 is taken by another program.", "Stop it and start again."
                )
            if self._launch():
                (self.home / "port").write_text(f"{self._port}\n")
                return self
        raise EmbeddedError("broker.start", f"The broker did not start: {tail(self.log, 4)}", f"See {self.log}.")

    def stop(self) -> None:
        """Orderly shutdown (SIGTERM); twice is harmless."""
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
        if self._process is None:
            raise EmbeddedError("broker.stopped", "The embedded broker is not running.", "Start it first.")
        return self._process.pid

    def check(self) -> None:
        """Raise EmbeddedError (broker.died) if the server ended by itself; for a caller that watches."""
        if self._process is not None and not self._process.running:
            raise EmbeddedError("broker.died", f"The broker ended: {tail(self.log, 4)}", f"See {self.log}.")

    @property
    def port(self) -> int:
        port = self._port or self._remembered_port()
        if port is None:
            raise EmbeddedError("broker.stopped", "The embedded broker has no port yet.", "Start it first.")
        return port

    @property
    def url(self) -> str:
        """redis:// address with the password: not for logs."""
        return f"redis://:{(self.home / 'password').read_text()}@127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def _remembered_port(self) -> int | None:
        remembered = self.home / "port"
        return int(remembered.read_text()) if remembered.exists() else None

    def _configuration(self) -> Path:
        """A file of mode 0600, since a password among the arguments would stand in the process list."""
        data = self.home / "data"
        data.mkdir(mode=0o700, exist_ok=True)
        give(data, self._account)
        path = self.home / "valkey.conf"
        lines = [
            "bind 127.0.0.1",
            f"port {self._port}",
            f'dir "{data}"',
            "appendonly yes",
            "appendfsync always",
            'save ""',
            "maxmemory-policy noeviction",
            f"requirepass {(self.home / 'password').read_text()}",
        ]
        write_private(path, "\n".join(lines) + "\n", self._account)
        return path

    def _launch(self) -> bool:
        """One try; False when the port was taken in between or the server ended."""
        self._process = TetheredProcess(
            [self.program, self._configuration()],
            log=self.log,
            stop_signal="TERM",
            user=self._account.name if self._account else None,
            env=server_environment(),
            cwd="/",
        )
        try:
            answered = self._wait_until_it_answers(self._process)
        except BaseException:
            self.stop()
            raise
        if not answered:
            self.stop()
        return answered

    def _wait_until_it_answers(self, process: TetheredProcess) -> bool:
        until = time.monotonic() + START_SECONDS
        client = redis.Redis.from_url(self.url, socket_timeout=5, socket_connect_timeout=2)
        try:
            while process.running and time.monotonic() < until:
                try:
                    answering = client.info("server")["process_id"]
                except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError):
                    time.sleep(0.03)
                    continue
                except redis.exceptions.ResponseError as error:  # it does not know our password
                    raise self._foreign() from error
                if answering == process.pid:
                    return True
                raise self._foreign()
            return False
        finally:
            client.close()

    def _foreign(self) -> EmbeddedError:
        return EmbeddedError(
            "broker.foreign", f"Another broker answers on port {self._port}.", "Stop it and start again."
        )
