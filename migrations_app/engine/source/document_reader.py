"""Reads a single JSON document of tables as a stream of rows, and says exactly where it is wrong."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Refused
from migrations_app.engine.source.cells import MAX_INTEGER, MIN_INTEGER, Cell, CellError, Row, is_unicode, unwrap
from migrations_app.engine.source.json_stream import BadJson, JsonStream
from migrations_app.engine.source.schema import SourceColumn, SourceSchema, SourceTable

_REPORT_EVERY = 10_000  # rows


@dataclass(frozen=True)
class DocumentTable:
    """`columns` are those of its first row, or of the document's own list; () for an empty table without one."""

    name: str
    columns: tuple[str, ...]
    rows: int


class _Bad(Exception):
    """Wrong here; `where` is filled in by whoever knows."""


def scan_document(path: Path, control: Control) -> tuple[DocumentTable, ...]:
    """Read all of it once. Raises Refused BAD_DOCUMENT with table, row and column."""
    tables: list[DocumentTable] = []
    extras: dict[str, object] = {}
    where = _Location()
    try:
        for name, rows in _walk(path, where, extras):
            if any(table.name == name for table in tables):
                raise _Bad("the table is there twice")
            columns: tuple[str, ...] = ()
            count = 0
            for found, _cells in rows:
                columns = found
                count += 1
                if count % _REPORT_EVERY == 0:
                    control.progress("profile", name, count, 0)
            control.checkpoint()
            tables.append(DocumentTable(name, columns, count))
        _check_counts(extras.get("row_counts"), tables)
    except (BadJson, _Bad, CellError) as error:
        raise _refused(path, where, str(error)) from None
    listed = _listed_columns(extras.get("columns"))
    return tuple(
        table if table.columns else DocumentTable(table.name, listed.get(table.name, ()), 0) for table in tables
    )


class DocumentSource:
    """The rows of a scanned document, table after table (a RowSource for write_export)."""

    def __init__(self, path: Path, tables: Sequence[DocumentTable]) -> None:
        self._path = path
        self._location = _Location()
        self._tables = _walk(path, self._location, {})
        self.schema = _schema(tables)

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Row]:
        """Tables must be asked for in the document's order; those passed over are skipped."""
        try:
            for name, rows in self._tables:
                for found, cells in rows:
                    if name == table:
                        yield tuple(cells) if found == columns else tuple(cells[found.index(c)] for c in columns)
                if name == table:
                    return
        except (BadJson, _Bad, CellError) as error:  # it changed since it was scanned
            raise _refused(self._path, self._location, str(error)) from None


@dataclass
class _Location:
    """Where the reader stands, for the message."""

    table: str = ""
    row: int = 0
    column: str = ""

    def __str__(self) -> str:
        if not self.table:
            return ""
        row = f", row {self.row}" if self.row else ""
        return f" at table {self.table!r}{row}" + (f", column {self.column!r}" if self.column else "")


def _refused(path: Path, where: _Location, why: str) -> Refused:
    return Refused("BAD_DOCUMENT", f"{path} can't be loaded{where}: {why}.", "Export again; don't edit an export.")


_Rows = Iterator[tuple[tuple[str, ...], list[Cell]]]


def _walk(path: Path, where: _Location, extras: dict[str, object]) -> Iterator[tuple[str, _Rows]]:
    """Each table with an iterator of its rows, which must be used up before the next one is asked for.

    Members of the document beside the tables land in `extras`.
    """
    seen: set[str] = set()
    with JsonStream(path) as stream:
        for member in _members(stream):
            if member in seen:
                raise _Bad("a member is there twice")
            seen.add(member)
            if member != "tables":
                extras[member] = stream.value()
                continue
            for name in _members(stream):
                where.table, where.row, where.column = name, 0, ""
                yield name, _rows(stream, where)
            where.table = ""
        stream.end()
    if "tables" not in seen:
        raise _Bad("it has no member 'tables'")


def _members(stream: JsonStream) -> Iterator[str]:
    """The names of an object's members; the caller reads each value before it asks for the next name."""
    stream.expect("{")
    if stream.take("}"):
        return
    while True:
        name = stream.value()
        if not isinstance(name, str) or not is_unicode(name):
            raise _Bad("a name must be a string, without lone surrogates")
        stream.expect(":")
        yield name
        if stream.take("}"):
            return
        stream.expect(",")


def _rows(stream: JsonStream, where: _Location) -> _Rows:
    stream.expect("[")
    columns: tuple[str, ...] = ()
    if stream.take("]"):
        return
    while True:
        where.row += 1
        row = stream.value()
        if not isinstance(row, dict) or not row:
            raise _Bad("a row must be an object with columns")
        columns = columns or tuple(row)
        if where.row == 1 and not all(map(is_unicode, columns)):
            raise _Bad("a column's name holds a lone surrogate")
        if row.keys() != set(columns):
            odd = sorted(row.keys() ^ set(columns))[0]
            raise _Bad(f"its columns aren't those of the first row (see {odd!r}); a missing value must be null")
        yield columns, _cells(row, columns, where)
        if stream.take("]"):
            where.row = 0
            return
        stream.expect(",")


def _cells(row: dict[str, Any], columns: Sequence[str], where: _Location) -> list[Cell]:
    cells: list[Cell] = []
    for column in columns:
        where.column = column
        cells.append(_cell(row[column]))
    where.column = ""
    return cells


def _cell(value: Any) -> Cell:
    """One JSON value as a cell. Raises _Bad, CellError."""
    if value is None:
        return None
    if isinstance(value, bool):
        return int(value)  # other tools write true; SQLite itself has only 1
    if isinstance(value, int):
        if not MIN_INTEGER <= value <= MAX_INTEGER:
            raise _Bad("an integer of more than 64 bits")
        return value
    if isinstance(value, float):
        if value - value != 0.0:
            raise _Bad("a number beyond double precision")
        return value
    if isinstance(value, str):
        if not is_unicode(value):
            raise _Bad("a string holds a lone surrogate")
        return value
    if isinstance(value, dict) and len(value) == 1:
        ((tag, wrapped),) = value.items()
        if isinstance(wrapped, str):
            return unwrap(tag, wrapped)
    raise _Bad('an array or an object is no cell, but for {"b": hex}, {"t": hex} and {"r": "inf"}')


def _check_counts(counts: object, tables: Sequence[DocumentTable]) -> None:
    if counts is None:
        return
    if counts != {table.name: table.rows for table in tables}:
        raise _Bad("its row_counts aren't the rows that it holds")


def _listed_columns(listed: object) -> dict[str, tuple[str, ...]]:
    if not isinstance(listed, dict):
        return {}
    return {
        name: tuple(columns)
        for name, columns in listed.items()
        if isinstance(columns, list) and all(isinstance(column, str) for column in columns)
    }


def _schema(tables: Sequence[DocumentTable]) -> SourceSchema:
    """A schema without types or keys: the target's tables have them."""
    text = json.dumps([(table.name, table.columns) for table in tables])
    return SourceSchema(
        encoding="UTF-8",
        journal_mode="delete",
        page_size=0,
        user_version=0,
        tables=tuple(_source_table(table) for table in sorted(tables, key=lambda table: table.name) if table.columns),
        views=(),
        triggers=(),
        sequences=(),
        digest=hashlib.sha256(text.encode()).hexdigest(),
    )


def _source_table(table: DocumentTable) -> SourceTable:
    columns = tuple(SourceColumn(name, "", not_null=False, default=None, pk_position=0) for name in table.columns)
    quoted = ", ".join('"' + name.replace('"', '""') + '"' for name in table.columns)
    return SourceTable(
        name=table.name,
        kind="table",
        columns=columns,
        primary_key=(),
        key=(),
        rowid_alias=None,
        without_rowid=False,
        strict=False,
        autoincrement=False,
        indexes=(),
        foreign_keys=(),
        checks=(),
        sql='CREATE TABLE "' + table.name.replace('"', '""') + f'" ({quoted})',
    )
