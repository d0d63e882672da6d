"""DEFAULT clauses in PostgreSQL's words.

A constant is computed by SQLite itself, in an empty database in memory where no function may run, and then goes through
the column's own conversion: so a default becomes exactly what a stored row would. The few expressions that frameworks
write for "now" are known by their form; all else is listed.
"""

from __future__ import annotations

import re
import sqlite3

from migrations_app.engine.conversions.conversions import Unfit, conversion
from migrations_app.engine.source.affinity import affinity
from migrations_app.engine.source.cells import Cell
from migrations_app.engine.source.sqlite_ddl import tokenize
from migrations_app.engine.sql.translate import NotTranslated

_STEPS = 50_000
_UTC = "timezone('UTC', now())"
_SECOND = f"date_trunc('second', {_UTC})"
# Normalised text of the expression to (kind, to_char format for text columns).
_NOW = {
    "current_timestamp": ("timestamp", "YYYY-MM-DD HH24:MI:SS"),
    "datetime('now')": ("timestamp", "YYYY-MM-DD HH24:MI:SS"),
    "datetime('now','utc')": ("timestamp", "YYYY-MM-DD HH24:MI:SS"),
    "datetime(current_timestamp)": ("timestamp", "YYYY-MM-DD HH24:MI:SS"),
    "strftime('%Y-%m-%d %H:%M:%S','now')": ("timestamp", "YYYY-MM-DD HH24:MI:SS"),
    "strftime('%Y-%m-%dT%H:%M:%SZ','now')": ("", 'YYYY-MM-DD"T"HH24:MI:SS"Z"'),
    "strftime('%Y-%m-%dT%H:%M:%fZ','now')": ("", 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
    "strftime('%Y-%m-%d %H:%M:%f','now')": ("", "YYYY-MM-DD HH24:MI:SS.MS"),
    "current_date": ("date", "YYYY-MM-DD"),
    "date('now')": ("date", "YYYY-MM-DD"),
    "current_time": ("time", "HH24:MI:SS"),
    "time('now')": ("time", "HH24:MI:SS"),
}
_MILLISECONDS = frozenset(form for form in _NOW if "%f" in form)
# A number of whole days, hours, minutes or seconds from now; months and years end otherwise in the two databases.
_LATER = re.compile(r"(date|datetime)\('now','([+-]?[0-9]{1,6}) (day|hour|minute|second)s?'\)")
_BY_KIND = {"timestamp": _SECOND, "date": f"({_UTC})::date", "time": f"({_SECOND})::time"}
_EPOCH = frozenset({"strftime('%s','now')", "unixepoch()", "unixepoch('now')"})
_RANDOM_KEY = "lower(hex(randomblob(16)))"


def translate_default(source_sql: str, declared: str, target_type: str, conversion_name: str) -> str | None:
    """A PostgreSQL expression; None where the default is NULL. Raises NotTranslated."""
    known = _known(_normal(source_sql), target_type)
    if known is not None:
        return known
    cell = _constant(source_sql, declared)
    # A default isn't one of the column's texts: where times are kept in one form it may be written in another.
    word = conversion_name.partition(":")[0]
    name = word if word in ("timestamp", "timestamptz", "time") else conversion_name
    try:
        text = conversion(name, target_type).convert(cell)
    except Unfit as error:
        raise NotTranslated(f"the column's type can't hold it: {error.why}") from error
    return None if text is None else _literal(text, target_type)


def _literal(text: str, target_type: str) -> str:
    quoted = text.replace("'", "''")
    if "\\" in quoted:
        escaped = quoted.replace("\\", "\\\\")
        return f"E'{escaped}'::{target_type}"
    return f"'{quoted}'::{target_type}"


def _normal(sql: str) -> str:
    """One spelling: outer parentheses off, keywords and functions in small letters, no blanks but in strings."""
    tokens = tokenize(sql)
    while len(tokens) > 2 and tokens[0].text == "(" and tokens[-1].text == ")":
        tokens = tokens[1:-1]
    return "".join(token.text.lower() if token.kind == "word" else token.text for token in tokens)


def _known(normal: str, target_type: str) -> str | None:
    if normal in _NOW:
        kind, form = _NOW[normal]
        return _moment(kind, form, target_type, milliseconds=normal in _MILLISECONDS)
    if later := _LATER.fullmatch(normal):
        kind, form = _NOW[f"{later[1]}('now')"]
        return _moment(kind, form, target_type, later=f" + interval '{int(later[2])} {later[3]}'")
    if normal in _EPOCH:
        number = "floor(extract(epoch from now()))::bigint"
        if target_type in ("bigint", "numeric"):
            return number
        if target_type == "text":
            return f"({number})::text"
        raise NotTranslated(f"it gives a number, the column is {target_type}")
    if normal == _RANDOM_KEY and target_type == "text":
        # 32 hexadecimal digits of which 122 bits are random, where SQLite's has 128.
        return "replace(gen_random_uuid()::text, '-', '')"
    return None


def _moment(kind: str, form: str, target_type: str, *, milliseconds: bool = False, later: str = "") -> str:
    """Now, or a fixed time from now, in UTC: as text in SQLite's form, or as the column's type of time."""
    utc = f"({_UTC}{later})" if later else _UTC
    if target_type == "text":
        return f"to_char({utc}, '{form}')"
    if target_type == "timestamp with time zone" and kind != "time":
        unit = "milliseconds" if milliseconds else "day" if kind == "date" else "second"
        return f"timezone('UTC', date_trunc('{unit}', {utc}))"
    if milliseconds and target_type == "timestamp without time zone" and "T" not in form:
        return f"date_trunc('milliseconds', {utc})"
    if kind and target_type.split(" ")[0] == kind and "with time zone" not in target_type:
        return _BY_KIND[kind].replace(_UTC, utc)
    raise NotTranslated(f"it gives a time, the column is {target_type}")


def _refuse(action: int, *_names: str | None) -> int:
    """Only literals and operators: no function, no table but the scratch one."""
    return sqlite3.SQLITE_DENY if action == sqlite3.SQLITE_FUNCTION else sqlite3.SQLITE_OK


def _constant(sql: str, declared: str) -> Cell:
    """The value that SQLite stores for the default in a column of that affinity."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1_000_000)
        connection.execute(f"CREATE TABLE scratch(cell {affinity(declared)})")
        connection.set_authorizer(_refuse)
        connection.set_progress_handler(lambda: 1, _STEPS)
        connection.execute(f"INSERT INTO scratch VALUES (({sql}\n))")
        cell: Cell = connection.execute("SELECT cell FROM scratch").fetchone()[0]
        return cell
    except sqlite3.Error as error:
        raise NotTranslated("it is no constant") from error
    finally:
        connection.close()
