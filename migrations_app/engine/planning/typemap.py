"""Mode `create`: a column's PostgreSQL type, from its declared type and from what is really in it.

The declared type says what the author wished (declared_types.py); the values say what is possible. A wish that one
value doesn't fit gives way to a type that holds them all, with a finding that says so.
"""

from __future__ import annotations

from dataclasses import dataclass

from migrations_app.engine.plan import Finding
from migrations_app.engine.planning.counted_times import MOMENT, WAYS, WORDS, counted, way_candidates
from migrations_app.engine.planning.declared_types import ways_of, wish_of
from migrations_app.engine.planning.findings import REFUSE, WARN, Decisions
from migrations_app.engine.profile.profile import Candidate, ColumnProfile
from migrations_app.engine.source.affinity import BLOB, affinity
from migrations_app.engine.source.schema import SourceColumn

_WAY_WORDS = {
    "words": "words and numbers taken as true or false",
    "round": "rounded to the declared scale",
    "any_spelling": "UUIDs in any spelling, which isn't kept",
}


@dataclass(frozen=True)
class TypeChoice:
    """What a column becomes; `reason` is shown in the plan."""

    target_type: str
    conversion: str
    reason: str
    on_unfit: str = "fail"


_FALLBACK = (
    Candidate("int8_strict", "bigint"),
    Candidate("double", "double precision"),
    Candidate("numeric", "numeric"),
    Candidate("text", "text"),
    Candidate("bytea", "bytea"),
)


def candidates_for(table: str, column: SourceColumn, decisions: Decisions) -> tuple[Candidate, ...]:
    """What the profile should try for a column."""
    counting = () if ways_of(column) else way_candidates(table, column, decisions)
    return tuple(dict.fromkeys([*wish_of(column), *_FALLBACK, *counting]))


def late_candidates(column: SourceColumn, profile: ColumnProfile) -> tuple[Candidate, ...]:
    """What is worth a second look where the wish didn't hold: the choices for the declared type."""
    wishes = (profile.fit(wish.conversion, wish.target_type) for wish in wish_of(column))
    if not profile.kinds or "blob" in profile.kinds or any(fit is not None and not fit.unfit for fit in wishes):
        return ()
    return tuple(ways_of(column).values())


def choose_type(
    table: str, column: SourceColumn, profile: ColumnProfile, encoding: str, decisions: Decisions
) -> TypeChoice:
    """The type of one column. A finding is recorded where the wish doesn't hold, or where nothing is lossless."""
    declared = column.declared_type or "no type"
    wishes = wish_of(column)
    if not ways_of(column) and (moment := counted(table, column, profile, decisions)) is not None:
        reason = f"declared {declared}; {WORDS[moment[0]]} taken as times in UTC, by choice"
        return TypeChoice(MOMENT, WAYS[moment[0]], reason, moment[1])
    for wish in wishes:
        fit = profile.fit(wish.conversion, wish.target_type)
        # A text type would swallow numbers too; whether they can be told apart is for _by_values to say.
        plain = wish.conversion != "text" or not profile.numbers
        if fit is not None and not fit.unfit and plain:
            return TypeChoice(wish.target_type, wish.conversion, _wish_reason(declared, wish, profile))
    choice = _broken_text(table, column, profile, encoding, decisions, wishes)
    if choice is None:
        choice = _by_values(table, column, profile, encoding, decisions, wishes)
    return choice


def _wish_reason(declared: str, wish: Candidate, profile: ColumnProfile) -> str:
    word, _, form = wish.conversion.partition(":")
    if not (profile.kinds):
        return f"declared {declared}; no values yet"
    if word in ("timestamp", "time"):
        return f"declared {declared}; every value is a time without zone, written alike ({form}); stays without zone"
    if word == "timestamptz":
        return f"declared {declared}; every value names UTC, written alike ({form})"
    if word == "boolean":
        return f"declared {declared}; only 0, 1 and NULL occur"
    if word == "double":
        return f"declared {declared}; SQLite's reals are eight-byte doubles"
    if word == "int8_strict":
        return f"declared {declared}; SQLite's integers have 64 bits"
    return f"declared {declared}; every value fits"


def _broken_text(
    table: str,
    column: SourceColumn,
    profile: ColumnProfile,
    encoding: str,
    decisions: Decisions,
    wishes: list[Candidate],
) -> TypeChoice | None:
    """Invalid text or U+0000: nothing lossless without a choice."""
    if not (profile.invalid or profile.nul):
        return None
    code = "INVALID_TEXT" if profile.invalid else "NUL_IN_TEXT"
    count = profile.invalid or profile.nul
    what = "bytes that aren't text in the file's encoding" if profile.invalid else "U+0000"
    offered = ("tagged_text",) if profile.numbers else ("bytea", "tagged_text")
    offered = (*offered, "skip_rows") if _apart_without_misfits(profile, wishes) else offered
    finding = Finding(
        code,
        REFUSE,
        f"{count} value(s) of {table}.{column.name} hold {what}.",
        table,
        column.name,
        profile.first["invalid" if profile.invalid else "nul"],
        count,
        offered,
    )
    return _chosen(decisions.ask(finding), column, encoding, wishes)


def _chosen(choice: str, column: SourceColumn, encoding: str, wishes: list[Candidate]) -> TypeChoice:
    declared = column.declared_type or "no type"
    if choice == "bytea":
        return TypeChoice("bytea", f"text_bytes:{encoding}", f"declared {declared}; kept as stored bytes, by choice")
    if choice == "tagged_text":
        return TypeChoice("text", "tagged_text", f"declared {declared}; storage class kept as a prefix, by choice")
    if (way := ways_of(column).get(choice)) is not None:
        meaning = WORDS.get(choice, _WAY_WORDS.get(choice, choice))
        return TypeChoice(way.target_type, way.conversion, f"declared {declared}; {meaning}, by choice")
    if choice == "skip_rows":
        wish = _best_wish(wishes)
        return TypeChoice(
            wish.target_type,
            wish.conversion,
            f"declared {declared}; rows that don't fit are left out, by choice",
            "skip_row",
        )
    return TypeChoice("text", "text", f"declared {declared}; text is the type that holds all values")


def _apart_without_misfits(profile: ColumnProfile, wishes: list[Candidate]) -> bool:
    """Whether what skip_rows leaves can be told apart: as text, the number 8 and a text '8' would be one."""
    return _best_wish(wishes).conversion != "text" or not (profile.numbers and profile.number_like)


def _best_wish(wishes: list[Candidate]) -> Candidate:
    """For skip_rows. Times are then taken in any of the forms, since no one form fits all of them."""
    wish = wishes[0] if wishes else Candidate("text", "text")
    word = wish.conversion.partition(":")[0]
    return Candidate(word, wish.target_type) if word in ("timestamp", "time") else wish


def _by_values(
    table: str,
    column: SourceColumn,
    profile: ColumnProfile,
    encoding: str,
    decisions: Decisions,
    wishes: list[Candidate],
) -> TypeChoice:
    """No wish, or one that doesn't hold: the values decide."""
    declared = column.declared_type or "no type"
    kinds = profile.kinds
    if not kinds:
        return TypeChoice("text", "text", f"declared {declared}; no values yet")
    if ("blob" in kinds and len(kinds) > 1) or ("text" in kinds and profile.numbers and profile.number_like):
        return _mixed(table, column, profile, encoding, decisions, wishes)
    found = next(c for c in _ordered_fallback(profile, wishes) if _fits(profile, c))
    told = f"declared {declared}; {_kinds_text(profile)}: {found.target_type} holds all of them exactly"
    choice = TypeChoice(found.target_type, _apart(found, column, profile), told)
    if not wishes and not ("text" in kinds and profile.numbers):
        return choice
    wish = wishes[0].target_type if wishes else "one type"
    fit = profile.fit(wishes[0].conversion, wishes[0].target_type) if wishes else None
    offered = ("follow_values", *_fitting_ways(column, profile), "tagged_text", *(("skip_rows",) if wishes else ()))
    finding = Finding(
        "TYPE_FOLLOWS_VALUES",
        WARN,
        f"{table}.{column.name} is declared {declared}, but not every value fits {wish}"
        f" ({fit.why if fit else _kinds_text(profile)}): it becomes {found.target_type}.",
        table,
        column.name,
        fit.first_key if fit else profile.first.get("text", ""),
        fit.unfit if fit else profile.texts,
        offered,
    )
    made = decisions.ask(finding)
    return choice if made == "follow_values" else _chosen(made, column, encoding, wishes)


def _apart(found: Candidate, column: SourceColumn, profile: ColumnProfile) -> str:
    """A column without affinity (in a STRICT table that is ANY) may hold both 10000000000000000 and 1e16."""
    loose = affinity(column.declared_type) == BLOB or column.declared_type.upper() == "ANY"
    mixed = found.conversion == "numeric" and profile.integers and profile.reals
    return "numeric_apart" if mixed and loose else found.conversion


def _fitting_ways(column: SourceColumn, profile: ColumnProfile) -> list[str]:
    """Choices that all values of the column fit."""
    fits = {way: profile.fit(each.conversion, each.target_type) for way, each in ways_of(column).items()}
    return [way for way, fit in fits.items() if fit is not None and not fit.unfit]


def _ordered_fallback(profile: ColumnProfile, wishes: list[Candidate]) -> list[Candidate]:
    """double only for reals alone: beside integers 3 and 3.0 would become one. A decimal stays a decimal."""
    decimal = any(wish.conversion == "numeric" for wish in wishes)
    mixed = profile.integers and profile.reals
    found = [c for c in _FALLBACK if c.conversion != "double" or not mixed]
    return sorted(found, key=lambda c: c.conversion != "numeric") if decimal else found


def _fits(profile: ColumnProfile, candidate: Candidate) -> bool:
    fit = profile.fit(candidate.conversion, candidate.target_type)
    if candidate.conversion in ("numeric", "double", "int8_strict") and "text" in profile.kinds:
        return False
    return fit is not None and not fit.unfit


def _kinds_text(profile: ColumnProfile) -> str:
    words = {"integer": "integers", "real": "reals", "text": "text", "blob": "blobs"}
    return " and ".join(words[kind] for kind in profile.kinds) + " occur"


def _mixed(
    table: str,
    column: SourceColumn,
    profile: ColumnProfile,
    encoding: str,
    decisions: Decisions,
    wishes: list[Candidate],
) -> TypeChoice:
    """Storage classes whose text forms could be taken for one another."""
    blobs = "blob" in profile.kinds
    offered: tuple[str, ...] = ("tagged_text",)
    if blobs and not profile.numbers:
        offered = ("bytea", *offered)
    if not blobs:
        offered = (*offered, "text")
    if wishes and _apart_without_misfits(profile, wishes):
        offered = (*offered, "skip_rows")
    oddity = "blob" if blobs else "number_like"
    finding = Finding(
        "MIXED_STORAGE",
        REFUSE,
        f"In {table}.{column.name} {_kinds_text(profile)}"
        + ("." if blobs else ", and some texts spell numbers: as text the two can't be told apart."),
        table,
        column.name,
        profile.first.get(oddity, ""),
        profile.blobs if blobs else profile.number_like,
        offered,
    )
    return _chosen(decisions.ask(finding), column, encoding, wishes)
