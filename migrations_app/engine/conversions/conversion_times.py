"""Dates and times kept as SQLite text: parsed strictly, printed as PostgreSQL prints them (ISO, UTC).

A *form* says how a whole column writes its times, so that the text can be had back from the value:
separator ('space' or 'T'), fraction ('py': none when zero, else six digits, as Python writes them; '3' and '6': always
so many; 'trim': no trailing zeros) and zone ('', 'Z', '+00:00' or '+00'), joined by '-'. Without a form every text that
means exactly one time is taken: for columns whose target type the application has chosen itself.
"""

from __future__ import annotations

import datetime as dt
import math
import re
from dataclasses import dataclass
from fractions import Fraction

_DATE = r"(\d{4})-(\d\d)-(\d\d)"
_TIME = r"(\d\d):(\d\d):(\d\d)(?:\.(\d{1,12}))?"
_TIMESTAMP_PATTERN = re.compile(rf"{_DATE}([ T]){_TIME}(Z|[+-]\d\d(?::?\d\d)?)?", re.ASCII)
_DATE_PATTERN = re.compile(_DATE, re.ASCII)
_TIME_PATTERN = re.compile(_TIME, re.ASCII)
_EPOCH = dt.datetime(1970, 1, 1)
_DAY = 86_400  # seconds
_JULIAN_EPOCH_MS = 210_866_760_000_000  # milliseconds from the Julian day 0 to 1970 (2440587.5 days)

SEPARATORS = {"space": " ", "T": "T"}
FRACTIONS = ("py", "6", "3", "trim")
ZONES = ("", "Z", "+00:00", "+00")


class BadTime(ValueError):
    """Not exactly one date or time, or not in the column's form."""


@dataclass(frozen=True)
class Parsed:
    """separator '' for a bare time; fraction as written; zone '' when naive."""

    moment: dt.datetime
    separator: str
    fraction: str
    zone: str


def parse_date(text: str) -> dt.date:
    """YYYY-MM-DD, years 1 to 9999."""
    match = _DATE_PATTERN.fullmatch(text)
    if match is None:
        raise BadTime("it isn't YYYY-MM-DD")
    try:
        return dt.date(int(match[1]), int(match[2]), int(match[3]))
    except ValueError as error:
        raise BadTime("there is no such day") from error


def _microseconds(fraction: str | None) -> int:
    if not fraction:
        return 0
    if len(fraction) > 6 and fraction[6:].strip("0"):
        raise BadTime("it has more than six digits of a second")
    return int(fraction[:6].ljust(6, "0"))


def parse_timestamp(text: str) -> Parsed:
    """A date and a time of day, with or without a zone. 24:00:00 and second 60 are refused: they print differently."""
    match = _TIMESTAMP_PATTERN.fullmatch(text)
    if match is None:
        raise BadTime("it isn't YYYY-MM-DD HH:MM:SS")
    year, month, day, separator, hour, minute, second, fraction, zone = match.groups()
    try:
        moment = dt.datetime(
            int(year), int(month), int(day), int(hour), int(minute), int(second), _microseconds(fraction)
        )
    except BadTime:
        raise
    except ValueError as error:
        raise BadTime("there is no such date and time") from error
    return Parsed(moment, separator, fraction or "", zone or "")


def parse_time(text: str) -> Parsed:
    match = _TIME_PATTERN.fullmatch(text)
    if match is None:
        raise BadTime("it isn't HH:MM:SS")
    hour, minute, second, fraction = match.groups()
    try:
        moment = dt.datetime(1, 1, 1, int(hour), int(minute), int(second), _microseconds(fraction))
    except BadTime:
        raise
    except ValueError as error:
        raise BadTime("there is no such time of day") from error
    return Parsed(moment, "", fraction or "", "")


def _fraction_fits(parsed: Parsed, style: str) -> bool:
    fraction = parsed.fraction
    if style == "py":
        return len(fraction) == (6 if parsed.moment.microsecond else 0)
    if style == "trim":
        return not fraction.endswith("0")
    return len(fraction) == int(style)


def check_form(parsed: Parsed, form: str) -> None:
    """Raise BadTime unless the text was written in the form: then the form and the value give the text back."""
    separator, fraction, zone = form.split("-", 2)
    fits = parsed.separator in ("", SEPARATORS[separator]) and parsed.zone == zone
    if not fits or not _fraction_fits(parsed, fraction):
        raise BadTime("it is written otherwise than the column's other times")


def clock_text(moment: dt.datetime) -> str:
    text = f"{moment.hour:02d}:{moment.minute:02d}:{moment.second:02d}"
    return f"{text}.{moment.microsecond:06d}".rstrip("0") if moment.microsecond else text


def moment_text(moment: dt.datetime) -> str:
    return f"{moment.year:04d}-{moment.month:02d}-{moment.day:02d} {clock_text(moment)}"


def to_utc(parsed: Parsed) -> dt.datetime:
    """The naive UTC moment; a naive text is taken as UTC."""
    if parsed.zone in ("", "Z"):
        return parsed.moment
    sign = -1 if parsed.zone[0] == "-" else 1
    digits = parsed.zone[1:].replace(":", "").ljust(4, "0")
    hours, minutes = int(digits[:2]), int(digits[2:])
    if hours > 15 or minutes > 59:
        raise BadTime("there is no such zone")
    try:
        return parsed.moment - sign * dt.timedelta(hours=hours, minutes=minutes)
    except OverflowError as error:
        raise BadTime("it is before year 1 or after year 9999 in UTC") from error


def epoch_moment(value: int | float, unit: int) -> dt.datetime:
    """Seconds (unit 1), milliseconds (1000) or microseconds (1000000) since 1970, UTC.

    Exact: a real is taken to the nearest microsecond only where that microsecond gives the same double back.
    """
    scale = 1_000_000 // unit
    micro = value * scale if isinstance(value, int) else _whole(value * scale)
    if isinstance(value, float) and (micro / scale != value or _is_negative_zero(value)):
        raise BadTime("the moment wouldn't give the same number back")
    return _since(_EPOCH, micro)


def julian_moment(value: int | float) -> dt.datetime:
    """A Julian day number (days since noon of 24 November 4714 BC), UTC: exact, as for epoch_moment.

    SQLite writes them as whole milliseconds divided by the milliseconds of a day (date.c); other numbers are taken to
    the nearest microsecond, which is finer than a double's steps there.
    """
    for unit in (1_000, 1_000_000):
        count = round(Fraction(value) * (_DAY * unit))  # a double's product would be off by microseconds
        if count / (_DAY * unit) == value:
            return _since(_EPOCH, (count - _JULIAN_EPOCH_MS * (unit // 1000)) * (1_000_000 // unit))
    raise BadTime("the moment wouldn't give the same number back")


def _whole(number: float) -> int:
    if not -(2.0**62) < number < 2.0**62:
        raise BadTime("it is out of range")
    return round(number)


def _is_negative_zero(value: float) -> bool:
    return value == 0 and math.copysign(1, value) < 0


def _since(start: dt.datetime, micro: int) -> dt.datetime:
    try:
        return start + dt.timedelta(microseconds=micro)
    except OverflowError as error:
        raise BadTime("it is before year 1 or after year 9999") from error


def since_epoch(moment: dt.datetime) -> dt.timedelta:
    return moment - _EPOCH


def interval_text(span: dt.timedelta) -> str:
    """IntervalStyle postgres, for an interval of days and a time, as drivers send Python's timedelta."""
    parts = [f"{span.days} day{'' if span.days == 1 else 's'}"] if span.days else []
    if span.seconds or span.microseconds or not parts:
        clock = clock_text(dt.datetime(1, 1, 1) + dt.timedelta(seconds=span.seconds, microseconds=span.microseconds))
        parts.append(f"+{clock}" if span.days < 0 else clock)
    return " ".join(parts)
