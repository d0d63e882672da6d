"""Proofs that every cell of a batch fits a conversion, found for all of them at once.

Calling a conversion for each cell costs a microsecond or more; most columns can be judged by the range of their
numbers, or by one regular expression over all their texts. A proof that fails says nothing: then the conversion
itself is asked. So a proof may be narrow, and must never be wider than its conversion.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

from migrations_app.engine.conversions.conversions import TypeParts, type_parts
from migrations_app.engine.source.cells import Cell, InvalidText

_FEBRUARY_29 = r"(?:\d\d(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)(?<!0000)-02-29"
_MONTHS = r"(?:0[1-9]|1[0-2])-(?:0[1-9]|1\d|2[0-8])|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31"
_DAY = rf"(?:(?!0000)\d{{4}}-(?:{_MONTHS})|{_FEBRUARY_29})"
_CLOCK = r"(?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d"
_FRACTIONS = {"py": r"(?:\.(?!000000)\d{6})?", "6": r"\.\d{6}", "3": r"\.\d{3}", "trim": r"(?:\.\d{0,5}[1-9])?"}
_SEPARATORS = {"space": " ", "T": "T"}
_UTC = r"(?:Z|\+00(?::?00)?)?"
_WHOLE_DIGITS = {"smallint": 4, "integer": 9, "bigint": 18}  # so many always fit
_RANGES = {"smallint": 2**15, "integer": 2**31, "bigint": 2**63, "int8_strict": 2**63, "double": 2**53, "real": 2**24}
_ANY_NUMBER = frozenset({"text", "verbatim", "tagged_text"})
_FIRST_SECOND, _LAST_SECOND = -62_135_596_800, 253_402_300_799  # 0001-01-01 and 9999-12-31, since 1970
_UNITS = {"epoch:s": 1, "epoch:ms": 1000, "epoch:us": 1_000_000, "interval_microseconds": 1_000_000}


@dataclass(frozen=True)
class Proofs:
    """By storage class, whether all cells surely fit. `refused`: the classes of which no cell ever fits."""

    integers: Callable[[Integers], bool]
    reals: Callable[[Reals], bool]
    texts: Callable[[Texts], bool]
    blobs: bool
    refused: frozenset[type]


class Cells:
    """The cells of one storage class in a batch, at least one, in order."""

    def __init__(self, values: Sequence[Cell]) -> None:
        self.values = values

    @cached_property
    def judged(self) -> Sequence[Cell]:
        """The cells that a conversion must be asked about: distinct ones, in the order of their first places."""
        return list(dict.fromkeys(self.values))

    def count(self, some: Sequence[Cell]) -> int:
        """How many of the cells equal one of `some`, which are out of `judged`."""
        return sum(map(frozenset(some).__contains__, self.values))

    def surely_fit(self, proofs: Proofs) -> bool:
        return False


class Integers(Cells):
    values: Sequence[int]

    @cached_property
    def low(self) -> int:
        return min(self.values)

    @cached_property
    def high(self) -> int:
        return max(self.values)

    def surely_fit(self, proofs: Proofs) -> bool:
        return proofs.integers(self)


class Reals(Cells):
    """Never distinct: zero and negative zero are equal, and fit differently."""

    values: Sequence[float]

    @property
    def judged(self) -> Sequence[Cell]:
        return self.values

    def count(self, some: Sequence[Cell]) -> int:
        return len(some)

    @cached_property
    def infinite(self) -> int:
        return 0 if math.isfinite(sum(self.values)) else sum(map(math.isinf, self.values))

    @cached_property
    def negative_zero(self) -> bool:
        return any(math.copysign(1.0, value) < 0 for value in self.values if value == 0)

    @cached_property
    def lines(self) -> str:
        return "\n".join(map(repr, self.values)) + "\n"

    def surely_fit(self, proofs: Proofs) -> bool:
        return proofs.reals(self)


class Texts(Cells):
    """Valid texts. `fresh` leaves out some, or all, of what is judged already."""

    values: Sequence[str]

    def __init__(self, values: Sequence[str], fresh: Sequence[str]) -> None:
        self.values = values
        self.fresh = fresh

    @property
    def judged(self) -> Sequence[Cell]:
        return self.fresh

    @cached_property
    def longest(self) -> int:
        return max(map(len, self.fresh), default=0)

    @cached_property
    def lines(self) -> str:
        return "\n".join(self.fresh) + "\n"

    @cached_property
    def has_nul(self) -> bool:
        return "\0" in self.lines

    @cached_property
    def _one_line_each(self) -> bool:
        return self.lines.count("\n") == len(self.fresh)

    def all_like(self, pattern: re.Pattern[str]) -> bool:
        """Whether each is a line of the pattern, made by lines_of()."""
        return self._one_line_each and pattern.fullmatch(self.lines) is not None

    def surely_fit(self, proofs: Proofs) -> bool:
        return proofs.texts(self)


class Blobs(Cells):
    values: Sequence[bytes]

    def surely_fit(self, proofs: Proofs) -> bool:
        return proofs.blobs


@lru_cache(maxsize=4096)
def proofs_for(name: str, target_type: str) -> Proofs:
    """The proofs for conversions.conversion(name, target_type)."""
    word, _, argument = name.partition(":")
    parts = type_parts(target_type)
    return Proofs(
        integers=_integers(name, word, parts),
        reals=_reals(word, parts),
        texts=_texts(word, argument, parts),
        blobs=word in ("bytea", "tagged_text", "text_bytes"),
        refused=_REFUSED.get(word, frozenset()),
    )


_JSON = ("json", "jsonb", "jsonb_strict")
_NO_TEXT = frozenset({str, bytes, InvalidText})
_NO_BYTES = frozenset({bytes, InvalidText})
_ONLY_TEXT = frozenset({int, float, bytes, InvalidText})
_REFUSED: dict[str, frozenset[type]] = {
    **dict.fromkeys(("int8_strict", "boolean", "interval_microseconds"), _NO_TEXT | {float}),
    **dict.fromkeys(("epoch", "julian"), _NO_TEXT),
    **dict.fromkeys(("smallint", "integer", "bigint", "double", "real", "numeric", "numeric_rounded"), _NO_BYTES),
    **dict.fromkeys(("text", "varchar", "char", "verbatim", "boolean_words"), _NO_BYTES),
    **dict.fromkeys(_JSON, _NO_BYTES),
    **dict.fromkeys(("date", "timestamp", "timestamptz", "time", "interval", "enum", "array"), _ONLY_TEXT),
    **dict.fromkeys(("bytea",), frozenset({int, float, str, InvalidText})),
    **dict.fromkeys(("uuid", "uuid_strict"), frozenset({int, float, InvalidText})),
}


def _never(values: object) -> bool:
    return False


def _always(values: object) -> bool:
    return True


def _integers(name: str, word: str, parts: TypeParts) -> Callable[[Integers], bool]:
    if word in _ANY_NUMBER or word in _JSON:
        return _always
    if word in ("boolean", "boolean_words"):
        return lambda found: found.low >= 0 and found.high <= 1
    if word in _RANGES:
        limit = _RANGES[word]
        return lambda found: -limit <= found.low and found.high < limit
    if name in _UNITS:
        unit = _UNITS[name]
        return lambda found: _FIRST_SECOND * unit <= found.low and found.high <= _LAST_SECOND * unit
    if word in ("numeric", "numeric_rounded"):
        whole = _whole_digits(parts)
        if whole is None:
            return _never if parts.arguments else _always
        limit = 10**whole
        return lambda found: -limit < found.low and found.high < limit
    return _never


def _scale(parts: TypeParts) -> int:
    return parts.arguments[1] if len(parts.arguments) > 1 else 0


def _whole_digits(parts: TypeParts) -> int | None:
    """Digits before the point in a numeric(p,s); None for one without arguments, or with a scale outside of 0 to p."""
    if not parts.arguments or not 0 <= _scale(parts) <= parts.arguments[0]:
        return None
    return parts.arguments[0] - _scale(parts)


def _reals(word: str, parts: TypeParts) -> Callable[[Reals], bool]:
    if word in _ANY_NUMBER or word == "double":
        return _always
    if word == "json":
        return lambda found: not found.infinite
    if word == "numeric" and not parts.arguments:
        return lambda found: not found.negative_zero
    if word == "numeric" and _whole_digits(parts):
        pattern = lines_of(_real_pattern(_whole_digits(parts) or 0, _scale(parts)))
        return lambda found: pattern.fullmatch(found.lines) is not None
    if word == "numeric_rounded" and (whole := _whole_digits(parts)):
        limit = 10**whole // 2  # rounding may add a digit only above
        return lambda found: -limit < min(found.values) and max(found.values) < limit
    return _never


def _real_pattern(whole: int, scale: int) -> str:
    """Reprs of reals that fit so many digits, negative zero aside. A whole number is written '2.0'."""
    more = rf"|-?[1-9]\d{{0,{whole - 1}}}\.\d{{1,{scale}}}|0\.\d{{1,{scale}}}|-0\.\d{{0,{scale - 1}}}[1-9]"
    return rf"-?[1-9]\d{{0,{whole - 1}}}\.0|0\.0{more if scale else ''}"


def _texts(word: str, argument: str, parts: TypeParts) -> Callable[[Texts], bool]:
    if word in ("tagged_text", "text_bytes"):
        return _always
    if word in ("text", "verbatim"):
        return lambda found: not found.has_nul
    if word in ("varchar", "char"):
        return _sized_texts(word, parts)
    if word == "enum":
        labels = frozenset(json.loads(argument))
        return lambda found: labels.issuperset(found.fresh)
    source = _text_pattern(word, argument, parts)
    if not source:
        return _never
    pattern = lines_of(source)
    return lambda found: found.all_like(pattern)


def _sized_texts(word: str, parts: TypeParts) -> Callable[[Texts], bool]:
    limit = parts.arguments[0] if parts.arguments else 1 if word == "char" else math.inf
    if not limit:
        return _never
    if word == "varchar":
        return lambda found: found.longest <= limit and not found.has_nul
    return lambda found: found.longest <= limit and not found.has_nul and " \n" not in found.lines


def _text_pattern(word: str, argument: str, parts: TypeParts) -> str:
    """What one text must look like; '' where no pattern can tell."""
    if word in _WHOLE_DIGITS:
        return rf"-?[1-9]\d{{0,{_WHOLE_DIGITS[word] - 1}}}|0"
    if word == "double":
        return r"-?(?:[1-9]\d{0,14}|0)|-?(?:[1-9]\d{0,8}|0)\.(?:0|\d{0,3}[1-9])"
    if word == "numeric":
        return r"(?:-?[1-9]\d{0,400}|0)(?:\.\d{1,400})?" if not parts.arguments else ""
    if word == "uuid":
        hexadecimal = "[0-9a-fA-F]"
        return rf"{hexadecimal}{{8}}(?:-{hexadecimal}{{4}}){{3}}-{hexadecimal}{{12}}|{hexadecimal}{{32}}"
    if word == "uuid_strict":
        return r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
    if word == "date":
        return _DAY
    if word in ("timestamp", "timestamptz", "time", "interval"):
        return _moment_pattern(word, argument, parts)
    return ""


def _moment_pattern(word: str, form: str, parts: TypeParts) -> str:
    digits = parts.arguments[0] if parts.arguments and word != "interval" else 6
    if not 0 <= digits <= 6:
        return ""
    if not form:
        fraction = rf"(?:\.\d{{1,{digits}}}0{{0,6}})?" if digits else r"(?:\.0{1,6})?"
        day = "" if word == "time" else f"{_DAY}[ T]"
        return day + _CLOCK + fraction + (_UTC if word == "timestamptz" else "")
    separator, style, zone = form.split("-", 2)
    if digits != 6 or style not in _FRACTIONS or separator not in _SEPARATORS:
        return ""
    day = "" if word == "time" else _DAY + _SEPARATORS[separator]
    return day + _CLOCK + _FRACTIONS[style] + re.escape(zone)


def lines_of(source: str) -> re.Pattern[str]:
    """All lines are of the pattern. Possessive: a line that isn't ends the search at once."""
    return re.compile(rf"(?:(?:{source})\n)*+", re.ASCII)
