"""A private broker: valkey on a free port of the loopback interface, the same redis:// path as production's."""

import secrets
import time
from pathlib import Path

import redis

from controlplane.embedded.binaries import find_broker
from controlplane.embedded.cluster import server_environment
from controlplane.embedded.errors import EmbeddedError
from controlplane.embedded.home import give, reachable_copy, write_private
from controlplane.embedded.process import TetheredProcess
from controlplane.embedded.server import EmbeddedServer

START_SECONDS = 30


class EmbeddedBroker(EmbeddedServer):
    """A valkey server with its data under `state_dir`; the same folder gives the same queue, port and password.

    Every write is on disk before it is answered: after kill -9 and a restart no message is lost.
    """

    word = "broker"
    title = "The broker"

    def __init__(self, state_dir: Path, *, port: int | None = None) -> None:
        super().__init__(state_dir, port)
        program = find_broker()
        self.program = reachable_copy(program.parent, [], self.home, self._account) / program.name

    def _prepare(self) -> None:
        if not (self.home / "password").exists():
            write_private(self.home / "password", secrets.token_urlsafe(24))

    @property
    def url(self) -> str:
        """redis:// address with the password: not for logs."""
        return f"redis://:{(self.home / 'password').read_text()}@127.0.0.1:{self.port}/0"

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

    def _tethered(self) -> TetheredProcess:
        return TetheredProcess(
            [self.program, self._configuration()],
            log=self.log,
            stop_signal="TERM",
            user=self._account.name if self._account else None,
            env=server_environment(),
            cwd="/",
        )

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
        return self._error("foreign", f"Another broker answers on port {self._port}.", "Stop it and start again.")
