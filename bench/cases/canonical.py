"""One text for equal values, whatever type a tool chose for them: the lenient rule that tools are compared by. Pure.

A tool that turns 1 into true, '5' into 5 or '2020-01-01T10:00' into a timestamp has kept the value. Another number,
another moment, other letters are not it. The form depends on the family of the target's type:

- number: numbers by value, -0 as 0; text that is written as a plain number by that number;
- boolean: 1 and 0, and the words that PostgreSQL itself accepts for them;
- bytes: blobs by their bytes, text by its UTF-8;
- moment: ISO date and time, with seconds, without zeros at the end of a fraction, in UTC where an offset is given and
  as it stands where there is none; numbers as seconds or milliseconds since 1970;
- text, and all else: letter by letter, but numbers by value as above.
"""

from __future__ import annotations

import datetime
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from decimal import Decimal

NUMBER, BOOLEAN, BYTES, MOMENT, TEXT = "number", "boolean", "bytes", "moment", "text"

_FAMILIES = {
    "boolean": BOOLEAN,
    "bytea": BYTES,
    "smallint": NUMBER,
    "integer": NUMBER,
    "bigint": NUMBER,
    "numeric": NUMBER,
    "real": NUMBER,
    "double precision": NUMBER,
    "date": MOMENT,
}
# Not 007, nor blanks: those are text that a number would not give back.
_PLAIN_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d{1,3})?")
_MOMENT = re.compile(
    r"(?:(?P<date>\d{4,6}-\d\d-\d\d)(?:[T ]|$))?"
    r"(?:(?P<hour>\d\d):(?P<minute>\d\d)(?::(?P<second>\d\d)(?:\.(?P<fraction>\d+))?)?"
    r"\s*(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?)?"
)
_TRUE, _FALSE = {"1", "t", "true", "y", "yes", "on"}, {"0", "f", "false", "n", "no", "off"}
_EPOCH = datetime.datetime(1970, 1, 1)
_MILLISECONDS_FROM = 10**11  # as seconds this would be the year 5138

Stored = int | float | str | bytes | None


def family(type_name: str) -> str:
    """The family of a PostgreSQL type, as format_type() names it."""
    bare = type_name.partition("(")[0].strip()
    if bare.startswith(("timestamp", "time")):
        return MOMENT
    return _FAMILIES.get(bare, TEXT)


def of_source(value: Stored, kind: str) -> str | None:
    """The form of a value that SQLite gave, for a target column of that family."""
    if value is None:
        return None
    if isinstance(value, bytes):
        return _of_bytes(value, kind)
    if kind == BYTES:
        return _hex(_plain(value).encode("utf-8", "surrogateescape"))
    if kind == MOMENT:
        return _of_number_as_moment(value) if isinstance(value, int | float) else _of_moment(value)
    return _of_text(_plain(value), kind)


def of_target(text: str | None, kind: str) -> str | None:
    """The form of a value that PostgreSQL printed, with TimeZone UTC, ISO dates and bytea as hex."""
    if text is None:
        return None
    if kind == BYTES:
        return text.removeprefix("\\x")
    if kind == MOMENT:
        return _of_moment(text)
    return _of_text(text, kind)


def _plain(value: int | float | str) -> str:
    return repr(value) if isinstance(value, float) else str(value)


def _of_bytes(value: bytes, kind: str) -> str:
    if kind == BYTES:
        return _hex(value)
    try:
        return _of_text(value.decode(), kind)
    except UnicodeDecodeError:
        return f"\\x{_hex(value)}"


def _hex(value: bytes) -> str:
    return value.hex()


def _of_text(text: str, kind: str) -> str:
    if kind == BOOLEAN and text.lower() in _TRUE | _FALSE:
        return "1" if text.lower() in _TRUE else "0"
    if text.lower() in ("inf", "-inf", "infinity", "-infinity"):
        return text.lower().replace("infinity", "inf")
    if _PLAIN_NUMBER.fullmatch(text):
        number = Decimal(text).normalize()
        return "0" if not number else format(number, "f")
    return text


def _of_moment(text: str) -> str:
    """Text that is no moment stays as it is, and so differs from any."""
    found = _MOMENT.fullmatch(text.strip())
    if found is None or not (found["date"] or found["hour"]):
        return text
    hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
    fraction = (found["fraction"] or "").rstrip("0")
    end = f".{fraction}" if fraction else ""
    clock = f"{hour:02d}:{minute:02d}:{second:02d}"
    if not found["date"]:
        return f"{clock}{end}{_offset_text(found['zone'])}"
    minutes = _offset_minutes(found["zone"])
    if not minutes:
        return f"{found['date']} {clock}{end}"
    try:
        moment = datetime.datetime.fromisoformat(f"{found['date']} {clock}") - datetime.timedelta(minutes=minutes)
    except (ValueError, OverflowError):
        return text
    return f"{moment.isoformat(' ')}{end}"


def _offset_minutes(zone: str | None) -> int:
    if not zone or zone == "Z":
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    return (-1 if zone[0] == "-" else 1) * (int(digits[:2]) * 60 + int(digits[2:]))


def _offset_text(zone: str | None) -> str:
    minutes = _offset_minutes(zone)
    return f"{minutes:+d}" if minutes else ""


def _of_number_as_moment(value: int | float) -> str:
    seconds = value / 1000 if abs(value) >= _MILLISECONDS_FROM else value
    try:
        return _of_moment((_EPOCH + datetime.timedelta(seconds=seconds)).isoformat(" "))
    except (OverflowError, ValueError):
        return _plain(value)


def changed_cells(
    source: Sequence[Iterable[str | None]], target: Sequence[Iterable[str | None]], lost_rows: int
) -> int:
    """How many values of the source's columns the target's columns don't hold, as often as the source does.

    Columns are given in the same order. Rows are not paired, since not every table has a key, so values that changed
    places count as kept; and a value that is missing may belong to a row that is missing, so lost rows are taken off.
    """
    changed = 0
    for before, after in zip(source, target, strict=True):
        missing = Counter(before)
        missing.subtract(Counter(after))
        changed += max(0, sum(count for count in missing.values() if count > 0) - lost_rows)
    return changed
