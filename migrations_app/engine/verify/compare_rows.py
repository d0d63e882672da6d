"""Every cell of a table: the source's rows, converted, against what the target prints, merged by key.

Ways, each correct, tried in this order: (1) both sides in key order, bytes against bytes (compare_shares.py, before we
are asked), or, from an export, line against line; (2) where they aren't equal, the table again, merged by key;
(3) where the two sides don't sort alike, or no column tells rows apart, both are sorted in a scratch file first.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any, Protocol

from migrations_app.engine.control import Control
from migrations_app.engine.conversions.conversions import conversion
from migrations_app.engine.plan import MovePlan, TablePlan
from migrations_app.engine.source.cells import Row
from migrations_app.engine.source.row_ranges import Part
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.source.table_parts import parts
from migrations_app.engine.target.copy_text import LineWriter, join, split
from migrations_app.engine.target.pg_names import qualified, quote
from migrations_app.engine.target.target import Connection
from migrations_app.engine.verify.compare_blocks import Share
from migrations_app.engine.verify.copy_out import LinesOut
from migrations_app.engine.verify.differences import Difference, Differences, TableCheck
from migrations_app.engine.verify.sorter import Sorter, sorter

_INTEGERS = ("smallint", "integer", "bigint")
_WHOLE = re.compile(r"-?[0-9]+", re.ASCII)
_REPORT_EVERY = 20_000  # rows
_SHOWN = 200  # characters of a value in a difference
WHOLE_TABLE = ""  # in place of a key: every row of the table may have changed


class RowSource(Protocol):
    """A Source (sqlite_source) or an Export."""

    def rows(self, table: str, columns: tuple[str, ...]) -> Iterator[Row]: ...


class _NotInOrder(Exception):
    """A side doesn't come in the order that the merge needs."""


@dataclass(frozen=True)
class _Line:
    key: tuple[Any, ...]
    texts: tuple[str | None, ...]


class TableComparison:
    """Compares one table inside the connection's current (repeatable read) transaction."""

    def __init__(
        self,
        source: RowSource,
        plan: MovePlan,
        table: TablePlan,
        connection: Connection,
        control: Control,
        changed_keys: Collection[tuple[str, str]] = (),
        limit: int = 100,
    ) -> None:
        self.source, self.plan, self.table = source, plan, table
        self.connection, self.control, self.limit = connection, control, limit
        self.writer = LineWriter(table)
        self.keys = self.writer.key_positions if len(self.writer.key_positions) == len(table.key) else ()
        self.secret = {each.column for each in plan.encrypted if each.table == table.name}
        self.changed = {key for name, key in changed_keys if name == table.target_name}
        self.canonical = [conversion(c.conversion, c.target_type).canonical for c in table.loaded_columns]
        self.integers = {
            position for position, column in enumerate(table.loaded_columns) if column.target_type in _INTEGERS
        }

    def equal(self, rows: int) -> tuple[TableCheck, Differences]:
        """The result for a table that was shown to be equal."""
        return self._check(rows, rows, Differences(0), 0), Differences(self.limit)

    def run(self) -> tuple[TableCheck, Differences]:
        """Cell by cell, or, from an export, line by line first."""
        if self.keys and not isinstance(self.source, Source):
            rows = self._line_by_line()
            if rows is not None:
                return self.equal(rows)
        if self.keys:
            try:
                return self._merge(self._source_lines(), self._target_lines)
            except _NotInOrder:
                pass
        return self._sorted_first()

    # The first way

    def shares(self, source: Source) -> list[Share]:
        """The table in shares of rows, cut by the key where that is an integer on both sides; else in one."""
        found = parts(source, self.table.name) if self._is_cut(source) else (Part(self.table.name, 0),)
        return [
            Share(self.table, part, self._select(ordered=True, where=self._bounds(part)), bool(self.keys))
            for part in found
        ]

    def _is_cut(self, source: Source) -> bool:
        alias = source.schema.table(self.table.name).rowid_alias
        key = [self.writer.columns[position] for position in self.keys]
        return key == [alias] and self.keys[0] in self.integers

    def _bounds(self, part: Part) -> str:
        """Together the parts of a table take in every row that the target may hold, NULL in its key included."""
        if part.after is None and part.last is None:
            return ""
        name = quote(self.writer.target_columns[self.keys[0]])
        above = "" if part.after is None else f"{name} > {part.after}"
        if part.last is None:
            return f" WHERE {above} OR {name} IS NULL"
        return f" WHERE {name} <= {part.last}{above and f' AND {above}'}"

    def _line_by_line(self) -> int | None:
        """How many rows, when every line is equal, else None."""
        count = 0
        with self._out() as lines:
            for ours, theirs in zip_longest(self._source_texts(), lines):
                if ours is None or join(ours).encode() != theirs:
                    return None
                count += 1
        return count

    def _source_texts(self) -> Iterator[tuple[str | None, ...]]:
        total = 0
        for number, row in enumerate(self.source.rows(self.table.name, self.writer.columns), start=1):
            if number % _REPORT_EVERY == 0:
                self.control.progress("verify", self.table.name, number, total)
            texts = self.writer.texts(row)
            if texts is not None:
                yield texts

    def _select(self, *, ordered: bool, where: str = "") -> str:
        columns = ", ".join(quote(name) for name in self.writer.target_columns)
        sql = f"SELECT {columns} FROM {qualified(self.plan.target_schema, self.table.target_name)}{where}"
        if ordered and self.keys:
            sql += f" ORDER BY {', '.join(self._order(position) for position in self.keys)}"
        return sql

    def _out(self, *, ordered: bool = True) -> LinesOut:
        doing = f"reading table {self.table.target_name}"
        return LinesOut(self.connection, f"COPY ({self._select(ordered=ordered)}) TO STDOUT", self.control, doing)

    def _order(self, position: int) -> str:
        name = quote(self.writer.target_columns[position])
        if position in self.integers:
            return name
        if self.table.loaded_columns[position].target_type == "text":
            return f'{name} COLLATE "C"'  # an index under that collation gives this order without sorting
        return f"format('%s', {name}) COLLATE \"C\""  # by what COPY prints, whatever the type's own order

    # The second way

    def _key(self, texts: tuple[str | None, ...]) -> tuple[Any, ...]:
        """What rows are merged by. NULL in a key (SQLite allows it) has no agreed order: the third way takes it."""
        key = []
        for position in self.keys:
            text = texts[position]
            if text is None:
                raise _NotInOrder
            key.append(_whole(text) if position in self.integers else text)
        return tuple(key)

    def _source_lines(self) -> Iterator[_Line]:
        for texts in self._source_texts():
            yield _Line(self._key(texts), texts)

    def _target_lines(self, lines: LinesOut) -> Iterator[_Line]:
        for raw in lines:
            texts = tuple(split(raw.decode()))
            yield _Line(self._key(texts), texts)

    def _merge(
        self, ours: Iterator[_Line], make_theirs: Callable[[LinesOut], Iterator[_Line]]
    ) -> tuple[TableCheck, Differences]:
        with self._out() as lines:
            return self._merge_lines(_ascending(ours), _ascending(make_theirs(lines)))

    def _merge_lines(self, ours: Iterator[_Line], theirs: Iterator[_Line]) -> tuple[TableCheck, Differences]:
        found, counts, changed = Differences(self.limit), [0, 0], 0
        left, right = next(ours, None), next(theirs, None)
        while left is not None or right is not None:
            take_left = right is None or (left is not None and left.key <= right.key)
            take_right = left is None or (right is not None and right.key <= left.key)
            changed += self._judge(found, left if take_left else None, right if take_right else None)
            if take_left:
                counts[0] += 1
                left = next(ours, None)
            if take_right:
                counts[1] += 1
                right = next(theirs, None)
        return self._check(counts[0], counts[1], found, changed), found

    def _judge(self, found: Differences, left: _Line | None, right: _Line | None) -> int:
        """Add what differs; returns how many differences lie in a row that is known to have changed."""
        differences = list(self._differences(left, right))
        if not differences:
            return 0
        line = left or right
        if line is not None and (WHOLE_TABLE in self.changed or self.change_key(line.texts) in self.changed):
            return len(differences)
        for difference in differences:
            found.add(difference)
        return 0

    def _differences(self, left: _Line | None, right: _Line | None) -> Iterator[Difference]:
        if left is None or right is None:
            line = left or right
            assert line is not None
            kind = "missing_row" if right is None else "extra_row"
            yield Difference(self.table.name, self._row_key(line), "", kind, "", "")
            return
        if left.texts == right.texts:
            return
        columns = zip(self.table.loaded_columns, self.canonical, left.texts, right.texts, strict=True)
        for column, canonical, one, other in columns:
            if one == other or (one is not None and other is not None and canonical(one) == canonical(other)):
                continue
            hidden = column.name in self.secret
            yield Difference(
                self.table.name,
                self._row_key(left),
                column.name,
                "different",
                "" if hidden else _shown(one),
                "" if hidden else _shown(other),
            )

    def change_key(self, texts: tuple[str | None, ...]) -> str:
        """The key as change_queue.py writes it: a JSON array of the key columns' texts."""
        return json.dumps([texts[position] for position in self.keys], ensure_ascii=False, separators=(",", ":"))

    def _row_key(self, line: _Line) -> str:
        """JSON text of the key: of its columns, or (no key) of the whole row, without what must not be shown."""
        positions = self.keys or tuple(range(len(line.texts)))
        values: dict[str, Any] = {}
        for position in positions:
            text, name = line.texts[position], self.writer.columns[position]
            hidden = name in self.secret
            number = int(text) if position in self.integers and text and _WHOLE.fullmatch(text) else None
            values[name] = number if number is not None else "***" if hidden else _shown(text)
        return json.dumps(values, ensure_ascii=False)

    def _check(self, rows: int, target_rows: int, found: Differences, changed: int) -> TableCheck:
        cells = max(rows, target_rows) * len(self.writer.columns)
        return TableCheck(self.table.name, self.table.target_name, rows, target_rows, cells, found.count, changed)

    # The third way

    def _sorted_first(self) -> tuple[TableCheck, Differences]:
        """Both sides through a scratch file."""
        with sorter(self.table.name) as scratch:
            scratch.fill(0, self._keyed(self._source_texts()))
            with self._out(ordered=False) as lines:
                scratch.fill(1, self._keyed(tuple(split(raw.decode())) for raw in lines))
            return self._merge_lines(_from(scratch, 0), _from(scratch, 1))

    def _keyed(self, rows: Iterator[tuple[str | None, ...]]) -> Iterator[tuple[str, str]]:
        for texts in rows:
            line = join(texts)
            yield join(tuple(texts[position] for position in self.keys)) if self.keys else line, line


def _from(scratch: Sorter, side: int) -> Iterator[_Line]:
    for key, line in scratch.lines(side):
        yield _Line((key,), tuple(split(line)))


def _ascending(lines: Iterator[_Line]) -> Iterator[_Line]:
    """The same lines; raises _NotInOrder where one isn't above the one before."""
    before: tuple[Any, ...] | None = None
    for line in lines:
        if before is not None and not before < line.key:
            raise _NotInOrder
        before = line.key
        yield line


def _whole(text: str) -> int:
    """Raises _NotInOrder for a target's column that is no longer one of integers."""
    if not _WHOLE.fullmatch(text):
        raise _NotInOrder
    return int(text)


def _shown(text: str | None) -> str | None:
    return text if text is None or len(text) <= _SHOWN else text[: _SHOWN - 1] + "…"
