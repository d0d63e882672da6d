"""A table's rows as ready-made lines of an export, in blocks; in parts that can be read side by side.

Two ways to the same bytes. The fast one lets SQLite write whole blocks of lines (line_sql.py). The careful one reads
rows into Python and encodes each cell; it takes over, block by block, where the fast one fails or isn't exact.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import NamedTuple

from migrations_app.engine import line_sql
from migrations_app.engine.cells import Row, encode_row
from migrations_app.engine.profile import ColumnProfile, TableProfile
from migrations_app.engine.schema import SourceTable
from migrations_app.engine.sqlite_source import Source, quote_name

PART_ROWS = 200_000
BLOCK_ROWS = 1_000
BLOCK_BYTES = 4 << 20  # that SQLite may build; a block that would be larger comes row by row
FAST = True  # tests turn it off, to show that both ways give the same bytes


class Block(NamedTuple):
    """`rows` whole lines, each with its newline."""

    raw: bytes
    rows: int


@dataclass(frozen=True)
class Part:
    """Rows of a table with rowids above `after`, up to `last`; None is no bound. `number` counts from 0."""

    table: str
    number: int
    after: int | None = None
    last: int | None = None


def parts(source: Source, name: str) -> tuple[Part, ...]:
    """Cut a table into parts of PART_ROWS rows by rowid. One that has none is one part, in the order of its key.

    Deterministic for one state of the file, so that parts can be made again.
    """
    table = source.schema.table(name)
    if not _by_rowid(table):
        return (Part(name, 0),)
    found: list[Part] = []
    after: int | None = None
    while (last := _rowid_at(source, table, Part(name, 0, after), PART_ROWS - 1)) is not None:
        found.append(Part(name, len(found), after, last))
        after = last
    return (*found, Part(name, len(found), after))


def only_blobs(source: Source, name: str, column: str) -> bool:
    """Whether the column holds nothing but BLOBs and NULL."""
    cell = quote_name(column)
    sql = f"SELECT 1 FROM {quote_name(name)} WHERE typeof({cell}) NOT IN ('blob', 'null') LIMIT 1"
    return next(source.query(sql), None) is None


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
        self.checked = profile is not None  # no text of the table is invalid
        kinds = _kinds(profile)
        self.line = line_sql.export_line(
            [line_sql.export_cell(c, kinds.get(c, line_sql.ANY_KIND), hex_strings=c in hex_columns) for c in columns]
        )
        invalid = profile is not None and any(column.invalid for column in profile.columns)
        plain = self.table.kind == "table" and source.schema.encoding == "UTF-8"
        self.fast = FAST and plain and bool(columns) and not invalid and line_sql.prepare(source)

    def blocks(self, part: Part, skip: int = 0) -> Iterator[Block]:
        """The part's lines but for the first `skip` rows. Raises Refused, Failed, Cancelled as Source.rows() does."""
        if not _by_rowid(self.table):
            yield from self._in_order_of_key(skip)
            return
        if skip:
            last = _rowid_at(self.source, self.table, part, skip - 1)
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
        """One block by SQL and the rowid that it ends at; no block where that can't be had."""
        if not self.fast:
            return None, None
        name, key = quote_name(self.table.name), self.table.rowid_name
        condition, parameters = _range(self.table, part)
        lines = f"SELECT {self.line} AS line, {key} AS key FROM {name} NOT INDEXED{condition} ORDER BY {key}"
        sql = f"SELECT CAST(group_concat(line, char(10)) AS BLOB), count(*), max(key) FROM ({lines} LIMIT {BLOCK_ROWS})"
        self.source.limit_row(BLOCK_BYTES)
        try:
            raw, rows, last = self.source.select(sql, parameters).fetchone()
        except (
            sqlite3.Error
        ):  # too large, a cell that no line can hold, or trouble that the careful way meets and tells
            return None, None
        finally:
            self.source.limit_row()
        if not rows:
            return Block(b"", 0), None
        return (Block(raw + b"\n", rows), last) if self.checked or _is_utf8(raw) else (None, None)

    def _careful_lines(self, part: Part) -> Iterator[tuple[int, bytes]]:
        rows = self.source.rows_by_rowid(self.table.name, self.columns, part.after, part.last, BLOCK_ROWS)
        for key, row in rows:
            yield key, encode_row(row, self.hex_positions)

    def _in_order_of_key(self, skip: int) -> Iterator[Block]:
        """WITHOUT ROWID and virtual tables: one long SELECT, since no part of it can be asked for by itself."""
        done = skip
        if self.fast:
            sql = f"SELECT CAST({self.line} AS BLOB) FROM {quote_name(self.table.name)} {self._order()}"
            try:
                cursor = self.source.select(sql)
                for _ in islice(cursor, skip):
                    pass
                while batch := cursor.fetchmany(BLOCK_ROWS):
                    raw = b"\n".join([line for (line,) in batch])
                    if not (self.checked or _is_utf8(raw)):
                        break
                    yield Block(raw + b"\n", len(batch))
                    done += len(batch)
                else:
                    return
            except sqlite3.Error:  # what is wrong with which row, the careful way finds out
                pass
        rows: Iterator[Row] = self.source.rows(self.table.name, self.columns)
        for row in islice(rows, done, None):
            yield Block(encode_row(row, self.hex_positions), 1)

    def _order(self) -> str:
        order = self.source.order_of(self.table.name)
        return f"ORDER BY {order}" if order else ""


def _kinds(profile: TableProfile | None) -> Mapping[str, Collection[str]]:
    return {column.name: column.kinds for column in profile.columns} if profile else {}


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


def _by_rowid(table: SourceTable) -> bool:
    return table.kind == "table" and bool(table.rowid_name)


def _range(table: SourceTable, part: Part) -> tuple[str, tuple[int, ...]]:
    bounds = [(f"{table.rowid_name} > ?", part.after), (f"{table.rowid_name} <= ?", part.last)]
    used = [(text, value) for text, value in bounds if value is not None]
    condition = " WHERE " + " AND ".join(text for text, _value in used) if used else ""
    return condition, tuple(value for _text, value in used)


def _rowid_at(source: Source, table: SourceTable, part: Part, offset: int) -> int | None:
    """The rowid of the part's row at that place, None when the part is shorter."""
    condition, parameters = _range(table, part)
    key = table.rowid_name
    sql = f"SELECT {key} FROM {quote_name(table.name)} NOT INDEXED{condition} ORDER BY {key} LIMIT 1 OFFSET {offset}"
    found = next(source.query(sql, parameters), None)
    return None if found is None else int(found[0])  # type: ignore[arg-type]


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


__all__ = ["Block", "Part", "PartReader", "class_counts", "only_blobs", "parts"]
