"""Which rows changed in SQLite since a position, and what they are now: one statement a table, one moment.

A key may stand in the log many times, and for rows that didn't change: it is read once, as it is now. Keys are told
apart by value and storage class, since PostgreSQL's text knows 1 from 1.0, and compared with rows byte by byte, since
a NOCASE column finds 'A' where 'a' is asked for. Keys that are one key in PostgreSQL come together (key_twins.py).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from migrations_app.engine.capture.state import CapturedTable
from migrations_app.engine.control import Control
from migrations_app.engine.conversions.conversions import Convert, Unfit, conversion
from migrations_app.engine.conversions.inverse import InverseForms, RowInverse
from migrations_app.engine.errors import Failed
from migrations_app.engine.plan import MovePlan, TablePlan
from migrations_app.engine.replay.key_twins import Spellings, same_key, signs
from migrations_app.engine.replay.snapshot import Snapshot
from migrations_app.engine.replay.spool import Spool
from migrations_app.engine.source.cells import Cell, InvalidText, Row, encode_row
from migrations_app.engine.source.sqlite_source import quote_name
from migrations_app.engine.target.copy_text import LineWriter, join

_CODEC = {"UTF-8": "utf-8", "UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}
_CHECKPOINT = 1000  # rows
_RANGE = "FROM causeway_log WHERE seq > ? AND seq <= ?"


@dataclass(frozen=True)
class TableWay:
    """How one table's rows travel. `key`: the source's names of the columns that the log has, in its order.

    inverse: what would bring each row back as it is, where that must be possible. spellings: where a key may have
    several.
    """

    number: int
    table: TablePlan
    key: tuple[str, ...]
    writer: LineWriter
    key_converters: tuple[Convert, ...]
    inverse: RowInverse | None = None
    spellings: Spellings | None = None

    @property
    def target_key(self) -> tuple[str, ...]:
        names = {column.name: column.target_name for column in self.table.columns}
        return tuple(names[name] for name in self.key)

    def key_line(self, key: Row) -> str | None:
        """The key as a line of COPY; None for one that no row of the target can have."""
        try:
            return join(tuple(convert(cell) for convert, cell in zip(self.key_converters, key, strict=True)))
        except Unfit:
            return None

    def row_line(self, row: Row) -> str | None:
        """The row as a line of COPY; None for one that the plan leaves out.

        Raises Failed VALUE_UNFIT, NO_WAY_BACK_FOR_VALUE.
        """
        texts = self.writer.texts(row)
        if texts is None:
            return None
        lost = self.inverse.lost(row, texts) if self.inverse is not None else ""
        if lost:
            raise Failed(
                "NO_WAY_BACK_FOR_VALUE",
                f"A value of {self.table.name}.{lost} in row {self.writer.row_key(row) or '(no key)'} is written in a"
                " form that PostgreSQL couldn't give back as it is.",
                "Learn the forms anew: then the column may be found to have no way back, before anybody relies on it.",
            )
        return join(texts)


@dataclass(frozen=True)
class Part:
    """Rows of the log above `after`, up to `until`. `whole`: no other part is read, so that no key comes twice."""

    after: int
    until: int
    whole: bool = True


def ways(plan: MovePlan, captured: Sequence[CapturedTable], forms: InverseForms | None = None) -> dict[int, TableWay]:
    """By the table's number in the log; with `forms`, rows that can't come back are refused.

    Raises Failed NOT_CAPTURED for a table that is moved and not captured.
    """
    known = {each.name: each for each in captured}
    found = {}
    for table in plan.tables:
        if not table.is_loaded:
            continue
        each = known.get(table.name)
        loaded = {column.name: column for column in table.loaded_columns}
        if each is None or not set(each.key) <= set(loaded):
            raise Failed(
                "NOT_CAPTURED",
                f"Changes of table {table.name} aren't recorded under a key that the plan moves.",
                "Record changes by the plan that the rows are moved by: end the replication and begin it anew.",
            )
        converters = tuple(conversion(loaded[n].conversion, loaded[n].target_type).convert for n in each.key)
        inverse = forms.of_table(table) if forms is not None else None
        spellings = Spellings([loaded[name] for name in each.key])
        found[each.number] = TableWay(
            each.number,
            table,
            each.key,
            LineWriter(table),
            converters,
            inverse,
            spellings if spellings.several else None,
        )
    return found


def spool_dirty(snapshot: Snapshot, found: dict[int, TableWay], part: Part, spool: Spool, control: Control) -> None:
    """Add every key that the log has in that part, with its row as the snapshot has it.

    Raises Failed VALUE_UNFIT for a value that the plan has no answer for, NO_WAY_BACK_FOR_VALUE, ONLINE_NULL_IN_KEY;
    what reading raises.
    """
    if part.until <= part.after or not found:
        return
    with snapshot.errors("reading the log of changes"):
        numbers = [row[0] for row in snapshot.select(f"SELECT DISTINCT tbl {_RANGE}", (part.after, part.until))]
    width = max(len(way.key) for way in found.values())
    for number in sorted(numbers):
        if number in found:  # a table that is recorded, but not moved, changes nothing in the target
            _spool_table(snapshot, found[number], part, width, spool, control)


def _spool_table(snapshot: Snapshot, way: TableWay, part: Part, width: int, spool: Spool, control: Control) -> None:
    reader = _Reader(snapshot, way)
    once = part.whole and way.spellings is None
    spool.begin(way.number, width - len(way.key))
    with snapshot.errors(f"reading changed rows of table {way.table.name!r}"):
        for place, found in enumerate(snapshot.select(reader.sql, (part.after, part.until, way.number))):
            if place % _CHECKPOINT == 0:
                control.checkpoint()
            key, row = reader.split(found)
            if None in key:
                _refuse_null(snapshot, way)
                continue
            for each, its_row in reader.own(key, row):
                line = way.row_line(its_row) if its_row is not None else None
                spool.add(way.key_line(each), line, 0 if once else _digest(each))
                for twin, twins_row in reader.twins(snapshot, each):
                    spool.add(way.key_line(twin), way.row_line(twins_row), _digest(twin), again=True)


def _digest(key: Row) -> int:
    """64 bits, signed, as PostgreSQL's bigint takes them."""
    return int.from_bytes(hashlib.blake2b(encode_row(key), digest_size=8).digest(), "big", signed=True)


class _Reader:
    """The statement, and how its rows are taken apart."""

    def __init__(self, snapshot: Snapshot, way: TableWay) -> None:
        self._wide = snapshot.encoding != "UTF-8"
        self._codec = _CODEC[snapshot.encoding]
        self._way, self._width = way, len(way.key)
        self._key_places = [way.writer.columns.index(name) for name in way.key]
        keys = [f"d.k{place}" for place in range(1, self._width + 1)]
        cells = [f"t.{quote_name(name)}" for name in way.writer.columns]
        own = [f"t.{quote_name(name)}" for name in way.key]
        wanted = [*self._parts(keys), f"{own[0]} IS NOT NULL", *self._parts(cells)]
        plain = [f"k{place}" for place in range(1, self._width + 1)]
        group = ", ".join(f"{name}, typeof({name})" for name in plain)
        dirty = f"SELECT {', '.join(plain)} {_RANGE} AND tbl = ? GROUP BY {group}"
        same = " AND ".join(_same(cell, key) for cell, key in zip(own, keys, strict=True))
        self.sql = (
            f"SELECT {', '.join(wanted)} FROM ({dirty}) AS d LEFT JOIN {quote_name(way.table.name)} AS t ON {same}"
        )
        wanted[: len(self._parts(keys))] = self._parts(own)
        self._twin_sql = f"SELECT {', '.join(wanted)} FROM {quote_name(way.table.name)} AS t WHERE "
        self._own = own

    def own(self, key: Row, row: Row | None) -> Iterator[tuple[Row, Row | None]]:
        """The key with its row; with zeros of both signs, where the row tells which of them it has."""
        for each in signs(key):
            there = row is not None and same_key(each, tuple(row[place] for place in self._key_places))
            yield each, row if there else None

    def twins(self, snapshot: Snapshot, key: Row) -> Iterator[tuple[Row, Row]]:
        """Rows that there are under another key that is the same in PostgreSQL."""
        if self._way.spellings is None:
            return
        try:
            cells = self._way.spellings.of(key)
        except Unfit:
            return
        if all(len(each) == 1 for each in cells):
            return
        marks = [", ".join("CAST(? AS TEXT)" if isinstance(c, InvalidText) else "?" for c in each) for each in cells]
        among = " AND ".join(f"{own} IN ({each})" for own, each in zip(self._own, marks, strict=True))
        bound = [cell.raw if isinstance(cell, InvalidText) else cell for each in cells for cell in each]
        line = self._way.key_line(key)
        for found in snapshot.select(self._twin_sql + among, bound):
            twin, row = self.split(found)
            if row is not None and not same_key(twin, key) and self._way.key_line(twin) == line:
                yield twin, row

    def _parts(self, expressions: Sequence[str]) -> list[str]:
        """UTF-16: SQLite would replace what it can't decode, so the stored bytes are asked for."""
        if not self._wide:
            return list(expressions)
        parts = []
        for each in expressions:
            parts += [f"CASE typeof({each}) WHEN 'text' THEN CAST({each} AS BLOB) ELSE {each} END"]
            parts += [f"typeof({each}) = 'text'"]
        return parts

    def split(self, found: Row) -> tuple[Row, Row | None]:
        """(key, row); None for a row that isn't there any more."""
        step = 2 if self._wide else 1
        at = self._width * step
        key, row = found[:at], found[at + 1 :] if found[at] else None
        if self._wide:
            return self._narrow(key), self._narrow(row) if row is not None else None
        return key, row

    def _narrow(self, cells: Row) -> Row:
        return tuple(
            self._decoded(value) if text and isinstance(value, bytes) else value
            for value, text in zip(cells[::2], cells[1::2], strict=True)
        )

    def _decoded(self, raw: bytes) -> Cell:
        try:
            return raw.decode(self._codec)
        except UnicodeDecodeError:
            return InvalidText(raw)


def _same(cell: str, key: str) -> str:
    """The first comparison finds the row by its index, the others say whether it is the very same key."""
    return f"{cell} = {key} AND {cell} COLLATE BINARY = {key} AND typeof({cell}) = typeof({key})"


def _refuse_null(snapshot: Snapshot, way: TableWay) -> None:
    """SQLite lets NULL into most primary keys. No row of the target has one, so a row that is gone again is no matter.

    Raises Failed ONLINE_NULL_IN_KEY while there is such a row.
    """
    null = " OR ".join(f"{quote_name(name)} IS NULL" for name in way.key)
    if snapshot.value(f"SELECT 1 FROM {quote_name(way.table.name)} WHERE {null} LIMIT 1") is None:
        return
    raise Failed(
        "ONLINE_NULL_IN_KEY",
        f"A row of {way.table.name} has NULL in its key ({', '.join(way.key)}): it can't be told from others.",
        "Give the row a key, or cross over with the offline strategy.",
    )


def mark_at(snapshot: Snapshot, position: int) -> str | None:
    """What stands in the log at a position, as a short digest; None where nothing does."""
    with snapshot.errors("reading the log of changes"):
        row = snapshot.select("SELECT * FROM causeway_log WHERE seq = ?", (position,)).fetchone()
    return hashlib.sha256(encode_row(row)).hexdigest()[:32] if row is not None else None
