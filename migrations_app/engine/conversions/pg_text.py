"""Numbers, JSON and array elements exactly as PostgreSQL 15+ prints them (d2s.c, f2s.c, jsonb.c, arrayfuncs.c).

With extra_float_digits at 1 or more PostgreSQL prints the shortest decimal that reads back as the same number. So
does Python's repr, but it differs in the exponent's style, and where the shortest decimal lies exactly on the border
between two numbers: PostgreSQL doesn't use borders (d2s.c is built with STRICTLY_SHORTEST off).
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

_DOUBLE_DIGITS = 15  # DBL_DIG and FLT_DIG: from this decimal exponent on PostgreSQL writes exponents
_FLOAT_DIGITS = 6
_PLAIN_TO = 1e15
_BORDERS_FROM = 2.0**53  # below it no border between two doubles has so few digits
_BORDERS_TO = 1e41
_SINGLE_INFINITY = 0x7F800000  # its bits
_NUMERIC_MAX_EXPONENT = 131071
_NUMERIC_MAX_SCALE = 16383
_ARRAY_QUOTED = frozenset('"\\{}, \t\n\r\v\f')
_JSON_ESCAPES = {'"': '\\"', "\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_JSON_TABLE = str.maketrans({**{chr(c): f"\\u{c:04x}" for c in range(32)}, **_JSON_ESCAPES})


def _layout(digits: str, exponent: int, limit: int) -> str:
    """Digits d1d2d3… meaning d1.d2d3… × 10^exponent, laid out as PostgreSQL does."""
    if -4 <= exponent < limit:
        if exponent < 0:
            return "0." + "0" * (-exponent - 1) + digits
        whole = digits[: exponent + 1].ljust(exponent + 1, "0")
        rest = digits[exponent + 1 :]
        return f"{whole}.{rest}" if rest else whole
    mantissa = digits[0] + (f".{digits[1:]}" if len(digits) > 1 else "")
    return f"{mantissa}e{'-' if exponent < 0 else '+'}{abs(exponent):02d}"


def _split(text: str) -> tuple[str, int]:
    """repr or format text of a positive number to (digits without outer zeros, exponent of the first digit)."""
    mantissa, _, power = text.partition("e")
    whole, _, rest = mantissa.partition(".")
    digits = whole + rest
    stripped = digits.lstrip("0")
    exponent = len(whole) - 1 - (len(digits) - len(stripped)) + int(power or 0)
    return stripped.rstrip("0") or "0", exponent


def _special(value: float) -> str | None:
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value == 0:
        return "-0" if math.copysign(1, value) < 0 else "0"
    return None


def double_text(value: float) -> str:
    """A float8 as PostgreSQL prints it."""
    if 1e-4 <= value < _PLAIN_TO or -_PLAIN_TO < value <= -1e-4:  # most numbers: no exponent, no border in question
        return repr(value).removesuffix(".0")
    special = _special(value)
    if special is not None:
        return special
    size = abs(value)
    digits, exponent = _split(repr(size))
    if _BORDERS_FROM <= size < _BORDERS_TO:
        digits, exponent = _inside_borders(size, digits, exponent)
    return ("-" if value < 0 else "") + _layout(digits, exponent, _DOUBLE_DIGITS)


def _inside_borders(size: float, digits: str, exponent: int) -> tuple[str, int]:
    """The shortest decimal strictly between the two borders of a double that is a whole number."""
    exact = int(size)
    above = int(math.nextafter(size, math.inf))
    below = int(math.nextafter(size, 0))
    # Twice the values, so that borders stay whole.
    low, high = exact + below, exact + above
    chosen = 2 * int(digits) * 10 ** (exponent - len(digits) + 1) if exponent >= len(digits) - 1 else 2 * exact
    if low < chosen < high:
        return digits, exponent
    for zeros in range(exponent, -1, -1):
        step = 10**zeros
        floor = exact // step * step
        inside = [item for item in (floor, floor + step) if low < 2 * item < high]
        if inside:
            best = min(inside, key=lambda item: (abs(item - exact), item // step % 2))
            text = str(best)
            return text.rstrip("0"), len(text) - 1
    return digits, exponent


def is_single(value: float) -> bool:
    """Whether a float4 holds the value exactly."""
    try:
        return bool(struct.unpack("f", struct.pack("f", value))[0] == value)
    except OverflowError:
        return False


def single_text(value: float) -> str:
    """A float4 as PostgreSQL prints it. `value` must be one exactly (is_single)."""
    special = _special(value)
    if special is not None:
        return special
    size = abs(value)
    low, high = _single_borders(size)
    exact = Fraction(size)
    digits, exponent = _split(f"{size:.8e}")
    for count in range(1, 10):
        text = f"{size:.{count - 1}e}"
        mantissa, _, power = text.partition("e")
        scale = Fraction(10) ** (int(power) - count + 1)
        middle = int(mantissa.replace(".", ""))
        inside = [item for item in (middle - 1, middle, middle + 1) if low < item * scale < high]
        if inside:
            best = min(inside, key=lambda item: (abs(item * scale - exact), item % 2))
            digits = str(best)
            exponent = int(power) + len(digits) - count
            digits = digits.rstrip("0")
            break
    return ("-" if value < 0 else "") + _layout(digits, exponent, _FLOAT_DIGITS)


def _single_borders(size: float) -> tuple[Fraction, Fraction]:
    """Half-way to the float4 below and above, exactly."""
    bits = struct.unpack("I", struct.pack("f", size))[0]
    exact = Fraction(size)
    below = Fraction(_single(bits - 1))
    above = 2 * exact - below if bits + 1 >= _SINGLE_INFINITY else Fraction(_single(bits + 1))
    return (exact + below) / 2, (exact + above) / 2


def _single(bits: int) -> float:
    return float(struct.unpack("f", struct.pack("I", bits))[0])


def numeric_text(value: Decimal) -> str:
    """A numeric as PostgreSQL prints it, its scale kept; there is no negative zero."""
    text = format(value, "f")
    return text[1:] if value.is_zero() and text.startswith("-") else text


class BadJson(ValueError):
    """Text that PostgreSQL's json or jsonb would refuse, or could not give back."""


class _Number(str):
    """A JSON number's own text."""


def _no_constant(name: str) -> Any:
    raise BadJson(f"{name} is no JSON")


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise BadJson("an object has the same key twice")
    return found


def check_json(text: str) -> None:
    """Raise BadJson unless PostgreSQL's json takes the text, which it keeps as it is."""
    _parse(text, distinct=False)


def _parse(text: str, *, distinct: bool) -> Any:
    try:
        return json.loads(
            text,
            parse_constant=_no_constant,
            parse_float=_Number,
            parse_int=_Number,
            object_pairs_hook=_distinct if distinct else None,
        )
    except RecursionError as error:
        raise BadJson("it is nested too deeply") from error
    except BadJson:
        raise
    except ValueError as error:
        raise BadJson("it isn't valid JSON") from error


def jsonb_text(text: str) -> str:
    """A JSON text as jsonb prints it.

    Raises BadJson: invalid, a key twice, U+0000, a lone surrogate, a number too large.
    """
    parts: list[str] = []
    try:
        _print(_parse(text, distinct=True), parts)
    except RecursionError as error:
        raise BadJson("it is nested too deeply") from error
    return "".join(parts)


def _json_string(text: str) -> str:
    if "\0" in text:
        raise BadJson("a string holds U+0000")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise BadJson("a string holds half of a surrogate pair") from error
    return f'"{text.translate(_JSON_TABLE)}"'


def _json_number(text: str) -> str:
    value = Decimal(text)
    exponent = value.as_tuple().exponent
    if value.adjusted() > _NUMERIC_MAX_EXPONENT or (isinstance(exponent, int) and exponent < -_NUMERIC_MAX_SCALE):
        raise BadJson("a number is beyond what numeric holds")
    return numeric_text(value)


def _print(value: Any, parts: list[str]) -> None:
    if isinstance(value, _Number):
        parts.append(_json_number(value))
    elif isinstance(value, str):
        parts.append(_json_string(value))
    elif isinstance(value, dict):
        _print_object(value, parts)
    elif isinstance(value, list):
        parts.append("[")
        for place, item in enumerate(value):
            if place:
                parts.append(", ")
            _print(item, parts)
        parts.append("]")
    else:
        parts.append("null" if value is None else "true" if value else "false")


def _print_object(value: dict[str, Any], parts: list[str]) -> None:
    """Keys by length, then by bytes: jsonb's own order."""
    named = [(key.encode("utf-8", "surrogatepass"), key) for key in value]
    parts.append("{")
    for place, (_raw, key) in enumerate(sorted(named, key=lambda item: (len(item[0]), item[0]))):
        if place:
            parts.append(", ")
        parts.append(_json_string(key) + ": ")
        _print(value[key], parts)
    parts.append("}")


def array_text(elements: Iterable[str | None]) -> str:
    """A one-dimensional array as PostgreSQL prints it; None is NULL."""
    return "{" + ",".join(_element(item) for item in elements) + "}"


def _element(item: str | None) -> str:
    if item is None:
        return "NULL"
    if not item or item.upper() == "NULL" or not _ARRAY_QUOTED.isdisjoint(item):
        escaped = item.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return item
