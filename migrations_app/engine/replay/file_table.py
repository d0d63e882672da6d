"""One table of the application's file, as rows come home to it: read, take away, put back, inside our transaction.

What PostgreSQL doesn't hold of a row stays with it: its rowid where that is no column, columns that the plan leaves
out, and the spelling of JSON that didn't change. It waits in a temporary table between taking the row away and putting
it back; all rows that changed go first, since they may have swapped unique values.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence

from migrations_app.engine.conversions.inverse import RowInverse
from migrations_app.engine.source.cells import MAX_INTEGER, Cell, InvalidText, Row
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.sqlite_source import quote_name

_CODEC = {"UTF-8": "utf-8", "UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}
_FETCH = 500
# Said aloud, since a table may declare ON CONFLICT REPLACE: a row that PostgreSQL takes beside another, and SQLite
# doesn't, would take that one away without a word.
_INSERT = "INSERT OR ABORT INTO"

Texts = Sequence[str | None]
Convert = Callable[[Row], tuple[str | None, ...] | None]


class FileTable:
    """`key`: the columns, by the source's names, that tell rows apart. All methods raise sqlite3.Error.

    `unchanged`: asked of a column that comes back in another spelling: (place, old cell, text) -> whether the old cell
    still says what PostgreSQL holds.
    """

    def __init__(
        self,
        file: sqlite3.Connection,
        table: SourceTable,
        inverse: RowInverse,
        key: Sequence[str],
        encoding: str,
        unchanged: Callable[[int, Cell, str], bool],
    ) -> None:
        self._file, self._wide, self._codec = file, encoding != "UTF-8", _CODEC[encoding]
        self._unchanged = unchanged
        self._name = quote_name(table.name)
        loaded = [column.name for column in inverse.columns]
        self._columns = [quote_name(name) for name in loaded]
        self._key = [quote_name(name) for name in key]
        self._loose = [place for place, name in enumerate(loaded) if inverse.is_loose(name)]
        self._kept_columns = [
            quote_name(column.name)
            for column in table.columns
            if column.name not in loaded and not column.generated and not column.hidden
        ]
        # A rowid that no column shows, and that a name reaches.
        self._rowid = quote_name(table.rowid_name) if table.rowid_name and table.rowid_alias is None else ""
        self._keeps = bool(self._rowid or self._kept_columns or self._loose)
        self._next_rowid = self._highest_rowid() + 1 if self._rowid else 0
        self._made = False
        self._conditions: dict[tuple[tuple[bool, ...], bool], str] = {}
        self._reading = f"SELECT {', '.join(self._parts(self._columns))} FROM {self._name} WHERE "

    def _highest_rowid(self) -> int:
        found = self._file.execute(f"SELECT max({self._rowid}) FROM {self._name}").fetchone()[0]
        return int(found or 0)

    # Keys: the first comparison finds the row by its index, the others say whether it is the very same key.

    def _same(self, key: Row, *, kept: bool = False) -> str:
        """The same text again for the same kind of key: SQLite's statements are then prepared once."""
        odd = tuple(isinstance(cell, InvalidText) for cell in key)
        found = self._conditions.get((odd, kept))
        if found is None:
            found = self._conditions[odd, kept] = self._condition(odd, kept)
        return found

    def _condition(self, odd: tuple[bool, ...], kept: bool) -> str:
        parts = []
        for number, (name, is_odd) in enumerate(zip(self._key, odd, strict=True), start=1):
            value = f"CAST(?{number} AS TEXT)" if is_odd else f"?{number}"
            own = f"k{number}" if kept else name
            parts.append(f"{own} = {value} AND {own} COLLATE BINARY = {value} AND typeof({own}) = typeof({value})")
        return " AND ".join(parts)

    def read(self, key: Row) -> Row | None:
        """The cells of the columns that travel; None where there is no such row."""
        found = self._file.execute(self._reading + self._same(key), _bound(key)).fetchone()
        return None if found is None else self._narrow(found)

    def take_away(self, key: Row) -> None:
        same, values = self._same(key), _bound(key)
        if self._keeps:
            self._make()
            kept = [*self._key, *([self._rowid] if self._rowid else []), *self._kept_columns, *self._loose_columns]
            self._file.execute(
                f"INSERT INTO temp.causeway_kept SELECT {', '.join(kept)} FROM {self._name} WHERE {same}", values
            )
        self._file.execute(f"DELETE FROM {self._name} WHERE {same}", values)

    @property
    def _loose_columns(self) -> list[str]:
        return [self._columns[place] for place in self._loose]

    def _make(self) -> None:
        if self._made:
            return
        keys = [f"k{number}" for number in range(1, len(self._key) + 1)]
        rest = [f"u{number}" for number in range(1, len(self._kept_columns) + 1)]
        loose = [f"l{place}" for place in self._loose]
        columns = [*keys, *(["r"] if self._rowid else []), *rest, *loose]
        self._file.execute("DROP TABLE IF EXISTS temp.causeway_kept")
        self._file.execute(f"CREATE TEMP TABLE causeway_kept ({', '.join(columns)}, PRIMARY KEY ({', '.join(keys)}))")
        self._made = True

    def put(self, key: Row, cells: Row, texts: Texts) -> None:
        """A row that isn't there. `texts`: what PostgreSQL prints of its cells."""
        values = list(_bound(cells))
        marks = ["CAST(? AS TEXT)" if isinstance(cell, InvalidText) else "?" for cell in cells]
        before = self._kept(key) if self._made else None
        if before is None:
            columns = list(self._columns)
            if self._rowid and self._next_rowid <= MAX_INTEGER:
                columns, marks, values = [*columns, self._rowid], [*marks, "?"], [*values, self._next_rowid]
                self._next_rowid += 1
            into = f"{_INSERT} {self._name} ({', '.join(columns)})"
            self._file.execute(f"{into} VALUES ({', '.join(marks)})", values)
            return
        number, old = before
        for place, cell in zip(self._loose, old, strict=True):
            text = texts[place]
            if text is not None and self._unchanged(place, cell, text):
                marks[place] = f"k.l{place}"
        used = [value for mark, value in zip(marks, values, strict=True) if "?" in mark]
        columns = [*self._columns, *self._kept_columns, *([self._rowid] if self._rowid else [])]
        marks += [f"k.u{place}" for place in range(1, len(self._kept_columns) + 1)] + (["k.r"] if self._rowid else [])
        self._file.execute(
            f"{_INSERT} {self._name} ({', '.join(columns)}) SELECT {', '.join(marks)}"
            " FROM temp.causeway_kept k WHERE k.rowid = ?",
            [*used, number],
        )

    def _kept(self, key: Row) -> tuple[int, Row] | None:
        """What was kept of a row: its number in the temporary table, and the cells of loose columns."""
        parts = self._parts([f"l{place}" for place in self._loose])
        sql = f"SELECT {', '.join(['rowid', *parts])} FROM temp.causeway_kept WHERE {self._same(key, kept=True)}"
        found = self._file.execute(sql, _bound(key)).fetchone()
        return None if found is None else (int(found[0]), self._narrow(found[1:]))

    def clear(self, convert: Convert, may_be_left_out: bool) -> None:
        """All rows go but those that the plan leaves out. Raises what `convert` raises."""
        if not may_be_left_out:
            self._file.execute(f"DELETE FROM {self._name}")
            return
        for key in self._moved_keys(convert):
            self._file.execute(f"DELETE FROM {self._name} WHERE {self._same(key)}", _bound(key))

    def _moved_keys(self, convert: Convert) -> Iterator[Row]:
        """Through a temporary table: rows mustn't go while they are read."""
        keys = [f"k{number}" for number in range(1, len(self._key) + 1)]
        self._file.execute("DROP TABLE IF EXISTS temp.causeway_moved")
        self._file.execute(f"CREATE TEMP TABLE causeway_moved ({', '.join(keys)})")
        width = len(self._key)
        wanted = ", ".join(self._parts([*self._key, *self._columns]))
        for found in self._file.execute(f"SELECT {wanted} FROM {self._name}"):
            row = self._narrow(found)
            if convert(row[width:]) is not None:
                marks = ["CAST(? AS TEXT)" if isinstance(cell, InvalidText) else "?" for cell in row[:width]]
                values = _bound(row[:width])
                self._file.execute(f"INSERT INTO temp.causeway_moved VALUES ({', '.join(marks)})", values)
        cursor = self._file.execute(f"SELECT {', '.join(self._parts(keys))} FROM temp.causeway_moved")
        while batch := cursor.fetchmany(_FETCH):
            yield from (self._narrow(each) for each in batch)

    # UTF-16: SQLite would replace what it can't decode, so the stored bytes are asked for.

    def _parts(self, expressions: Sequence[str]) -> list[str]:
        if not self._wide:
            return list(expressions)
        parts = []
        for each in expressions:
            parts += [f"CASE typeof({each}) WHEN 'text' THEN CAST({each} AS BLOB) ELSE {each} END"]
            parts += [f"typeof({each}) = 'text'"]
        return parts

    def _narrow(self, found: Row) -> Row:
        if not self._wide:
            return found
        return tuple(
            self._decoded(value) if text and isinstance(value, bytes) else value
            for value, text in zip(found[::2], found[1::2], strict=True)
        )

    def _decoded(self, raw: bytes) -> Cell:
        try:
            return raw.decode(self._codec)
        except UnicodeDecodeError:
            return InvalidText(raw)


def _bound(cells: Row) -> list[int | float | str | bytes | None]:
    return [cell.raw if isinstance(cell, InvalidText) else cell for cell in cells]
