"""Mode `existing`: which table of the target is which of the source, and what happens to the rows that are there.

Names are matched exactly; where there is no such name, as SQLite compares them: PostgreSQL makes `lock` of an unquoted
Lock, and the two are one column to the application.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from migrations_app.engine.plan import EMPTY_THEN_LOAD, KEEP_TARGET, LOAD, SKIP, Finding
from migrations_app.engine.planning.findings import INFO, REFUSE, WARN, Decisions
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.sqlite_ddl import fold
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.target.target_schema import (
    FOREIGN,
    VERSION_TABLES,
    TargetColumn,
    TargetSchema,
    TargetTable,
    head_columns,
    version_heads,
)


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_N = TypeVar("_N", bound=_Named)


@dataclass(frozen=True)
class Match:
    """What happens to one source table. `target` is None where it has no twin, or none that counts."""

    source: SourceTable
    target: TargetTable | None
    rule: str
    reason: str = ""

    @property
    def loaded(self) -> bool:
        return self.target is not None and self.rule in (LOAD, EMPTY_THEN_LOAD)

    def target_column(self, name: str) -> TargetColumn | None:
        """The target's column for a column of the source."""
        if self.target is None:
            return None
        return twin(name, self.target.columns, [column.name for column in self.source.columns])

    def source_names(self) -> dict[str, str]:
        """{target column: source column}, of the columns that both have."""
        pairs = [(self.target_column(column.name), column.name) for column in self.source.columns]
        return {target.name: name for target, name in pairs if target is not None}


def twin(name: str, there: Iterable[_N], ours: Sequence[str]) -> _N | None:
    """What bears that very name; else the only one that bears it in other letters, unless it is another's twin."""
    found = list(there)
    exact = next((item for item in found if item.name == name), None)
    if exact is not None:
        return exact
    alike = [item for item in found if fold(item.name) == fold(name) and item.name not in ours]
    return alike[0] if len(alike) == 1 else None


def match_tables(
    source: Source, target: TargetSchema, excluded: Sequence[str], decisions: Decisions
) -> tuple[Match, ...]:
    """One for each table of the source, in its order."""
    return tuple(_match(source, table, target, table.name in excluded, decisions) for table in source.schema.tables)


def _match(source: Source, table: SourceTable, target: TargetSchema, excluded: bool, decisions: Decisions) -> Match:
    found = twin(table.name, target.tables, [each.name for each in source.schema.tables])
    if excluded:
        return Match(table, found, SKIP, "left out with --exclude")
    if table.kind != "table":
        return _virtual(table, found, decisions)
    if found is None:
        return _missing(source, table, decisions)
    if found.name != table.name:
        message = f"The target's table for {table.name} is {found.name}: the names differ in their letters' case."
        decisions.ask(Finding("NAME_IN_OTHER_CASE", INFO, message, table.name))
    if table.name in VERSION_TABLES:
        return _version_table(source, table, found, decisions)
    if found.kind == FOREIGN:
        message = f"{found.name} is a foreign table in the target."
        decisions.ask(Finding("TARGET_KIND", REFUSE, message, table.name, choices=("skip",)))
        return Match(table, found, SKIP, "a foreign table in the target")
    if _is_search_index(table, found, decisions):
        return Match(table, found, SKIP, "a search index, by choice: the application makes it anew")
    rule, reason = _rows_there(table, found, target, decisions)
    return Match(table, found, rule, reason)


def _virtual(table: SourceTable, target: TargetTable | None, decisions: Decisions) -> Match:
    shadow = table.kind == "shadow"
    code = "SHADOW_TABLE" if shadow else "VIRTUAL_TABLE"
    message = f"{table.name} is or belongs to a virtual table: the application's own schema has its ways of searching."
    if target is not None and not shadow:
        message += f" The target's table {target.name} is not filled: let the application make its index anew."
    severity = INFO if shadow or target is None else WARN
    decisions.ask(Finding(code, severity, message, table.name, choices=() if shadow else ("skip",)))
    return Match(table, None, SKIP, "a virtual table, or part of one")


def _missing(source: Source, table: SourceTable, decisions: Decisions) -> Match:
    rows = source.count(table.name)
    message = f"The target has no table {table.name}; the source's has {rows} row(s)."
    severity = REFUSE if rows else INFO
    decisions.ask(Finding("TABLE_MISSING_IN_TARGET", severity, message, table.name, count=rows, choices=("skip",)))
    return Match(table, None, SKIP, "the target has no such table")


def _is_search_index(table: SourceTable, target: TargetTable, decisions: Decisions) -> bool:
    """A column that is text here and tsvector there holds the index that its library made, not the same thing twice.

    True when the table is left out, by choice.
    """
    ours = [column.name for column in table.columns]
    twins = [(name, twin(name, target.columns, ours)) for name in ours]
    found = [name for name, there in twins if there and there.type_sql == "tsvector" and not there.generated]
    if not found:
        return False
    message = (
        f"{table.name} holds a search index: {', '.join(found)} is tsvector in the target, which only the application"
        " can fill. Leave the table out and let the application make its index anew, or move its other columns."
    )
    finding = Finding("TARGET_SEARCH_INDEX", REFUSE, message, table.name, choices=("skip", "other_columns"))
    return decisions.ask(finding) != "other_columns"


def _rows_there(table: SourceTable, target: TargetTable, schema: TargetSchema, decisions: Decisions) -> tuple[str, str]:
    """The rule for a table of the target that may hold rows already.

    In a database that the application's schema command has made a moment ago they are its own seeds, and emptying them
    is the rule; of rows elsewhere nobody knows whose they are, so a person has to say.
    """
    if target.rows == 0:
        return LOAD, ""
    held = f"{target.rows} row(s)" if target.rows > 0 else "over 10,000 rows"
    seeds = schema.fresh and target.rows > 0
    message = f"The target's table {target.name} holds {held} already" + (
        ": the application put them there with its schema. They are emptied, and the source's rows take their place."
        if seeds
        else "."
    )
    finding = Finding(
        "TARGET_NOT_EMPTY",
        WARN if seeds else REFUSE,
        message,
        table.name,
        count=max(target.rows, 0),
        choices=("empty", "keep", "skip"),
    )
    choice = decisions.ask(finding)
    if choice == "keep":
        return KEEP_TARGET, "the target's rows are kept, by choice"
    if choice == "skip":
        return SKIP, "left out, by choice"
    return EMPTY_THEN_LOAD, "the rows that are there are emptied first" if choice else ""


def _version_table(source: Source, table: SourceTable, target: TargetTable, decisions: Decisions) -> Match:
    """A schema-version table is no data: the target's rows stay, and are compared with the source's."""
    names = head_columns([column.name for column in table.columns])
    ours = {tuple(_text(cell) for cell in row) for row in source.rows(table.name, names)}
    theirs = set(version_heads(target, names))
    reason = "a schema-version table: the target's rows stay"
    if ours == theirs:
        decisions.ask(Finding("VERSION_TABLE_KEPT", INFO, f"{table.name} is {reason}; both agree.", table.name))
    else:
        lacking = ", ".join(sorted("/".join(head) for head in ours - theirs)[:5]) or "nothing"
        extra = ", ".join(sorted("/".join(head) for head in theirs - ours)[:5]) or "nothing"
        message = f"The schema versions in {table.name} differ: only the source has {lacking}, only the target {extra}."
        decisions.ask(Finding("VERSIONS_DIFFER", REFUSE, message, table.name, choices=("keep_target",)))
    return Match(table, target, KEEP_TARGET, reason)


def _text(cell: object) -> str:
    return "" if cell is None else str(cell)


def tell_not_tried(
    match: Match, what: str, columns: Sequence[str], moved: Collection[str], decisions: Decisions
) -> None:
    """A rule of the target reads `columns`, not all of which are `moved`.

    One that isn't written holds its default, which the application chose under its rules: nothing to tell, unless the
    rule reads moved columns too, or the target computes the column from them.
    """
    assert match.target is not None
    computed = {column.name for column in match.target.columns if column.generated}
    others = [name for name in columns if name not in moved]
    if len(others) < len(columns) or computed.intersection(others):
        message = (
            f"{what} of {match.source.name} could not be tried beforehand: {', '.join(others)} isn't written here."
        )
        decisions.ask(Finding("RULE_NOT_TRIED", WARN, message, match.source.name))
