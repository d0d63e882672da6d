"""A translated SQL expression together with what is known of its values on both sides.

Only with that knowledge can a comparison or a sum be said to mean the same in both databases: SQLite compares by
storage class, affinity and collation (https://www.sqlite.org/datatype3.html), PostgreSQL by type.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from migrations_app.engine.plan import ColumnPlan
from migrations_app.engine.profile.profile import ColumnProfile
from migrations_app.engine.source.affinity import BLOB, TEXT, affinity
from migrations_app.engine.source.schema import SourceColumn
from migrations_app.engine.sql.sql_parse import NotTranslated

INTEGERS: Final = frozenset({"integer"})
REALS: Final = frozenset({"real"})
NUMBERS: Final = INTEGERS | REALS
TEXTS: Final = frozenset({"text"})
BLOBS: Final = frozenset({"blob"})
_EXACT = 2**53  # up to here each integer has a double of its own


@dataclass(frozen=True)
class Value:
    """sql: PostgreSQL's expression, safe to put anywhere. form: its type there ('int4', 'bigint', 'double', 'numeric',
    'boolean', 'text', 'bytea', 'date', 'timestamp', 'timestamptz', 'time', 'uuid', 'json', 'null', 'other').

    kinds: storage classes in SQLite, NULL aside. affinity: 'TEXT', 'NUMERIC' or '' (none). collation: SQLite's, '' for
    what is no column. conversion: of a column. literal: a constant's text or integer. exact: numbers that doubles hold,
    none of them infinite. stays: a boolean that stays one in a result (a column). pg_collation: 'C' or ''.
    """

    sql: str
    form: str
    kinds: frozenset[str]
    affinity: str = ""
    collation: str = ""
    explicit: bool = False
    conversion: str = ""
    literal: str | int | float | None = None
    exact: bool = True
    stays: bool = False
    pg_collation: str = ""

    @property
    def is_number(self) -> bool:
        return bool(self.kinds) and self.kinds <= NUMBERS and self.form != "other"

    @property
    def is_text(self) -> bool:
        return self.kinds == TEXTS and self.form != "other"

    @property
    def plain(self) -> Value:
        """As the operand of an operator or function: its result has no affinity and no collation of its own."""
        return replace(self, affinity="", collation="", explicit=False, stays=False)


NULL = Value("NULL", "null", frozenset())


def string(text: str) -> str:
    """A string literal."""
    quoted = text.replace("'", "''")
    if "\0" in text:
        raise NotTranslated("it holds U+0000")
    return "E'" + quoted.replace("\\", "\\\\") + "'" if "\\" in quoted else f"'{quoted}'"


def text_literal(text: str) -> Value:
    return Value(string(text), "text", TEXTS, literal=text)


def integer_literal(number: int) -> Value:
    if abs(number) >= 2**63:
        raise NotTranslated("a number is beyond 64 bits")
    form = "int4" if abs(number) < 2**31 else "bigint"
    return Value(str(number) if number >= 0 else f"({number})", form, INTEGERS, literal=number)


def real_literal(number: float) -> Value:
    if number in (float("inf"), float("-inf")):
        raise NotTranslated("a number is infinite")
    sql = f"'{number!r}'::double precision"
    return Value(sql, "double", REALS, literal=number)


def predicate(sql: str) -> Value:
    """0, 1 or NULL in SQLite; a boolean here."""
    return Value(f"({sql})", "boolean", INTEGERS)


def column_value(sql: str, plan: ColumnPlan, source: SourceColumn, profile: ColumnProfile) -> Value:
    """A column of a table of our own making."""
    kind = affinity(source.declared_type)
    shape = "" if kind == BLOB else "TEXT" if kind == TEXT else "NUMERIC"
    form, kinds = _form(plan, kind, profile)
    low, high = profile.lowest or 0, profile.highest or 0
    return Value(
        sql,
        form,
        kinds,
        affinity=shape,
        collation=source.collation,
        conversion=plan.conversion,
        exact=low >= -_EXACT and high <= _EXACT and not profile.infinite,
        stays=form == "boolean",
        pg_collation=plan.collation,
    )


_FORMS = {
    "int8_strict": ("bigint", INTEGERS),
    "double": ("double", REALS),
    "numeric": ("numeric", NUMBERS),
    "numeric_apart": ("numeric", NUMBERS),
    "boolean": ("boolean", INTEGERS),
    "date": ("date", TEXTS),
    "timestamp": ("timestamp", TEXTS),
    "timestamptz": ("timestamptz", TEXTS),
    "time": ("time", TEXTS),
    "uuid_strict": ("uuid", TEXTS),
    "bytea": ("bytea", BLOBS),
}
_OTHER = ("other", frozenset({"integer", "real", "text", "blob"}))


def _form(plan: ColumnPlan, kind: str, profile: ColumnProfile) -> tuple[str, frozenset[str]]:
    only_text = kind == TEXT or profile.kinds == ("text",)
    if plan.conversion in ("text", "json"):
        return (plan.conversion, TEXTS) if only_text else _OTHER
    word, _, argument = plan.conversion.partition(":")
    if word in ("timestamp", "timestamptz", "time") and not argument:
        return _OTHER  # times in any spelling, by choice
    return _FORMS.get(word, _OTHER)


def condition(value: Value) -> str:
    """For WHERE, AND, CHECK and the like: SQLite takes a number other than 0 as true."""
    if value.form == "null":
        return "NULL::boolean"
    if value.form == "boolean":
        return value.sql
    if value.is_number:
        return f"({value.sql} <> 0)"
    raise NotTranslated("it takes a text or blob as true or false")


def number(value: Value) -> Value:
    """A boolean as 0 or 1; other numbers as they are."""
    if not value.is_number:
        raise NotTranslated("it computes with what isn't a number")
    return replace(value, sql=f"({value.sql})::int", form="int4", stays=False) if value.form == "boolean" else value


def double(value: Value) -> str:
    """A number as SQLite computes with reals."""
    found = number(value)
    if not found.exact and found.form in ("numeric", "double"):
        raise NotTranslated("it computes with reals that are infinite, or integers beside reals that no double holds")
    return found.sql if found.form == "double" else f"({found.sql})::double precision"


def big(value: Value) -> str:
    """An integer of 64 bits, as SQLite computes."""
    found = number(value)
    if found.kinds != INTEGERS:
        raise NotTranslated("it needs integers where reals may be")
    return found.sql if found.form == "bigint" else f"({found.sql})::bigint"


def text(value: Value) -> str:
    """The very text that SQLite has, or would make of an integer."""
    if value.form in ("text", "null"):
        return value.sql
    if value.form in ("uuid", "json") and value.is_text:
        return f"({value.sql})::text"
    if value.is_text:
        return _time_text(value)
    if value.kinds == INTEGERS:
        return f"({number(value).sql})::text"
    raise NotTranslated("it makes text of reals or blobs, which the two databases write otherwise")


def _time_text(value: Value) -> str:
    if value.form == "date":
        return f"to_char(({value.sql})::timestamp, 'YYYY-MM-DD')"
    _word, _, form = value.conversion.partition(":")
    separator, fraction, zone = form.split("-", 2)
    sql = f"({value.sql} AT TIME ZONE 'UTC')" if value.form == "timestamptz" else value.sql
    day = "" if value.form == "time" else "YYYY-MM-DD" + {"space": " ", "T": '"T"'}[separator]
    base = f"to_char({sql}, '{day}HH24:MI:SS')"
    if fraction in ("3", "6"):
        base = f"to_char({sql}, '{day}HH24:MI:SS.{'MS' if fraction == '3' else 'US'}')"
    elif fraction == "trim":
        base = f"({base} || rtrim(rtrim(to_char({sql}, '.US'), '0'), '.'))"
    else:
        base = f"({base} || replace(to_char({sql}, '.US'), '.000000', ''))"
    return f"({base} || '{zone}')" if zone else base


def harmonised(values: Sequence[Value], texts: Iterable[str]) -> list[str]:
    """Texts to be put together: PostgreSQL can't choose between two collations, so one is named."""
    found = list(texts)
    collations = {value.pg_collation for value in values if value.literal is None and value.form == "text"}
    if len(collations) > 1:
        found[0] = f'({found[0]} COLLATE "C")'
    return found


def unified(values: Sequence[Value]) -> list[Value]:
    """The branches of a CASE or COALESCE brought to one type, each with the value that SQLite gives."""
    known = [value for value in values if value.form != "null"]
    if not known:
        return list(values)
    if all(value.form == "boolean" for value in known):
        return [value.plain for value in values]
    if all(value.is_number for value in known):
        return _numbers(values)
    if all(value.is_text for value in known):
        return _texts(values)
    if all(value.form == "bytea" for value in known):
        return [value.plain for value in values]
    raise NotTranslated("it mixes numbers, texts or blobs")


def _numbers(values: Sequence[Value]) -> list[Value]:
    kinds = frozenset().union(*(value.kinds for value in values))
    exact = all(value.exact for value in values)
    if kinds == INTEGERS:
        return [v if v.form == "null" else Value(big(v), "bigint", kinds, exact=exact) for v in values]
    return [v if v.form == "null" else Value(double(v), "double", kinds, exact=exact) for v in values]


def _texts(values: Sequence[Value]) -> list[Value]:
    known = [value for value in values if value.form != "null"]
    alike = {(value.form, value.conversion) for value in known}
    if len(alike) == 1 and known[0].form != "text":
        return [value.plain for value in values]
    texts = harmonised(known, [text(value) for value in known])
    if all(value.literal is not None for value in known):
        texts[0] = f"{texts[0]}::text"
    found = iter(texts)
    collation = "C" if any(value.pg_collation for value in known) else ""
    return [v if v.form == "null" else Value(next(found), "text", TEXTS, pg_collation=collation) for v in values]
