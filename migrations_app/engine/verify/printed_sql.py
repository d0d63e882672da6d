"""SQL by which SQLite writes a row as PostgreSQL will print it, so that whole blocks of lines are compared as bytes.

Each expression stands inside json_array(); copy_direct.csv_lines() makes CSV of the line, which must be what
`COPY (…) TO STDOUT` prints with OPTIONS and every column but integers and doubles in FORCE_QUOTE. An expression may
fail or print something else where a cell isn't of the usual form: that only sends the table to the careful way. It
must never print what PostgreSQL prints for another cell than this one.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from migrations_app.engine.conversions.conversions import conversion, type_parts
from migrations_app.engine.conversions.pg_text import double_text
from migrations_app.engine.plan import ColumnPlan
from migrations_app.engine.source.affinity import REAL, TEXT, affinity
from migrations_app.engine.source.line_sql import FINITE_FUNCTION
from migrations_app.engine.source.sqlite_source import Source, quote_name

_WHOLE_NUMBERS = frozenset({"int8_strict", "bigint", "integer", "smallint"})
_AS_IT_IS = frozenset({"text", "varchar", "enum", "verbatim", "json", "date", "uuid_strict"})
# Multiples of 1/16 up to 1e10 but 0 (which may be the negative one): SQLite prints all digits of these.
_EXACT = "{0} BETWEEN -1e10 AND 1e10 AND {0} * 16 = CAST({0} * 16 AS INTEGER) AND {0} <> 0"
# Other fractions that PostgreSQL prints as Python does: no exponent, and no other double near enough to matter.
_FRACTION = "abs({0}) BETWEEN 1e-4 AND 1e10 AND {0} <> CAST({0} AS INTEGER)"
_MOST_SCALE = 6  # decimal places up to which SQLite's printf is trusted, for numbers below a billion


@dataclass(frozen=True)
class Printed:
    """`sql` of one cell; `quoted`: it goes into FORCE_QUOTE."""

    sql: str
    quoted: bool


def printed_cells(source: Source, table_kind: str, columns: tuple[ColumnPlan, ...]) -> list[Printed]:
    """An expression a column; the Python functions that they call are made known to the connection."""
    found = []
    source.define(FINITE_FUNCTION, float.__repr__)
    for place, column in enumerate(columns):
        function = f"causeway_printed_{place}"
        source.define(function, _printer(column))
        found.append(_printed(column, function, typed=table_kind == "table"))
    return found


def _printer(column: ColumnPlan) -> Callable[[object], object]:
    convert: Callable[[Any], object] = conversion(column.conversion, column.target_type).convert
    if column.conversion == "double":
        return lambda value: double_text(value) if type(value) is float else convert(value)
    return convert


def _printed(column: ColumnPlan, function: str, *, typed: bool) -> Printed:
    cell, word = quote_name(column.name), column.conversion.partition(":")[0]
    other = f"{function}({cell})"
    if type_parts(column.target_type).array:
        return Printed(other, quoted=True)
    if word in _WHOLE_NUMBERS:  # whatever else SQLite prints has a quote, a point or an e
        return Printed(cell, quoted=False)
    if word == "double":
        return Printed(_double(cell, other, real=typed and affinity(column.declared_type) == REAL), quoted=False)
    if word in _AS_IT_IS:
        # No number stays one in a column of text affinity, and a BLOB makes json_array() fail.
        plain = typed and affinity(column.declared_type) == TEXT
        return Printed(cell if plain else _by_class(cell, other, text=cell), quoted=True)
    if word == "boolean":
        integer = f"CASE {cell} WHEN 1 THEN 't' WHEN 0 THEN 'f' ELSE {other} END"
        return Printed(_by_class(cell, other, integer=integer), quoted=True)
    if word in ("timestamp", "timestamptz"):
        return Printed(_by_class(cell, other, text=_moment(cell, column, other)), quoted=True)
    if word == "numeric":
        return Printed(_numeric(cell, column, other), quoted=True)
    if word == "bytea":
        return Printed(_by_class(cell, other, blob=f"'\\x' || lower(hex({cell}))"), quoted=True)
    return Printed(other, quoted=True)


def _by_class(cell: str, other: str, **branches: str) -> str:
    cases = " ".join(f"WHEN '{kind}' THEN {sql}" for kind, sql in branches.items())
    return f"CASE typeof({cell}) {cases} WHEN 'null' THEN NULL ELSE {other} END"


def _double(cell: str, other: str, *, real: bool) -> str:
    """PostgreSQL prints 1.0 as 1. What is no JSON number (Infinity) makes json() fail.

    `real`: of a column of REAL affinity, where text is never a number's and no integer stays one.
    """
    whole = f"CASE WHEN {cell} = CAST({cell} AS INTEGER) THEN CAST({cell} AS INTEGER) ELSE {cell} END"
    fraction = f"WHEN {_FRACTION.format(cell)} THEN json({FINITE_FUNCTION}({cell}))"
    if real:
        null = f"WHEN {cell} IS NULL THEN NULL"
        return f"CASE WHEN {_EXACT.format(cell)} THEN {whole} {null} {fraction} ELSE json({other}) END"
    number = f"CASE WHEN {_EXACT.format(cell)} THEN {whole} {fraction} ELSE json({other}) END"
    return _by_class(cell, f"json({other})", real=number)


def _moment(cell: str, column: ColumnPlan, other: str) -> str:
    """A date and time without a zone, written as the plan's form says; in UTC for timestamptz."""
    word, _, form = column.conversion.partition(":")
    separator, fraction, zone = (form or "--").split("-", 2)
    if zone or type_parts(column.target_type).arguments:  # timestamp(3) would have been rounded
        return other
    lengths = {
        "": f"length({cell}) BETWEEN 19 AND 26 AND ltrim(substr({cell}, 20), '.0123456789') = ''",
        "0": f"length({cell}) = 19",
        "py": f"(length({cell}) = 19 OR (length({cell}) = 26 AND substr({cell}, 20) <> '.000000'))",
        "trim": f"(length({cell}) = 19 OR (length({cell}) <= 26 AND substr({cell}, -1) <> '0'))",
    }
    condition = lengths.get(fraction, f"length({cell}) = 20 + {fraction}" if fraction.isdigit() else "0")
    separators = {"": "' ', 'T'", "T": "'T'", "space": "' '"}[separator]
    condition += f" AND length({cell}) <> 20 AND substr({cell}, 11, 1) IN ({separators})"
    text = f"substr({cell}, 1, 10) || ' ' || substr({cell}, 12)"
    short = f"CASE WHEN length({cell}) > 19 THEN rtrim(rtrim({text}, '0'), '.') ELSE {text} END"
    suffix = " || '+00'" if word == "timestamptz" else ""
    return f"CASE WHEN {condition} THEN ({short}){suffix} ELSE {other} END"


def _numeric(cell: str, column: ColumnPlan, other: str) -> str:
    """numeric(p, s): s decimal places, if reading them back gives the very same double."""
    arguments = type_parts(column.target_type).arguments
    scale = arguments[1] if len(arguments) > 1 else 0
    if not arguments:
        return _by_class(cell, other, integer=f"CAST({cell} AS TEXT)")
    if scale > _MOST_SCALE:
        return other
    places = f"printf('%.{scale}f', {cell})"
    same = f"abs({cell}) < 1e9 AND {cell} <> 0 AND CAST({places} AS REAL) = {cell}"
    zeros = f" || '.{'0' * scale}'" if scale else ""
    real = f"CASE WHEN {same} THEN {places} ELSE {other} END"
    return _by_class(cell, other, real=real, integer=f"CAST({cell} AS TEXT){zeros}")
