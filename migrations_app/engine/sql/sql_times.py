"""SQLite's functions of times: of constants, and of columns that hold nothing but times in one form."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Callable, Sequence

from migrations_app.engine.sql.sql_parse import NotTranslated
from migrations_app.engine.sql.sql_values import (
    INTEGERS,
    NULL,
    TEXTS,
    Value,
    integer_literal,
    real_literal,
    string,
    text_literal,
)

# Times of constants: SQLite itself computes them, in an empty database.
_FOLDED = frozenset({"date", "datetime", "julianday", "strftime", "time", "unixepoch"})


def folded(name: str, values: Sequence[Value]) -> Value | None:
    if name not in _FOLDED or not values or any(value.literal is None for value in values):
        return None
    written = ", ".join(_literal_sql(value) for value in values)
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        # In a generated column SQLite refuses what isn't the same at any time ('now', 'localtime').
        connection.execute(f"CREATE TABLE scratch(a, v AS ({name}({written})))")
        connection.execute("INSERT INTO scratch VALUES (1)")
        (found,) = connection.execute("SELECT v FROM scratch").fetchone()
    except sqlite3.Error as error:
        raise NotTranslated(f"{name.upper()}() depends on the time or place of the asking") from error
    finally:
        connection.close()
    if found is None:
        return NULL
    if isinstance(found, str):
        return text_literal(found)
    return integer_literal(found) if isinstance(found, int) else real_literal(found)


def _literal_sql(value: Value) -> str:
    return "'" + value.literal.replace("'", "''") + "'" if isinstance(value.literal, str) else repr(value.literal)


# Times of columns that hold nothing but times in one form.
_PARTS = {"Y": "YYYY", "m": "MM", "d": "DD", "H": "HH24", "M": "MI", "S": "SS", "j": "DDD"}
_FORMAT = re.compile(r"%(.)|([^%]+)", re.DOTALL)


def _moment(value: Value) -> str:
    """The column as a timestamp in UTC."""
    if value.form not in ("date", "timestamp", "timestamptz"):
        raise NotTranslated("a function of times gets what isn't a column of times in one form")
    if value.form == "timestamptz":
        return f"({value.sql} AT TIME ZONE 'UTC')"
    return f"({value.sql})::timestamp"


def shown(form: str) -> Callable[[Value], Value]:
    return lambda value: Value(f"to_char({_moment(value)}, '{form}')", "text", TEXTS)


def strftime(form: Value, value: Value) -> Value:
    if not isinstance(form.literal, str):
        raise NotTranslated("STRFTIME() takes its format from a column")
    if form.literal == "%s":
        return Value(f"({unixepoch(value).sql})::text", "text", TEXTS)
    parts = []
    for match in _FORMAT.finditer(form.literal):
        if match[1] is not None and match[1] not in _PARTS:
            raise NotTranslated(f"STRFTIME() with %{match[1]}")
        parts.append(_PARTS[match[1]] if match[1] else '"' + match[2].replace("\\", "\\\\").replace('"', '\\"') + '"')
    if sum(len(match.group()) for match in _FORMAT.finditer(form.literal)) != len(form.literal):
        raise NotTranslated("STRFTIME() with a format that ends in %")
    return Value(f"to_char({_moment(value)}, {string(''.join(parts))})", "text", TEXTS)


def unixepoch(value: Value) -> Value:
    return Value(f"floor(extract(epoch FROM {_moment(value)}))::bigint", "bigint", INTEGERS)
