"""PostgreSQL follows SQLite: what the log names since the position, as it is now, in one transaction of PostgreSQL.

State to state: afterwards PostgreSQL is what SQLite was at one moment, whatever happened in between, and the position
says at which. Killed anywhere, the transaction is gone or whole, and the same call again is right.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass

from migrations_app.engine.capture import capture
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.control import Control
from migrations_app.engine.conversions.inverse import InverseForms
from migrations_app.engine.errors import EngineError, Failed
from migrations_app.engine.replay import replication
from migrations_app.engine.replay.applier import ApplierRight, become_applier, refuse_obstacles, right_of
from migrations_app.engine.replay.apply import Applying, Written
from migrations_app.engine.replay.dirty_rows import Part, TableWay, spool_dirty, ways
from migrations_app.engine.replay.key_table import KeyTable
from migrations_app.engine.replay.log_guards import Log, assert_follows
from migrations_app.engine.replay.pace import Pace
from migrations_app.engine.replay.replication import FOLLOWING, ReplicationRecord
from migrations_app.engine.replay.snapshot import LiveFile, Snapshot, snapshot_of
from migrations_app.engine.replay.spool import Spool, spool
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.target.outage import is_outage, through_outages
from migrations_app.engine.target.target import Connection, Cursor, cancelling, connect, transaction

PRUNED_FROM = 100_000  # rows of the log that were applied, from which on some are taken away
PRUNED_AT_ONCE = 20_000
_IDLE_SECONDS = 1.0  # how old "equal" may become before it is written down again

BeforeCommit = Callable[[Cursor], None]


@dataclass(frozen=True)
class Applied:
    """PostgreSQL is SQLite at `position`. `rows` and `deletes` were brought over to get there, in `seconds`.

    `head`: the log's newest row as it was seen; the same as the position.
    """

    position: int
    head: int
    rows: int
    deletes: int
    seconds: float


@dataclass(frozen=True)
class Lag:
    """`rows` of the log wait. `seconds`: so long ago, at most, the oldest of them was written; 0 when none waits.

    The log has no clock (that would cost the writer): it is the time since PostgreSQL last held all of SQLite.
    """

    rows: int
    seconds: float
    position: int
    head: int


class Follower:
    """Holds one connection to PostgreSQL and one to the file. Use as a context manager, in one thread.

    forms: given, a value that they couldn't bring back to SQLite as it is raises Failed NO_WAY_BACK_FOR_VALUE.
    waits: for a PostgreSQL that is away; False, for who comes again anyway and must not hold its place meanwhile.

    Raises, when it is entered, what connect() raises; Failed NOT_FOLLOWING, IDENTITY_DIFFERS; Refused
    ONLINE_NO_APPLIER_RIGHT, ONLINE_NO_TARGET_KEY.
    """

    def __init__(
        self,
        pair: Pair,
        *,
        control: Control | None = None,
        busy_timeout_ms: int = 5000,
        forms: InverseForms | None = None,
        waits: bool = True,
        application_name: str = "causeway:follower:0",
    ) -> None:
        self.pair = pair
        self.control = control or Control()
        self.connection: Connection
        self._name = application_name
        self._busy_timeout_ms = busy_timeout_ms
        self._file = LiveFile(pair.source, self.control, busy_timeout_ms)
        self._right: ApplierRight | None = None
        self._forms, self._waits = forms, waits
        self._ways: dict[int, TableWay] = {}
        self._keys: KeyTable

    def __enter__(self) -> Follower:
        self._connect()
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self.connection.close()

    def catch_up(self) -> Applied:
        """Everything up to the newest row of the log, as seen when the last read began. Outages: as `waits` says.

        Raises Failed: SOURCE_SCHEMA_CHANGED, CAPTURE_LOST, LOG_WENT_BACK, LOG_PRUNED, IDENTITY_DIFFERS, PHASE_CHANGED,
        VALUE_UNFIT, VALUE_REFUSED, REPLAY_DIFFERS, ONLINE_NULL_IN_KEY, DISK_FULL, TARGET_LOST …; Refused LOCKED;
        Cancelled.
        """
        applied = through_outages(self._catch_up, self.pair.url, self.control) if self._waits else self._catch_up()
        self._prune(applied.position)
        return applied

    def apply_from(
        self, opened: sqlite3.Connection | Source, head: int, *, before_commit: BeforeCommit | None = None
    ) -> Applied:
        """Exactly up to `head`, the newest row of the log in what is open: a snapshot, or the freeze's own transaction.

        before_commit: called in PostgreSQL's transaction once all is checked. Opens no connection, waits for no outage.
        Raises as catch_up() does, and what before_commit raises.
        """

        def read(record: ReplicationRecord, into: Spool) -> tuple[Log, float]:
            seen = time.monotonic()
            snapshot = snapshot_of(self.pair.source, opened)
            log = self._look(snapshot, record)
            if log.head != head:
                raise _not_the_head(log.head, head)
            spool_dirty(snapshot, self._ways, Part(record.position, head), into, self.control)
            return log, seen

        return self._apply(read, before_commit)

    def prepare(self) -> None:
        """Make now what apply_from() would make on its way, so that it doesn't while the application waits."""
        with transaction(self.connection, "preparing to bring rows over") as cursor:
            self._keys.make(cursor)
        self._keys.made()

    def lag(self) -> Lag:
        """Raises Failed NOT_FOLLOWING, IDENTITY_DIFFERS, NOT_CAPTURED, LOG_WENT_BACK, TARGET_LOST …; Refused LOCKED."""
        with transaction(self.connection, "reading how far the target is") as cursor:
            record = replication.lock(cursor, self.pair, replication.PHASES)
        with self._file.reading() as snapshot:
            log = assert_follows(snapshot, record, self.pair)
        waiting = log.head - record.position
        return Lag(waiting, record.age_seconds if waiting else 0.0, record.position, log.head)

    # Reading

    def _catch_up(self) -> Applied:
        if self.connection.closed:
            self._connect()
        try:
            return self._apply(self._read_to_the_head, None)
        except EngineError as error:
            if is_outage(error):
                self.connection.close()
            raise

    def _read_to_the_head(self, record: ReplicationRecord, into: Spool) -> tuple[Log, float]:
        """In WAL mode in one read; else in short ones, the last of which reaches the head. Of a key that changes
        between two of them the last read counts: any later change would stand in the log above that read's head.
        """
        pace, position = Pace(), record.position
        while True:
            self.control.checkpoint()
            seen = time.monotonic()
            with self._file.reading() as snapshot:
                log = self._look(snapshot, record)
                until = log.head if snapshot.wal else min(log.head, position + pace.rows)
                whole = (position, until) == (record.position, log.head)
                spool_dirty(snapshot, self._ways, Part(position, until, whole), into, self.control)
            if until == log.head:
                return log, seen
            pace.took(time.monotonic() - seen)
            position = until

    def _look(self, snapshot: Snapshot, record: ReplicationRecord) -> Log:
        log = assert_follows(snapshot, record, self.pair)
        if not self._ways:
            self._ways = ways(self.pair.plan, log.tables, self._forms)
        return log

    # Writing

    def _connect(self) -> None:
        self.connection = connect(self.pair.url, application_name=self._name)
        try:
            with transaction(self.connection, "looking at the target") as cursor:
                record = replication.lock(cursor, self.pair, replication.PHASES)
                self._right = right_of(cursor)
                refuse_obstacles(cursor, self.pair.plan, self._right)
                with self._file.reading() as snapshot:
                    self._look(snapshot, record)
                self._keys = KeyTable(cursor, self.pair.plan, self._ways)
        except BaseException:
            self.connection.close()
            raise

    def _apply(
        self,
        read: Callable[[ReplicationRecord, Spool], tuple[Log, float]],
        before_commit: BeforeCommit | None,
    ) -> Applied:
        started = time.monotonic()
        with (
            cancelling(self.connection, self.control),
            spool() as filled,
            transaction(self.connection, "bringing rows over") as cursor,
        ):
            record = replication.lock(cursor, self.pair, {FOLLOWING})
            log, seen = read(record, filled)
            written = self._write(cursor, filled)
            if log.head > record.position or record.age_seconds > _IDLE_SECONDS:
                replication.advance(cursor, log.head, log.mark, time.monotonic() - seen)
            if before_commit is not None:
                before_commit(cursor)
        if filled.keys:
            self._keys.made()
        return Applied(log.head, log.head, written.rows, written.deletes, time.monotonic() - started)

    def _write(self, cursor: Cursor, filled: Spool) -> Written:
        if not filled.tables:
            return Written(0, 0)
        assert self._right is not None
        become_applier(cursor, self._right)
        work = Applying(self.connection, cursor, self.pair.plan, self._ways, self._keys, self.control)
        return work.write(filled)

    def _prune(self, position: int) -> None:
        """Take away some of what was applied, seldom: in WAL mode each commit of ours may make a transaction of the
        application fail that began by reading. The row at the position stays: by it a restored file is noticed.
        """
        with self._file.reading() as snapshot:
            oldest = snapshot.value("SELECT min(seq) FROM causeway_log")
        if isinstance(oldest, int) and position - oldest >= PRUNED_FROM:
            up_to = min(position - 1, oldest + PRUNED_AT_ONCE - 1)
            capture.prune(self.pair.source, up_to, busy_timeout_ms=self._busy_timeout_ms, batch=PRUNED_AT_ONCE)


def _not_the_head(found: int, wanted: int) -> Failed:
    return Failed(
        "LOG_WENT_BACK",
        f"The log of changes ends at {found}, where {wanted} was seen.",
        "Somebody wrote or took away rows of it meanwhile: look at the file before anything is done.",
    )
