"""The quick proof that a table is equal: both sides print it in the order of its key, and the bytes are the same.

SQLite writes its rows as PostgreSQL prints them (printed_sql.py), a thousand at a time. No cell becomes a Python
object. It only ever says "equal" or "not shown to be": what differs, and where, the careful way finds out.
"""

from __future__ import annotations

from collections.abc import Iterator

from migrations_app.engine.control import Control
from migrations_app.engine.copy_direct import OPTIONS, csv_lines
from migrations_app.engine.copy_out import BytesOut
from migrations_app.engine.line_sql import export_line
from migrations_app.engine.pg_names import quote
from migrations_app.engine.plan import TablePlan
from migrations_app.engine.printed_sql import printed_cells
from migrations_app.engine.schema import SourceTable
from migrations_app.engine.source_lines import Block, LineReader, NotByLines, Part, can_write_lines
from migrations_app.engine.sqlite_source import Source
from migrations_app.engine.target import Connection

_REPORT_EVERY = 20  # blocks


def equal_rows(source: Source, table: TablePlan, connection: Connection, select: str, control: Control) -> int | None:
    """How many rows the table has, if it is equal; None where that isn't shown.

    `select` gives the target's columns in the plan's order, its rows in the order of the key. Raises Failed, Cancelled.
    """
    found = source.schema.table(table.name)
    columns = table.loaded_columns
    if not can_write_lines(source, found) or any(column.on_unfit != "fail" for column in columns):
        return None
    cells = printed_cells(source, found.kind, columns)
    quoted = [quote(column.target_name) for column, cell in zip(columns, cells, strict=True) if cell.quoted]
    force = f", FORCE_QUOTE ({', '.join(quoted)})" if quoted else ""
    reader = LineReader(source, found, export_line([cell.sql for cell in cells]), checked=True)
    sql = f"COPY ({select}) TO STDOUT WITH ({OPTIONS}{force})"
    rows = 0
    with BytesOut(connection, sql, f"reading table {table.target_name}") as theirs:
        try:
            for number, block in enumerate(_in_order(reader, found), start=1):
                ours = csv_lines(block.raw)
                if ours is None or theirs.read(len(ours)) != ours:
                    control.checkpoint()
                    return None
                rows += block.rows
                if number % _REPORT_EVERY == 0:
                    control.progress("verify", table.name, rows, 0)
        except NotByLines:
            control.checkpoint()
            return None
        return None if theirs.read(1) else rows


def _in_order(reader: LineReader, table: SourceTable) -> Iterator[Block]:
    """In the order of the key: by rowid where that is the key, so that SQLite makes whole blocks."""
    if table.rowid_alias is None or not table.rowid_name:
        yield from reader.in_order_of_key()
        return
    part = Part(table.name, 0)
    while True:
        block, last = reader.block(part)
        if not block.rows:
            return
        yield block
        part = Part(table.name, 0, last)
