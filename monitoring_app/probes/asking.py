"""One HTTP GET of a probe, within limits: allowed hosts only, no redirects, a deadline over all, a size.

The name is resolved once, and the address that was looked at is the one that is connected to.
"""

from __future__ import annotations

import contextlib
import http.client
import ipaddress
import socket
import threading
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

_CHUNK = 65_536


class NoAnswer(Exception):
    """Why there is none, in words for a person."""


@dataclass(frozen=True)
class Answer:
    """cut: the body is longer than the limit and only its begin is here. milliseconds: to the end of what was read."""

    status: int
    body: bytes
    milliseconds: float
    cut: bool = False


def address_of(url: str) -> tuple[str, int, str]:
    """Host, port and path with query of an http:// URL. Raises NoAnswer for any other."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port or 80
    except ValueError:
        raise NoAnswer("its address can't be read as a URL") from None
    if parts.scheme != "http" or not host:
        raise NoAnswer("only http:// addresses are asked")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return host, port, path


def get(
    host: str, port: int, path: str, *, hosts: tuple[str, ...] = (), seconds: float = 3.0, limit: int = 1_000_000
) -> Answer:
    """GET http://host:port/path, on this machine or on a host of the operator's list. Raises NoAnswer."""
    begun = time.monotonic()
    if not path.startswith("/") or any(ord(character) <= 32 or ord(character) == 127 for character in path):
        raise NoAnswer("its path is no path of an endpoint")
    connection = http.client.HTTPConnection(_allowed(host, port, hosts), port, timeout=seconds)
    guard = threading.Timer(seconds, _cut, (connection,))  # an answer that drips in would reset a plain timeout
    guard.daemon = True
    try:
        connection.connect()
        guard.start()
        connection.request("GET", path, headers={"Host": f"{host}:{port}", "Connection": "close"})
        response = connection.getresponse()
        body = response.read(limit + 1) if response.status != 204 else b""
    except (OSError, http.client.HTTPException, ValueError) as error:
        if time.monotonic() - begun >= seconds:
            raise NoAnswer(f"no answer within {seconds:g} s") from None
        raise NoAnswer(f"port {port} does not answer ({type(error).__name__})") from None
    finally:
        guard.cancel()
        connection.close()
    took = time.monotonic() - begun
    if took >= seconds:
        raise NoAnswer(f"no answer within {seconds:g} s")
    return Answer(response.status, body[:limit], took * 1000, len(body) > limit)


def _allowed(host: str, port: int, hosts: tuple[str, ...]) -> str:
    try:
        found = sorted({str(entry[4][0]) for entry in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)})
    except (OSError, UnicodeError):
        raise NoAnswer(f"the host {host} has no address") from None
    if host.lower() in hosts or all(ipaddress.ip_address(one.partition("%")[0]).is_loopback for one in found):
        return found[0]
    raise NoAnswer(f"the host {host} is not this machine and not on the operator's list")


def _cut(connection: http.client.HTTPConnection) -> None:
    if connection.sock is not None:
        with contextlib.suppress(OSError):
            connection.sock.shutdown(socket.SHUT_RDWR)
