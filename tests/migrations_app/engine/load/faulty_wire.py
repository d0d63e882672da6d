"""A wire between the load and PostgreSQL that breaks at a chosen COMMIT: before it, after it, or so that it comes late.

The tests' servers speak without TLS on the loopback, so a COMMIT is seen as the simple query that it is.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from dataclasses import dataclass, replace

from migrations_app.engine.target.target_url import TargetUrl

COMMIT = b"Q\x00\x00\x00\x0bCOMMIT\x00"
BEFORE = "before"  # the server never hears of it
AFTER = "after"  # committed, and nobody is told
LATE = "late"  # the client is told that the wire broke; the server hears it when the next COPY begins


@dataclass
class _Held:
    server: socket.socket
    data: bytes


class FaultyWire:
    """Forwards 127.0.0.1:port to the server. `commits` counts what passed; the wire breaks once, at number `at`."""

    def __init__(self, url: TargetUrl, at: int = 0, how: str = AFTER) -> None:
        self.at, self.how = at, how
        self.commits = 0
        self.broke = threading.Event()
        self.came_late = threading.Event()
        self._held: _Held | None = None
        self._server = (url.host, url.port)
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = replace(url, host="127.0.0.1", port=self._listener.getsockname()[1])
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> FaultyWire:
        return self

    def __exit__(self, *exc: object) -> None:
        self.cut()

    def cut(self) -> None:
        """No new connection passes; those that are there stay."""
        _end(self._listener)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                threading.Thread(target=self._to_server, args=(client, server), daemon=True).start()

    def _to_client(self, server: socket.socket, client: socket.socket, mute: threading.Event) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if mute.is_set():
                    break
                client.sendall(data)
        mute.set()
        _end(client)

    def _to_server(self, client: socket.socket, server: socket.socket) -> None:
        mute = threading.Event()
        back = threading.Thread(target=self._to_client, args=(server, client, mute), daemon=True)
        back.start()
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                if b"COPY " in data:
                    self._deliver_late()
                if data.endswith(COMMIT) and self._breaks_here():
                    self._break(client, server, data, mute, back)
                    return
                server.sendall(data)
        _end(server)

    def _breaks_here(self) -> bool:
        with self._lock:
            self.commits += 1
            return self.commits == self.at

    def _break(
        self, client: socket.socket, server: socket.socket, data: bytes, mute: threading.Event, back: threading.Thread
    ) -> None:
        if self.how == LATE:
            self._held = _Held(server, data)
        elif self.how == AFTER:
            mute.set()
            server.sendall(data)
            back.join(20)  # the server has answered: it has committed
        if self.how != LATE:
            _end(server)
        self.broke.set()
        _end(client)

    def _deliver_late(self) -> None:
        with self._lock:
            held, self._held = self._held, None
        if held is None:
            return
        with contextlib.suppress(OSError):
            held.server.sendall(held.data)
            held.server.settimeout(20)
            held.server.recv(65536)  # its answer, or the end that the server made of the session
        self.came_late.set()


def _end(end: socket.socket) -> None:
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RDWR)
    end.close()
