"""What the application's users were told, against what the live database holds: lost, doubled, halved; and the gaps."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import psycopg2

Rows = Callable[[str], list[tuple[Any, ...]]]


@dataclass(frozen=True)
class Acknowledged:
    """`times` by name of the transaction; `errors`: (time, kind) of requests that failed; `starts`: of processes."""

    times: dict[str, float]
    errors: tuple[tuple[float, str], ...]
    starts: tuple[float, ...]

    def gap(self, begin: float, end: float) -> tuple[float, float]:
        """(seconds, when it began) of the longest time between two acknowledged writes that touches the window."""
        moments = sorted(self.times.values())
        found = [(b - a, a) for a, b in pairwise(moments) if b >= begin and a <= end]
        return max(found, default=(0.0, begin))

    def per_second(self, begin: float, end: float) -> float:
        return sum(begin <= moment <= end for moment in self.times.values()) / (end - begin)

    def first_after(self, moment: float) -> float:
        return min((each for each in self.times.values() if each >= moment), default=float("inf"))


def read_acknowledged(folder: Path) -> Acknowledged:
    times: dict[str, float] = {}
    errors: list[tuple[float, str]] = []
    starts: list[float] = []
    for path in folder.glob("acks-*"):
        for line in path.read_text().splitlines():
            parts = line.split(" ")
            if parts[0] == "#":
                starts.append(float(parts[3]))
            elif parts[0] == "!":
                errors.append((float(parts[2]), parts[1]))
            elif len(parts) == 2:
                times[parts[0]] = float(parts[1])
    return Acknowledged(times, tuple(sorted(errors)), tuple(sorted(starts)))


@dataclass(frozen=True)
class Ledger:
    """`lost`: acknowledged and not there. `doubled`: there more than once. `halved`: a transaction that is there in
    part: balances that entries don't add up to."""

    acknowledged: int
    there: int
    lost: int
    doubled: int
    halved: int

    @property
    def right(self) -> bool:
        return not (self.lost or self.doubled or self.halved)


def compare(acknowledged: Acknowledged, rows: Rows) -> Ledger:
    """Against the live database, whose rows are asked by SQL."""
    there = Counter(name for (name,) in rows("SELECT tx FROM entries WHERE tx IS NOT NULL"))
    balances = rows("SELECT coalesce(sum(balance), 0) FROM accounts")[0][0]
    wrong = rows(
        "SELECT count(*) FROM (SELECT a.id FROM accounts a LEFT JOIN entries e ON e.account_id = a.id"
        " GROUP BY a.id, a.balance HAVING a.balance <> count(e.id)) w"
    )[0][0]
    return Ledger(
        acknowledged=len(acknowledged.times),
        there=len(there),
        lost=sum(name not in there for name in acknowledged.times),
        doubled=sum(count > 1 for count in there.values()),
        halved=int(wrong) + (int(balances) != sum(there.values())),
    )


def sqlite_rows(path: Path) -> Rows:
    def ask(sql: str) -> list[tuple[Any, ...]]:
        connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        try:
            return list(connection.execute(sql))
        finally:
            connection.close()

    return ask


def postgresql_rows(url: str) -> Rows:
    def ask(sql: str) -> list[tuple[Any, ...]]:
        connection = psycopg2.connect(url)
        try:
            with connection.cursor() as cursor:
                cursor.execute(sql)
                return list(cursor.fetchall())
        finally:
            connection.close()

    return ask
