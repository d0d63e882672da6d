"""The two servers that the demo stands on: the user's own where the environment names them, else embedded ones."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

from controlplane.embedded import EmbeddedBroker, EmbeddedError, EmbeddedPostgres
from demo.stage.console import Console
from demo.stage.home import Home
from demo.stage.ports import Ports

# Below the range from which the system lends ports to outgoing connections.
POSTGRES_PORTS = range(15432, 15532)
BROKER_PORTS = range(16379, 16479)
MOST_RESTARTS = 3


class Servers:
    """PostgreSQL and broker. Raises EmbeddedError."""

    def __init__(self, home: Home, ports: Ports, console: Console) -> None:
        self._home, self._ports, self._console = home, ports, console
        self.given_target = os.environ.get("TARGET_DATABASE_URL", "")
        self.given_broker = os.environ.get("REDIS_URL", "")
        self.postgres: EmbeddedPostgres | None = None
        self.broker: EmbeddedBroker | None = None
        self._restarts = 0

    def start(self) -> None:
        """Start what is not given."""
        if self.given_target:
            self._console.say(f"PostgreSQL: yours, {_place(self.given_target)} (TARGET_DATABASE_URL)")
        else:
            port = self._ports.keep_for_good("postgres", POSTGRES_PORTS)
            self.postgres = EmbeddedPostgres(_open_folder(self._home, "postgres"), port=port).start()
            self._console.say(f"PostgreSQL {self.postgres.version} on 127.0.0.1:{self.postgres.port}")
        if self.given_broker:
            self._console.say(f"Broker: yours, {_place(self.given_broker)} (REDIS_URL)")
        else:
            self.start_broker()

    def start_broker(self) -> None:
        """Start the embedded broker (again)."""
        port = self._ports.keep("broker", BROKER_PORTS)
        self.broker = EmbeddedBroker(_open_folder(self._home, "broker"), port=port).start()
        self._console.say(f"Broker on 127.0.0.1:{self.broker.port}")

    @property
    def admin_url(self) -> str:
        """Of a role that may create roles and databases. Holds a password."""
        return self.given_target or (self.postgres.url() if self.postgres else "")

    @property
    def broker_url(self) -> str:
        """Holds a password."""
        return self.given_broker or (self.broker.url if self.broker else "")

    def check(self) -> None:
        """Start a server that ended by itself again, a few times. Raises EmbeddedError when that doesn't help."""
        for server in (self.postgres, self.broker):
            if server is None:
                continue
            try:
                server.check()
            except EmbeddedError as died:
                self._restarts += 1
                if self._restarts > MOST_RESTARTS:
                    raise
                self._console.complain(f"{died.message} Starting it again ({self._restarts} of {MOST_RESTARTS}).")
                server.stop()
                server.start()

    def stop_broker(self) -> None:
        if self.broker is not None:
            self.broker.stop()
            self.broker = None

    def stops(self) -> list[Callable[[], None]]:
        """How to end them, each on its own."""
        return [server.stop for server in (self.postgres, self.broker) if server is not None]


def _open_folder(home: Home, name: str) -> Path:
    folder = home.folder(name)
    folder.chmod(0o711)  # whatever the umask said
    return folder


def _place(url: str) -> str:
    """Host and port of a URL, never its password."""
    parts = urlsplit(url)
    return f"{parts.hostname or 'localhost'}{f':{parts.port}' if parts.port else ''}"
