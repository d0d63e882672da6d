"""Comparisons of SQLite in PostgreSQL's words: affinity, storage class and collation of both sides decide."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Final

from migrations_app.engine.conversions.conversions import Unfit, conversion
from migrations_app.engine.sql.sql_parse import NotTranslated
from migrations_app.engine.sql.sql_values import (
    BLOBS,
    INTEGERS,
    TEXTS,
    Value,
    integer_literal,
    number,
    real_literal,
    string,
    text,
    text_literal,
)

SAME: Final = "IS NOT DISTINCT FROM"
OTHER: Final = "IS DISTINCT FROM"
_EQUALITIES = frozenset({"=", "<>", SAME, OTHER})
_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}
_WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)
_DECIMAL = re.compile(r"-?[0-9]{1,15}\.[0-9]{1,15}", re.ASCII)
_NUMBER = re.compile(r"\s*[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:e[+-]?[0-9]+)?\s*", re.ASCII | re.IGNORECASE)
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)
_TYPES = {"date": "date", "timestamp": "timestamp without time zone", "timestamptz": "timestamp with time zone"}
_TYPES["time"] = "time without time zone"
_INJECTIVE = frozenset({"tagged_text", "text", "json"})  # different cells have different forms: equality is kept


def compare(op: str, one: Value, two: Value, *, utf16: bool = False) -> str:
    """`one op two` as a condition. op: one of = <> < <= > >=, SAME, OTHER. Raises NotTranslated.

    utf16: the file's order of texts is that of UTF-16 code units in its byte order, which PostgreSQL doesn't have.
    """
    if "null" in (one.form, two.form):
        return _with_null(op, one, two)
    one, two = _with_affinity(op, one, two)
    if one.is_number and two.is_number:
        return _numbers(op, one, two)
    if one.is_text and two.is_text:
        if utf16 and op not in _EQUALITIES:
            raise NotTranslated("it orders texts, and the file's order is UTF-16's")
        return _texts(op, one, two)
    if one.kinds == two.kinds == BLOBS:
        return f"{one.sql} {op} {two.sql}"
    same = one.form == two.form == "other" and one.conversion == two.conversion and one.conversion in _INJECTIVE
    if same and op in _EQUALITIES and {one.collation, two.collation} <= {"", "BINARY"}:
        return f"{one.sql} {op} {two.sql}"
    raise NotTranslated("it compares values of different storage classes")


def _with_null(op: str, one: Value, two: Value) -> str:
    if op not in (SAME, OTHER):
        return "NULL::boolean"
    value = two if one.form == "null" else one
    if value.form == "null":
        return "TRUE" if op == SAME else "FALSE"
    return f"{value.sql} IS {'NOT ' if op == OTHER else ''}NULL"


def _with_affinity(op: str, one: Value, two: Value) -> tuple[Value, Value]:
    """What SQLite converts before it compares (datatype3.html, section 4.2)."""
    if op in _EQUALITIES and one.is_text and two.is_text:
        # Texts in a column of numeric affinity spell no numbers; a text on the other side that does equals none of
        # them, whether it is converted or not.
        return one, two
    if "?" in (one.affinity, two.affinity):
        raise NotTranslated("it compares a column whose affinity isn't known")
    if one.affinity == "NUMERIC" and two.affinity != "NUMERIC":
        return one, _as_number(two)
    if two.affinity == "NUMERIC" and one.affinity != "NUMERIC":
        return _as_number(one), two
    if one.affinity == "TEXT" and two.affinity == "":
        return one, _as_text(two)
    if two.affinity == "TEXT" and one.affinity == "":
        return _as_text(one), two
    return one, two


def _as_number(value: Value) -> Value:
    """Numeric affinity: texts that spell a number become one."""
    if isinstance(value.literal, str):
        if _WHOLE.fullmatch(value.literal):
            return integer_literal(int(value.literal))
        if _DECIMAL.fullmatch(value.literal):
            found = float(value.literal)
            return integer_literal(int(found)) if found.is_integer() else real_literal(found)
        if not _NUMBER.fullmatch(value.literal):
            return value  # it stays a text
    elif "text" not in value.kinds:
        return value
    raise NotTranslated("it compares a text with a number, which SQLite converts first")


def _as_text(value: Value) -> Value:
    if isinstance(value.literal, int):
        return text_literal(str(value.literal))
    if value.kinds == INTEGERS:
        return replace(value, sql=text(value), form="text", kinds=TEXTS, conversion="")
    if value.kinds <= TEXTS | BLOBS:
        return value
    raise NotTranslated("it compares a number with a text, which SQLite converts first")


def _numbers(op: str, one: Value, two: Value) -> str:
    if op in _EQUALITIES:
        for left, right in ((one, two), (two, one)):
            if left.form == "boolean" and right.literal in (0, 1):
                return f"{left.sql} {op} {'TRUE' if right.literal else 'FALSE'}"
        if one.form == two.form == "boolean":
            return f"{one.sql} {op} {two.sql}"
    one, two = number(one), number(two)
    in_doubles = "double" in (one.form, two.form) and one.form != two.form
    if in_doubles and not (one.exact and two.exact):
        raise NotTranslated("it compares reals with integers that no double holds")
    return f"{one.sql} {op} {two.sql}"


def _texts(op: str, one: Value, two: Value) -> str:
    collation = _collation(one, two)
    if collation == "BINARY":
        if one.form == two.form != "text" and one.conversion == two.conversion and _keeps_order(one, op):
            return f"{one.sql} {op} {two.sql}"
        for left, right, turned in ((one, two, op), (two, one, _TURNED.get(op, op))):
            if left.form != "text" and isinstance(right.literal, str):
                found = _with_literal(turned, left, right.literal)
                if found:
                    return found
    here, there = collated(one, collation), collated(two, collation)
    if collation == "BINARY":
        known = [value for value in (one, two) if value.literal is None]
        alike = len({value.pg_collation for value in known}) < 2 and all(value.form == "text" for value in known)
        if op not in _EQUALITIES or not alike:
            here = f'{here} COLLATE "C"'
    return f"{here} {op} {there}"


def _collation(one: Value, two: Value) -> str:
    for value in (one, two):
        if value.explicit:
            return value.collation
    return one.collation or two.collation or "BINARY"


def collated(value: Value, collation: str) -> str:
    """A text as the collation sees it: what it takes for equal is equal here."""
    if collation == "BINARY":
        return text(value)
    if collation == "NOCASE":
        # In collation "C" lower() folds A to Z only, which is what NOCASE folds.
        if isinstance(value.literal, str):
            return string(ascii_lower(value.literal))
        return f'lower({text(value)} COLLATE "C")'
    if collation == "RTRIM":
        return string(value.literal.rstrip(" ")) if isinstance(value.literal, str) else f"rtrim({text(value)}, ' ')"
    raise NotTranslated(f"PostgreSQL has no collation {collation}")


def ascii_lower(written: str) -> str:
    return "".join(c.lower() if c.isascii() else c for c in written)


def sorts_as_text(value: Value) -> bool:
    """Whether times in a column's form sort as their texts do: 'Z' stands behind '.', so fractions would come first."""
    return value.form in _TYPES and not value.conversion.endswith(("-py-Z", "-trim-Z"))


def _keeps_order(value: Value, op: str) -> bool:
    return op in _EQUALITIES or value.form == "uuid" or sorts_as_text(value)


def _with_literal(op: str, value: Value, literal: str) -> str:
    """A column of times or UUIDs against a constant, so that an index still serves; '' when only the texts can tell."""
    if value.form == "uuid":
        return _typed(op, value, literal, "uuid", "uuid_strict")
    if value.form in _TYPES and _keeps_order(value, op):
        found = _typed(op, value, literal, _TYPES[value.form], value.conversion)
        return found or _against_day(op, value, literal)
    return ""


def _typed(op: str, value: Value, literal: str, type_sql: str, name: str) -> str:
    try:
        found = conversion(name, type_sql).convert(literal)
    except Unfit:
        return ""
    return f"{value.sql} {op} {string(found or '')}::{type_sql}"


def _against_day(op: str, value: Value, literal: str) -> str:
    """'2020-01-01' sorts before all times of that day, none of which equals it."""
    if value.form not in ("timestamp", "timestamptz") or op in _EQUALITIES or not _DAY.fullmatch(literal):
        return ""
    try:
        day = conversion("date", "date").convert(literal)
    except Unfit:
        return ""
    zone = "+00" if value.form == "timestamptz" else ""
    return f"{value.sql} {'<' if op in ('<', '<=') else '>='} '{day} 00:00:00{zone}'::{_TYPES[value.form]}"
