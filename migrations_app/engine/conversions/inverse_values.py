"""The text that PostgreSQL prints for a value, back to the SQLite cell: numbers, words, texts and bytes.

Each function undoes one way of writing a cell. It raises Unfit for a text that no such cell can stand for, and never
says the value.
"""

from __future__ import annotations

import json
import math
import re
from decimal import Decimal, InvalidOperation

from migrations_app.engine.conversions.conversion_base import Undo, Unfit
from migrations_app.engine.source.cells import MAX_INTEGER, MIN_INTEGER, Cell, InvalidText

_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]{0,18})", re.ASCII)  # Python reads no number of thousands of digits
_JSON_PARTS = re.compile(r'("(?:[^"\\]|\\.)*")|([,:]) ', re.DOTALL)
_NOT_PLAIN = re.compile(r"[^ -~]")
_CODECS = {"UTF-8": "utf-8", "UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}


def same_cell(one: Cell, other: Cell) -> bool:
    """Storage class and value, bit for bit: 3 isn't 3.0, and 0.0 isn't -0.0."""
    if type(one) is not type(other) or one != other:
        return False
    return not isinstance(one, float) or math.copysign(1, one) == math.copysign(1, other)  # type: ignore[arg-type]


# Numbers


def integer(text: str) -> Cell:
    if not _WHOLE.fullmatch(text) or text == "-0" or not MIN_INTEGER <= int(text) <= MAX_INTEGER:
        raise Unfit("it is no whole number of 64 bits")
    return int(text)


def real(text: str) -> Cell:
    try:
        value = float(text)
    except ValueError as error:
        raise Unfit("it is no number") from error
    if math.isnan(value):
        raise Unfit("it is NaN, which SQLite keeps as NULL")
    return value


def _decimal(text: str) -> Decimal:
    try:
        value = Decimal(text)
    except InvalidOperation as error:
        raise Unfit("it is no number") from error
    if value.is_nan():
        raise Unfit("it is NaN, which SQLite keeps as NULL")
    return value


def number(text: str) -> Cell:
    """As a column of numeric affinity keeps a decimal: whole numbers of 64 bits as integers, others as reals."""
    value = _decimal(text)
    if value.is_finite() and value == value.to_integral_value() and MIN_INTEGER <= value <= MAX_INTEGER:
        return int(value)
    return float(value)


def float_number(text: str) -> Cell:
    """As such a column keeps a double."""
    value = real(text)
    assert isinstance(value, float)
    whole = value.is_integer() and -(2.0**63) <= value < 2.0**63 and not (value == 0 and text.startswith("-"))
    return int(value) if whole else value


def pointed(text: str) -> Cell:
    """A real where it is written with a point, else an integer: numeric_apart's mark."""
    return real(text) if "." in text or text.endswith("y") else integer(text)


def float_words(text: str) -> Cell:
    """A double as text, as Python writes it: '1.0'."""
    return repr(real(text))


def short_words(text: str) -> Cell:
    """A double as text, without a fraction that is zero: '1'."""
    return repr(real(text)).removesuffix(".0")


def trimmed(text: str) -> Cell:
    """A decimal as text, without zeros at its end: '3.5', '3'."""
    _decimal(text)
    return text.rstrip("0").removesuffix(".") if "." in text else text


def one_place(text: str) -> Cell:
    """A decimal as text, with at least one place: '3.5', '3.0'."""
    short = trimmed(text)
    assert isinstance(short, str)
    return short if "." in short else f"{short}.0"


# Words and texts


def boolean(text: str) -> Cell:
    if text not in ("t", "f"):
        raise Unfit("it is neither true nor false")
    return int(text == "t")


def words(true: Cell, false: Cell) -> Undo:
    def undo(text: str) -> Cell:
        return true if boolean(text) else false

    return undo


def same_text(text: str) -> Cell:
    return text


def text_or_number(text: str) -> Cell:
    """What is spelt as Python spells a number is one; all else is text."""
    if _WHOLE.fullmatch(text) and text != "-0" and MIN_INTEGER <= int(text) <= MAX_INTEGER:
        return int(text)
    try:
        value = float(text)
    except ValueError:
        return text
    return value if repr(value) == text and not math.isnan(value) else text


def padded(then: Undo) -> Undo:
    """Of char(n), which is printed with blanks up to its length."""
    return lambda text: then(text.rstrip(" "))


def uuid(dashes: bool, upper: bool) -> Undo:
    def undo(text: str) -> Cell:
        found = text if dashes else text.replace("-", "")
        return found.upper() if upper else found

    return undo


def uuid_bytes(text: str) -> Cell:
    return _bytes_of(text.replace("-", ""))


def _bytes_of(digits: str) -> bytes:
    try:
        return bytes.fromhex(digits)
    except ValueError as error:
        raise Unfit("it isn't hexadecimal") from error


def blob(text: str) -> Cell:
    if not text.startswith("\\x"):
        raise Unfit("it is no bytea in hexadecimal")
    return _bytes_of(text[2:])


def encoded(encoding: str) -> Undo:
    """Text that is kept as its stored bytes."""

    def undo(text: str) -> Cell:
        raw = blob(text)
        assert isinstance(raw, bytes)
        try:
            return raw.decode(_CODECS[encoding])
        except UnicodeDecodeError:
            return InvalidText(raw)

    return undo


def tagged(text: str) -> Cell:
    """One letter for the storage class, a colon, the value."""
    tag, colon, rest = text.partition(":")
    if not colon or tag not in ("i", "r", "t", "n", "x", "b"):
        raise Unfit("it doesn't begin with the letter of a storage class")
    if tag == "i":
        return integer(rest)
    if tag == "r":
        return real(rest)
    if tag == "t":
        return rest
    raw = _bytes_of(rest)
    if tag == "b":
        return raw
    if tag == "x":
        return InvalidText(raw)
    try:
        return raw.decode()
    except UnicodeDecodeError as error:
        raise Unfit("it isn't text") from error


# JSON and arrays


def json_text(compact: bool, plain: bool, numbers: bool) -> Undo:
    """What jsonb prints, with or without blanks between its parts, with or without letters beyond ASCII.

    numbers: a number by itself is kept as one, in a column that isn't of text.
    """

    def undo(text: str) -> Cell:
        if compact:
            text = _JSON_PARTS.sub(lambda part: part[1] or part[2], text)
        if plain:
            text = _NOT_PLAIN.sub(_escaped, text)
        return text_or_number(text) if numbers else text

    return undo


def _escaped(letter: re.Match[str]) -> str:
    units = letter[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))


def array(element: str, separator: str, plain: bool) -> Undo:
    """A flat JSON list, written as Python writes it. `element`: 'string', 'number', 'real' or 'boolean'."""

    def undo(text: str) -> Cell:
        items = [None if item is None else _of_list(element, item) for item in _elements(text)]
        return json.dumps(items, ensure_ascii=plain, separators=(separator, ": "))

    return undo


def _of_list(element: str, item: str) -> object:
    if element == "string":
        return item
    if element == "boolean":
        return bool(boolean(item))
    return real(item) if element == "real" else integer(item)


_ELEMENT = re.compile(r'"((?:[^"\\]|\\.)*)"|([^",{}\\]+)', re.DOTALL)


def _elements(text: str) -> list[str | None]:
    """The elements of a one-dimensional array as PostgreSQL prints it; NULL as None."""
    if len(text) < 2 or text[0] != "{" or text[-1] != "}":
        raise Unfit("it is no array of one dimension that begins at 1")
    found: list[str | None] = []
    at, end = 1, len(text) - 1
    while at < end:
        match = _ELEMENT.match(text, at, end)
        if match is None or (match.end() < end and text[match.end()] != ","):
            raise Unfit("it is no array of one dimension that begins at 1")
        quoted, bare = match[1], match[2]
        found.append(re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL) if bare is None else _unless_null(bare))
        at = match.end() + 1
    return found


def _unless_null(bare: str) -> str | None:
    return None if bare == "NULL" else bare
