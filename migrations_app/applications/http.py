"""One HTTP GET to an application, within limits: allowed hosts only, no redirects, a deadline, a size.

The name is resolved once and the address that was checked is the one that is connected to, so that a name server can't
move it in between.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from migrations_app.engine.errors import Failed, Refused

CHUNK = 65_536


@dataclass
class Answer:
    """An answer whose body is read in pieces, all within the deadline."""

    status: int
    deadline: float
    limit: int
    response: http.client.HTTPResponse
    connection: http.client.HTTPConnection
    read_bytes: int = field(default=0)

    def read(self, size: int = CHUNK) -> bytes:
        """The next piece; b"" at the end. Raises Failed ENDPOINT_TIMEOUT, ENDPOINT_TOO_LARGE, ENDPOINT_BROKEN."""
        if size == 0:
            return b""
        _set_remaining(self.connection, self.deadline)
        try:
            data = self.response.read1(min(size if size > 0 else CHUNK, CHUNK))
        except TimeoutError:
            raise _timeout() from None
        except (OSError, http.client.HTTPException) as error:
            raise Failed(
                "ENDPOINT_BROKEN", f"The answer broke off: {type(error).__name__}.", "Read the application's log."
            ) from None
        self.read_bytes += len(data)
        if self.read_bytes > self.limit:
            raise Failed("ENDPOINT_TOO_LARGE", f"The answer is larger than {self.limit} bytes.", "Ask for less.")
        return data

    def read_all(self) -> bytes:
        return b"".join(iter(self.read, b""))


@contextmanager
def get(
    host: str, port: int, path: str, *, allowed_hosts: tuple[str, ...], timeout: float, limit: int
) -> Iterator[Answer]:
    """GET http://host:port/path. A redirect is an answer like any other: nobody follows it.

    Raises Refused HOST_NOT_ALLOWED, BAD_PATH; Failed ENDPOINT_UNREACHABLE, ENDPOINT_TIMEOUT, ENDPOINT_BROKEN.
    """
    deadline = time.monotonic() + timeout
    address = allowed_address(host, port, allowed_hosts)
    if not path.startswith("/") or any(ord(character) <= 32 or ord(character) == 127 for character in path):
        raise Refused("BAD_PATH", f"{path!r} is not a path of an endpoint.", "It starts with / and holds no spaces.")
    connection = http.client.HTTPConnection(address, port, timeout=max(0.05, timeout))
    guard = _Guard(connection, deadline)
    try:
        headers = {"Host": f"{host}:{port}", "Accept": "application/json", "Connection": "close"}
        try:
            connection.connect()
            guard.arm()
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
        except TimeoutError:
            raise _timeout() from None
        except (OSError, http.client.HTTPException) as error:
            if time.monotonic() >= deadline:
                raise _timeout() from None
            reason = getattr(error, "strerror", None) or type(error).__name__
            raise Failed(
                "ENDPOINT_UNREACHABLE", f"{host}:{port} did not answer: {reason}.", "Is the application up?"
            ) from None
        guard.disarm()
        yield Answer(response.status, deadline, limit, response, connection)
    finally:
        guard.disarm()
        connection.close()


def allowed_address(host: str, port: int, allowed_hosts: tuple[str, ...]) -> str:
    """The address to connect to: loopback, or that of a host on the operator's list. Raises Refused, Failed."""
    try:
        found = {str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        raise Failed("ENDPOINT_UNREACHABLE", f"The host {host!r} has no address.", "Check its name.") from None
    if host.lower() in allowed_hosts:
        return sorted(found)[0]
    loopback = sorted(address for address in found if ipaddress.ip_address(address.partition("%")[0]).is_loopback)
    if len(loopback) != len(found):
        raise Refused(
            "HOST_NOT_ALLOWED",
            f"The host {host} is not this machine and not on the operator's list.",
            "Add it to [roots] hosts in the operator's file.",
        )
    return loopback[0]


class _Guard:
    """Ends the socket at the deadline: a server that drips header lines would reset a plain timeout for ever."""

    def __init__(self, connection: http.client.HTTPConnection, deadline: float) -> None:
        self._connection = connection
        self._timer = threading.Timer(max(0.0, deadline - time.monotonic()), self._cut)
        self._timer.daemon = True

    def arm(self) -> None:
        self._timer.start()

    def disarm(self) -> None:
        self._timer.cancel()

    def _cut(self) -> None:
        if self._connection.sock is not None:
            with contextlib.suppress(OSError):
                self._connection.sock.shutdown(socket.SHUT_RDWR)


def _set_remaining(connection: http.client.HTTPConnection, deadline: float) -> None:
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise _timeout()
    if connection.sock is not None:
        connection.sock.settimeout(remaining)


def _timeout() -> Failed:
    return Failed("ENDPOINT_TIMEOUT", "The answer was not there in time.", "Read the application's log.")
