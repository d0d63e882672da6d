"""How a SQLite cell becomes a value of a PostgreSQL column: one named conversion a column, chosen in the plan.

`convert` gives exactly the text that PostgreSQL prints for the stored value under our session settings (TimeZone UTC,
DateStyle ISO, IntervalStyle postgres, extra_float_digits 3, bytea_output hex). COPY reads the same text, so the one
function says what to load and what to expect back. It raises Unfit rather than lose anything: the cell can be had
back from the text, the column's declared type and the conversion's name.

Names: a word, or word:argument ('timestamp:space-6-', 'enum:["low","high"]', 'array:integer').
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import lru_cache, partial

from migrations_app.engine.conversions import conversion_moments as moments
from migrations_app.engine.conversions import conversion_numbers as numbers
from migrations_app.engine.conversions import conversion_structured as structured
from migrations_app.engine.conversions import conversion_texts as texts
from migrations_app.engine.conversions.conversion_base import Conversion, Convert, Unfit
from migrations_app.engine.conversions.row_width import PAGE_ROOM, least_width
from migrations_app.engine.conversions.type_parts import TypeParts, type_parts
from migrations_app.engine.plan import SKIP_ROW, SKIP_WIDE_ROW, ColumnPlan, TablePlan
from migrations_app.engine.source.cells import Cell, Row

__all__ = [
    "Conversion",
    "Convert",
    "RowUnfit",
    "TypeParts",
    "Unfit",
    "conversion",
    "for_target_type",
    "row_converter",
    "type_parts",
]

_RANGES = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}


def _digits(parts: TypeParts) -> int:
    return parts.arguments[0] if parts.arguments else 6


_SIMPLE: dict[str, Convert] = {
    "boolean": numbers.boolean,
    "boolean_words": numbers.boolean_words,
    "bytea": texts.bytea,
    "date": partial(moments.timed, moments.date),
    "double": numbers.double,
    "int8_strict": numbers.strict_integer,
    "interval": partial(moments.timed, moments.interval),
    "interval_microseconds": moments.interval_micro,
    "json": structured.as_json,
    "jsonb": structured.as_jsonb,
    "jsonb_strict": structured.strict_jsonb,
    "numeric_apart": numbers.numeric_apart,
    "real": numbers.single,
    "tagged_text": texts.tagged,
    "text": texts.as_text,
    "uuid": structured.uuid,
    "uuid_strict": structured.strict_uuid,
    "verbatim": texts.verbatim,
    **{name: partial(numbers.integer, limit) for name, limit in _RANGES.items()},
}


def _sized(word: str, parts: TypeParts) -> Convert | None:
    """Conversions that read a length, precision or scale from the target's type."""
    if word in ("varchar", "char"):
        limit = parts.arguments[0] if parts.arguments else 1 if word == "char" else 0
        if not limit:
            return texts.as_text
        return partial(texts.padded if word == "char" else texts.limited, limit)
    if word in ("numeric", "numeric_rounded"):
        if not parts.arguments:
            return numbers.numeric
        scale = parts.arguments[1] if len(parts.arguments) > 1 else 0
        return partial(numbers.scaled, parts.arguments[0], scale, word == "numeric_rounded")
    return None


def _with_argument(word: str, argument: str, target_type: str) -> Convert | None:
    parts = type_parts(target_type)
    if word == "timestamp":
        return partial(moments.timed, partial(moments.timestamp, argument, _digits(parts)))
    if word == "timestamptz":
        return partial(moments.timed, partial(moments.timestamptz, argument, _digits(parts)))
    if word == "time":
        return partial(moments.timed, partial(moments.time, argument, _digits(parts)))
    zone = "+00" if "with time zone" in parts.base or parts.base == "timestamptz" else ""
    if word == "julian":
        return partial(moments.julian, zone)
    if word == "epoch":
        return partial(moments.epoch, {"s": 1, "ms": 1000, "us": 1_000_000}[argument], zone)
    if word == "text_bytes":
        return partial(texts.stored_bytes, argument)
    if word == "enum":
        return partial(structured.enum, frozenset(json.loads(argument)))
    if word == "array":
        return partial(structured.array, conversion(argument, target_type.rsplit("[", 1)[0]).convert)
    return None


@lru_cache(maxsize=4096)
def conversion(name: str, target_type: str) -> Conversion:
    """The conversion of that name into a column of that type. Raises KeyError for a name that there isn't."""
    word, _, argument = name.partition(":")
    convert = _SIMPLE.get(name) or _sized(name, type_parts(target_type)) or _with_argument(word, argument, target_type)
    if convert is None:
        raise KeyError(name)
    return Conversion(name, target_type, convert)


_BY_TYPE = {
    "bigint": "bigint",
    "int8": "bigint",
    "bigserial": "bigint",
    "integer": "integer",
    "int4": "integer",
    "int": "integer",
    "serial": "integer",
    "smallint": "smallint",
    "int2": "smallint",
    "double precision": "double",
    "float8": "double",
    "real": "real",
    "float4": "real",
    "numeric": "numeric",
    "decimal": "numeric",
    "boolean": "boolean",
    "bool": "boolean",
    "text": "text",
    "citext": "text",
    "name": "text",
    "character varying": "varchar",
    "varchar": "varchar",
    "character": "char",
    "char": "char",
    "bpchar": "char",
    "date": "date",
    "timestamp without time zone": "timestamp",
    "timestamp": "timestamp",
    "timestamp with time zone": "timestamptz",
    "timestamptz": "timestamptz",
    "time without time zone": "time",
    "time": "time",
    "interval": "interval",
    "uuid": "uuid",
    "json": "json",
    "jsonb": "jsonb",
    "bytea": "bytea",
}


def for_target_type(type_sql: str, enum_labels: tuple[str, ...] = ()) -> str:
    """The conversion's name for a column that the application has made; '' for a type that has none."""
    parts = type_parts(type_sql)
    name = _BY_TYPE.get(parts.base, "")
    if enum_labels:
        name = "enum:" + json.dumps(sorted(enum_labels), ensure_ascii=True, separators=(",", ":"))
    if parts.base == "bpchar" and not parts.arguments:
        name = "text"
    return f"array:{name}" if parts.array and name else name


class RowUnfit(Unfit):
    """A cell of a row that doesn't fit; `column` is the source's name."""

    def __init__(self, column: str, why: str) -> None:
        super().__init__(why)
        self.column = column


def _refusing_null(work: Convert) -> Convert:
    def convert(cell: Cell) -> str | None:
        if cell is None:
            raise Unfit("it is NULL, which the column doesn't take")
        return work(cell)

    return convert


def _of_column(column: ColumnPlan) -> Convert:
    """Where rows may be left out, NULL in a NOT NULL column is a reason for it; elsewhere the target says it."""
    work = conversion(column.conversion, column.target_type).convert
    return _refusing_null(work) if column.not_null and column.on_unfit == SKIP_ROW else work


def row_converter(table: TablePlan) -> Callable[[Row], tuple[str | None, ...] | None]:
    """A function from a row of `table.loaded_columns`, in that order, to its converted texts.

    It gives None for a row that the plan leaves out (on_unfit other than 'fail') and raises RowUnfit where the plan has
    no answer: the data has changed since it was made.
    """
    columns = [(_of_column(column), column.name, column.on_unfit == SKIP_ROW) for column in table.loaded_columns]
    narrow = any(column.on_unfit == SKIP_WIDE_ROW for column in table.loaded_columns)
    width = least_width(table.loaded_columns)

    def convert(row: Row) -> tuple[str | None, ...] | None:
        out: list[str | None] = []
        for (work, name, may_skip), cell in zip(columns, row, strict=True):
            try:
                out.append(work(cell))
            except Unfit as error:
                if may_skip:
                    return None
                raise RowUnfit(name, error.why) from error
        return None if narrow and width(out) > PAGE_ROOM else tuple(out)

    return convert
