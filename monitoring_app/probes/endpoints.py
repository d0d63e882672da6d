"""The application's endpoints, asked as its users do: does each answer, in which time, and how many did not?"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

from monitoring_app.probes.asking import NoAnswer, get
from monitoring_app.probes.measurement import PARTIAL, Measurement

SOURCE = {"source": "endpoint checks"}
_LIMIT = 4_000_000


@dataclass(frozen=True)
class Endpoint:
    """One to ask. status: the one that is right. seconds: until its answer must be there, whole."""

    name: str
    host: str
    port: int
    path: str
    status: int = 200
    seconds: float = 3.0


def probe_endpoints(
    endpoints: Sequence[Endpoint], *, hosts: tuple[str, ...] = (), seconds: float = 9.0
) -> list[Measurement]:
    """State and time of each, and the share that failed as the error rate of this source.

    One after the other, so that the times are those of an answer, not of a queue; all together within `seconds`.
    """
    until = time.monotonic() + seconds
    found: list[Measurement] = []
    well: list[bool] = []
    for one in endpoints:
        labels = {"endpoint": one.name}
        left = until - time.monotonic()
        if left < 0.1:
            said = f"{one.path}: not asked, those before it took the time"
            found += [Measurement.unknown(name, said, labels) for name in ("endpoint_up", "endpoint_time")]
            continue
        state, time_ = _ask(one, hosts, min(one.seconds, left))
        found += [state, time_]
        well.append(state.value == 1.0)
    if well:
        share = 100.0 * well.count(False) / len(well)
        said = "our own checks of the endpoints, not the users' requests"
        found.append(Measurement("error_rate", share, SOURCE, PARTIAL, said, count=len(well)))
    return found


def _ask(one: Endpoint, hosts: tuple[str, ...], seconds: float) -> tuple[Measurement, Measurement]:
    labels = {"endpoint": one.name}
    try:
        answer = get(one.host, one.port, one.path, hosts=hosts, seconds=seconds, limit=_LIMIT)
    except NoAnswer as why:
        said = f"{one.path}: {why}"
        return Measurement("endpoint_up", 0.0, labels, note=said), Measurement.unknown("endpoint_time", said, labels)
    if answer.status != one.status:
        said = f"{one.path} answers {answer.status} instead of {one.status}"
        # How fast it fails is not how fast it works.
        return Measurement("endpoint_up", 0.0, labels, note=said), Measurement.unknown("endpoint_time", said, labels)
    if answer.cut:
        said = f"timed to the first {_LIMIT:,} bytes of its answer"
        time_ = Measurement("endpoint_time", answer.milliseconds, labels, PARTIAL, said)
    else:
        time_ = Measurement("endpoint_time", answer.milliseconds, labels)
    return Measurement("endpoint_up", 1.0, labels), time_
