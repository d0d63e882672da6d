"""Which columns name a row for as long as it lives, and why a file can't be moved while the application writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from migrations_app.engine.capture.own_trial import trial
from migrations_app.engine.capture.parent_keys import check_parent_keys
from migrations_app.engine.capture.trigger_risks import rewrites_own_row
from migrations_app.engine.capture.unique_lookups import lookups
from migrations_app.engine.errors import Refused
from migrations_app.engine.plan import Finding, MovePlan
from migrations_app.engine.planning.findings import REFUSE
from migrations_app.engine.source.own_objects import all_entries, holds_ours, takes_our_name
from migrations_app.engine.source.row_keys import row_key_text
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.sqlite_source import Source, quote_name

OFFLINE = "Move with the strategy offline"


def stable_key(table: SourceTable) -> tuple[str, ...]:
    """The primary key, or else the columns of a UNIQUE index that are all NOT NULL. Never the rowid: VACUUM renumbers.

    Raises Refused ONLINE_NO_KEY.
    """
    if table.primary_key:
        return table.primary_key
    columns = {column.name: column for column in table.columns}
    fitting = [
        tuple(part.name for part in index.columns if part.name is not None)
        for index in table.indexes
        if index.unique
        and not index.partial
        and all(p.name and columns[p.name].not_null and not columns[p.name].generated for p in index.columns)
    ]
    if not fitting:
        raise Refused(
            "ONLINE_NO_KEY",
            f"{table.name} has no primary key and no UNIQUE index of NOT NULL columns: its rows can't be followed.",
            f"Give it a key, or leave the table out. {OFFLINE} otherwise.",
        )
    return min(fitting, key=lambda names: (len(names), names))


def captured_tables(tables: Iterable[SourceTable], plan: MovePlan) -> list[SourceTable]:
    """The tables whose changes must be followed: those whose rows the plan moves."""
    moved = {table.name for table in plan.tables if table.is_loaded}
    return [table for table in tables if table.name in moved]


def crossing_problems(source: Source, plan: MovePlan) -> tuple[Finding, ...]:
    """What keeps the file from being moved while the application writes; () when nothing of SQLite's side does.

    Severity 'refuse', codes ONLINE_…; each message ends with the way out. Reads rows only where a key may be NULL.
    Raises what Source's reading raises.
    """
    tables = captured_tables(source.schema.tables, plan)
    found = [*_taken_names(source), *_virtual(source)]
    for table in tables:
        found += _of_table(source, table, plan)
    found += [_finding("ONLINE_TRIGGER_UNSURE", why, name) for name, why in rewrites_own_row(source.schema, tables)]
    if not found:
        found += [_refused(refused, name) for name, refused in trial(source.schema, tables, stable_key)]
    return tuple(found)


def _of_table(source: Source, table: SourceTable, plan: MovePlan) -> Iterator[Finding]:
    try:
        key = stable_key(table)
        lookups(table, key)
        check_parent_keys(source.schema, table, key)
    except Refused as refused:
        yield _refused(refused, table.name)
        return
    travelling = {column.name for column in plan.table(table.name).loaded_columns}
    for name in key:
        if name not in travelling:
            message = f"{table.name} is known by {name}, which the plan doesn't move. Move the column."
            yield _finding("ONLINE_KEY_NOT_MOVED", message, table.name, name)
    yield from _nulls(source, table, key)


def _nulls(source: Source, table: SourceTable, key: tuple[str, ...]) -> Iterator[Finding]:
    """SQLite takes NULL, any number of times, into a PRIMARY KEY that isn't declared NOT NULL."""
    required = {column.name for column in table.columns if column.not_null}
    for name in key:
        if name in required or name == table.rowid_alias or table.without_rowid:
            continue
        query = f"SELECT count(*), min({table.rowid_name or 'NULL'}) FROM {quote_name(table.name)}"
        count, first = next(iter(source.query(f"{query} WHERE {quote_name(name)} IS NULL")))
        if count:
            where = row_key_text(("rowid",), (first,)) if table.rowid_name else ""
            rows = int(str(count))
            message = f"{rows} row(s) of {table.name} have NULL in {name}, which is to name them. Give them a value."
            yield Finding("ONLINE_NULL_IN_KEY", REFUSE, message, table.name, name, where, rows)


def _taken_names(source: Source) -> Iterator[Finding]:
    entries = all_entries(source.select)
    if not holds_ours(entries):
        for entry in filter(takes_our_name, entries):
            yield _finding(
                "ONLINE_NAME_TAKEN",
                f"The file has a {entry[0]} {entry[1]}, a name that recording its changes needs. Rename it.",
                entry[2],
            )


def _virtual(source: Source) -> Iterator[Finding]:
    for table in source.schema.tables:
        if table.kind == "virtual":
            message = f"{table.name} is a virtual table: writes to it can't be seen, nor kept off. {OFFLINE}."
            yield _finding("ONLINE_VIRTUAL_TABLE", message, table.name)


def _finding(code: str, message: str, table: str, column: str = "") -> Finding:
    return Finding(code, REFUSE, message, table, column)


def _refused(refused: Refused, table: str) -> Finding:
    return _finding(refused.code, f"{refused.message} {refused.hint}", table)
