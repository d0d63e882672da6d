"""Cells to numbers and booleans: exactly, or not at all."""

from __future__ import annotations

import re
from decimal import Context, Decimal, InvalidOperation

from migrations_app.engine.conversions.conversion_base import Unfit, wrong_kind
from migrations_app.engine.conversions.pg_text import double_text, is_single, numeric_text, single_text
from migrations_app.engine.source.cells import Cell, InvalidText

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)", re.ASCII)
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", re.ASCII)
_WIDE = Context(prec=2000)  # enough for any double written out and any numeric of an application
_TRUE_WORDS = frozenset({"1", "t", "true", "yes", "on", "y"})
_FALSE_WORDS = frozenset({"0", "f", "false", "no", "off", "n"})


def integer(limit: int, cell: Cell) -> str | None:
    if cell is None:
        return None
    exact_float = isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53 and not _negative_zero(cell)
    exact_text = isinstance(cell, str) and len(cell) < 25 and _WHOLE.fullmatch(cell) and cell != "-0"
    if isinstance(cell, bytes | InvalidText) or not (isinstance(cell, int) or exact_float or exact_text):
        raise wrong_kind(cell, "a whole number")
    number = int(cell)
    if not -limit <= number < limit:
        raise Unfit("it is beyond the range of the type")
    return str(number)


def strict_integer(cell: Cell) -> str | None:
    """bigint in tables of our own making: only integers, so that reals and text stay apart from them."""
    if cell is None or isinstance(cell, int):
        return None if cell is None else str(cell)
    raise wrong_kind(cell, "an integer")


def _negative_zero(value: float) -> bool:
    return value == 0 and str(value).startswith("-")


def _as_float(cell: Cell) -> float | None:
    if cell is None or isinstance(cell, float):
        return cell
    if isinstance(cell, int):
        if int(float(cell)) != cell:
            raise Unfit("it is an integer that a double can't hold exactly")
        return float(cell)
    if isinstance(cell, str) and _DECIMAL.fullmatch(cell) and number_text(float(cell)) in (cell, f"{cell}.0"):
        return float(cell)
    raise wrong_kind(cell, "a number")


def number_text(value: int | float) -> str:
    return repr(value)


def double(cell: Cell) -> str | None:
    value = _as_float(cell)
    return None if value is None else double_text(value)


def single(cell: Cell) -> str | None:
    value = _as_float(cell)
    if value is None:
        return None
    if not is_single(value):
        raise Unfit("it is a double that a four-byte real can't hold exactly")
    return single_text(value)


def _as_decimal(cell: Cell) -> Decimal:
    if isinstance(cell, float):
        if cell in (float("inf"), float("-inf")):
            return Decimal(cell)
        if _negative_zero(cell):
            raise Unfit("it is a negative zero, which numeric doesn't know")
        return Decimal(repr(cell))
    if isinstance(cell, int):
        return Decimal(cell)
    if isinstance(cell, str) and _DECIMAL.fullmatch(cell) and len(cell) < 1000:
        value = Decimal(cell)
        if value.is_zero() and cell.startswith("-"):
            raise Unfit("it is a negative zero, which numeric doesn't know")
        return value
    raise wrong_kind(cell, "a decimal number")


def numeric(cell: Cell) -> str | None:
    if cell is None:
        return None
    value = _as_decimal(cell)
    return ("Infinity" if value > 0 else "-Infinity") if value.is_infinite() else numeric_text(value)


def numeric_apart(cell: Cell) -> str | None:
    """For columns that keep reals and integers as they come: the point tells them apart, 1e16 is 10000000000000000.0.

    In a column of numeric affinity SQLite stores no real that is a whole number of 64 bits: there `numeric` will do.
    """
    text = numeric(cell)
    marked = not isinstance(cell, float) or text is None or "." in text or text.endswith("y")  # Infinity
    return text if marked else f"{text}.0"


def scaled(precision: int, scale: int, rounded: bool, cell: Cell) -> str | None:
    if cell is None:
        return None
    value = Decimal(0) if rounded and isinstance(cell, float) and cell == 0 else _as_decimal(cell)
    if value.is_infinite():
        raise Unfit("it is infinite")
    try:
        result = value.quantize(Decimal(1).scaleb(-scale), context=_WIDE)
    except InvalidOperation as error:
        raise Unfit("it has more digits than the type") from error
    if result != value and not rounded:
        raise Unfit(f"it has more than {scale} decimal places")
    if not result.is_zero() and result.adjusted() >= precision - scale:
        raise Unfit(f"it has more than {precision - scale} digits before the point")
    return numeric_text(result)


def boolean(cell: Cell) -> str | None:
    if cell is None:
        return None
    if isinstance(cell, int) and cell in (0, 1):
        return "t" if cell else "f"
    raise Unfit("it is neither 0 nor 1")


def boolean_words(cell: Cell) -> str | None:
    """By choice: 1 and 0 as number or text, and the words that PostgreSQL knows, in any case."""
    if cell is None:
        return None
    word = str(int(cell)) if isinstance(cell, float) and cell in (0.0, 1.0) else str(cell).lower()
    if not isinstance(cell, bytes | InvalidText):
        if word in _TRUE_WORDS:
            return "t"
        if word in _FALSE_WORDS:
            return "f"
    raise Unfit("it is no word for true or false")
