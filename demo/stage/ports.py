"""Ports on the loopback interface, the same at every start where they are free."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from pathlib import Path

from controlplane.embedded.ports import free_port, is_free

# Children of a demo that was killed end within 5 s; until then they may still hold their ports.
PATIENCE_SECONDS = 6.0


class Ports:
    """Names to ports, remembered in a file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._known: dict[str, int] = json.loads(file.read_text()) if file.exists() else {}
        self._given: set[int] = set()

    def keep(self, name: str, preferred: Iterable[int]) -> int:
        """The remembered port if it is free, else the first free one of `preferred`, else any."""
        known = self._known.get(name)
        if known is not None and _becomes_free(known):
            return self._note(name, known)
        return self._note(name, next((port for port in preferred if self._is_new(port)), 0) or free_port())

    def keep_for_good(self, name: str, preferred: Iterable[int]) -> int:
        """As keep, but a remembered port is never changed: addresses that contain it have been written elsewhere."""
        known = self._known.get(name)
        if known is None:
            return self.keep(name, preferred)
        _becomes_free(known)
        return self._note(name, known)

    def _is_new(self, port: int) -> bool:
        return port not in self._given and port not in self._known.values() and is_free(port)

    def _note(self, name: str, port: int) -> int:
        self._given.add(port)
        if self._known.get(name) != port:
            self._known[name] = port
            part = self._file.with_suffix(".part")
            part.write_text(json.dumps(self._known, indent=1))
            part.rename(self._file)
        return port


def _becomes_free(port: int) -> bool:
    until = time.monotonic() + PATIENCE_SECONDS
    while not is_free(port):
        if time.monotonic() > until:
            return False
        time.sleep(0.1)
    return True
