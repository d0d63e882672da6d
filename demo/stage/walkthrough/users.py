"""Users who go on working while the application crosses: several at once, each asks for an hour of leave, again and
again, and keeps what was confirmed to it. Afterwards every confirmed request must be there, once."""

from __future__ import annotations

import http.client
import itertools
import json
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from demo.stage.errors import StageError
from demo.stage.samples import Installation
from demo.stage.walkthrough.application import Application, monday_of

MARK = "asked while it crosses, number "
PAUSE_SECONDS = 0.02  # after a refusal, before the same user asks again


@dataclass(frozen=True)
class Worked:
    """What the users saw. `gaps`: seconds between two confirmations, the longest first, with when (monotonic) each
    began; `unanswered`: requests whose connection broke before an answer, which may or may not have been kept."""

    confirmed: frozenset[int]
    unanswered: frozenset[int]
    refused: int
    seconds: float
    gaps: tuple[tuple[float, float], ...]

    def longest_gap(self, begun: float, ended: float) -> float:
        """The longest one that began between two moments; 0 when nobody waited."""
        return max((gap for gap, at in self.gaps if begun <= at <= ended), default=0.0)

    def found(self, reasons: Counter[str]) -> tuple[int, int, int]:
        """(lost, doubled, unanswered but kept) of the requests with those reasons in the live database."""
        numbers = Counter({int(text.removeprefix(MARK)): many for text, many in reasons.items()})
        lost = sum(1 for number in self.confirmed if not numbers[number])
        doubled = sum(1 for many in numbers.values() if many > 1)
        return lost, doubled, sum(1 for number in self.unanswered if numbers[number])


class Users:
    """At work within the block; `worked()` afterwards."""

    def __init__(self, installation: Installation, how_many: int = 4, first: int = 1) -> None:
        self._port = installation.port
        accounts = [a for a in Application(installation).get("/api/employees").json if _has_days(a)]
        if len(accounts) < how_many:
            raise StageError("walkthrough.leave", f"{installation.name} has no account with days left.", "Begin anew.")
        self._accounts = [itertools.cycle(accounts[number::how_many]) for number in range(how_many)]
        self._numbers = itertools.count(first)
        self._lock, self._stop = threading.Lock(), threading.Event()
        self._confirmed: list[tuple[float, int]] = []
        self._unanswered: list[int] = []
        self._refused = 0
        self._begun = 0.0
        self._threads = [threading.Thread(target=self._work, args=[each], daemon=True) for each in self._accounts]

    def __enter__(self) -> Users:
        self._begun = time.monotonic()
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(timeout=30)

    def confirmed_so_far(self) -> int:
        with self._lock:
            return len(self._confirmed)

    def worked(self) -> Worked:
        """What they saw until now."""
        with self._lock:
            times = sorted(at for at, _ in self._confirmed)
            gaps = sorted(((later - at, at) for at, later in itertools.pairwise(times)), reverse=True)
            return Worked(
                frozenset(number for _, number in self._confirmed),
                frozenset(self._unanswered),
                self._refused,
                time.monotonic() - self._begun,
                tuple(gaps),
            )

    def _work(self, accounts: Iterator[dict[str, Any]]) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self._stop.is_set():
            with self._lock:
                number = next(self._numbers)
            sent = False
            try:
                if connection.sock is None:
                    connection.connect()
                sent = True
                status = _ask(connection, next(accounts), number)
            except (OSError, http.client.HTTPException):
                connection.close()
                status = 0
            with self._lock:
                if status == 201:
                    self._confirmed.append((time.monotonic(), number))
                elif status == 0 and sent:
                    self._unanswered.append(number)
                else:
                    self._refused += 1
            if status != 201:
                self._stop.wait(PAUSE_SECONDS)
        connection.close()


def _ask(connection: http.client.HTTPConnection, account: dict[str, Any], number: int) -> int:
    day = monday_of(int(account["year"])).isoformat()
    document = {"employee_id": account["id"], "start_date": day, "end_date": day, "reason": f"{MARK}{number}"}
    body = json.dumps({**document, "leave_type": "hourly", "hours_requested": 1})
    connection.request("POST", "/api/leave-requests", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def _has_days(account: dict[str, Any]) -> bool:
    return bool(account["is_active"]) and float(account["balance"]) >= 1
