"""Which tables of the source are moved at all, and why the others are not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from migrations_app.engine.errors import EngineError, Refused
from migrations_app.engine.plan import LOAD, SKIP, Finding
from migrations_app.engine.planning.findings import INFO, REFUSE, WARN, Decisions
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.sqlite_ddl import fold, parse_table
from migrations_app.engine.source.sqlite_source import Source

MAX_COLUMNS = 1600  # PostgreSQL's MaxHeapAttributeNumber


@dataclass(frozen=True)
class Selection:
    table: SourceTable
    rule: str  # plan.LOAD or plan.SKIP
    reason: str = ""


def select_tables(source: Source, excluded: Sequence[str], decisions: Decisions) -> list[Selection]:
    """Decide on each table, in the schema's order. Raises Refused for empty names and for unknown excluded tables."""
    known = {table.name for table in source.schema.tables}
    for name in excluded:
        if name not in known:
            raise Refused("UNKNOWN_TABLE", f"There is no table {name!r} to leave out.", "Names are compared exactly.")
    selections = [_select(source, table, table.name in excluded, decisions) for table in source.schema.tables]
    for item in selections:
        if item.rule == LOAD:
            _check_names(item.table)
    return selections


def _check_names(table: SourceTable) -> None:
    names = [table.name, *(column.name for column in table.columns)]
    if any(not name for name in names):
        what = "A table" if not table.name else f"A column of table {table.name!r}"
        raise Refused("EMPTY_NAME", f"{what} has the empty name, which PostgreSQL doesn't know.", "Rename it first.")


def _select(source: Source, table: SourceTable, excluded: bool, decisions: Decisions) -> Selection:
    if excluded:
        return Selection(table, SKIP, "left out with --exclude")
    if table.kind == "shadow":
        message = f"{table.name} belongs to a virtual table: it is its index, not data."
        decisions.ask(Finding("SHADOW_TABLE", INFO, message, table.name))
        return Selection(table, SKIP, "belongs to a virtual table")
    if table.kind == "virtual":
        return _select_virtual(source, table, decisions)
    columns = [column for column in table.columns if not column.hidden]
    if len(columns) > MAX_COLUMNS:
        message = f"Table {table.name} has {len(columns)} columns; PostgreSQL takes {MAX_COLUMNS} at most."
        decisions.ask(Finding("TOO_MANY_COLUMNS", REFUSE, message, table.name, count=len(columns), choices=("skip",)))
        return Selection(table, SKIP, "more columns than PostgreSQL takes")
    return Selection(table, LOAD)


def _select_virtual(source: Source, table: SourceTable, decisions: Decisions) -> Selection:
    why = _unreadable(source, table)
    if why:
        message = f"The virtual table {table.name} can't be moved: {why}."
        decisions.ask(Finding("VIRTUAL_TABLE_UNREADABLE", WARN, message, table.name, choices=("skip",)))
        return Selection(table, SKIP, why)
    content = _content_option(table)
    offered = ("skip", "content") if content else ("content", "skip")
    told = f"it indexes the table {content}, which is moved" if content else "its content is moved into a plain table"
    message = f"{table.name} is a virtual table: {told}; its index isn't."
    choice = decisions.ask(Finding("VIRTUAL_TABLE", WARN, message, table.name, choices=offered))
    return Selection(table, LOAD if choice == "content" else SKIP, told)


def _content_option(table: SourceTable) -> str | None:
    """The value of a full-text table's content option: None without one, '' for a table that keeps no content."""
    for argument in parse_table(table.sql).module_arguments:
        name, equals, value = argument.partition("=")
        if equals and fold(name.strip()) == "content":
            return value.strip().strip("'\"")
    return None


def _unreadable(source: Source, table: SourceTable) -> str:
    if not table.columns:
        return f"its module {parse_table(table.sql).module!r} isn't one that is read"
    if _content_option(table) == "":
        return "it keeps no content, only an index"
    try:
        next(source.rows(table.name), None)
    except EngineError as error:
        return f"reading it failed ({error.code})"
    return ""
