"""What a measured child process tells its parent: one line of JSON with the seconds and the CPU of each phase."""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

from bench import processes

MARK = "bench-result:"


class Phases:
    """Clocks around the phases of one path. `postmaster` is the server's process id; its CPU counts, too."""

    def __init__(self, postmaster: int) -> None:
        self._postmaster = postmaster if postmaster and processes.known() else 0
        self.done: dict[str, dict[str, float]] = {}
        self.facts: dict[str, Any] = {}

    @contextlib.contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Begin and end are of the machine's monotonic clock, so that the parent can tell which samples belong here."""
        server, client, begun = self._server(), _own_cpu(), time.monotonic()
        yield
        ended = time.monotonic()
        self.done[name] = {
            "begun": begun,
            "ended": ended,
            "seconds": ended - begun,
            "client_cpu": _own_cpu() - client,
            "server_cpu": self._server() - server,
        }

    def _server(self) -> float:
        if not self._postmaster:
            return 0.0
        processes.wait_for_sessions_to_end(self._postmaster)
        return processes.cpu_seconds(self._postmaster)

    def tell(self) -> None:
        print(MARK + json.dumps({"phases": self.done, "facts": self.facts}))
        sys.stdout.flush()


def _own_cpu() -> float:
    """This process with all its threads, and its children that have ended."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system
