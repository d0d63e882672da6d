"""The catalogue of findings: every code with its meaning, and the choices that people have made on them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from migrations_app.engine.errors import Refused
from migrations_app.engine.plan import Finding

REFUSE = "refuse"
WARN = "warn"
INFO = "info"


@dataclass(frozen=True)
class Kind:
    """choices: all that this code can ever offer; a single finding may offer fewer. title: for the reference.

    worded: the beginning of a choice that goes on in a person's own words, such as 'follow:' and a table's column.
    """

    title: str
    choices: tuple[str, ...] = ()
    worded: str = ""

    def knows(self, choice: str, offered: Sequence[str]) -> bool:
        return choice in offered or bool(self.worded and choice.startswith(self.worded) and choice != self.worded)


CATALOGUE: dict[str, Kind] = {
    # Values
    "NUL_IN_TEXT": Kind("Text holds U+0000, which PostgreSQL's text can't.", ("bytea", "tagged_text", "skip_rows")),
    "INVALID_TEXT": Kind("Text isn't valid in the file's encoding.", ("bytea", "tagged_text", "skip_rows")),
    "MIXED_STORAGE": Kind(
        "One column holds storage classes whose text forms can't be told apart.",
        ("tagged_text", "text", "bytea", "skip_rows"),
    ),
    "TYPE_FOLLOWS_VALUES": Kind(
        "The declared type can't hold all values; a type that can is taken.",
        (
            "follow_values",
            "epoch_seconds",
            "epoch_milliseconds",
            "julian_day",
            "words",
            "round",
            "any_spelling",
            "tagged_text",
            "skip_rows",
        ),
    ),
    "NUMBER_MAY_BE_TIME": Kind(
        "A column of numbers may count time; it stays a column of numbers unless chosen otherwise.",
        ("keep", "epoch_seconds", "epoch_milliseconds", "julian_day"),
    ),
    "VALUE_DOES_NOT_FIT": Kind(
        "The target's column can't hold a value.",
        (
            "skip_rows",
            "round",
            "words",
            "epoch_seconds",
            "epoch_milliseconds",
            "julian_day",
            "microseconds",
            "stored_bytes",
            "skip_column",
        ),
    ),
    "NULL_IN_NOT_NULL": Kind("The target's column is NOT NULL, the source has NULL in it.", ("skip_rows",)),
    "NULL_IN_PRIMARY_KEY": Kind("A primary key holds NULL, which SQLite lets pass.", ("unique", "skip_rows")),
    "NULLS_BREAK_NOT_NULL": Kind("A NOT NULL column holds NULL: NOT NULL is left out.", ("drop_not_null", "skip_rows")),
    "NAIVE_AS_UTC": Kind("Times without a zone go into a column with one: they are taken as UTC.", ("utc",)),
    "JSON_REWRITTEN": Kind(
        "Texts of JSON go into jsonb, which keeps what they mean, not how they are spelt.", ("rewrite",)
    ),
    "ROW_TOO_WIDE": Kind(
        "A row doesn't fit a page of PostgreSQL even with its long values apart.", ("skip_rows", "skip")
    ),
    "KEY_TOO_WIDE": Kind("A value may be too wide for an index of PostgreSQL (2,704 bytes).", ("omit", "try")),
    "ROWID_MAY_BE_DATA": Kind("A table has no key but its rowid, which isn't carried over."),
    # Tables and columns
    "TOO_MANY_COLUMNS": Kind("PostgreSQL's limit is 1,600 columns a table.", ("skip",)),
    "VIRTUAL_TABLE": Kind(
        "A virtual table: its content is moved into an ordinary table, its index isn't.", ("content", "skip")
    ),
    "VIRTUAL_TABLE_UNREADABLE": Kind("A virtual table whose module isn't there, or that keeps no content.", ("skip",)),
    "SHADOW_TABLE": Kind("A table that belongs to a virtual table: left out."),
    "NAME_CHANGED": Kind("A name is over 63 bytes, or collides: another one is used."),
    "UNKNOWN_COLLATION": Kind("A collation that only the application knows."),
    "NOCASE_COLUMN": Kind("A column compares without case in SQLite, with case in PostgreSQL."),
    "GENERATED_AS_VALUES": Kind(
        "A generated column: generated in the target where that surely gives the same values, else kept as values.",
        ("generate", "values"),
    ),
    # Objects
    "ORPHANS": Kind("Rows refer to parents that aren't there, or that a choice leaves out.", ("not_valid", "omit")),
    "FOREIGN_KEY_PARENT": Kind("A foreign key's parent is missing, or isn't unique.", ("omit",)),
    "FOREIGN_KEY_TYPES": Kind("A foreign key's columns have types that can't be compared.", ("omit",)),
    "FOREIGN_KEY_NOCASE": Kind(
        "A foreign key compares without case in SQLite, byte by byte in PostgreSQL.", ("not_valid", "create", "omit")
    ),
    "DUPLICATE_KEYS": Kind("A unique key has duplicates once its values are converted.", ("omit",)),
    "DEFAULT_NOT_CARRIED": Kind("A default that wasn't translated."),
    "CHECK_NOT_CARRIED": Kind("A check that wasn't translated."),
    "INDEX_NOT_CARRIED": Kind("An index that wasn't translated."),
    "VIEW_NOT_CARRIED": Kind("A view that wasn't translated."),
    "TRIGGER_NOT_CARRIED": Kind("A trigger: listed with its source, not translated."),
    # An existing schema
    "TABLE_MISSING_IN_TARGET": Kind("The target has no such table, or none of its columns.", ("skip",)),
    "COLUMN_MISSING_IN_TARGET": Kind("The target's table has no such column.", ("skip_column",)),
    "COLUMN_WITHOUT_SOURCE": Kind("The target has a NOT NULL column without default that the source lacks.", ("skip",)),
    "CHOICE_DOES_NOT_FIT": Kind("Not every value fits the way that was chosen.", ("skip_rows",)),
    "SCHEMA_CHANGED": Kind("The source's schema is no longer the one that was planned."),
    "TARGET_COLUMN_DEFAULTS": Kind("The target has a column that the source lacks: its default or NULL is taken."),
    "TARGET_TYPE_UNKNOWN": Kind("A type that there is no conversion for.", ("verbatim", "skip_column")),
    "TARGET_NOT_EMPTY": Kind("A table of the target holds rows already.", ("empty", "keep", "skip")),
    "TARGET_ONLY_TABLE": Kind("A table that only the target has: left as it is."),
    "TARGET_ONLY_VIEW": Kind("A view that only the target has; materialized views are refreshed."),
    "VERSION_TABLE_KEPT": Kind("A schema-version table: the target's rows stay."),
    "VERSIONS_DIFFER": Kind("The heads of the schema-version tables differ.", ("keep_target",)),
    "NAME_IN_OTHER_CASE": Kind("A table of the target bears the source's name in other letters' case: they are one."),
    "TARGET_SEARCH_INDEX": Kind(
        "A search index of PostgreSQL's own, which only the application can fill.", ("skip", "other_columns")
    ),
    "PARENT_NOT_MOVED": Kind("Rows refer to a table of the target whose own rows stay.", ("create", "not_valid")),
    "SEQUENCE_WITHOUT_COLUMN": Kind(
        "A sequence of the target feeds no column: the application asks it itself.", ("keep",), worded="follow:"
    ),
    "TARGET_TRIGGER_SLEEPS": Kind("A trigger of the target doesn't act on the rows that are loaded."),
    "EXTENSION_USED": Kind("The target's schema uses an extension of PostgreSQL."),
    "CHECK_VIOLATED": Kind(
        "Rows break a CHECK, which SQLite let pass, or an exclusion constraint of the target.",
        ("not_valid", "omit", "skip"),
    ),
    "RULE_NOT_TRIED": Kind("A rule of the target that couldn't be tried beforehand: a CHECK, an index, an exclusion."),
    "CHILD_NOT_MOVED": Kind("Rows that stay in the target refer to a table whose rows are loaded."),
    "TARGET_KIND": Kind("The target's relation is no ordinary table.", ("skip",)),
}


def place(finding: Finding) -> str:
    return ".".join(part for part in (finding.table, finding.column) if part)


class Decisions:
    """Answers findings from the choices given, and collects all findings in the order in which they were met."""

    def __init__(self, choices: Sequence[tuple[str, str]]) -> None:
        self._choices = dict(choices)
        self.findings: list[Finding] = []
        if len(self._choices) != len(choices):
            raise Refused("CHOICE_TWICE", "The same finding is given two choices.", "Leave one out.")
        for key, choice in choices:
            code = key.partition("@")[0]
            kind = CATALOGUE.get(code)
            if kind is None:
                raise Refused(
                    "UNKNOWN_FINDING", f"There is no finding {code!r}.", f"Known: {', '.join(sorted(CATALOGUE))}."
                )
            if not kind.knows(choice, kind.choices):
                raise _bad_choice(code, "", choice, kind.choices)

    def ask(self, finding: Finding) -> str:
        """Record the finding with the choice made on it; gives that choice, '' when one is still needed."""
        given = self._given(finding)
        if given and not CATALOGUE[finding.code].knows(given, finding.choices):
            raise _bad_choice(finding.code, place(finding), given, finding.choices)
        choice = given or (finding.choices[0] if finding.severity != REFUSE and finding.choices else "")
        self.findings.append(replace(finding, choice=choice))
        return choice

    def _given(self, finding: Finding) -> str:
        return self.given(finding.code, finding.table, finding.column)

    def given(self, code: str, table: str, column: str = "", *, named: bool = False) -> str:
        """The choice made for that place, '' for none. named: only one that names the very place counts."""
        keys = [f"{code}@{'.'.join(part for part in (table, column) if part)}"]
        keys += [] if named else [f"{code}@{table}", code]
        return next((self._choices[key] for key in keys if key in self._choices), "")

    def rehearsed(self) -> Decisions:
        """The same choices, with findings of their own: to see what a plan would come to."""
        return Decisions(tuple(self._choices.items()))

    def check_places(self, known: Iterable[str]) -> None:
        """Raise Refused when a choice names a table or column that isn't there, nor the place of a finding."""
        places = {*known, *(place(finding) for finding in self.findings)}
        for key in self._choices:
            _code, at, where = key.partition("@")
            if at and where not in places:
                raise Refused(
                    "UNKNOWN_PLACE", f"The choice {key!r} names no table or column of the source.", "Check its name."
                )


def _bad_choice(code: str, where: str, choice: str, offered: Sequence[str]) -> Refused:
    at = f" at {where}" if where else ""
    return Refused(
        "UNKNOWN_CHOICE",
        f"{choice!r} is no choice for {code}{at}.",
        f"Choices: {', '.join(offered)}." if offered else "It has none: mend the source, or leave the table out.",
    )
