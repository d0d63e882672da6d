"""Rows of a table in no order, many at a time, for passes that look at whole columns.

Two ways give the same rows. The quick one has sqlite3 decode texts in C, which is strict but knows no InvalidText; the
careful one is Source.rows_with_key(), a call of Python for each text.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from migrations_app.engine.source.cells import InvalidText, Row
from migrations_app.engine.source.row_ranges import Part, range_condition
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.sqlite_source import NeedsCare, Source, quote_name

__all__ = ["Batch", "NeedsCare", "careful_batches", "quick_batches"]

_FEW_ROWS = 50
_MOST_ROWS = 500  # their cells fit a processor's cache, which counts more than the calls saved by more rows
_SLICE = 100  # rows between two looks at what rows weigh: so many may be heavy before the batch is closed
_BATCH_BYTES = 4 * 1024 * 1024
_SAMPLE = 5  # rows of a batch that are weighed
_SIZED = frozenset({str, bytes, InvalidText})


@dataclass(frozen=True)
class Batch:
    """Rows that begin with the wanted columns; key_places says where in a row its key's cells are."""

    rows: Sequence[Row]
    key_places: tuple[int, ...]

    def key(self, place: int) -> Row:
        row = self.rows[place]
        return tuple(row[i] for i in self.key_places)


def quick_batches(source: Source, table: SourceTable, columns: Sequence[str], part: Part) -> Iterator[Batch]:
    """Of a UTF-8 file. Raises NeedsCare, at any time, where only the careful way will do; and what rows() raises."""
    wanted = list(columns)
    key = list(table.key)
    places = tuple(wanted.index(name) for name in key if name in wanted)
    extra: list[str] = []
    if len(places) < len(key) or not key:
        extra = [quote_name(name) for name in key] or ([table.rowid_name] if table.rowid_name else [])
        places = tuple(range(len(wanted), len(wanted) + len(extra)))
    expressions = [quote_name(name) for name in wanted] + extra
    rows = f"{quote_name(table.name)}{range_condition(table, part)}"
    fetch = source.fetcher(f"SELECT {', '.join(expressions or ['1'])} FROM {rows}")
    return _batches(fetch, places)


def careful_batches(source: Source, table: SourceTable, columns: Sequence[str], part: Part) -> Iterator[Batch]:
    """Of any file, InvalidText included. Raises what Source.rows() raises."""
    rows = (row + key for key, row in source.rows_with_key(table.name, columns, ordered=False, part=part))
    width = len(table.key) or bool(table.rowid_name)
    places = tuple(range(len(columns), len(columns) + width))
    return _batches(lambda count: list(itertools.islice(rows, count)), places)


def _batches(fetch: Callable[[int], list[Row]], key_places: tuple[int, ...]) -> Iterator[Batch]:
    """Grows from few rows to many, as long as a batch stays small in bytes."""
    size = _FEW_ROWS
    while rows := _gather(fetch, size):
        yield Batch(rows, key_places)
        sample = rows[:: max(1, len(rows) // _SAMPLE)]
        heavy = sum(map(_weight, sample)) / len(sample) * size > _BATCH_BYTES
        size = max(1, size // 4) if heavy else min(_MOST_ROWS, size * 2)


def _gather(fetch: Callable[[int], list[Row]], size: int) -> list[Row]:
    rows: list[Row] = []
    while len(rows) < size:
        part = fetch(min(_SLICE, size - len(rows)))
        rows += part
        if len(part) < _SLICE or _weight(part[-1]) * _SLICE > _BATCH_BYTES:
            break
    return rows


def _weight(row: Row) -> int:
    """Characters or bytes of a row's long cells, about."""
    cells: list[Any] = [cell for cell in row if type(cell) in _SIZED]
    return sum([len(cell.raw if isinstance(cell, InvalidText) else cell) for cell in cells])
