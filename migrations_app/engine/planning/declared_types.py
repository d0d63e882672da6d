"""Mode `create`: what a declared type asks for, and what may be chosen for it besides.

The declared type says what the author wished: SQLite's affinity rules, https://www.sqlite.org/datatype3.html section
3.1, and the names that frameworks write. Whether the values fit is for typemap.py.
"""

from __future__ import annotations

from migrations_app.engine.conversions.conversion_times import FRACTIONS, ZONES
from migrations_app.engine.conversions.conversions import type_parts
from migrations_app.engine.planning.counted_times import MOMENT, WAYS
from migrations_app.engine.profile.profile import Candidate
from migrations_app.engine.source.affinity import INTEGER, REAL, TEXT, affinity
from migrations_app.engine.source.schema import SourceColumn

_STAMP = "timestamp without time zone"
_CLOCK = "time without time zone"
_MAX_PRECISION = 1000  # of numeric(p,s)
_UUID_TYPES = ("UUID", "GUID", "UNIQUEIDENTIFIER")


def _time_candidates(word: str, target_type: str, zones: tuple[str, ...]) -> list[Candidate]:
    separators = ("space",) if word == "time" else ("space", "T")
    return [
        Candidate(f"{word}:{separator}-{fraction}-{zone}", target_type)
        for zone in zones
        for separator in separators
        for fraction in FRACTIONS
    ]


def wish_of(column: SourceColumn) -> list[Candidate]:
    """Conversions that the declared type asks for, the best first."""
    base = type_parts(column.declared_type).base.upper()
    arguments = type_parts(column.declared_type).arguments
    if base in ("BOOL", "BOOLEAN"):
        return [Candidate("boolean", "boolean")]
    if base == "DATE":
        return [Candidate("date", "date")]
    if base == "DATETIME" or base.startswith("TIMESTAMP"):
        naive = _time_candidates("timestamp", _STAMP, ("",))
        return naive + _time_candidates("timestamptz", MOMENT, ZONES[1:])
    if base == "TIME":
        return _time_candidates("time", _CLOCK, ("",))
    if base in _UUID_TYPES:
        return [Candidate("uuid_strict", "uuid")]
    if base in ("JSON", "JSONB"):
        return [Candidate("json", "json")]
    if base in ("NUMERIC", "DECIMAL", "DEC", "NUMBER", "MONEY"):
        return _scaled(arguments) or [Candidate("numeric", "numeric")]
    kind = affinity(column.declared_type)
    if kind == INTEGER:
        return [Candidate("int8_strict", "bigint")]
    if kind == REAL:
        return [Candidate("double", "double precision")]
    return [Candidate("text", "text")] if kind == TEXT else []


def ways_of(column: SourceColumn) -> dict[str, Candidate]:
    """What a person may choose for a declared type besides its wish, by the choice's name."""
    base = type_parts(column.declared_type).base.upper()
    if base in ("DATE", "DATETIME") or base.startswith("TIMESTAMP"):
        return {choice: Candidate(name, MOMENT) for choice, name in WAYS.items()}
    if base in ("BOOL", "BOOLEAN"):
        return {"words": Candidate("boolean_words", "boolean")}
    if base in _UUID_TYPES:
        return {"any_spelling": Candidate("uuid", "uuid")}
    scaled = wish_of(column)[:1]
    if scaled and scaled[0].conversion == "numeric" and scaled[0].target_type != "numeric":
        return {"round": Candidate("numeric_rounded", scaled[0].target_type)}
    return {}


def _scaled(arguments: tuple[int, ...]) -> list[Candidate]:
    if not arguments or not 1 <= arguments[0] <= _MAX_PRECISION:
        return []
    scale = arguments[1] if len(arguments) > 1 else 0
    if not 0 <= scale <= arguments[0]:
        return []
    return [Candidate("numeric", f"numeric({arguments[0]},{scale})")]
