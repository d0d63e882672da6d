"""A stated load on an application's endpoints, and how fast each answered under it.

The load goes to the application's own host alone, as every question to it does (http.py), and ends at its time: so
many clients at the most, so many requests a second over all endpoints in turn, so many seconds. A client waits for its
answer before it asks again; an application that can't keep up is asked less often, and the rate that was reached tells.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from migrations_app.applications.description import ApplicationDescription, EndpointCheck
from migrations_app.applications.endpoints import ARRAY_BYTES, ask, percentile
from migrations_app.applications.refusal_words import in_words
from migrations_app.engine.control import Control
from migrations_app.engine.errors import EngineError

ENOUGH = 0.9  # of the stated rate: then the load counts as reached
_LOOK_SECONDS = 0.1
_KEPT_BYTES = 16_384  # of a refusal's body, to see its kind; it is not kept
_GATHER_SECONDS = 30.0  # until all clients stand ready to ask at once


@dataclass(frozen=True)
class Load:
    """clients: at the same time, at the most; per_second: requests over all endpoints; seconds: how long."""

    clients: int
    per_second: int
    seconds: int


@dataclass(frozen=True)
class EndpointUnderLoad:
    """Times of the good answers in milliseconds, whole bodies read. failures: timeouts, server errors, the rest."""

    name: str
    requests: int
    failures: int
    timeouts: int
    server_errors: int
    p50_ms: float
    p95_ms: float
    max_ms: float


@dataclass(frozen=True)
class LoadResult:
    """reached_per_second: requests that were sent, a second. refusals: {kind: number} as refusal_words.py has them."""

    load: Load
    endpoints: tuple[EndpointUnderLoad, ...]
    reached_per_second: float
    refusals: dict[str, int] = field(default_factory=dict)

    @property
    def is_reached(self) -> bool:
        return self.reached_per_second >= ENOUGH * self.load.per_second

    @property
    def requests(self) -> int:
        return sum(one.requests for one in self.endpoints)

    @property
    def failures(self) -> int:
        return sum(one.failures for one in self.endpoints)


@dataclass
class _Tally:
    """What the clients found at one endpoint. Lists and counters take additions from several threads."""

    times: list[float] = field(default_factory=list)
    failed: list[str] = field(default_factory=list)  # 'timeout', 'server_error', 'other'
    refusals: list[str] = field(default_factory=list)


def press(description: ApplicationDescription, load: Load, control: Control) -> LoadResult:
    """Put the load on every endpoint, in turn. Each is asked at least once. Raises Refused for what may not be asked
    at all, Cancelled."""
    checks = description.endpoints
    tallies = [_Tally() for _ in checks]
    if not checks:
        return LoadResult(load, (), 0.0)
    tickets = _Tickets(load, len(checks))

    def client(stop: threading.Event) -> None:
        for number in tickets.take(stop):
            _ask_once(description, checks[number % len(checks)], tallies[number % len(checks)])

    _run_clients(load.clients, client, control)
    endpoints = tuple(_summed(check.name, tally) for check, tally in zip(checks, tallies, strict=True))
    refusals = Counter(kind for tally in tallies for kind in tally.refusals)
    return LoadResult(load, endpoints, tickets.rate, dict(refusals))


def at_once(description: ApplicationDescription, clients: int, control: Control) -> LoadResult:
    """One request to each endpoint by each of `clients` at the same moment: what a pool that is too small refuses.

    The rate is not stated, and none is reached.
    """
    tallies = [_Tally() for _ in description.endpoints]
    for check, tally in zip(description.endpoints, tallies, strict=True):
        _run_clients(clients, _Together(description, check, tally, clients), control)
    endpoints = tuple(_summed(check.name, tally) for check, tally in zip(description.endpoints, tallies, strict=True))
    refusals = Counter(kind for tally in tallies for kind in tally.refusals)
    return LoadResult(Load(clients, 0, 0), endpoints, 0.0, dict(refusals))


class _Together:
    """A client that asks once, when all the others stand ready too."""

    def __init__(self, description: ApplicationDescription, check: EndpointCheck, tally: _Tally, clients: int) -> None:
        self._description, self._check, self._tally = description, check, tally
        self._gate = threading.Barrier(clients)

    def __call__(self, stop: threading.Event) -> None:
        self._gate.wait(_GATHER_SECONDS)
        _ask_once(self._description, self._check, self._tally)


class _Tickets:
    """Which request is sent when: the n-th is due n / rate seconds after the first, and none after the end."""

    def __init__(self, load: Load, endpoints: int) -> None:
        self._load = load
        self._least = endpoints  # each endpoint is asked once, however slow they are
        self._lock = threading.Lock()
        self._next = 0
        self._begun = time.monotonic()

    def take(self, stop: threading.Event) -> Iterator[int]:
        """The numbers for one client, each at its time."""
        while True:
            with self._lock:
                number = self._next
                due = self._begun + number / self._load.per_second
                over = max(due, time.monotonic()) >= self._begun + self._load.seconds
                if over and number >= self._least:
                    return
                self._next += 1
            if stop.wait(max(0.0, due - time.monotonic())):
                return
            yield number

    @property
    def rate(self) -> float:
        """Requests a second that were sent in the stated time."""
        return round(self._next / max(self._load.seconds, 0.001), 2)


def _run_clients(count: int, work: Callable[[threading.Event], None], control: Control) -> None:
    """Run `work` in `count` threads until all have ended; they end early when the step is to stop, or one breaks.

    Raises what broke first; Cancelled.
    """
    stop = threading.Event()
    with ThreadPoolExecutor(count, thread_name_prefix="client") as pool:
        clients = [pool.submit(work, stop) for _ in range(count)]
        try:
            while wait(clients, _LOOK_SECONDS, FIRST_EXCEPTION).not_done:
                control.checkpoint()
                if any(client.done() and client.exception() for client in clients):
                    break
        finally:
            stop.set()
    for client in clients:
        client.result()


def _ask_once(description: ApplicationDescription, check: EndpointCheck, tally: _Tally) -> None:
    begun = time.monotonic()
    try:
        with ask(description, check, ARRAY_BYTES) as answer:
            if answer.status == check.status:
                while answer.read():
                    pass
                tally.times.append((time.monotonic() - begun) * 1000)
                return
            body = answer.read(_KEPT_BYTES)
            tally.failed.append("server_error" if answer.status >= 500 else "other")
            tally.refusals.append(in_words(answer.status, body))
    except EngineError as error:
        if error.code in ("HOST_NOT_ALLOWED", "BAD_PATH", "NO_SUCH_PROCESS"):
            raise
        tally.failed.append("timeout" if error.code == "ENDPOINT_TIMEOUT" else "other")
        tally.refusals.append(in_words(0, b"", error.code))


def _summed(name: str, tally: _Tally) -> EndpointUnderLoad:
    times, failed = sorted(tally.times), Counter(tally.failed)
    return EndpointUnderLoad(
        name,
        len(times) + len(tally.failed),
        len(tally.failed),
        failed["timeout"],
        failed["server_error"],
        round(percentile(times, 50), 2),
        round(percentile(times, 95), 2),
        round(times[-1], 2) if times else 0.0,
    )
