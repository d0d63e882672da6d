"""A table's rows as ready-made lines of an export, in blocks; in parts that can be read side by side.

Two ways to the same bytes. The fast one lets SQLite write whole blocks of lines (line_sql.py). The careful one reads
rows into Python and encodes each cell; it takes over, block by block, where the fast one fails or isn't exact.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from itertools import islice
from typing import NamedTuple

from migrations_app.engine.profile.profile import ColumnProfile, TableProfile
from migrations_app.engine.source import line_sql
from migrations_app.engine.source.cells import Row, encode_row
from migrations_app.engine.source.row_ranges import Part, bound_condition, is_by_rowid
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.sqlite_source import Source, quote_name
from migrations_app.engine.source.table_parts import rowid_at

BLOCK_ROWS = 1_000
_SAMPLE_ROWS = 1_000
_OFTEN = 100  # times that a sample must hold a real to be called repeated: else comparing costs more than it saves
_MOST_REPEATED = 4  # of a column: every other cell is compared with each of them
BLOCK_BYTES = 4 << 20  # that SQLite may build; a block that would be larger comes row by row
FAST = True  # tests turn it off, to show that both ways give the same bytes


class Block(NamedTuple):
    """`rows` whole lines, each with its newline."""

    raw: bytes
    rows: int


def only_blobs(source: Source, name: str, column: str) -> bool:
    """Whether the column holds nothing but BLOBs and NULL."""
    cell = quote_name(column)
    sql = f"SELECT 1 FROM {quote_name(name)} WHERE typeof({cell}) NOT IN ('blob', 'null') LIMIT 1"
    return next(source.query(sql), None) is None


class NotByLines(Exception):
    """SQLite can't write these rows: one is too large or holds a cell that no line can hold, or the file is damaged."""


class LineReader:
    """Blocks of lines that SQLite writes: `line` is the SQL of one. Raises NotByLines where it can't."""

    def __init__(self, source: Source, table: SourceTable, line: str, *, checked: bool = False) -> None:
        self.source, self.table, self.line = source, table, line
        self.checked = checked  # every text of the table is known to be valid

    def block(self, part: Part) -> tuple[Block, int | None]:
        """The first BLOCK_ROWS rows of the part, and the rowid of the last; one query, and no Python object a row."""
        name, key = quote_name(self.table.name), self.table.rowid_name
        condition, bounds = bound_condition(self.table, part)
        lines = f"SELECT {self.line} AS line, {key} AS key FROM {name} NOT INDEXED{condition} ORDER BY {key}"
        sql = f"SELECT CAST(group_concat(line, '\n') AS BLOB), count(*), max(key) FROM ({lines} LIMIT {BLOCK_ROWS})"
        self.source.limit_row(BLOCK_BYTES)
        try:
            raw, rows, last = self.source.select(sql, bounds).fetchone()
        except sqlite3.Error as error:
            raise NotByLines from error
        finally:
            self.source.limit_row()
        return (self._block(raw, rows), last) if rows else (Block(b"", 0), None)

    def in_order_of_key(self, skip: int = 0) -> Iterator[Block]:
        """The whole table, in one long SELECT: no part of it can be asked for by itself."""
        order = self.source.order_of(self.table.name)
        sql = f"SELECT CAST({self.line} AS BLOB) FROM {quote_name(self.table.name)}"
        try:
            cursor = self.source.select(f"{sql} ORDER BY {order}" if order else sql)
            for _ in islice(cursor, skip):
                pass
            while batch := cursor.fetchmany(BLOCK_ROWS):
                yield self._block(b"\n".join([line for (line,) in batch]), len(batch))
        except sqlite3.Error as error:
            raise NotByLines from error

    def _block(self, raw: bytes, rows: int) -> Block:
        if not self.checked:
            try:
                raw.decode()
            except UnicodeDecodeError as error:
                raise NotByLines from error
        return Block(raw + b"\n", rows)


class PartReader:
    """Reads parts of one table on one connection. `profile` must have been made of the very same snapshot."""

    def __init__(
        self,
        source: Source,
        name: str,
        columns: Sequence[str],
        hex_columns: Collection[str] = (),
        profile: TableProfile | None = None,
    ) -> None:
        self.source = source
        self.table = source.schema.table(name)
        self.columns = tuple(columns)
        self.hex_positions = tuple(position for position, column in enumerate(columns) if column in hex_columns)
        repeated = repeated_reals(source, self.table, profile) if profile is not None else {}
        cells = [_cell(self.table, c, c in hex_columns, profile, repeated.get(c, ())) for c in columns]
        self.reader = LineReader(source, self.table, line_sql.export_line(cells), checked=profile is not None)
        invalid = profile is not None and any(column.invalid for column in profile.columns)
        self.fast = can_write_lines(source, self.table) and bool(columns) and not invalid

    def blocks(self, part: Part, skip: int = 0) -> Iterator[Block]:
        """The part's lines but for the first `skip` rows. Raises Refused, Failed, Cancelled as Source.rows() does."""
        if not is_by_rowid(self.table):
            yield from self._in_order_of_key(skip)
            return
        if skip:
            last = rowid_at(self.source, self.table, part, skip - 1)
            if last is None:
                return
            part = replace(part, after=last)
        count = BLOCK_ROWS
        while count == BLOCK_ROWS:
            block, last = self._fast_block(part)
            if block is not None:
                count = block.rows
                yield block
            else:
                count, last = 0, part.after
                for key, line in self._careful_lines(part):
                    yield Block(line, 1)
                    count, last = count + 1, key
            part = replace(part, after=last)

    def _fast_block(self, part: Part) -> tuple[Block | None, int | None]:
        if not self.fast:
            return None, None
        try:
            return self.reader.block(part)
        except NotByLines:  # what is wrong with which row, the careful way finds out
            return None, None

    def _careful_lines(self, part: Part) -> Iterator[tuple[int, bytes]]:
        rows = self.source.rows_by_rowid(part, self.columns, BLOCK_ROWS)
        for key, row in rows:
            yield key, encode_row(row, self.hex_positions)

    def _in_order_of_key(self, skip: int) -> Iterator[Block]:
        """WITHOUT ROWID and virtual tables."""
        done = skip
        if self.fast:
            try:
                for block in self.reader.in_order_of_key(skip):
                    yield block
                    done += block.rows
                return
            except NotByLines:
                pass
        rows: Iterator[Row] = self.source.rows(self.table.name, self.columns)
        for row in islice(rows, done, None):
            yield Block(encode_row(row, self.hex_positions), 1)


def can_write_lines(source: Source, table: SourceTable) -> bool:
    """Whether SQLite may write the lines of this table at all; makes the functions for it known to the connection."""
    return FAST and table.kind == "table" and source.schema.encoding == "UTF-8" and line_sql.prepare(source)


def _cell(
    table: SourceTable, name: str, hex_strings: bool, profile: TableProfile | None, repeated: Sequence[float]
) -> str:
    if profile is not None or hex_strings:
        kinds = profile.column(name).kinds if profile is not None else ()
        return line_sql.export_cell(name, kinds, hex_strings=hex_strings, repeated=repeated)
    column = next(column for column in table.columns if column.name == name)
    return line_sql.unprofiled_cell(column, typed=table.kind == "table")


def repeated_reals(source: Source, table: SourceTable, profile: TableProfile) -> dict[str, tuple[float, ...]]:
    """By column of nothing but reals: those that its first rows repeat most. Halves of days, rates, nothing at all.

    Printing a real and proving that no digit is lost is dear, and most columns of reals say the same few things.
    """
    names = [column.name for column in profile.columns if set(column.kinds) == {"real"}]
    if not names or table.kind != "table":
        return {}
    cells = ", ".join(quote_name(name) for name in names)
    try:
        rows = source.select(
            f"SELECT {cells} FROM {quote_name(table.name)} NOT INDEXED LIMIT {_SAMPLE_ROWS}"
        ).fetchall()
    except sqlite3.Error:  # what is wrong with which row, reading them will tell
        return {}
    found = {}
    for name, values in zip(names, zip(*rows, strict=True), strict=False):
        counts = Counter(value for value in values if type(value) is float).most_common(_MOST_REPEATED)
        found[name] = tuple(value for value, count in counts if count >= _OFTEN)
    return found


def class_counts(column: ColumnProfile) -> dict[str, int]:
    """Cells by storage class, as the manifest has them; classes that don't occur aren't named."""
    counts = {
        "blob": column.blobs,
        "integer": column.integers,
        "invalid_text": column.invalid,
        "null": column.nulls,
        "real": column.reals,
        "text": column.texts,
    }
    return {name: count for name, count in counts.items() if count}
