"""Which of an application's processes are connected to the target: sockets of the kernel against pg_stat_activity."""

from __future__ import annotations

import socket
from dataclasses import dataclass, field
from typing import Any, Self

import psutil
import psycopg2

from migrations_app.engine.errors import EngineError
from migrations_app.engine.target.target import connect
from migrations_app.engine.target.target_url import TargetUrl


@dataclass
class Connections:
    """What was seen, over several looks. hidden: processes whose sockets we may not see."""

    pids: set[int] = field(default_factory=set)
    backends: set[int] = field(default_factory=set)
    hidden: set[int] = field(default_factory=set)
    new_sessions: int = 0
    problem: str = ""

    def add(self, seen: Connections) -> None:
        self.pids |= seen.pids
        self.backends |= seen.backends
        self.hidden |= seen.hidden
        self.new_sessions = max(self.new_sessions, seen.new_sessions)
        self.problem = self.problem or seen.problem


class Target:
    """A look at the target from outside the application. Its absence is a finding, not an error."""

    def __init__(self, url: TargetUrl) -> None:
        self.url = url
        self.problem = ""
        self.connection: Any = None
        self._sessions = 0

    def __enter__(self) -> Self:
        try:
            self.connection = connect(self.url, application_name="causeway identity")
            self.connection.autocommit = True
            self._sessions = self._count_sessions()
        except EngineError as error:
            self.problem = error.message
        except psycopg2.Error:
            self.problem = "the target was lost while it was looked at"
        self._addresses = _addresses(self.url.host, self.url.port)
        return self

    def __exit__(self, *exc: object) -> None:
        if self.connection is not None:
            self.connection.close()

    def connections_of(self, pids: set[int]) -> Connections:
        """The processes with an open socket to the target, and the backends at the other end."""
        seen = Connections(problem=self.problem)
        local_ports = set()
        for pid in pids:
            try:
                sockets = psutil.Process(pid).net_connections(kind="tcp")
            except psutil.NoSuchProcess:
                continue
            except psutil.AccessDenied:
                seen.hidden.add(pid)
                continue
            for connection in sockets:
                if connection.raddr and connection.raddr.port == self.url.port and self._is_target(connection.raddr.ip):
                    seen.pids.add(pid)
                    local_ports.add(connection.laddr.port)
        if self.connection is not None:
            try:
                seen.backends = self._backends(local_ports)
                seen.new_sessions = max(0, self._count_sessions() - self._sessions)
            except psycopg2.Error:
                seen.problem = "the target was lost while it was looked at"
        return seen

    def _is_target(self, address: str) -> bool:
        return address.removeprefix("::ffff:") in self._addresses

    def _backends(self, local_ports: set[int]) -> set[int]:
        with self.connection.cursor() as cursor:
            cursor.execute(
                "SELECT pid FROM pg_stat_activity"
                " WHERE datname = current_database() AND client_port = ANY(%s) AND pid <> pg_backend_pid()",
                (sorted(local_ports),),
            )
            return {row[0] for row in cursor.fetchall()}

    def _count_sessions(self) -> int:
        """Sessions of this database ever (PostgreSQL 14+); a short one shows here when it has ended."""
        with self.connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute("SELECT sessions FROM pg_stat_database WHERE datname = current_database()")
            return int(cursor.fetchone()[0])


def _addresses(host: str, port: int) -> set[str]:
    try:
        return {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return set()
