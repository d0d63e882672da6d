"""Sums, quotients and remainders: what SQLite computes as integers stays integers, what it computes as reals double."""

from __future__ import annotations

from dataclasses import replace

from migrations_app.engine.sql.sql_parse import NotTranslated
from migrations_app.engine.sql.sql_values import (
    INTEGERS,
    NULL,
    REALS,
    Value,
    big,
    double,
    integer_literal,
    number,
    real_literal,
)


def computed(sign: str, one: Value, two: Value) -> Value:
    if "null" in (one.form, two.form):
        return NULL
    one, two = number(one), number(two)
    exact = one.exact and two.exact
    if one.kinds == two.kinds == INTEGERS:
        return Value(f"({big(one)} {sign} {two.sql})", "bigint", INTEGERS, exact=exact)
    kinds = REALS if REALS in (one.kinds, two.kinds) else one.kinds | two.kinds
    return Value(f"({double(one)} {sign} {double(two)})", "double", kinds, exact=exact)


def divided(one: Value, two: Value) -> Value:
    if "null" in (one.form, two.form):
        return NULL
    one, two = number(one), number(two)
    if one.kinds == two.kinds == INTEGERS:
        return Value(f"({big(one)} / nullif({two.sql}, 0))", "bigint", INTEGERS, exact=one.exact)
    if REALS not in (one.kinds, two.kinds):
        raise NotTranslated("it divides numbers that may be integers or reals, for which SQLite divides otherwise")
    return Value(f"({double(one)} / nullif({double(two)}, 0))", "double", REALS)


def remainder(one: Value, two: Value) -> Value:
    if "null" in (one.form, two.form):
        return NULL
    return Value(f"({big(one)} % nullif({big(two)}, 0))", "bigint", INTEGERS, exact=one.exact)


def bits(sign: str, one: Value, two: Value) -> Value:
    if "null" in (one.form, two.form):
        return NULL
    return Value(f"({big(one)} {sign} {big(two)})", "bigint", INTEGERS, exact=False)


def negative(found: Value) -> Value:
    if isinstance(found.literal, int):
        return integer_literal(-found.literal)
    if isinstance(found.literal, float):
        return real_literal(-found.literal)
    found = number(found)
    if "real" in found.kinds and found.form == "numeric":
        return replace(found.plain, sql=f"(- {double(found)})", form="double")
    return replace(found.plain, sql=f"(- {found.sql})")
