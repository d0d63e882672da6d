"""The server's part of a round: every probe of PostgreSQL, each with its own deadline, all together within ten seconds.

A probe that hangs costs its own time and its answer; the others go on over a new connection. A server that doesn't
answer at all is known after six seconds, and then nothing else is waited for.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

import psycopg2

from monitoring_app.probes.measurement import FULL, PARTIAL, UNKNOWN, Measurement
from monitoring_app.probes.postgresql.activity import ACTIVITY, BLOCKED
from monitoring_app.probes.postgresql.archiver import ARCHIVER
from monitoring_app.probes.postgresql.asking import Answer, Asked, Probe, Server
from monitoring_app.probes.postgresql.connections import CONNECTIONS, EXHAUSTED
from monitoring_app.probes.postgresql.indexes import INDEXES
from monitoring_app.probes.postgresql.refusals import Refusal
from monitoring_app.probes.postgresql.replication import REPLICATION
from monitoring_app.probes.postgresql.sequences import SEQUENCES
from monitoring_app.probes.postgresql.server_settings import SETTINGS
from monitoring_app.probes.postgresql.session import CannotConnect, NoAnswer, Session, borrow, give_back, open_session
from monitoring_app.probes.postgresql.size import SIZE
from monitoring_app.probes.postgresql.statements import STATEMENTS
from monitoring_app.probes.postgresql.tables import CACHE, DEAD_ROWS
from monitoring_app.probes.postgresql.wraparound import WRAPAROUND

logger = logging.getLogger("causeway.monitoring")

ROUND_SECONDS: Final = 10.0
CONNECT_SECONDS: Final = 3.0
PROBE_SECONDS: Final = 2.0
PROBES: Final = (
    *(CONNECTIONS, ACTIVITY, BLOCKED, REPLICATION, STATEMENTS, SEQUENCES),
    *(ARCHIVER, SIZE, WRAPAROUND, CACHE, DEAD_ROWS, INDEXES, SETTINGS),
)
_SERVER = """
SELECT current_setting('server_version_num')::int, current_user::text,
       pg_has_role(current_user, 'pg_read_all_stats', 'USAGE'), pg_is_in_recovery()
"""
_NO_BACKUPS = "Causeway makes no backups of PostgreSQL yet: watch those of your own tool"


@dataclass(frozen=True)
class ServerRound:
    """measurements: of every metric of the server, with or without a value. memory: whole, to be kept for the next
    round. seen: by probe, what this round saw, or {"problem": why it saw nothing}; what is not in it was not looked
    at, and stays."""

    measurements: tuple[Measurement, ...]
    memory: dict[str, Any]
    seen: dict[str, Any]


def measure_server(
    dsn: Mapping[str, Any],
    *,
    schema: str,
    replicas: Sequence[str],
    memory: Mapping[str, Any],
    owner: Mapping[str, Any] | None = None,
) -> ServerRound:
    """Ask everything once. dsn: libpq keywords of the role that watches; owner: those of the application's own role,
    for what only it may read. Never raises for the server's sake, and is back within ROUND_SECONDS and a little."""
    round_ = _Round(dsn, owner if owner != dsn else None, schema, tuple(replicas), dict(memory))
    round_.run()
    return ServerRound(tuple(_with_query_time(round_.measurements)), round_.memory, round_.seen)


class _Round:
    """One round while it goes: its connections, what was measured, and since when it may not wait any longer."""

    def __init__(
        self,
        dsn: Mapping[str, Any],
        owner: Mapping[str, Any] | None,
        schema: str,
        replicas: tuple[str, ...],
        memory: dict[str, Any],
    ) -> None:
        self._dsn = dsn
        self._owner = owner
        self._schema = schema
        self._replicas = replicas
        self._end = time.monotonic() + ROUND_SECONDS
        self._at = datetime.now(UTC)
        self._server = Server(0, "", False, False)
        self._dead = ""  # why nothing more is asked
        self._session: Session | None = None
        self.measurements: list[Measurement] = []
        self.memory = memory
        self.seen: dict[str, Any] = {}

    def run(self) -> None:
        self.measurements.append(self._connect_first())
        try:
            for probe in PROBES:
                if self._due(probe):
                    self._run(probe)
        finally:
            if self._session is not None:
                give_back(self._session, self._dsn)
        for metric in ("backup_age", "restore_test_age"):
            self.measurements.append(Measurement.unknown(metric, _NO_BACKUPS))

    # --- the connection --------------------------------------------------------------------------

    def _connect_first(self) -> Measurement:
        """Connect and ask who we are. A kept connection that is dead or hangs gets one second try over a new one."""
        for attempt in (borrow, open_session):
            try:
                self._session = attempt(self._dsn, self._until(CONNECT_SECONDS))
                self._session.until = self._until(PROBE_SECONDS)
                (row,) = self._session.rows(_SERVER)
                self._server = Server(*row)
            except CannotConnect as refused:
                return self._refused(refused.refusal)
            except (NoAnswer, psycopg2.Error):
                self._drop()
            else:
                self.seen["server"] = {"at": self._at.isoformat(), **asdict(self._server)}
                return Measurement("postgresql_up", 1.0)
        self._dead = "PostgreSQL does not answer in time"
        return Measurement("postgresql_up", 0.0, note=self._dead)

    def _refused(self, refusal: Refusal) -> Measurement:
        """It answers with a refusal: that is known, nothing else is. The pool is what it says."""
        self._dead = str(refusal)
        if refusal is Refusal.FULL:
            return Measurement("postgresql_up", 1.0, view=PARTIAL, note=self._dead)
        if refusal in (Refusal.NOT_READY, Refusal.UNREACHABLE):
            return Measurement("postgresql_up", 0.0, note=self._dead)
        return Measurement("postgresql_up", None, view=UNKNOWN, note=self._dead)

    def _again(self) -> None:
        """A new connection after one was lost to a probe."""
        try:
            self._session = open_session(self._dsn, self._until(CONNECT_SECONDS))
        except NoAnswer:
            self._dead = "PostgreSQL stopped answering"
        except CannotConnect as refused:
            self._dead = str(refused)

    def _drop(self) -> None:
        if self._session is not None:
            self._session.close()
        self._session = None

    def _until(self, seconds: float) -> float:
        return min(time.monotonic() + seconds, self._end)

    # --- probes ----------------------------------------------------------------------------------

    def _due(self, probe: Probe) -> bool:
        last = self._memory_of(probe).get("looked_at")
        return not (probe.every and isinstance(last, float) and 0 <= self._at.timestamp() - last < probe.every)

    def _run(self, probe: Probe) -> None:
        if not self._dead and self._session is None:
            self._again()
        if not self._dead and time.monotonic() >= self._end:
            self._dead = "the round's time was over"
        if self._dead or self._session is None:
            self._unknown(probe, self._dead)
            return
        answer = self._answer(probe, self._session)
        if isinstance(answer, str):
            self._unknown(probe, answer)
            return
        self.measurements += answer.measurements
        if answer.memory is not None or probe.every:
            kept = dict(answer.memory or {})
            self.memory[probe.name] = {**kept, "looked_at": self._at.timestamp()} if probe.every else kept
        if answer.seen is not None:
            self.seen[probe.name] = {"at": self._at.isoformat(), **answer.seen}

    def _answer(self, probe: Probe, session: Session) -> Answer | str:
        """What the probe answers, or why it doesn't. One second try where the connection itself was lost."""
        for second in (False, True):
            try:
                return self._ask(probe, session)
            except NoAnswer:
                if not session.usable:
                    self._drop()
                return f"no answer within {PROBE_SECONDS:g} s"
            except CannotConnect as refused:
                return str(refused)
            except psycopg2.Error as error:
                if session.usable or second:
                    return _said(error)
                self._drop()
                self._again()
                if self._session is None:
                    return self._dead
                session = self._session
            except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
                # What it remembers may be the cause: without it, the next round begins anew.
                logger.exception("probe %s broke", probe.name)
                self.memory.pop(probe.name, None)
                return "the probe itself broke: see the log"
        raise AssertionError("a second try always ends")

    def _ask(self, probe: Probe, session: Session) -> Answer:
        asked = Asked(session, self._server, self._schema, self._replicas, self._memory_of(probe), self._at)
        session.until = self._until(PROBE_SECONDS)
        if not probe.as_owner or self._owner is None:
            return probe.ask(asked)
        own = open_session(self._owner, self._until(PROBE_SECONDS))
        try:
            own.until = self._until(PROBE_SECONDS)
            return probe.ask(replace(asked, session=own))
        finally:
            own.close()

    def _memory_of(self, probe: Probe) -> Mapping[str, Any]:
        kept = self.memory.get(probe.name)
        return kept if isinstance(kept, dict) else {}

    def _unknown(self, probe: Probe, why: str) -> None:
        if not probe.every:  # what was seen before is not so now, as far as anybody knows
            self.seen[probe.name] = {"at": self._at.isoformat(), "problem": why}
        if probe is CONNECTIONS and why == str(Refusal.FULL):
            self.measurements.append(EXHAUSTED)
        elif probe is REPLICATION:
            self.measurements += [
                Measurement.unknown("replication_lag", why, {"replica": name}) for name in self._replicas
            ]
        else:
            self.measurements += [Measurement.unknown(metric, why) for metric in probe.metrics]


def _said(error: psycopg2.Error) -> str:
    """Never the server's own text: it may quote values."""
    if error.pgcode == "57014":
        return "the server needed too long and was told to stop"
    if error.pgcode == "55P03":
        return "locked by another session"
    if error.pgcode == "42501":
        return "the role may not read it"
    return f"PostgreSQL refused ({error.pgcode or 'connection lost'})"


def _with_query_time(measurements: Sequence[Measurement]) -> list[Measurement]:
    """query_time: the greater of the slowest statement's mean and the longest running. One of the two alone is a
    partial view, since each sees what the other can't."""
    by_name = {one.metric: one for one in measurements}
    parts = [by_name[name] for name in ("query_slowest_mean", "query_running") if name in by_name]
    known = [one for one in parts if one.value is not None]
    if not known:
        why = parts[0].note if parts else "not measured"
        return [*measurements, Measurement.unknown("query_time", why)]
    greatest = max(known, key=lambda one: one.value or 0.0)
    whole = len(known) == 2 and all(one.view == FULL for one in known)
    missing = next((one.note for one in parts if one.value is None or one.view != FULL), "")
    note = greatest.note if whole else missing
    return [*measurements, Measurement("query_time", greatest.value, view=FULL if whole else PARTIAL, note=note)]
