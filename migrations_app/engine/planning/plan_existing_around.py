"""Mode `existing`: what stands around the target's tables: sequences of their own, sleeping triggers, extensions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from migrations_app.engine.errors import Refused
from migrations_app.engine.plan import Finding, ObjectPlan
from migrations_app.engine.planning.findings import INFO, REFUSE, WARN, Decisions
from migrations_app.engine.planning.plan_existing_match import Match
from migrations_app.engine.target.target_schema import TargetSchema

FOLLOW = "follow:"
INTEGERS = ("bigint", "integer", "smallint")
_SHOWN = 3  # columns that are offered for a sequence
_NO_WORDS = frozenset({"seq", "sequence", "id"})


def plan_sequences(target: TargetSchema, matches: Sequence[Match], decisions: Decisions) -> tuple[ObjectPlan, ...]:
    """One for each sequence that the application asks itself: nobody but a person knows what it counts."""
    plans = []
    for name in target.sequences:
        message = (
            f"The sequence {name} feeds no column: the application asks it itself. Say whose numbers it gives out, with"
            f" {FOLLOW}TABLE.COLUMN, or keep it as it is."
        )
        offered = ("keep", *(f"{FOLLOW}{where}" for where in _likely(name, matches)))
        choice = decisions.ask(Finding("SEQUENCE_WITHOUT_COLUMN", REFUSE, message, name, choices=offered))
        follows = _followed(name, choice.removeprefix(FOLLOW), matches) if choice.startswith(FOLLOW) else []
        why = "it follows columns, by choice" if follows else "it stays as it is"
        plans.append(ObjectPlan("sequence", name, "", True, why, {"follows": follows}))
    return tuple(plans)


def _followed(name: str, text: str, matches: Sequence[Match]) -> list[list[str]]:
    """[[table, column], …] of the target. Raises Refused UNKNOWN_COLUMN."""
    found = []
    for where in text.split(","):
        table, _dot, column = where.strip().rpartition(".")
        loaded = next((m.target for m in matches if m.loaded and m.target and m.target.name == table), None)
        if loaded is None or not any(c.name == column and c.type_sql in INTEGERS for c in loaded.columns):
            raise Refused(
                "UNKNOWN_COLUMN",
                f"The sequence {name} can't follow {where.strip()}: no table that is loaded has such a whole number.",
                "Name them as the target does, for example follow:events.stream_ordering.",
            )
        found.append([table, column])
    return found


def _likely(name: str, matches: Sequence[Match]) -> list[str]:
    """Columns whose table and name hold all words of the sequence's name: those with the fewest others, ids first."""
    words = _words(name) - _NO_WORDS
    found = [
        (len(_words(f"{table}_{column}") - words), not column.endswith("id"), f"{table}.{column}")
        for table, column in _numbers(matches)
        if words and words <= _words(f"{table}_{column}")
    ]
    return [where for *_rank, where in sorted(found)[:_SHOWN]]


def _words(name: str) -> set[str]:
    return {word.removesuffix("s") for word in re.split(r"[^0-9a-z]+", name.lower()) if word}


def _numbers(matches: Sequence[Match]) -> Iterator[tuple[str, str]]:
    for match in matches:
        if match.loaded and match.target:
            for column in match.target.columns:
                if column.type_sql in INTEGERS:
                    yield match.target.name, column.name


def tell_children(target: TargetSchema, matches: Sequence[Match], decisions: Decisions) -> None:
    """Rows that stay in the target, in tables of its own or by choice, may refer to rows that are replaced."""
    loaded = {match.target.name for match in matches if match.loaded and match.target}
    for table in target.tables:
        if table.name in loaded or not table.rows:
            continue
        for key in table.foreign_keys:
            if key.parent_schema == target.name and key.parent_table in loaded:
                message = (
                    f"Rows of {table.name} stay and refer by {', '.join(key.columns)} to {key.parent_table}, whose rows"
                    " are loaded: each must find its parent among those, or the load fails and gives everything back."
                )
                finding = Finding("CHILD_NOT_MOVED", WARN, message, table.name, ", ".join(key.columns))
                decisions.ask(finding)


def tell_triggers(matches: Sequence[Match], decisions: Decisions) -> None:
    """They are disabled while rows are loaded: on SQLite these rows were written without them."""
    for match in matches:
        for trigger in match.target.triggers if match.loaded and match.target else ():
            if trigger.enabled != "D" and " INSERT " in trigger.sql.partition(" ON ")[0] + " ":
                message = (
                    f"The target's trigger {trigger.name} on {match.target.name if match.target else ''} doesn't act on"
                    " the rows that are loaded: what it would have written must be among them."
                )
                finding = Finding("TARGET_TRIGGER_SLEEPS", WARN, message, match.source.name, trigger.name)
                decisions.ask(finding)


def tell_extensions(used: Sequence[str], decisions: Decisions) -> None:
    """Extensions that objects of the schema need: another server must have them, too."""
    for name in used:
        message = f"The target's schema uses the extension {name}."
        decisions.ask(Finding("EXTENSION_USED", INFO, message, name))
