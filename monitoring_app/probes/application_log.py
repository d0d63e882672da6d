"""Lines of the application's log by level, and the database errors in them by SQLSTATE. No text of a line is kept.

Read are the usual formats of Python's logging, of log4j and of JSON lines: the level stands as a word of its own in
capitals near a line's begin, or in the field `level`, `levelname` or `severity`. Lines of a traceback have no level
and count for nothing but the error that they name.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from monitoring_app.probes.measurement import FULL, PARTIAL, Measurement
from monitoring_app.probes.tailing import NoLog, added

LEVELS: Final = ("WARNING", "ERROR", "CRITICAL")
_SAME = {"WARN": "WARNING", "ERR": "ERROR", "FATAL": "CRITICAL", "PANIC": "CRITICAL", "SEVERE": "ERROR"}
_LEVEL = re.compile(rb"(?<![A-Za-z])(DEBUG|INFO|NOTICE|WARNING|WARN|ERROR|ERR|SEVERE|CRITICAL|FATAL|PANIC)(?![A-Za-z])")
_NEAR = 200  # bytes of a line in which its level stands
_JSON_KEYS = ("level", "levelname", "severity", "log.level")
# psycopg's classes, as a traceback's last line or SQLAlchemy names them: (psycopg2.errors.UniqueViolation)
_CLASS = re.compile(rb"(?:psycopg2?\.(?:errors\.)?|asyncpg\.exceptions\.)([A-Z][A-Za-z]{3,60})(?![\w.])")
_STATE = re.compile(rb"(?:SQLSTATE|sqlstate|pgcode|SqlState)\W{1,4}([0-9A-Z]{5})(?![0-9A-Za-z])")
# From https://www.psycopg.org/docs/errors.html, those that a move from SQLite brings out.
STATES: Final = {
    "UniqueViolation": "23505",
    "NotNullViolation": "23502",
    "ForeignKeyViolation": "23503",
    "CheckViolation": "23514",
    "InvalidTextRepresentation": "22P02",
    "StringDataRightTruncation": "22001",
    "NumericValueOutOfRange": "22003",
    "InvalidDatetimeFormat": "22007",
    "DatetimeFieldOverflow": "22008",
    "DivisionByZero": "22012",
    "CharacterNotInRepertoire": "22021",
    "UntranslatableCharacter": "22P05",
    "InFailedSqlTransaction": "25P02",
    "IdleInTransactionSessionTimeout": "25P03",
    "SerializationFailure": "40001",
    "DeadlockDetected": "40P01",
    "SyntaxError": "42601",
    "UndefinedFunction": "42883",
    "UndefinedTable": "42P01",
    "UndefinedColumn": "42703",
    "UndefinedObject": "42704",
    "AmbiguousColumn": "42702",
    "DatatypeMismatch": "42804",
    "GroupingError": "42803",
    "CannotCoerce": "42846",
    "IndeterminateDatatype": "42P18",
    "InvalidColumnReference": "42P10",
    "InsufficientPrivilege": "42501",
    "TooManyConnections": "53300",
    "DiskFull": "53100",
    "OutOfMemory": "53200",
    "LockNotAvailable": "55P03",
    "QueryCanceled": "57014",
    "AdminShutdown": "57P01",
}
_MOST_KINDS = 60
# What every error is an instance of says nothing.
_BASES = ("Error", "DatabaseError", "PostgresError", "Warning")


def probe_application_log(
    path: Path, memory: Mapping[str, Any], seconds: float | None
) -> tuple[list[Measurement], dict[str, Any], Counter[str]]:
    """Lines of each level since the last look; the new place; and how often each SQLSTATE (or class) was named.

    seconds: since the last look; None: so long ago that its lines are no news. Its errors count all the same.
    """
    try:
        found, place = added(path, memory)
    except NoLog as why:
        return _unknown(f"application's log: {why}"), dict(memory), Counter()
    errors = Counter(dict(count_errors(found.lines).most_common(_MOST_KINDS)))
    if found.first or seconds is None:
        return _unknown("application's log: lines are counted from the next look on"), place, errors
    levels = Counter(level_of(line) for line in found.lines)
    note = f"{found.skipped:,} bytes of a long gap were passed over" if found.skipped else ""
    view = PARTIAL if note else FULL
    measured = [Measurement("log_lines", float(levels[level]), {"level": level}, view, note) for level in LEVELS]
    return measured, place, errors


def count_errors(lines: Iterable[bytes]) -> Counter[str]:
    """How often each error was named; within one traceback, which names its cause once more, it counts once."""
    errors: Counter[str] = Counter()
    named: set[str] = set()
    before = b""
    for line in lines:
        fresh = line.startswith(b"Traceback ") and not before.startswith((b"The above exception", b"During handling"))
        if fresh or _word(line) or line.startswith(b"{"):
            named = set() if not fresh or not _word(before) else named
        for one in set(errors_of(line)) - named:
            errors[one] += 1
            named.add(one)
        before = line
    return errors


def level_of(line: bytes) -> str:
    """WARNING, ERROR or CRITICAL; "" for any other line."""
    word = _json_level(line) if line.startswith(b"{") else _word(line)
    word = _SAME.get(word, word)
    return word if word in LEVELS else ""


def errors_of(line: bytes) -> list[str]:
    """SQLSTATEs that a line names; a class of psycopg that isn't in the list stands for itself."""
    names = [one.decode("ascii") for one in _CLASS.findall(line)]
    found = [STATES.get(name.removesuffix("Error"), name) for name in names if name not in _BASES]
    found += [state.decode("ascii") for state in _STATE.findall(line)]
    return [one for one in found if not one.startswith("00")]


def _word(line: bytes) -> str:
    if line[:1] in b" \t":  # a traceback's or a continued line
        return ""
    found = _LEVEL.search(line[:_NEAR])
    return found[1].decode("ascii") if found else ""


def _json_level(line: bytes) -> str:
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return ""
    values = [entry.get(key) for key in _JSON_KEYS] if isinstance(entry, dict) else []
    return next((value.upper() for value in values if isinstance(value, str)), "")


def _unknown(why: str) -> list[Measurement]:
    return [Measurement.unknown("log_lines", why, {"level": level}) for level in LEVELS]
