"""The least that a row takes in a page of PostgreSQL: what surely is too wide is known before it is loaded.

PostgreSQL keeps a row in one page of 8 kB. It first compresses long values, then stores them apart, each leaving a
pointer of 18 bytes; values of up to 24 bytes stay where they are (heap_toast_insert_or_update() in heaptoast.c,
MaxHeapTupleSize in htup_details.h). Padding between columns comes on top: a row that is said to be too wide is too
wide, one that isn't may still be refused by the load.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from migrations_app.engine.conversions.type_parts import type_parts
from migrations_app.engine.plan import ColumnPlan

PAGE_ROOM = 8160  # bytes, MaxHeapTupleSize
FEWEST_COLUMNS = 338  # fewer can't be too wide: a column that can be stored apart takes 24 bytes at most
WIDEST_CELL = 24
_HEADER = 23
_POINTER = 18
_COMPRESSED = 12  # bytes: header, length, and next to nothing
_REPEATED = 273  # bytes of a value for which a compressed one takes at least another byte
_COMPRESSIBLE = 9  # distinct bytes: with more of them even the compressed value is longer than a pointer
_FIXED = {
    "boolean": 1,
    "smallint": 2,
    "integer": 4,
    "bigint": 8,
    "real": 4,
    "double precision": 8,
    "date": 4,
    "time without time zone": 8,
    "timestamp without time zone": 8,
    "timestamp with time zone": 8,
    "interval": 16,
    "uuid": 16,
}
_TEXTS = ("text", "character varying", "character", "json", "citext")

Texts = Sequence[str | None]


def least_width(columns: Sequence[ColumnPlan]) -> Callable[[Texts], int]:
    """A function from a row's converted texts, in the order of `columns`, to bytes."""
    measures = [_measure(column.target_type) for column in columns]

    def width(texts: Texts) -> int:
        header = _HEADER + (len(texts) + 7) // 8 if None in texts else _HEADER
        return -(-header // 8) * 8 + sum(
            measure(text) for measure, text in zip(measures, texts, strict=True) if text is not None
        )

    return width


def widest_cell(column: ColumnPlan) -> int:
    """The most that least_width() counts for a cell of the column."""
    return _FIXED.get(type_parts(column.target_type).base, WIDEST_CELL)


def _measure(target_type: str) -> Callable[[str], int]:
    parts = type_parts(target_type)
    if parts.array:
        return _anything
    if parts.base in _FIXED:
        size = _FIXED[parts.base]
        return lambda text: size
    if parts.base == "bytea":
        return lambda text: _varying(bytes.fromhex(text[2:]))
    if parts.base in ("numeric", "decimal"):
        return _number
    return (lambda text: _varying(text.encode())) if parts.base in _TEXTS else _anything


def _varying(value: bytes) -> int:
    size = 1 + len(value)
    if size <= WIDEST_CELL:
        return size
    return _POINTER if len(set(value)) > _COMPRESSIBLE else min(_POINTER, _COMPRESSED + size // _REPEATED)


def _number(text: str) -> int:
    """A header of 3 bytes, and 2 for each group of four digits from the point on, empty groups at both ends aside."""
    whole, _point, fraction = text.lstrip("-").partition(".")
    left = [whole[max(0, end - 4) : end] for end in range(len(whole), 0, -4)][::-1]
    groups = [group.strip("0") for group in (*left, *(fraction[at : at + 4] for at in range(0, len(fraction), 4)))]
    used = [place for place, group in enumerate(groups) if group]
    size = 3 + 2 * (used[-1] - used[0] + 1) if used else 3
    return size if size <= WIDEST_CELL else _COMPRESSED


def _anything(text: str) -> int:
    return 1
