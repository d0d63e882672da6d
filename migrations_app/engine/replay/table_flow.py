"""The rows of one table that changed on PostgreSQL, brought home into the application's file.

Two passes over the same snapshot. First every row that is no longer what it was goes, then each row that there is
comes, and is read from the file again: converted, it must be the very text that PostgreSQL holds. A row that is already
so is left alone, its bytes untouched.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from migrations_app.engine.control import Control
from migrations_app.engine.conversions.conversions import RowUnfit, Unfit, conversion, row_converter
from migrations_app.engine.conversions.inverse import RowInverse
from migrations_app.engine.errors import Failed
from migrations_app.engine.plan import FAIL, MovePlan
from migrations_app.engine.replay.file_table import FileTable
from migrations_app.engine.replay.target_changes import ChangeReader, TableChanges, Texts
from migrations_app.engine.source.cells import Cell, Row
from migrations_app.engine.source.row_keys import row_key_text
from migrations_app.engine.source.schema import SourceTable

T = TypeVar("T")
_REPORT_EVERY = 5000  # rows


@dataclass(frozen=True)
class TableFlowed:
    """`rows` that were written, `deletes`: keys that have no row any more."""

    rows: int
    deletes: int


class TableFlow:
    def __init__(
        self,
        file: sqlite3.Connection,
        source: SourceTable,
        encoding: str,
        plan: MovePlan,
        changes: TableChanges,
        inverse: RowInverse,
        reader: ChangeReader,
        control: Control,
    ) -> None:
        self._changes, self._inverse, self._reader, self._control = changes, inverse, reader, control
        self._table = changes.table
        self._convert = row_converter(self._table)
        self._leaves_out = any(column.on_unfit != FAIL for column in self._table.loaded_columns)
        self._key_undo = [inverse.undo(name) for name in changes.key]
        self._secret = {each.column for each in plan.encrypted if each.table == self._table.name}
        self._file = FileTable(file, source, inverse, changes.key, encoding, self._unchanged)

    def bring(self) -> TableFlowed:
        """Raises Failed NO_WAY_BACK_FOR_VALUE (table, column and key; never a value); sqlite3.Error; Cancelled."""
        if self._changes.truncated:
            self._file.clear(self._converted, self._leaves_out)
            return TableFlowed(sum(self._put(*each) for each in self._watched(self._reader.everything())), 0)
        for key, row in self._watched(self._reader.changed()):
            self._take_away(key, row)
        rows = deletes = 0
        for key, row in self._watched(self._reader.changed()):
            if row is None:
                self._assert_gone(key)
                deletes += 1
            else:
                rows += self._put(key, row)
        return TableFlowed(rows, deletes)

    def _watched(self, found: Iterator[T]) -> Iterator[T]:
        for number, each in enumerate(found):
            if number % _REPORT_EVERY == 0:
                self._control.progress("flow", self._table.name, number, self._changes.waiting)
            yield each

    # First pass

    def _take_away(self, key_texts: Texts, row: Texts | None) -> None:
        key = self._key(key_texts)
        there = self._file.read(key)
        if there is None:
            return
        texts = self._converted(there)
        if texts is None:
            if row is not None:
                raise self._no_way(key, "", "SQLite has a row of that key, which the plan left out")
            return
        if texts != row:
            self._file.take_away(key)

    def _key(self, texts: Texts) -> Row:
        cells: list[Cell] = []
        for name, undo, text in zip(self._changes.key, self._key_undo, texts, strict=True):
            try:
                cells.append(None if text is None else undo(text))
            except Unfit as error:
                raise self._no_way(texts, name, error.why) from None
        return tuple(cells)

    def _converted(self, row: Row) -> tuple[str | None, ...] | None:
        """As the plan converts it; None for a row that it leaves out; () for one that it has no answer for."""
        try:
            return self._convert(row)
        except RowUnfit:
            return ()

    def _unchanged(self, place: int, cell: Cell, text: str) -> bool:
        column = self._inverse.columns[place]
        try:
            return conversion(column.conversion, column.target_type).convert(cell) == text
        except Unfit:
            return False

    # Second pass

    def _assert_gone(self, key_texts: Texts) -> None:
        key = self._key(key_texts)
        there = self._file.read(key)
        if there is not None and self._converted(there) is not None:
            raise self._no_way(key, "", "it is still there after it was taken away")

    def _put(self, key_texts: Texts, texts: Texts) -> int:
        """Write a row unless it is there already; 1 when it was written."""
        key = self._key(key_texts)
        there = self._file.read(key)
        if there is not None:
            self._assert_kept(key, there, texts)
            return 0
        try:
            cells = self._inverse.cells(texts)
        except RowUnfit as error:
            raise self._no_way(key, error.column, error.why) from None
        try:
            self._file.put(key, cells, texts)
        except (sqlite3.IntegrityError, OverflowError) as error:
            raise self._no_way(key, "", f"SQLite refuses the row ({error})") from None
        self._assert_kept(key, self._file.read(key), texts)
        return 1

    def _assert_kept(self, key: Row, row: Row | None, texts: Texts) -> None:
        if row is None:
            raise self._no_way(key, "", "SQLite has it under another key")
        try:
            found = self._convert(row)
        except RowUnfit as error:
            raise self._no_way(key, error.column, error.why) from None
        if found is None:
            raise self._no_way(key, "", "the plan would leave the row out")
        for column, one, other in zip(self._inverse.columns, found, texts, strict=True):
            if one != other:
                raise self._no_way(key, column.name, "SQLite keeps it as another value")

    def _no_way(self, key: Sequence[Cell], column: str, why: str) -> Failed:
        shown = tuple(
            "***" if name in self._secret else cell for name, cell in zip(self._changes.key, key, strict=True)
        )
        place = f"A value of {self._table.name}.{column}" if column else f"A row of {self._table.name}"
        return Failed(
            "NO_WAY_BACK_FOR_VALUE",
            f"{place}, in row {row_key_text(self._changes.key, shown)} of PostgreSQL, can't go back to SQLite: {why}.",
            "Change it on PostgreSQL, and it flows; else the way back without loss has ended.",
        )
