"""The application's sessions in PostgreSQL, watched from outside while it is under load, and the server's counters.

PostgreSQL has no counter of statements that ran into a time limit; what it does count (deadlocks, sessions that were
killed or broke off) and what can be seen (sessions that wait for a lock) is kept here. Times-out that the application
met itself show in its answers: refusal_words.py.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

import psycopg2

from migrations_app.engine.errors import EngineError
from migrations_app.engine.target.target import connect
from migrations_app.engine.target.target_url import TargetUrl

LOOK_SECONDS = 0.1
LOOKS_BEFORE = 5  # users may be at work: how busy it is before is the highest of so many looks
# Ours all call themselves causeway…; of a session of a role that ours may not look into, kind and state are hidden.
_SESSIONS = """
SELECT count(*), count(*) FILTER (WHERE state = 'active'),
       count(*) FILTER (WHERE state LIKE 'idle in transaction%%'),
       count(*) FILTER (WHERE wait_event_type = 'Lock'), count(*) FILTER (WHERE state IS NULL)
  FROM pg_stat_activity
 WHERE datname = current_database() AND coalesce(backend_type, 'client backend') = 'client backend'
   AND pid <> pg_backend_pid()
   AND coalesce(application_name, '') NOT ILIKE 'causeway%%' AND (%(name)s = '' OR application_name = %(name)s)
"""
_COUNTERS = ("deadlocks", "conflicts", "sessions_abandoned", "sessions_fatal", "sessions_killed", "xact_rollback")


@dataclass(frozen=True)
class Sessions:
    """One look. hidden: sessions whose state the role may not see."""

    total: int = 0
    active: int = 0
    idle_in_transaction: int = 0
    waiting: int = 0
    hidden: int = 0

    @property
    def busy(self) -> int:
        return self.active + self.idle_in_transaction


@dataclass
class Peak:
    """The highest of each over all looks."""

    looks: int = 0
    total: int = 0
    active: int = 0
    idle_in_transaction: int = 0
    waiting: int = 0

    def add(self, seen: Sessions) -> None:
        self.looks += 1
        for name in ("total", "active", "idle_in_transaction", "waiting"):
            setattr(self, name, max(getattr(self, name), getattr(seen, name)))


@dataclass
class SessionWatch:
    """Watches from `with` to its end, in a thread of its own. `problem` says why nothing could be seen."""

    url: TargetUrl
    application_name: str = ""
    peak: Peak = field(default_factory=Peak)
    before: Sessions = field(default_factory=Sessions)
    problem: str = ""
    max_connections: int = 0

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._lock = threading.Lock()  # one statement at a time on the one connection
        self._connection: Any = None
        self._counters: dict[str, int] = {}
        try:
            self._connection = connect(self.url, application_name="causeway sessions")
            self._connection.autocommit = True
            self.max_connections = int(self._row("SELECT current_setting('max_connections')")[0])
            self._counters = self._counted()
            self.before = self._at_most(LOOKS_BEFORE)
        except EngineError as error:
            self.problem = error.message
        except psycopg2.Error as error:
            self.problem = f"the sessions can't be looked at (SQLSTATE {error.pgcode})"
        self._thread = threading.Thread(target=self._watch, name="sessions", daemon=True)
        if not self.problem:
            self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(2)
        if self._connection is not None:
            self._connection.close()

    def _at_most(self, looks: int) -> Sessions:
        seen = []
        for _ in range(looks):
            seen.append(self.look())
            time.sleep(LOOK_SECONDS / 2)
        return max(seen, key=lambda one: one.busy)

    def look(self) -> Sessions:
        """How it is now. Raises psycopg2.Error."""
        return Sessions(*(int(value) for value in self._row(_SESSIONS, {"name": self.application_name})))

    def counted(self) -> dict[str, int]:
        """What the server's counters have grown by. PostgreSQL publishes them up to a second late. Raises
        psycopg2.Error."""
        return {name: value - self._counters.get(name, 0) for name, value in self._counted().items()}

    def _watch(self) -> None:
        while not self._stop.wait(LOOK_SECONDS):
            try:
                self.peak.add(self.look())
            except psycopg2.Error as error:
                self.problem = f"the target was lost while it was looked at (SQLSTATE {error.pgcode})"
                return

    def _counted(self) -> dict[str, int]:
        row = self._row(f"SELECT {', '.join(_COUNTERS)} FROM pg_stat_database WHERE datname = current_database()")
        return dict(zip(_COUNTERS, (int(value or 0) for value in row), strict=True))

    def _row(self, statement: str, values: Mapping[str, Any] | None = None) -> tuple[Any, ...]:
        with self._lock, self._connection.cursor() as cursor:
            cursor.execute(statement, values)
            row: tuple[Any, ...] = cursor.fetchone()
            return row

    def to_document(self) -> dict[str, Any]:
        return {
            "before": asdict(self.before),
            "peak": asdict(self.peak),
            "max_connections": self.max_connections,
            "problem": self.problem,
        }


def wait_until_idle(watch: SessionWatch, seconds: float) -> tuple[Sessions, float | None]:
    """Until no more sessions are busy than before the load, and none of them holds a transaction open.

    The last look, and the seconds that it took; None when it did not come to rest. Raises psycopg2.Error.
    """
    begun = time.monotonic()
    while True:
        seen = watch.look()
        took = time.monotonic() - begun
        if seen.busy <= watch.before.busy:
            return seen, round(took, 1)
        if took >= seconds:
            return seen, None
        time.sleep(LOOK_SECONDS)
