"""Rows that a plan leaves out by choice, as SQL that joins can ask: a row's children are orphans once it is gone.

What converts is decided by Python, in one pass over the tables that have such a choice; SQLite is then asked with a
function of the row's key. What is kept of a row is a hash of its key, 8 bytes.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence

from migrations_app.engine.control import Control
from migrations_app.engine.conversions.conversions import RowUnfit, row_converter
from migrations_app.engine.plan import FAIL, LOAD, SKIP_WIDE_ROW, ColumnPlan, TablePlan
from migrations_app.engine.source.cells import Cell, InvalidText, Row
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.sqlite_source import Source, quote_name

_CODEC = {"UTF-8": "utf-8", "UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}
_CHECKPOINT = 1000  # rows


class LeftOut:
    """Of the tables whose planned columns are given, by source name. A table is read when it is first asked about."""

    def __init__(self, source: Source, columns: Mapping[str, Sequence[ColumnPlan]], control: Control) -> None:
        self._source, self._columns, self._control = source, columns, control
        self._functions: dict[str, str] = {}

    def any_of(self, table: SourceTable) -> bool:
        """Whether rows of the table are left out."""
        return bool(self._function(table))

    def kept(self, table: SourceTable, alias: str = "") -> str:
        """A condition to go behind others: ' AND …' true for the rows that are moved, '' where all of them are."""
        function = self._function(table)
        if not function:
            return ""
        dot = f"{alias}." if alias else ""
        names = [f"{dot}{quote_name(name)}" for name in table.key]
        names = names or ([f"{dot}{table.rowid_name}"] if table.rowid_name else [])
        # Text by its bytes: Python's module couldn't take what isn't valid. So its kind has to be told besides.
        cells = [f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END" for name in names]
        return f" AND NOT {function}({', '.join([*cells, *(f'typeof({name})' for name in names)])})"

    def _function(self, table: SourceTable) -> str:
        if table.name not in self._functions:
            self._functions[table.name] = self._define(table)
        return self._functions[table.name]

    def _define(self, table: SourceTable) -> str:
        columns = [column for column in self._columns.get(table.name, ()) if column.load]
        if all(column.on_unfit == FAIL for column in columns):
            return ""
        found = array("q", sorted(self._keys(table, columns)))
        if not found:
            return ""
        name = f"causeway_left_out_{len(self._functions)}"

        def is_left_out(*cells: Cell) -> bool:
            wanted = hash(cells)
            place = bisect_left(found, wanted)
            return place < len(found) and found[place] == wanted

        self._source.define(name, is_left_out, -1)
        return name

    def _keys(self, table: SourceTable, columns: Sequence[ColumnPlan]) -> Iterator[int]:
        """Hashes of what kept() asks with. Rows that fit neither the plan nor a choice are findings of their own."""
        wide = any(column.on_unfit == SKIP_WIDE_ROW for column in columns)
        used = [column for column in columns if wide or column.on_unfit != FAIL]
        convert = row_converter(TablePlan(table.name, table.name, LOAD, tuple(used), ()))
        codec = _CODEC[self._source.schema.encoding]
        rows = self._source.rows_with_key(table.name, [column.name for column in used], ordered=False)
        for place, (key, row) in enumerate(rows):
            if place % _CHECKPOINT == 0:
                self._control.checkpoint()
            try:
                left = convert(row) is None
            except RowUnfit:
                left = False
            if left:
                yield hash(_as_asked(key, codec))


def _as_asked(key: Row, codec: str) -> tuple[Cell, ...]:
    """A key as SQLite hands it to the function: its cells, text by its bytes, and then their kinds."""
    cells = tuple(_bytes_of(cell, codec) for cell in key)
    return (*cells, *(_KINDS[type(cell)] for cell in key))


def _bytes_of(cell: Cell, codec: str) -> Cell:
    if isinstance(cell, InvalidText):
        return cell.raw
    return cell.encode(codec) if isinstance(cell, str) else cell


_KINDS: dict[type, str] = {
    int: "integer",
    float: "real",
    str: "text",
    InvalidText: "text",
    bytes: "blob",
    type(None): "null",
}
