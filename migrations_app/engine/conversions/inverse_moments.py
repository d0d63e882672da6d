"""The text that PostgreSQL prints for a time, back to the cell: as text in a column's own form, or as a number.

A form is separator-fraction-zone, as in conversion_times.py; beyond those forms a fraction may be a number of digits
from 0 to 12 (so many where they say all, else six) and a zone any offset.
"""

from __future__ import annotations

import datetime as dt
import re

from migrations_app.engine.conversions import conversion_times as times
from migrations_app.engine.conversions.conversion_base import Undo, Unfit
from migrations_app.engine.source.cells import Cell

_EPOCH = dt.datetime(1970, 1, 1)
_MICRO = dt.timedelta(microseconds=1)
_DAY_MS = 86_400_000
_JULIAN_EPOCH_MS = 210_866_760_000_000  # milliseconds from the Julian day 0 to 1970
_INTERVAL = re.compile(
    r"(?:(?P<days>-?\d+) days?)?(?: ?(?P<sign>[+-]?)(?P<hours>\d{2,}):(?P<minutes>\d\d):(?P<seconds>\d\d)"
    r"(?:\.(?P<fraction>\d{1,6}))?)?",
    re.ASCII,
)


def _moment(text: str) -> dt.datetime:
    """Of a time as it is printed, '+00' included."""
    try:
        return times.parse_timestamp(text.removesuffix("+00")).moment
    except times.BadTime as error:
        raise Unfit(f"{error}, or it is infinite, before year 1 or after year 9999") from error


def _fraction(style: str, micro: int) -> str:
    digits = f"{micro:06d}"
    if style == "py":
        return digits if micro else ""
    if style == "trim":
        return digits.rstrip("0")
    wanted = int(style)
    return digits[:wanted].ljust(wanted, "0") if not digits[wanted:].strip("0") else digits


def _offset(zone: str) -> dt.timedelta:
    if zone in ("", "Z"):
        return dt.timedelta(0)
    digits = zone[1:].replace(":", "").ljust(4, "0")
    size = dt.timedelta(hours=int(digits[:2]), minutes=int(digits[2:]))
    return -size if zone[0] == "-" else size


def _written(moment: dt.datetime, separator: str, style: str, zone: str) -> str:
    fraction = _fraction(style, moment.microsecond)
    day = f"{moment.year:04d}-{moment.month:02d}-{moment.day:02d}"
    clock = f"{moment.hour:02d}:{moment.minute:02d}:{moment.second:02d}"
    return f"{day}{separator}{clock}{f'.{fraction}' if fraction else ''}{zone}"


def timestamp(form: str) -> Undo:
    separator, style, zone = form.split("-", 2)
    offset, between = _offset(zone), times.SEPARATORS[separator]

    def undo(text: str) -> Cell:
        try:
            return _written(_moment(text) + offset, between, style, zone)
        except OverflowError as error:
            raise Unfit("it is before year 1 or after year 9999 there") from error

    return undo


def clock(style: str) -> Undo:
    def undo(text: str) -> Cell:
        try:
            moment = times.parse_time(text).moment
        except times.BadTime as error:
            raise Unfit(str(error)) from error
        return _written(moment, " ", style, "")[11:]

    return undo


def _micros(text: str) -> int:
    return (_moment(text) - _EPOCH) // _MICRO


def counted(unit: int, kind: str) -> Undo:
    """A number of 1/unit seconds since 1970. `kind`: 'integer', 'real' or 'number' (whole ones as integers)."""
    scale = 1_000_000 // unit

    def undo(text: str) -> Cell:
        return _as(kind, _micros(text), scale)

    return undo


def julian(kind: str) -> Undo:
    """A day number. SQLite's are whole milliseconds by the milliseconds of a day."""

    def undo(text: str) -> Cell:
        micro = _micros(text)
        if micro % 1000 == 0:
            return _as(kind, micro // 1000 + _JULIAN_EPOCH_MS, _DAY_MS)
        return _as(kind, micro + _JULIAN_EPOCH_MS * 1000, _DAY_MS * 1000)

    return undo


def _as(kind: str, count: int, scale: int) -> Cell:
    whole = count % scale == 0
    if kind == "integer" and not whole:
        raise Unfit("it is no whole number in the column's unit")
    return count // scale if whole and kind != "real" else count / scale


def _span(text: str) -> dt.timedelta:
    match = _INTERVAL.fullmatch(text)
    if match is None or not text:
        raise Unfit("it is an interval of months or years, or printed in another style")
    part = match.groupdict(default="")
    clock_size = dt.timedelta(
        hours=int(part["hours"] or 0),
        minutes=int(part["minutes"] or 0),
        seconds=int(part["seconds"] or 0),
        microseconds=int((part["fraction"] or "0").ljust(6, "0")),
    )
    try:
        return dt.timedelta(days=int(part["days"] or 0)) + (-clock_size if part["sign"] == "-" else clock_size)
    except OverflowError as error:
        raise Unfit("it is longer than a time from year 1 to 9999") from error


def since_epoch(form: str) -> Undo:
    """An interval as the time that lies so long after 1970."""
    separator, style, _zone = form.split("-", 2)

    def undo(text: str) -> Cell:
        try:
            return _written(_EPOCH + _span(text), times.SEPARATORS[separator], style, "")
        except OverflowError as error:
            raise Unfit("it is longer than a time from year 1 to 9999") from error

    return undo


def microseconds(text: str) -> Cell:
    return _span(text) // _MICRO


def forms_of(cell: Cell, *, bare: bool = False) -> tuple[str, ...]:
    """The forms that a cell may be written in, the likeliest first. `bare`: a time of day, of which only the fraction
    has a form. () for what is no time."""
    if not isinstance(cell, str):
        return ()
    try:
        parsed = times.parse_time(cell) if bare else times.parse_timestamp(cell)
    except times.BadTime:
        return ()
    separator = next((name for name, sign in times.SEPARATORS.items() if sign == parsed.separator), "space")
    digits = len(parsed.fraction)
    styles = [style for style in ("py", str(digits), "trim", "0") if _fits(parsed, style)]
    return tuple(dict.fromkeys(f"{separator}-{style}-{parsed.zone}" for style in styles))


def _fits(parsed: times.Parsed, style: str) -> bool:
    return _fraction(style, parsed.moment.microsecond) == parsed.fraction
