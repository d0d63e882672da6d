"""The quick proof that rows are equal: both sides print them in the order of the key, and the bytes are the same.

SQLite writes its rows as PostgreSQL prints them (printed_sql.py), a thousand at a time. No cell becomes a Python
object. It only ever says "equal" or "not shown to be": what differs, and where, the careful way finds out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import psycopg2

from migrations_app.engine.control import Control
from migrations_app.engine.export.source_lines import Block, LineReader, NotByLines, can_write_lines
from migrations_app.engine.load.copy_direct import OPTIONS, csv_lines
from migrations_app.engine.plan import TablePlan
from migrations_app.engine.source.line_sql import export_line
from migrations_app.engine.source.row_ranges import Part
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.target.pg_names import quote
from migrations_app.engine.target.target import Connection, database_failed
from migrations_app.engine.verify.copy_out import BytesOut
from migrations_app.engine.verify.printed_sql import printed_cells

_REPORT_EVERY = 20  # blocks
_MASK = 2**256 - 1


@dataclass(frozen=True)
class Share:
    """Rows of a table that are compared by themselves: those of `part`, and `select` gives them from the target.

    `select` names the target's columns in the plan's order; its rows are in the order of the key, where `ordered`.
    """

    table: TablePlan
    part: Part
    select: str
    ordered: bool


class Printing:
    """Both sides of a share as CSV: the blocks that SQLite writes, and the COPY that prints the same."""

    def __init__(self, source: Source, share: Share) -> None:
        self.share, self.table = share, source.schema.table(share.table.name)
        planned = share.table.loaded_columns
        cells = printed_cells(source, self.table.kind, planned)
        quoted = [quote(column.target_name) for column, cell in zip(planned, cells, strict=True) if cell.quoted]
        force = f", FORCE_QUOTE ({', '.join(quoted)})" if quoted else ""
        self.copy_sql = f"COPY ({share.select}) TO STDOUT WITH ({OPTIONS}{force})"
        self.reader = LineReader(source, self.table, export_line([cell.sql for cell in cells]), checked=True)

    def blocks(self) -> Iterator[Block]:
        """In the order of the key, or in any; by rowid where that will do, so that SQLite makes whole blocks."""
        if not self.table.rowid_name or (self.share.ordered and self.table.rowid_alias is None):
            yield from self.reader.in_order_of_key()
            return
        part = self.share.part
        while True:
            block, last = self.reader.block(part)
            if not block.rows:
                return
            yield block
            part = Part(part.table, part.number, last, part.last)


def can_print(source: Source, table: TablePlan) -> bool:
    """Whether SQLite may print the table at all, and every row is meant to arrive."""
    fit = all(column.on_unfit == "fail" for column in table.loaded_columns)
    return fit and can_write_lines(source, source.schema.table(table.name))


def rows_if_equal(
    source: Source, share: Share, connection: Connection, control: Control, tell: Callable[[int], None]
) -> int | None:
    """How many rows the share has, if it is equal; None where that isn't shown. Raises Failed, Cancelled.

    `tell` is called now and then with how many of them have been looked at.
    """
    if not can_print(source, share.table):
        return None
    compare = _in_order if share.ordered else _in_any_order
    try:
        return compare(Printing(source, share), connection, control, tell)
    except NotByLines:
        control.checkpoint()
        return None


def _in_order(printing: Printing, connection: Connection, control: Control, tell: Callable[[int], None]) -> int | None:
    rows = 0
    with BytesOut(connection, printing.copy_sql, f"reading table {printing.share.table.target_name}") as theirs:
        for number, block in enumerate(printing.blocks(), start=1):
            ours = csv_lines(block.raw)
            if ours is None or theirs.read(len(ours)) != ours:
                control.checkpoint()
                return None
            rows += block.rows
            if number % _REPORT_EVERY == 0:
                tell(rows)
        return None if theirs.read(1) else rows


def _in_any_order(
    printing: Printing, connection: Connection, control: Control, tell: Callable[[int], None]
) -> int | None:
    """For rows that nothing tells apart: the same lines, each as often, in whatever order."""
    ours, theirs = _Sum(), _Sum()
    for number, block in enumerate(printing.blocks(), start=1):
        for line in _csv_of_each(block):
            if line is None:
                return None
            ours.write(line)
        if number % _REPORT_EVERY == 0:
            tell(ours.rows)
    control.checkpoint()
    try:
        with connection.cursor() as cursor:
            cursor.copy_expert(printing.copy_sql, theirs)
    except psycopg2.Error as error:
        control.checkpoint()
        raise database_failed(error, f"reading table {printing.share.table.target_name}") from None
    return ours.rows if (ours.rows, ours.total) == (theirs.rows, theirs.total) else None


class _Sum:
    """Rows counted, and their 256-bit digests added up: the same for the same rows in any order."""

    def __init__(self) -> None:
        self.rows = self.total = 0

    def write(self, line: bytes) -> int:
        """psycopg2 calls it with each row, its newline included."""
        self.rows += 1
        self.total = (self.total + int.from_bytes(hashlib.blake2b(line, digest_size=32).digest())) & _MASK
        return len(line)


def _csv_of_each(block: Block) -> Iterator[bytes | None]:
    if b"\\" not in block.raw:  # then no cell holds a newline
        yield from (csv_lines(block.raw) or b"").splitlines(keepends=True)
        return
    for line in block.raw.splitlines(keepends=True):
        yield csv_lines(line)
