"""SQLite's functions of which PostgreSQL has an exact twin. What isn't here isn't translated."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from migrations_app.engine.sql.sql_compare import SAME, compare, sorts_as_text
from migrations_app.engine.sql.sql_parse import NotTranslated
from migrations_app.engine.sql.sql_times import folded, shown, strftime, unixepoch
from migrations_app.engine.sql.sql_values import (
    INTEGERS,
    NULL,
    NUMBERS,
    REALS,
    TEXTS,
    Value,
    condition,
    double,
    harmonised,
    number,
    predicate,
    string,
    text,
    unified,
)

AGGREGATES: Final = frozenset({"avg", "count", "max", "min", "sum", "total"})
_HOLES = {"group_concat": "joins values in no defined order", "string_agg": "joins values in no defined order"}


def call(name: str, values: Sequence[Value]) -> Value:
    """A scalar function applied to translated arguments. Raises NotTranslated."""
    constant = folded(name, values)
    if constant is not None:
        return constant
    work = _SCALARS.get(name)
    if work is None:
        raise NotTranslated(f"{name.upper()}() {_HOLES.get(name, 'has no exact twin in PostgreSQL')}")
    return work(*_counted(name, values))


def _counted(name: str, values: Sequence[Value]) -> Sequence[Value]:
    low, high = _ARGUMENTS.get(name, (1, 1))
    if not low <= len(values) <= high:
        raise NotTranslated(f"{name.upper()}() is called with {len(values)} argument(s)")
    return values


def _made(sql: str, kinds: frozenset[str], *sources: Value) -> Value:
    form = "text" if kinds == TEXTS else "double" if kinds & REALS else "bigint"
    collation = "C" if any(value.pg_collation for value in sources) else ""
    return Value(sql, form, kinds, pg_collation=collation)


def _texts_only(*values: Value) -> list[str]:
    if not all(value.is_text or value.form == "null" for value in values):
        raise NotTranslated("a function of texts gets what isn't a text")
    return harmonised(values, [text(value) for value in values])


def _case_of(name: str) -> Callable[[Value], Value]:
    def work(value: Value) -> Value:
        (sql,) = _texts_only(value)
        # Only A to Z, as SQLite: so says collation "C".
        plain = value.form == "text" and value.pg_collation == "C"
        return Value(f"{name}({sql})" if plain else f'{name}({sql} COLLATE "C")', "text", TEXTS, pg_collation="C")

    return work


def _length(value: Value) -> Value:
    if value.form == "bytea":
        return _made(f"octet_length({value.sql})::bigint", INTEGERS)
    return _made(f"length({text(value)})::bigint", INTEGERS)


def _trim(name: str) -> Callable[..., Value]:
    def work(value: Value, letters: Value | None = None) -> Value:
        if letters is not None and not isinstance(letters.literal, str):
            raise NotTranslated(f"{name}() gets its letters from a column")
        return _made(f"{name}({text(value)}, {letters.sql if letters else string(' ')})", TEXTS, value)

    return work


def _substr(value: Value, start: Value, length: Value | None = None) -> Value:
    numbers = [part.literal for part in (start, length) if part is not None]
    if not all(isinstance(part, int) and part >= 0 for part in numbers) or start.literal == 0:
        raise NotTranslated("SUBSTR() counts from the end, or by a column")
    rest = "".join(f", {part}" for part in numbers)
    return _made(f"substr({text(value)}{rest})", TEXTS, value)


def _replaced(value: Value, old: Value, new: Value) -> Value:
    if not old.literal and new.literal is None:
        raise NotTranslated("REPLACE() with what may be the empty text by what may be NULL")
    one, two, three = _texts_only(value, old, new)
    return _made(f"replace({one}, {two}, {three})", TEXTS, value, old, new)


def _instr(value: Value, part: Value) -> Value:
    one, two = _texts_only(value, part)
    return _made(f'strpos({one} COLLATE "C", {two})::bigint', INTEGERS)


def _coalesce(*values: Value) -> Value:
    found = unified(values)
    kinds: frozenset[str] = frozenset().union(*(value.kinds for value in found))
    first = next((value for value in found if value.form != "null"), NULL)
    if first is NULL:
        return NULL
    sql = f"coalesce({', '.join(value.sql for value in found)})"
    exact = all(value.exact for value in found)
    conversions = {value.conversion for value in found if value.form != "null"}
    name = first.conversion if len(conversions) == 1 else ""
    return Value(sql, first.form, kinds, conversion=name, exact=exact, pg_collation=first.pg_collation)


def _nullif(one: Value, two: Value) -> Value:
    plain = one.plain
    return replace(plain, sql=f"(CASE WHEN {compare(SAME, one, two)} THEN NULL ELSE {one.sql} END)", literal=None)


def choice(branches: Sequence[tuple[str, Value]], default: Value) -> Value:
    """CASE WHEN condition THEN value … ELSE default END."""
    values = unified([*(value for _, value in branches), default])
    known = next((value for value in values if value.form != "null"), None)
    if known is None:
        return NULL
    whens = " ".join(f"WHEN {when} THEN {v.sql}" for (when, _), v in zip(branches, values[:-1], strict=True))
    kinds: frozenset[str] = frozenset().union(*(value.kinds for value in values))
    exact = all(value.exact for value in values)
    sql = f"(CASE {whens} ELSE {values[-1].sql} END)"
    return Value(sql, known.form, kinds, conversion=known.conversion, exact=exact, pg_collation=known.pg_collation)


def _iif(test: Value, one: Value, two: Value = NULL) -> Value:
    return choice([(condition(test), one)], two)


def _abs(value: Value) -> Value:
    found = number(value)
    return Value(f"abs({found.sql})", found.form, found.kinds, exact=found.exact)


def _least(name: str) -> Callable[..., Value]:
    """min() and max() of several values: NULL when one of them is."""

    def work(*values: Value) -> Value:
        found = unified(values)
        if not all(value.is_number for value in found):
            raise NotTranslated(f"{name}() of texts or NULLs")
        nulls = " OR ".join(f"{value.sql} IS NULL" for value in found)
        word = "least" if name == "min" else "greatest"
        sql = f"(CASE WHEN {nulls} THEN NULL ELSE {word}({', '.join(number(value).sql for value in found)}) END)"
        kinds: frozenset[str] = frozenset().union(*(value.kinds for value in found))
        return Value(sql, number(found[0]).form, kinds, exact=all(value.exact for value in found))

    return work


def _round(value: Value, digits: Value | None = None) -> Value:
    if digits is not None and digits.literal != 0:
        raise NotTranslated("ROUND() to decimals goes by SQLite's own way of writing a number")
    found = double(value)
    # func.c: half away from zero, and what is too large for a fraction as it is.
    half = f"CASE WHEN {found} < 0 THEN -0.5::double precision ELSE 0.5::double precision END"
    return Value(
        f"(CASE WHEN abs({found}) <= 4503599627370496 THEN trunc({found} + {half}) ELSE {found} END)", "double", REALS
    )


def _typeof(value: Value) -> Value:
    if len(value.kinds) != 1:
        raise NotTranslated("TYPEOF() of a column that may hold several storage classes")
    (kind,) = value.kinds
    return Value(f"(CASE WHEN {value.sql} IS NULL THEN 'null' ELSE '{kind}' END)", "text", TEXTS)


def _json_valid(value: Value) -> Value:
    if value.form != "json":
        raise NotTranslated("JSON_VALID() of what isn't a json column")
    return predicate(f"CASE WHEN {value.sql} IS NOT NULL THEN TRUE END")


def _hex(value: Value) -> Value:
    if value.form != "bytea":
        raise NotTranslated("HEX() of what isn't a blob")
    # hex(NULL) is the empty text.
    return Value(f"coalesce(upper(encode({value.sql}, 'hex')), '')", "text", TEXTS)


_SCALARS: dict[str, Callable[..., Value]] = {
    "abs": _abs,
    "coalesce": _coalesce,
    "date": shown("YYYY-MM-DD"),
    "datetime": shown("YYYY-MM-DD HH24:MI:SS"),
    "hex": _hex,
    "ifnull": _coalesce,
    "iif": _iif,
    "instr": _instr,
    "json_valid": _json_valid,
    "length": _length,
    "likely": lambda value: value,
    "lower": _case_of("lower"),
    "ltrim": _trim("ltrim"),
    "max": _least("max"),
    "min": _least("min"),
    "nullif": _nullif,
    "replace": _replaced,
    "round": _round,
    "rtrim": _trim("rtrim"),
    "strftime": strftime,
    "substr": _substr,
    "substring": _substr,
    "time": shown("HH24:MI:SS"),
    "trim": _trim("btrim"),
    "typeof": _typeof,
    "unixepoch": unixepoch,
    "unlikely": lambda value: value,
    "upper": _case_of("upper"),
}
_ARGUMENTS = {
    "coalesce": (2, 100),
    "ifnull": (2, 2),
    "iif": (2, 3),
    "instr": (2, 2),
    "ltrim": (1, 2),
    "max": (2, 100),
    "min": (2, 100),
    "nullif": (2, 2),
    "replace": (3, 3),
    "round": (1, 2),
    "rtrim": (1, 2),
    "strftime": (2, 2),
    "substr": (2, 3),
    "substring": (2, 3),
    "trim": (1, 2),
}


def aggregate(name: str, value: Value | None, *, distinct: bool, where: str, utf16: bool) -> Value:
    """count, sum, total, avg, min or max; value None for count(*). where: ' FILTER (…)' or ''."""
    if value is None:
        return _made(f"(count(*){where})", INTEGERS)
    if distinct and value.collation not in ("", "BINARY"):
        raise NotTranslated(f"it counts distinct values by collation {value.collation}")
    word = "DISTINCT " if distinct else ""
    if name == "count":
        return _made(f"(count({word}{value.sql}){where})", INTEGERS)
    if name in ("min", "max"):
        return _extreme(name, value, where, utf16=utf16)
    if name == "sum" and number(value).kinds == INTEGERS:
        return Value(f"((sum({word}{number(value).sql}){where})::bigint)", "bigint", INTEGERS)
    found = f"({'avg' if name == 'avg' else 'sum'}({word}{double(value)}){where})"
    if name == "total":
        return Value(f"coalesce({found}, 0::double precision)", "double", REALS)
    return Value(found, "double", REALS if name == "avg" else number(value).kinds & NUMBERS)


def _extreme(name: str, value: Value, where: str, *, utf16: bool) -> Value:
    if value.collation not in ("", "BINARY"):
        raise NotTranslated(f"it orders by collation {value.collation}")
    if value.is_number:
        found = number(value)
        return Value(f"({name}({found.sql}){where})", found.form, found.kinds, exact=found.exact)
    if not value.is_text or utf16:
        raise NotTranslated(f"{name.upper()}() of texts or blobs whose order isn't PostgreSQL's")
    if sorts_as_text(value):
        return Value(f"({name}({value.sql}){where})", value.form, TEXTS, conversion=value.conversion)
    return Value(f'({name}({text(value)} COLLATE "C"){where})', "text", TEXTS, pg_collation="C")
