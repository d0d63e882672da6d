"""Brings what a spool holds into PostgreSQL, in the caller's transaction: keys, then away with their rows, then the
rows that there are, then the look whether PostgreSQL holds what was sent.

All dirty keys go before the first row comes, so that rows may have swapped their unique values.
"""

from __future__ import annotations

import re
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain

import psycopg2

from migrations_app.engine.control import Control
from migrations_app.engine.errors import EngineError, Failed
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.replay.dirty_rows import TableWay
from migrations_app.engine.replay.key_table import KeyTable
from migrations_app.engine.replay.read_back import Numbered, read_back, row_key
from migrations_app.engine.replay.spool import LineStream, Spool
from migrations_app.engine.target.target import Connection, Cursor, database_failed

_VALUE_REFUSED = ("22", "23", "54")  # SQLSTATE classes: data exceptions, integrity constraints, limits of a row
_LINE = re.compile(r"^COPY .*?, line (\d+)(?:, column ([^:]*))?", re.MULTILINE)
_BLOCK = 256 * 1024


@dataclass(frozen=True)
class Written:
    """`rows` that were sent; `deletes`: keys that have no row any more, whether the target had one or not."""

    rows: int
    deletes: int


class Applying:
    """One transaction's work."""

    def __init__(
        self,
        connection: Connection,
        cursor: Cursor,
        plan: MovePlan,
        ways: Mapping[int, TableWay],
        keys: KeyTable,
        control: Control,
    ) -> None:
        self.connection, self.cursor, self.plan = connection, cursor, plan
        self.ways, self.keys, self.control = ways, keys, control
        self._superseded: array[int] = array("q")

    def write(self, spool: Spool) -> Written:
        """Raises Failed VALUE_REFUSED, REPLAY_DIFFERS, TARGET_LOST …; psycopg2.Error; Cancelled."""
        self._send_keys(spool)
        self.keys.delete_targets(self.cursor, spool.tables)
        self.control.checkpoint()
        rows = sum(self._send_rows(spool, number) for number in spool.tables)
        for number in spool.tables:
            sql = self.keys.copy_out_sql(self.ways[number])
            read_back(self.connection, self.plan, self.ways[number], sql, self._rows(spool, number), self.control)
        return Written(rows, spool.keys - len(self._superseded) - rows)

    def _send_keys(self, spool: Spool) -> None:
        self.keys.make(self.cursor)
        self.cursor.copy_expert(self.keys.copy_in_sql, spool.key_lines(), size=_BLOCK)
        self.keys.analyze(self.cursor, spool.keys)
        if spool.repeats:
            self._superseded = self.keys.drop_superseded(self.connection, self.cursor)

    def _send_rows(self, spool: Spool, number: int) -> int:
        way = self.ways[number]
        lines = self._rows(spool, number)
        first = next(lines, None)
        if first is None:
            return 0
        stream = LineStream((row + b"\n" for _, row in chain((first,), lines)), self.control.checkpoint)
        try:
            self.cursor.copy_expert(way.writer.copy_in_sql(self.plan.target_schema), stream, size=_BLOCK)
        except psycopg2.Error as error:
            if stream.error is not None:
                raise stream.error from None
            self.control.checkpoint()
            raise self._refused(error, way, spool) from None
        return int(self.cursor.rowcount)

    def _rows(self, spool: Spool, number: int) -> Iterator[Numbered]:
        """Those of the last read of each key."""
        older = iter(self._superseded)
        skipped = next(older, 0)
        for each in spool.rows(number):
            while skipped and skipped < each[0]:
                skipped = next(older, 0)
            if each[0] != skipped:
                yield each

    def _refused(self, error: psycopg2.Error, way: TableWay, spool: Spool) -> EngineError:
        """Table, column and row of what PostgreSQL refused. Its own message quotes values: not passed on."""
        state, name = error.pgcode or "", way.table.name
        if state[:2] not in _VALUE_REFUSED:
            return database_failed(error, f"bringing over rows of {name}")
        found = _LINE.search(error.diag.context or "")
        column = (found and found[2]) or error.diag.column_name or ""
        targets = dict(zip(way.writer.target_columns, way.writer.columns, strict=True))
        place = f"{name}.{targets[column]}" if column in targets else name
        what = f"constraint {error.diag.constraint_name}" if error.diag.constraint_name else f"SQLSTATE {state}"
        return Failed(
            "VALUE_REFUSED",
            f"PostgreSQL refused a value of {place} in {self._where(spool, way, found)} ({what}).",
            "The application wrote what the plan's type or constraint doesn't hold: mend the row, or plan again.",
        )

    def _where(self, spool: Spool, way: TableWay, found: re.Match[str] | None) -> str:
        secret = {each.column for each in self.plan.encrypted if each.table == way.table.name}
        wanted = int(found[1]) if found else 0
        for place, (_, row) in enumerate(self._rows(spool, way.number), start=1):
            if place == wanted:
                return f"row {row_key(way, row, secret)}"
        return "a row that changed"
