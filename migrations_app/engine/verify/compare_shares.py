"""The quick proof (compare_blocks.py) for many tables: shares of them side by side, here and in helper processes.

All see the same moment: of the target by an exported snapshot, of the source by Source.is_alone().
"""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Refused
from migrations_app.engine.side_process import Channel, SideProcess
from migrations_app.engine.source.sqlite_source import Address, Source, open_again
from migrations_app.engine.target.target import Connection, application_name, cancelling, connect, run_threads
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.engine.verify.compare_blocks import Share, rows_if_equal

HELPED_BYTES = 32 << 20  # of a source: below, a helper's start takes longer than it saves


def equal_tables(
    source: Source, shares: Sequence[Share], connection: Connection, url: TargetUrl, control: Control, *, jobs: int
) -> dict[str, int]:
    """Rows by source table of those tables whose every share is equal. Others are left to be looked at cell by cell.

    The connection is in a repeatable read transaction. Raises Failed, Cancelled.
    """
    work = _Work(source, shares, control)
    large = source.schema.page_count * source.schema.page_size >= HELPED_BYTES
    helpers = min(jobs, len(shares)) - 1 if large else 0
    if helpers < 1:
        work.here(connection)(control)
        return work.equal()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_export_snapshot()")
        snapshot = str(cursor.fetchone()[0])
    run_threads([work.here(connection), *[work.beside(url, snapshot)] * helpers], control)
    return work.equal()


class _Work:
    """The shares, handed out one by one, those of large tables first; a table that isn't equal is not gone on with."""

    def __init__(self, source: Source, shares: Sequence[Share], control: Control) -> None:
        self._source, self._control = source, control
        self._lock = threading.Lock()
        self._tables = {share.table.name for share in shares}
        self._unequal: set[str] = set()
        self._rows: Counter[str] = Counter()
        of_table = Counter(share.table.name for share in shares)
        self._queue = deque(sorted(shares, key=lambda share: -of_table[share.table.name]))

    def equal(self) -> dict[str, int]:
        return {name: self._rows[name] for name in self._tables - self._unequal}

    def here(self, connection: Connection) -> Callable[[Control], None]:
        def work(control: Control) -> None:
            with cancelling(connection, control):
                while (share := self._take()) is not None:
                    self._done(share, rows_if_equal(self._source, share, connection, control, self._telling(share)))

        return work

    def beside(self, url: TargetUrl, snapshot: str) -> Callable[[Control], None]:
        source, task = self._source, (help_comparing, self._source.address, url, snapshot)

        def work(control: Control) -> None:
            with SideProcess(*task, control=control) as helper:
                try:
                    alone = source.is_alone(helper.receive())
                except Refused:
                    return  # no session left for it, say: we do the work by ourselves
                while alone and (share := self._take()) is not None:
                    helper.send(share)
                    self._done(share, helper.receive())

        return work

    def _take(self) -> Share | None:
        with self._lock:
            while self._queue:
                share = self._queue.popleft()
                if share.table.name not in self._unequal:
                    return share
            return None

    def _done(self, share: Share, rows: int | None) -> None:
        name = share.table.name
        with self._lock:
            if rows is None:
                self._unequal.add(name)
                return
            self._rows[name] += rows
            self._control.progress("verify", name, self._rows[name], 0)

    def _telling(self, share: Share) -> Callable[[int], None]:
        name = share.table.name
        return lambda rows: self._control.progress("verify", name, self._rows[name] + rows, 0)


def help_comparing(channel: Channel, control: Control, address: Address, url: TargetUrl, snapshot: str) -> None:
    """A helper's life: says which file it opened, then compares the shares that it is given."""
    with open_again(address, control) as source:
        connection = connect(url, application_name=application_name("verify", 0))
        try:
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION SNAPSHOT %s", (snapshot,))
            channel.send(source.identity)
            with cancelling(connection, control):
                for share in channel:
                    rows = rows_if_equal(source, share, connection, control, lambda _: control.checkpoint())
                    channel.send(rows)
        finally:
            connection.close()
