"""The quick proof (compare_blocks.py) for many tables: shares of them side by side, here and in helper processes.

All see the same moment: of the target by an exported snapshot, of the source by Source.is_alone().
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator, Sequence

from migrations_app.engine.control import Control
from migrations_app.engine.crew import Crew, Helper, lend_hand
from migrations_app.engine.side_process import Channel
from migrations_app.engine.source.address import Address
from migrations_app.engine.source.opening import open_again
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.target.target import Connection, application_name, cancelling, connect
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.engine.verify.compare_blocks import Share, rows_if_equal

HELPED_BYTES = 32 << 20  # of a source: below, a helper's start takes longer than it saves


def equal_tables(
    source: Source, shares: Sequence[Share], connection: Connection, url: TargetUrl, control: Control, *, jobs: int
) -> dict[str, int]:
    """Rows by source table of those tables whose every share is equal. Others are left to be looked at cell by cell.

    The connection is in a repeatable read transaction. Raises Failed, Cancelled.
    """
    work = _Work(source, shares, connection, control)
    helpers = min(jobs, len(shares)) - 1 if source.size >= HELPED_BYTES else 0
    if helpers > 0:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_export_snapshot()")
            task = (help_comparing, source.address, url, str(cursor.fetchone()[0]))
        work.run([Helper(task, source.is_alone)] * helpers)
    else:
        work.run([])
    return work.equal()


class _Work:
    """The shares, those of large tables first; a table that isn't equal is not gone on with."""

    def __init__(self, source: Source, shares: Sequence[Share], connection: Connection, control: Control) -> None:
        self._source, self._connection, self._control = source, connection, control
        self._lock = threading.Lock()
        self._unequal: set[str] = set()
        of_table = Counter(share.table.name for share in shares)
        self._rows = dict.fromkeys(of_table, 0)
        self._shares = sorted(shares, key=lambda share: -of_table[share.table.name])

    def run(self, helpers: Sequence[Helper]) -> None:
        crew = Crew(self._shares, self._compare, self._done, lambda share: share.table.name not in self._unequal)
        crew.run(self._control, helpers)

    def equal(self) -> dict[str, int]:
        return {name: rows for name, rows in self._rows.items() if name not in self._unequal}

    def _compare(self, share: Share, control: Control) -> Iterator[int | None]:
        name = share.table.name

        def tell(rows: int) -> None:
            control.progress("verify", name, self._rows[name] + rows, 0)

        with cancelling(self._connection, control):
            yield rows_if_equal(self._source, share, self._connection, control, tell)

    def _done(self, share: Share, rows: int | None) -> None:
        name = share.table.name
        with self._lock:
            if rows is None:
                self._unequal.add(name)
            else:
                self._rows[name] += rows
                self._control.progress("verify", name, self._rows[name], 0)


def help_comparing(channel: Channel, control: Control, address: Address, url: TargetUrl, snapshot: str) -> None:
    """A helper's life: says which file it opened, then compares the shares that it is given."""
    with open_again(address, control) as source:
        connection = connect(url, application_name=application_name("verify", 0))
        try:
            connection.set_session(isolation_level="REPEATABLE READ", readonly=True)
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION SNAPSHOT %s", (snapshot,))

            def compare(share: Share) -> list[int | None]:
                return [rows_if_equal(source, share, connection, control, lambda _: control.checkpoint())]

            with cancelling(connection, control):
                lend_hand(channel, source.identity, compare)
        finally:
            connection.close()
