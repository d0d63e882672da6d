"""Which forms a column's cells may have, by its conversion and affinity, and the function that undoes each of them.

A form is a word, or word:argument. Where a conversion and an affinity leave one form, it is known without looking at a
cell; else the cells decide (inverse_learning.py). Cells are taken as SQLite stores them: a column of numeric affinity
holds no text that spells a number, and no real that is a whole number of 64 bits
(https://www.sqlite.org/datatype3.html, section 3).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from migrations_app.engine.conversions import inverse_moments as moments
from migrations_app.engine.conversions import inverse_values as values
from migrations_app.engine.conversions.conversion_base import Undo
from migrations_app.engine.plan import ColumnPlan
from migrations_app.engine.source.affinity import BLOB, INTEGER, NUMERIC, REAL, TEXT, affinity
from migrations_app.engine.source.cells import Cell

_UNITS = {"s": 1, "ms": 1000, "us": 1_000_000}
_NUMBERS = (INTEGER, NUMERIC)
_SEPARATORS = {"wide": ", ", "narrow": ","}

Derived = Callable[[Cell], tuple[str, ...]]


@dataclass(frozen=True)
class Candidates:
    """The likeliest form first. known: there is one, and no cell needs to be looked at.

    derived: forms that a cell suggests, in place of `forms`. equivalent: cells of different forms that convert to the
    same text mean the same, so that a column may hold several.
    """

    forms: tuple[str, ...] = ()
    known: bool = False
    derived: Derived | None = None
    equivalent: bool = False


def column_affinity(declared: str, *, strict: bool) -> str:
    """In a STRICT table ANY means none at all."""
    return BLOB if strict and declared.upper() == "ANY" else affinity(declared)


def _known(form: str) -> Candidates:
    return Candidates((form,), known=True)


_ONE_FORM = {
    "boolean": "boolean",
    "bytea": "blob",
    "date": "text",
    "enum": "text",
    "int8_strict": "integer",
    "interval_microseconds": "microseconds",
    "jsonb_strict": "text",
    "numeric_apart": "pointed",
    "tagged_text": "tagged",
    "uuid_strict": "text",
}
_BY_AFFINITY: dict[str, dict[str, tuple[str, ...]]] = {
    "whole": {REAL: ("real",), TEXT: ("text",), BLOB: ("integer", "real", "text")},
    "double": {REAL: ("real",), TEXT: ("float_words", "short_words")},
    "numeric": {REAL: ("real",), TEXT: ("text", "trimmed", "one_place")},
    "text": {TEXT: ("text",)},
    "json": {TEXT: ("text",)},
    "char": {TEXT: ("padded:text",)},
    "count": {REAL: ("real",), TEXT: ("integer",)},
}
_ELSE: dict[str, tuple[str, ...]] = {
    "whole": ("integer",),
    "double": ("float_number",),
    "numeric": ("number",),
    "text": ("text", "text_or_number"),
    "json": ("text_or_number",),
    "char": ("padded:text", "padded:text_or_number"),
    "count": ("number",),
}
_LOOSE: dict[str, tuple[str, ...]] = {
    "double": ("real", "float_number", "float_words", "short_words"),
    "numeric": ("number", "real", "pointed", "text", "trimmed", "one_place"),
    "json": ("text", "text_or_number"),
    "count": ("integer", "real", "number"),
}
_FAMILY = {
    **dict.fromkeys(("smallint", "integer", "bigint"), "whole"),
    **dict.fromkeys(("double", "real"), "double"),
    **dict.fromkeys(("numeric", "numeric_rounded"), "numeric"),
    **dict.fromkeys(("text", "varchar", "verbatim"), "text"),
    **dict.fromkeys(("epoch", "julian"), "count"),
    "json": "json",
    "char": "char",
}
# Conversions that lose something, or whose numbers of numeric affinity have a value with two spellings: one form, but
# cells must be asked whether it holds.
_LOSSY = ("numeric_rounded",)
_UUIDS = ("uuid:dashes", "uuid:plain", "uuid:DASHES", "uuid:PLAIN", "uuid:bytes")
_ARRAYS = tuple(
    f"array:{element}-{separator}-{letters}"
    for element in ("string", "number", "real", "boolean")
    for separator in _SEPARATORS
    for letters in ("ascii", "any")
)


def candidates(column: ColumnPlan, kind: str) -> Candidates:
    """For a column of the affinity `kind`."""
    word, _, argument = column.conversion.partition(":")
    if word in _ONE_FORM:
        return _known(_ONE_FORM[word])
    if word in _FAMILY:
        return _of_family(_FAMILY[word], kind, lossy=word in _LOSSY)
    if word in ("timestamp", "timestamptz", "time"):
        return _of_moments(word, argument)
    if word == "interval":
        return Candidates(("space-6-",), derived=moments.forms_of, equivalent=True)
    if word == "boolean_words":
        return Candidates()
    if word == "jsonb":
        return _of_jsonb(kind)
    if word == "text_bytes":
        return Candidates(("blob", f"encoded:{argument}"))
    return Candidates({"uuid": _UUIDS, "array": _ARRAYS}[word], equivalent=True)


def _of_family(family: str, kind: str, *, lossy: bool) -> Candidates:
    forms = _BY_AFFINITY[family].get(kind) or (_LOOSE.get(family) if kind == BLOB else None) or _ELSE[family]
    two_spellings = family == "double" and kind in _NUMBERS
    known = len(forms) == 1 and not lossy and not two_spellings
    # Numbers as text have several spellings; without an affinity the storage class is part of the value.
    return Candidates(forms, known, equivalent=lossy or (family in ("numeric", "double") and kind == TEXT))


def _of_moments(word: str, argument: str) -> Candidates:
    bare = word == "time"
    if argument:
        return _known(argument)
    return Candidates(("space-py-",), derived=partial(moments.forms_of, bare=bare), equivalent=True)


def _of_jsonb(kind: str) -> Candidates:
    spellings = ("json:printed", "json:ascii", "json:compact", "json:compact-ascii")
    forms = tuple(form if kind == TEXT else f"{form}-number" for form in spellings)
    return Candidates(forms, equivalent=True)


def words_form(true: Cell, false: Cell) -> str:
    return "words:" + json.dumps([true, false], ensure_ascii=True, separators=(",", ":"))


_PLAIN: dict[str, Undo] = {
    "blob": values.blob,
    "boolean": values.boolean,
    "float_number": values.float_number,
    "float_words": values.float_words,
    "integer": values.integer,
    "microseconds": moments.microseconds,
    "number": values.number,
    "one_place": values.one_place,
    "pointed": values.pointed,
    "real": values.real,
    "short_words": values.short_words,
    "tagged": values.tagged,
    "text": values.same_text,
    "text_or_number": values.text_or_number,
    "trimmed": values.trimmed,
}


def undo_of(column: ColumnPlan, form: str) -> Undo:
    """The function that undoes a form of the column. Raises KeyError or ValueError for one that there isn't."""
    word, _, unit = column.conversion.partition(":")
    if word in ("timestamp", "timestamptz"):
        return moments.timestamp(form)
    if word == "time":
        return moments.clock(form.split("-", 2)[1])
    if word == "interval":
        return moments.since_epoch(form)
    if word == "epoch":
        return moments.counted(_UNITS[unit], form)
    if word == "julian":
        return moments.julian(form)
    name, _, argument = form.partition(":")
    if name == "padded":
        return values.padded(_PLAIN[argument])
    if name == "words":
        true, false = json.loads(argument)
        return values.words(true, false)
    if name == "uuid":
        return _uuid(argument)
    if name == "encoded":
        return values.encoded(argument)
    if name == "json":
        parts = argument.split("-")
        return values.json_text("compact" in parts, "ascii" in parts, "number" in parts)
    if name == "array":
        element, separator, letters = argument.split("-")
        return values.array(element, _SEPARATORS[separator], letters == "ascii")
    return _PLAIN[form]


def _uuid(argument: str) -> Undo:
    if argument == "bytes":
        return values.uuid_bytes
    return values.uuid(dashes=argument.lower() == "dashes", upper=argument.isupper())
