"""Cells to dates, times and intervals. What their texts look like is conversion_times.py's."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import partial

from migrations_app.engine.conversions import conversion_times as times
from migrations_app.engine.conversions.conversion_base import Unfit, wrong_kind
from migrations_app.engine.source.cells import Cell


def timed(work: Callable[[str], str], cell: Cell) -> str | None:
    if cell is None:
        return None
    if not isinstance(cell, str):
        raise wrong_kind(cell, "a date or time as text")
    try:
        return work(cell)
    except times.BadTime as error:
        raise Unfit(str(error)) from error


def date(text: str) -> str:
    times.parse_date(text)
    return text


def timestamp(form: str, digits: int, text: str) -> str:
    parsed = times.parse_timestamp(text)
    if form:
        times.check_form(parsed, form)
    elif parsed.zone:
        raise times.BadTime("it names a zone, the target's type has none")
    if parsed.moment.microsecond % 10 ** (6 - digits):
        raise times.BadTime(f"it has more than {digits} digits of a second")
    return times.moment_text(parsed.moment)


def timestamptz(form: str, digits: int, text: str) -> str:
    parsed = times.parse_timestamp(text)
    if form:
        times.check_form(parsed, form)
    moment = times.to_utc(parsed)
    if moment.microsecond % 10 ** (6 - digits):
        raise times.BadTime(f"it has more than {digits} digits of a second")
    return times.moment_text(moment) + "+00"


def time(form: str, digits: int, text: str) -> str:
    parsed = times.parse_time(text)
    if form:
        times.check_form(parsed, form)
    if parsed.moment.microsecond % 10 ** (6 - digits):
        raise times.BadTime(f"it has more than {digits} digits of a second")
    return times.clock_text(parsed.moment)


def epoch(unit: int, zone: str, cell: Cell) -> str | None:
    """By choice: a number of seconds, milliseconds or microseconds since 1970 UTC."""
    return _counted(partial(times.epoch_moment, unit=unit), zone, cell)


def julian(zone: str, cell: Cell) -> str | None:
    """By choice: a Julian day number, UTC."""
    return _counted(times.julian_moment, zone, cell)


def _counted(work: Callable[[int | float], dt.datetime], zone: str, cell: Cell) -> str | None:
    if cell is None:
        return None
    if not isinstance(cell, int | float) or cell in (float("inf"), float("-inf")):
        raise wrong_kind(cell, "a number that counts time")
    try:
        return times.moment_text(work(cell)) + zone
    except times.BadTime as error:
        raise Unfit(str(error)) from error


def interval(text: str) -> str:
    """SQLAlchemy's Interval on SQLite: 1970-01-01 plus the interval, as a timestamp."""
    parsed = times.parse_timestamp(text)
    if parsed.zone:
        raise times.BadTime("it names a zone")
    return times.interval_text(times.since_epoch(parsed.moment))


def interval_micro(cell: Cell) -> str | None:
    """Django's DurationField on SQLite: microseconds."""
    if cell is None:
        return None
    if not isinstance(cell, int):
        raise wrong_kind(cell, "a number of microseconds")
    try:
        return times.interval_text(times.since_epoch(times.epoch_moment(cell, 1_000_000)))
    except times.BadTime as error:
        raise Unfit(str(error)) from error
