"""What a probe is given and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from monitoring_app.probes.measurement import FULL, PARTIAL, Measurement
from monitoring_app.probes.postgresql.session import Session

NO_PG_MONITOR = "the role lacks pg_monitor: GRANT pg_monitor TO it"


@dataclass(frozen=True)
class Server:
    """What every probe wants to know of the server. sees_all: the role sees other roles' sessions and statements."""

    version: int
    role: str
    sees_all: bool
    in_recovery: bool


@dataclass(frozen=True)
class Asked:
    """memory: what this probe returned last time, {} at first; it may be of an older release."""

    session: Session
    server: Server
    schema: str
    replicas: Sequence[str]
    memory: Mapping[str, Any]
    at: datetime

    def view(self, hidden: int = 0) -> tuple[str, str]:
        """View and note of what depends on seeing other roles' sessions, of which `hidden` were not seen."""
        if self.server.sees_all or not hidden:
            return FULL, ""
        return PARTIAL, f"{hidden} sessions of other roles are hidden, {NO_PG_MONITOR}"


@dataclass(frozen=True)
class Answer:
    """memory: for the next round; None keeps the old. seen: for the page, JSON; None leaves what was seen before."""

    measurements: Sequence[Measurement] = ()
    memory: Mapping[str, Any] | None = None
    seen: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Probe:
    """metrics: unknown, all of them, when the probe gets no answer. every: seconds between two looks; 0: each round.

    as_owner: asked with the application's own role where that is given: tables are not the monitor's to read.
    """

    name: str
    ask: Callable[[Asked], Answer]
    metrics: tuple[str, ...] = ()
    every: float = 0
    as_owner: bool = False
    labels: Sequence[Mapping[str, str]] = field(default_factory=lambda: ({},))
