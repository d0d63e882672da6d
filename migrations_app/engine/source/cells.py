"""One SQLite cell in Python, and its form in an export (docs/reference/export-format.md).

In Python a cell is None, int (64 bit, signed), float, str (valid text), bytes (a BLOB) or InvalidText (TEXT whose
stored bytes aren't valid in the file's encoding). A bool never occurs.

In an export a row is one line of JSON, an array in the manifest's column order:
NULL `null`; INTEGER digits; finite REAL Python's repr (always with `.` or `e`); infinities `{"r":"inf"}` and
`{"r":"-inf"}`; valid text a string; other text `{"t":"<hex>"}`; BLOB `{"b":"<hex>"}`, or a plain hex string in a
column whose encoding is `hex`. One value has one form, so equal rows are equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class InvalidText:
    """TEXT that can't be decoded; `raw` are the stored bytes, as they lie in the file."""

    raw: bytes


Cell = None | int | float | str | bytes | InvalidText
Row = tuple[Cell, ...]

PLAIN = ""  # a column's cells are written as described above
HEX = "hex"  # a column that holds only BLOBs and NULL: plain hex strings

MIN_INTEGER, MAX_INTEGER = -(2**63), 2**63 - 1


class _Infinity:
    """Stands for {"r": …} while a line is read, so that a literal such as 1e400 can be told from it."""

    def __init__(self, value: float) -> None:
        self.value = value


_INFINITIES = {"inf": _Infinity(float("inf")), "-inf": _Infinity(float("-inf"))}


class CellError(ValueError):
    """A line of an export that no export of ours can hold. Says what is wrong, never the value."""


def _wrapped(cell: object) -> dict[str, str]:
    """What the JSON encoder calls for a cell that JSON has no form for."""
    if isinstance(cell, bytes):
        return {"b": cell.hex()}
    if isinstance(cell, InvalidText):
        return {"t": cell.raw.hex()}
    raise TypeError(f"a cell can't be of type {type(cell).__name__}")


_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_wrapped).encode


def encode_row(row: Sequence[Cell], hex_positions: Sequence[int] = ()) -> bytes:
    """The line of one row, newline included. `hex_positions` are the columns whose encoding is HEX."""
    cells: list[Any] = list(row)
    for position in hex_positions:
        value = cells[position]
        if value is not None:
            cells[position] = value.hex()
    try:
        text = _encode(cells)
    except ValueError:  # an infinity; rare enough to pay for it only here
        text = _encode([_finite(cell) for cell in cells])
    return text.encode() + b"\n"


def encode_object(names: Sequence[str], row: Sequence[Cell]) -> str:
    """One row as a JSON object, for a single document. `names` are distinct."""
    try:
        return _encode(dict(zip(names, row, strict=True)))
    except ValueError:
        return _encode({name: _finite(cell) for name, cell in zip(names, row, strict=True)})


def encode_cell(cell: Cell) -> str:
    """One cell's JSON text, as it stands in a line (row keys in findings and reports are made of these)."""
    return _encode(_finite(cell))


def encode_key(key: Sequence[Cell]) -> str:
    """A row's key as JSON text, for findings and differences."""
    return encode_row(key)[:-1].decode()


def _finite(cell: Any) -> Any:
    if isinstance(cell, float) and cell - cell != 0.0:
        return {"r": "inf" if cell > 0 else "-inf"}
    return cell


def decode_row(line: bytes, width: int, hex_positions: Sequence[int] = ()) -> Row:
    """The row of one line. Raises CellError for anything but what encode_row writes for `width` columns.

    Strict on purpose: a dump may come from anywhere. Depth, NaN, duplicate keys, lone surrogates, numbers beyond
    64 bits and booleans are refused before a value is used.
    """
    try:
        cells = _decode(line.decode())
    except RecursionError:
        raise CellError("nested too deeply") from None
    except CellError:
        raise
    except ValueError:  # not JSON, not UTF-8, or a number of thousands of digits
        raise CellError("not a line of JSON") from None
    if type(cells) is not list:
        raise CellError("a row must be an array")
    if len(cells) != width:
        raise CellError(f"{len(cells)} cells where the manifest names {width} columns")
    _check_cells(cells, may_hold_surrogates=b"\\u" in line)
    for position in hex_positions:
        cells[position] = _from_hex_column(cells[position])
    return tuple(cells)


def _check_cells(cells: list[Any], *, may_hold_surrogates: bool) -> None:
    for position, cell in enumerate(cells):
        kind = type(cell)
        if kind is int:
            if not MIN_INTEGER <= cell <= MAX_INTEGER:
                raise CellError("an integer of more than 64 bits")
        elif kind is str:
            if may_hold_surrogates and not is_unicode(cell):
                raise CellError("a lone surrogate")
        elif kind is list or kind is bool:
            raise CellError("a cell can't be an array, true or false")
        elif kind is float:
            if cell - cell != 0.0:
                raise CellError("a number beyond double precision")
        elif kind is _Infinity:
            cells[position] = cell.value


def is_unicode(text: str) -> bool:
    """False for text with a lone surrogate, which no encoding of Unicode can hold."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_constant(name: str) -> object:
    raise CellError(f"{name} is no number")


def unwrap(tag: str, value: str) -> Cell:
    """The cell that stands for {tag: value}. Raises CellError."""
    cell = _unwrapped([(tag, value)])
    return cell.value if isinstance(cell, _Infinity) else cell


def _unwrapped(pairs: list[tuple[str, Any]]) -> bytes | InvalidText | _Infinity:
    if len(pairs) != 1:
        raise CellError("a wrapped cell has exactly one key")
    tag, value = pairs[0]
    if type(value) is not str:
        raise CellError("a wrapped cell holds a string")
    if tag == "b":
        return _from_hex(value)
    if tag == "t":
        return InvalidText(_from_hex(value))
    if tag == "r" and value in _INFINITIES:
        return _INFINITIES[value]
    raise CellError("an unknown kind of cell")


def _from_hex(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raise CellError("not hexadecimal") from None
    if raw.hex() != text:  # fromhex() skips blanks and takes capitals; one value has one form
        raise CellError("not hexadecimal in its one form (lower case, no blanks)")
    return raw


def _from_hex_column(cell: Cell) -> Cell:
    if cell is None:
        return None
    if not isinstance(cell, str):
        raise CellError("a column of hex strings holds something else")
    return _from_hex(cell)


# Made once: json.loads() with hooks would build a decoder for every line.
_decode = json.JSONDecoder(object_pairs_hook=_unwrapped, parse_constant=_no_constant).decode
