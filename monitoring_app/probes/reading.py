"""What a probe answers: a state, a value, and how much of the truth it could see. NULL is never green."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Health(StrEnum):
    FINE = "fine"
    WARNING = "warning"
    CRITICAL = "critical"
    UNKNOWN = "unknown"


# How bad, for the worst of several: not knowing is worse than a warning, a known outage is worst.
SEVERITY = {Health.FINE: 0, Health.WARNING: 1, Health.UNKNOWN: 2, Health.CRITICAL: 3}


@dataclass(frozen=True)
class Reading:
    """view: 'full', 'partial' (the role may not see everything) or 'unknown'."""

    name: str
    health: Health
    value: str
    view: str = "full"
    detail: dict[str, Any] = field(default_factory=dict)


def worst(readings: list[Reading]) -> Health:
    """The worst state; UNKNOWN when there is nothing to judge."""
    if not readings:
        return Health.UNKNOWN
    return max((reading.health for reading in readings), key=SEVERITY.__getitem__)


def within(seconds: float, name: str, probe: Callable[[], list[Reading]]) -> list[Reading]:
    """Run a probe with a deadline of its own. A frozen server hears no statement_timeout; a client-side clock does."""
    answer: list[list[Reading]] = []
    thread = threading.Thread(target=lambda: answer.append(probe()), name=f"probe-{name}", daemon=True)
    thread.start()
    thread.join(seconds)
    if answer:
        return answer[0]
    why = f"no answer within {seconds:g} s" if thread.is_alive() else "the probe itself broke: see the log"
    return [Reading(name, Health.UNKNOWN, why, "unknown")]
