"""How a SQLite cell becomes a value of a PostgreSQL column: one named conversion a column, chosen in the plan.

`convert` gives exactly the text that PostgreSQL prints for the stored value under our session settings (TimeZone UTC,
DateStyle ISO, IntervalStyle postgres, extra_float_digits 3, bytea_output hex). COPY reads the same text, so the one
function says what to load and what to expect back. It raises Unfit rather than lose anything: the cell can be had
back from the text, the column's declared type and the conversion's name.

Names: a word, or word:argument ('timestamp:space-6-', 'enum:["low","high"]', 'array:integer').
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal, InvalidOperation
from functools import lru_cache, partial

from migrations_app.engine import conversion_times as times
from migrations_app.engine.cells import Cell, InvalidText, Row
from migrations_app.engine.pg_text import (
    BadJson,
    array_text,
    check_json,
    double_text,
    is_single,
    jsonb_text,
    numeric_text,
    single_text,
)
from migrations_app.engine.plan import TablePlan

_RANGES = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63}
_WHOLE = re.compile(r"-?(?:0|[1-9][0-9]*)", re.ASCII)
_DECIMAL = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?", re.ASCII)
_TYPE = re.compile(r"(?P<base>[^(\[]+)(?:\((?P<args>[^)]*)\))?(?P<rest>[^(\[]*)(?P<array>(?:\[\])*)$")
_UUID = re.compile(r"[0-9a-fA-F]{8}(-?)[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{4}\1[0-9a-fA-F]{12}", re.ASCII)
_WIDE = Context(prec=2000)  # enough for any double written out and any numeric of an application
_TRUE_WORDS = frozenset({"1", "t", "true", "yes", "on", "y"})
_FALSE_WORDS = frozenset({"0", "f", "false", "no", "off", "n"})


class Unfit(Exception):
    """A cell that the conversion can't carry over; `why` is a clause that never holds the value."""

    def __init__(self, why: str) -> None:
        super().__init__(why)
        self.why = why


Convert = Callable[[Cell], str | None]


def _same(text: str) -> str:
    return text


@dataclass(frozen=True)
class Conversion:
    """canonical: applied to the printed form of both sides before they are compared (json keeps the text as it was)."""

    name: str
    target_type: str
    convert: Convert
    canonical: Callable[[str], str] = _same


def storage_word(cell: Cell) -> str:
    """The storage class of a cell, in words."""
    if isinstance(cell, InvalidText):
        return "text that isn't valid in the file's encoding"
    return {int: "an integer", float: "a real", str: "text", bytes: "a blob"}.get(type(cell), "NULL")


def _not(cell: Cell, wanted: str) -> Unfit:
    return Unfit(f"it is {storage_word(cell)}, not {wanted}")


# Numbers


def _integer(limit: int, cell: Cell) -> str | None:
    if cell is None:
        return None
    exact_float = isinstance(cell, float) and cell.is_integer() and abs(cell) < 2**53 and not _negative_zero(cell)
    exact_text = isinstance(cell, str) and len(cell) < 25 and _WHOLE.fullmatch(cell) and cell != "-0"
    if isinstance(cell, bytes | InvalidText) or not (isinstance(cell, int) or exact_float or exact_text):
        raise _not(cell, "a whole number")
    number = int(cell)
    if not -limit <= number < limit:
        raise Unfit("it is beyond the range of the type")
    return str(number)


def _strict_integer(cell: Cell) -> str | None:
    """bigint in tables of our own making: only integers, so that reals and text stay apart from them."""
    if cell is None or isinstance(cell, int):
        return None if cell is None else str(cell)
    raise _not(cell, "an integer")


def _negative_zero(value: float) -> bool:
    return value == 0 and str(value).startswith("-")


def _as_float(cell: Cell) -> float | None:
    if cell is None or isinstance(cell, float):
        return cell
    if isinstance(cell, int):
        if int(float(cell)) != cell:
            raise Unfit("it is an integer that a double can't hold exactly")
        return float(cell)
    if isinstance(cell, str) and _DECIMAL.fullmatch(cell) and _number_text(float(cell)) in (cell, f"{cell}.0"):
        return float(cell)
    raise _not(cell, "a number")


def _number_text(value: int | float) -> str:
    return repr(value)


def _double(cell: Cell) -> str | None:
    value = _as_float(cell)
    return None if value is None else double_text(value)


def _single(cell: Cell) -> str | None:
    value = _as_float(cell)
    if value is None:
        return None
    if not is_single(value):
        raise Unfit("it is a double that a four-byte real can't hold exactly")
    return single_text(value)


def _as_decimal(cell: Cell) -> Decimal:
    if isinstance(cell, float):
        if cell in (float("inf"), float("-inf")):
            return Decimal(cell)
        if _negative_zero(cell):
            raise Unfit("it is a negative zero, which numeric doesn't know")
        return Decimal(repr(cell))
    if isinstance(cell, int):
        return Decimal(cell)
    if isinstance(cell, str) and _DECIMAL.fullmatch(cell) and len(cell) < 1000:
        value = Decimal(cell)
        if value.is_zero() and cell.startswith("-"):
            raise Unfit("it is a negative zero, which numeric doesn't know")
        return value
    raise _not(cell, "a decimal number")


def _numeric(cell: Cell) -> str | None:
    if cell is None:
        return None
    value = _as_decimal(cell)
    return ("Infinity" if value > 0 else "-Infinity") if value.is_infinite() else numeric_text(value)


def _scaled(precision: int, scale: int, rounded: bool, cell: Cell) -> str | None:
    if cell is None:
        return None
    value = Decimal(0) if rounded and isinstance(cell, float) and cell == 0 else _as_decimal(cell)
    if value.is_infinite():
        raise Unfit("it is infinite")
    try:
        result = value.quantize(Decimal(1).scaleb(-scale), context=_WIDE)
    except InvalidOperation as error:
        raise Unfit("it has more digits than the type") from error
    if result != value and not rounded:
        raise Unfit(f"it has more than {scale} decimal places")
    if not result.is_zero() and result.adjusted() >= precision - scale:
        raise Unfit(f"it has more than {precision - scale} digits before the point")
    return numeric_text(result)


def _boolean(cell: Cell) -> str | None:
    if cell is None:
        return None
    if isinstance(cell, int) and cell in (0, 1):
        return "t" if cell else "f"
    raise Unfit("it is neither 0 nor 1")


def _boolean_words(cell: Cell) -> str | None:
    """By choice: 1 and 0 as number or text, and the words that PostgreSQL knows, in any case."""
    if cell is None:
        return None
    word = str(int(cell)) if isinstance(cell, float) and cell in (0.0, 1.0) else str(cell).lower()
    if not isinstance(cell, bytes | InvalidText):
        if word in _TRUE_WORDS:
            return "t"
        if word in _FALSE_WORDS:
            return "f"
    raise Unfit("it is no word for true or false")


# Text and bytes


def _text(cell: Cell) -> str | None:
    if cell is None:
        return None
    if isinstance(cell, str):
        if "\0" in cell:
            raise Unfit("it holds U+0000, which PostgreSQL's text can't")
        return cell
    if isinstance(cell, int | float):
        return _number_text(cell)
    raise _not(cell, "text")


def _limited(limit: int, cell: Cell) -> str | None:
    text = _text(cell)
    if text is not None and len(text) > limit:
        raise Unfit(f"it is longer than {limit} characters")
    return text


def _padded(length: int, cell: Cell) -> str | None:
    text = _limited(length, cell)
    if text is None:
        return None
    if text.endswith(" "):
        raise Unfit("it ends in spaces, which a padded type doesn't keep")
    return text.ljust(length)


def _bytea(cell: Cell) -> str | None:
    if cell is None:
        return None
    if isinstance(cell, bytes):
        return "\\x" + cell.hex()
    raise _not(cell, "a blob")


_CODECS = {"UTF-8": "utf-8", "UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}


def _stored_bytes(encoding: str, cell: Cell) -> str | None:
    """By choice: text as the bytes that lie in the file, blobs as they are."""
    if isinstance(cell, str):
        return "\\x" + cell.encode(_CODECS[encoding]).hex()
    if isinstance(cell, InvalidText):
        return "\\x" + cell.raw.hex()
    return _bytea(cell)


def _tagged(cell: Cell) -> str | None:
    """By choice: one letter for the storage class, a colon, the value. Any cell fits and can be had back."""
    if cell is None:
        return None
    if isinstance(cell, InvalidText):
        return f"x:{cell.raw.hex()}"
    if isinstance(cell, bytes):
        return f"b:{cell.hex()}"
    if isinstance(cell, str):
        return f"n:{cell.encode().hex()}" if "\0" in cell else f"t:{cell}"
    return f"{'i' if isinstance(cell, int) else 'r'}:{_number_text(cell)}"


def _verbatim(cell: Cell) -> str | None:
    """By choice, for types that have no conversion: the text as it is, which PostgreSQL must print alike."""
    return _text(cell)


# Dates and times


def _timed(work: Callable[[str], str], cell: Cell) -> str | None:
    if cell is None:
        return None
    if not isinstance(cell, str):
        raise _not(cell, "a date or time as text")
    try:
        return work(cell)
    except times.BadTime as error:
        raise Unfit(str(error)) from error


def _date(text: str) -> str:
    times.parse_date(text)
    return text


def _timestamp(form: str, digits: int, text: str) -> str:
    parsed = times.parse_timestamp(text)
    if form:
        times.check_form(parsed, form)
    elif parsed.zone:
        raise times.BadTime("it names a zone, the target's type has none")
    if parsed.moment.microsecond % 10 ** (6 - digits):
        raise times.BadTime(f"it has more than {digits} digits of a second")
    return times.moment_text(parsed.moment)


def _timestamptz(form: str, digits: int, text: str) -> str:
    parsed = times.parse_timestamp(text)
    if form:
        times.check_form(parsed, form)
    moment = times.to_utc(parsed)
    if moment.microsecond % 10 ** (6 - digits):
        raise times.BadTime(f"it has more than {digits} digits of a second")
    return times.moment_text(moment) + "+00"


def _time(form: str, digits: int, text: str) -> str:
    parsed = times.parse_time(text)
    if form:
        times.check_form(parsed, form)
    if parsed.moment.microsecond % 10 ** (6 - digits):
        raise times.BadTime(f"it has more than {digits} digits of a second")
    return times.clock_text(parsed.moment)


def _epoch(unit: int, zone: str, cell: Cell) -> str | None:
    """By choice: a number of seconds or milliseconds since 1970 UTC."""
    if cell is None:
        return None
    if not isinstance(cell, int | float) or cell in (float("inf"), float("-inf")):
        raise _not(cell, "a number of seconds")
    try:
        return times.moment_text(times.epoch_moment(cell, unit)) + zone
    except times.BadTime as error:
        raise Unfit(str(error)) from error


def _interval(text: str) -> str:
    """SQLAlchemy's Interval on SQLite: 1970-01-01 plus the interval, as a timestamp."""
    parsed = times.parse_timestamp(text)
    if parsed.zone:
        raise times.BadTime("it names a zone")
    return times.interval_text(times.since_epoch(parsed.moment))


def _interval_micro(cell: Cell) -> str | None:
    """Django's DurationField on SQLite: microseconds."""
    if cell is None:
        return None
    if not isinstance(cell, int):
        raise _not(cell, "a number of microseconds")
    try:
        return times.interval_text(times.since_epoch(times.epoch_moment(cell, 1_000_000)))
    except times.BadTime as error:
        raise Unfit(str(error)) from error


# Structured types


def _uuid(cell: Cell) -> str | None:
    """32 hexadecimal digits, with or without dashes, in any case; or 16 bytes."""
    if cell is None:
        return None
    if isinstance(cell, bytes) and len(cell) == 16:
        digits = cell.hex()
    elif isinstance(cell, str) and _UUID.fullmatch(cell):
        digits = cell.replace("-", "").lower()
    else:
        raise Unfit("it is no UUID")
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


def _strict_uuid(cell: Cell) -> str | None:
    text = _uuid(cell)
    if text != cell:
        raise Unfit("it is no UUID as PostgreSQL writes it")
    return text


def _json_source(cell: Cell) -> str | None:
    """JSON text. A column declared JSON has numeric affinity, so that numbers lie there as numbers."""
    if isinstance(cell, float) and cell in (float("inf"), float("-inf")):
        raise Unfit("it is infinite, which JSON doesn't know")
    text = _text(cell)
    return text


def _json(cell: Cell) -> str | None:
    text = _json_source(cell)
    if text is not None:
        try:
            check_json(text)
        except BadJson as error:
            raise Unfit(str(error)) from error
    return text


def _jsonb(cell: Cell) -> str | None:
    text = _json_source(cell)
    try:
        return None if text is None else jsonb_text(text)
    except BadJson as error:
        raise Unfit(str(error)) from error


def _enum(labels: frozenset[str], cell: Cell) -> str | None:
    if cell is None or (isinstance(cell, str) and cell in labels):
        return cell
    raise Unfit("it is none of the type's labels")


def _array(element: Convert, cell: Cell) -> str | None:
    """A JSON list kept as text, to a one-dimensional array."""
    if cell is None:
        return None
    if not isinstance(cell, str):
        raise _not(cell, "a JSON list as text")
    try:
        items = json.loads(cell)
    except (ValueError, RecursionError) as error:
        raise Unfit("it isn't a JSON list") from error
    if not isinstance(items, list) or any(isinstance(item, list | dict) for item in items):
        raise Unfit("it isn't a flat JSON list")
    return array_text(element(int(item) if isinstance(item, bool) else item) for item in items)


# The catalogue


@dataclass(frozen=True)
class TypeParts:
    """'numeric(10,2)[]' taken apart: base 'numeric', arguments (10, 2), array True. Zone words belong to the base."""

    base: str
    arguments: tuple[int, ...]
    array: bool


def type_parts(type_sql: str) -> TypeParts:
    match = _TYPE.match(type_sql.strip())
    if match is None:
        return TypeParts(type_sql, (), False)
    base = " ".join((match["base"] + match["rest"]).lower().split())
    arguments = tuple(int(part) for part in (match["args"] or "").split(",") if part.strip().lstrip("-").isdigit())
    return TypeParts(base, arguments, bool(match["array"]))


def _digits(parts: TypeParts) -> int:
    return parts.arguments[0] if parts.arguments else 6


_SIMPLE: dict[str, Convert] = {
    "boolean": _boolean,
    "boolean_words": _boolean_words,
    "bytea": _bytea,
    "date": partial(_timed, _date),
    "double": _double,
    "int8_strict": _strict_integer,
    "interval": partial(_timed, _interval),
    "interval_microseconds": _interval_micro,
    "json": _json,
    "jsonb": _jsonb,
    "real": _single,
    "tagged_text": _tagged,
    "text": _text,
    "uuid": _uuid,
    "uuid_strict": _strict_uuid,
    "verbatim": _verbatim,
    **{name: partial(_integer, limit) for name, limit in _RANGES.items()},
}


def _sized(word: str, parts: TypeParts) -> Convert | None:
    """Conversions that read a length, precision or scale from the target's type."""
    if word in ("varchar", "char"):
        limit = parts.arguments[0] if parts.arguments else 1 if word == "char" else 0
        if not limit:
            return _text
        return partial(_padded if word == "char" else _limited, limit)
    if word in ("numeric", "numeric_rounded"):
        if not parts.arguments:
            return _numeric
        scale = parts.arguments[1] if len(parts.arguments) > 1 else 0
        return partial(_scaled, parts.arguments[0], scale, word == "numeric_rounded")
    return None


def _with_argument(word: str, argument: str, target_type: str) -> Convert | None:
    parts = type_parts(target_type)
    if word == "timestamp":
        return partial(_timed, partial(_timestamp, argument, _digits(parts)))
    if word == "timestamptz":
        return partial(_timed, partial(_timestamptz, argument, _digits(parts)))
    if word == "time":
        return partial(_timed, partial(_time, argument, _digits(parts)))
    if word == "epoch":
        zone = "+00" if "with time zone" in parts.base or parts.base == "timestamptz" else ""
        return partial(_epoch, {"s": 1, "ms": 1000, "us": 1_000_000}[argument], zone)
    if word == "text_bytes":
        return partial(_stored_bytes, argument)
    if word == "enum":
        return partial(_enum, frozenset(json.loads(argument)))
    if word == "array":
        return partial(_array, conversion(argument, target_type.rsplit("[", 1)[0]).convert)
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


# Rows


class RowUnfit(Unfit):
    """A cell of a row that doesn't fit; `column` is the source's name."""

    def __init__(self, column: str, why: str) -> None:
        super().__init__(why)
        self.column = column


def row_converter(table: TablePlan) -> Callable[[Row], tuple[str | None, ...] | None]:
    """A function from a row of `table.loaded_columns`, in that order, to its converted texts.

    It gives None for a row that the plan leaves out (on_unfit 'skip_row') and raises RowUnfit where the plan has no
    answer: the data has changed since it was made.
    """
    columns = [
        (conversion(column.conversion, column.target_type).convert, column.name, column.on_unfit == "skip_row")
        for column in table.loaded_columns
    ]

    def convert(row: Row) -> tuple[str | None, ...] | None:
        out: list[str | None] = []
        for (work, name, may_skip), cell in zip(columns, row, strict=True):
            try:
                out.append(work(cell))
            except Unfit as error:
                if may_skip:
                    return None
                raise RowUnfit(name, error.why) from error
        return tuple(out)

    return convert
