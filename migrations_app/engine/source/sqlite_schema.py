"""Lists every object of a SQLite file: from PRAGMAs, and from the DDL text where no PRAGMA tells."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from migrations_app.engine.errors import Refused
from migrations_app.engine.source.cells import InvalidText
from migrations_app.engine.source.own_objects import Entry, application_entries, schema_digest
from migrations_app.engine.source.schema import (
    IndexColumn,
    SourceColumn,
    SourceForeignKey,
    SourceIndex,
    SourceObject,
    SourceSchema,
    SourceTable,
)
from migrations_app.engine.source.sqlite_ddl import TableDdl, fold, parse_index, parse_table

# Shadow tables by module, as each module's xShadowName names them (fts3.c, fts5_main.c, rtree.c).
_FTS3 = ("content", "segments", "segdir", "docsize", "stat")
_RTREE = ("node", "rowid", "parent")
SHADOWS: dict[str, tuple[str, ...]] = {
    "fts3": _FTS3,
    "fts4": _FTS3,
    "fts5": ("data", "idx", "content", "docsize", "config"),
    "rtree": _RTREE,
    "rtree_i32": _RTREE,
    "geopoly": _RTREE,
}
READABLE_MODULES = frozenset(SHADOWS)
_GENERATED = {2: "virtual", 3: "stored"}
_ROWID_NAMES = ("rowid", "_rowid_", "oid")


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _is_system(name: str) -> bool:
    return fold(name).startswith("sqlite_")


def _shadow_names(entries: Sequence[Entry]) -> dict[str, str]:
    """Folded names of shadow tables, each with its virtual table's."""
    names: dict[str, str] = {}
    for kind, name, _table, sql in entries:
        if kind == "table" and (module := parse_table(sql).module):
            for suffix in SHADOWS.get(module, ()):
                names[fold(f"{name}_{suffix}")] = name
    return names


def virtual_shadows(connection: sqlite3.Connection) -> frozenset[str]:
    """The names of all shadow tables: what a virtual table's module may prepare writes for."""
    entries = application_entries(connection.execute)
    shadows = _shadow_names(entries)
    return frozenset(name for kind, name, _table, _sql in entries if kind == "table" and fold(name) in shadows)


def read_schema(connection: sqlite3.Connection) -> SourceSchema:
    """Read all objects but those of a live crossing (own_objects.py).

    Raises Refused BAD_NAME for names that aren't text, CAPTURE_DAMAGED; sqlite3.Error otherwise.
    """
    entries = application_entries(connection.execute)
    shadows = _shadow_names(entries)
    index_sql = {name: sql for kind, name, _table, sql in entries if kind == "index"}
    tables = [
        _read_table(connection, name, sql, fold(name) in shadows, index_sql)
        for kind, name, _table, sql in entries
        if kind == "table" and not _is_system(name)
    ]
    has_sequence = any(name == "sqlite_sequence" for _kind, name, _table, _sql in entries)
    return SourceSchema(
        encoding=str(_pragma(connection, "encoding")),
        journal_mode=str(_pragma(connection, "journal_mode")).lower(),
        page_size=int(str(_pragma(connection, "page_size"))),
        user_version=int(str(_pragma(connection, "user_version"))),
        tables=tuple(sorted(tables, key=lambda table: table.name)),
        views=_objects(entries, "view"),
        triggers=_objects(entries, "trigger"),
        sequences=_sequences(connection) if has_sequence else (),
        digest=schema_digest(entries),
        page_count=int(str(_pragma(connection, "page_count"))),
    )


def _pragma(connection: sqlite3.Connection, name: str) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


def _objects(entries: Sequence[Entry], wanted: str) -> tuple[SourceObject, ...]:
    return tuple(sorted((SourceObject(n, t, s) for kind, n, t, s in entries if kind == wanted), key=lambda o: o.name))


def _sequences(connection: sqlite3.Connection) -> tuple[tuple[str, int], ...]:
    rows = connection.execute("SELECT name, max(seq) FROM sqlite_sequence GROUP BY name ORDER BY name")
    return tuple((name, seq) for name, seq in rows if isinstance(name, str) and isinstance(seq, int))


def _read_table(
    connection: sqlite3.Connection, name: str, sql: str, shadow: bool, index_sql: dict[str, str]
) -> SourceTable:
    ddl = parse_table(sql)
    if ddl.module and ddl.module not in READABLE_MODULES:
        # Its module may not be there, and its code would run: listed, not asked.
        return _unread_virtual(name, sql)
    try:
        columns = _columns(connection, name, ddl)
    except sqlite3.OperationalError:
        if not ddl.module:
            raise
        return _unread_virtual(name, sql)
    primary = tuple(c.name for c in sorted((c for c in columns if c.pk_position), key=lambda c: c.pk_position))
    indexes = () if ddl.module else _indexes(connection, name, index_sql)
    alias = _rowid_alias(columns, primary, ddl, indexes)
    return SourceTable(
        name=name,
        kind="virtual" if ddl.module else "shadow" if shadow else "table",
        columns=columns,
        primary_key=primary,
        key=primary,
        rowid_alias=alias,
        without_rowid=ddl.without_rowid,
        strict=ddl.strict,
        autoincrement=ddl.autoincrement,
        indexes=indexes,
        foreign_keys=() if ddl.module else _foreign_keys(connection, name, ddl),
        checks=tuple(check.expression for check in ddl.checks),
        sql=sql,
        rowid_name="" if ddl.without_rowid else _rowid_name(columns),
    )


def _unread_virtual(name: str, sql: str) -> SourceTable:
    return SourceTable(name, "virtual", (), (), (), None, False, False, False, (), (), (), sql, "")


def _columns(connection: sqlite3.Connection, table: str, ddl: TableDdl) -> tuple[SourceColumn, ...]:
    columns: list[SourceColumn] = []
    for _cid, name, declared, not_null, default, position, hidden in connection.execute(
        f"PRAGMA table_xinfo({_quote(table)})"
    ):
        if any(isinstance(part, InvalidText) for part in (name, declared, default)):
            raise Refused("BAD_NAME", f"Table {table!r} has a column whose name isn't valid text.", "Rename it.")
        generated = _GENERATED.get(hidden, "")
        columns.append(
            SourceColumn(
                name=name,
                declared_type=(declared or "").removesuffix("GENERATED ALWAYS").strip()
                if generated
                else declared or "",
                not_null=bool(not_null),
                default=default,
                pk_position=position,
                generated=generated,
                generated_sql=ddl.generated.get(fold(name), "") if generated else "",
                collation=ddl.collations.get(fold(name), "BINARY"),
                hidden=hidden == 1,
            )
        )
    return tuple(columns)


def _indexes(connection: sqlite3.Connection, table: str, index_sql: dict[str, str]) -> tuple[SourceIndex, ...]:
    found: list[SourceIndex] = []
    for row in connection.execute(f"PRAGMA index_list({_quote(table)})").fetchall():
        name, unique, origin, partial = row[1], row[2], row[3], row[4]
        sql = index_sql.get(name, "")
        parts = tuple(
            IndexColumn(part[2], bool(part[3]), str(part[4] or "BINARY").upper())
            for part in connection.execute(f"PRAGMA index_xinfo({_quote(name)})")
            if part[5]
        )
        where = parse_index(sql).where if partial and sql else ""
        found.append(SourceIndex(name, bool(unique), origin, bool(partial), parts, sql or None, where))
    return tuple(sorted(found, key=lambda index: index.name))


def _foreign_keys(connection: sqlite3.Connection, table: str, ddl: TableDdl) -> tuple[SourceForeignKey, ...]:
    """In declared order: the PRAGMA numbers them from the last declared to the first."""
    groups: dict[int, list[tuple[object, ...]]] = {}
    for row in connection.execute(f"PRAGMA foreign_key_list({_quote(table)})"):
        groups.setdefault(row[0], []).append(row)
    keys: list[SourceForeignKey] = []
    for place, number in enumerate(sorted(groups, reverse=True)):
        parts = sorted(groups[number], key=lambda part: int(str(part[1])))
        parents = tuple(str(part[4]) for part in parts if part[4] is not None)
        keys.append(
            SourceForeignKey(
                columns=tuple(str(part[3]) for part in parts),
                parent_table=str(parts[0][2]),
                parent_columns=parents if len(parents) == len(parts) else (),
                on_update=str(parts[0][5]),
                on_delete=str(parts[0][6]),
                initially_deferred=place < len(ddl.deferred) and ddl.deferred[place],
            )
        )
    return tuple(keys)


def _rowid_alias(
    columns: Sequence[SourceColumn], primary: tuple[str, ...], ddl: TableDdl, indexes: Sequence[SourceIndex]
) -> str | None:
    """The INTEGER PRIMARY KEY. Where the key has an index of its own (`INTEGER PRIMARY KEY DESC`) it is none."""
    if ddl.without_rowid or len(primary) != 1 or any(index.origin == "pk" for index in indexes):
        return None
    column = next(item for item in columns if item.name == primary[0])
    return column.name if column.declared_type.upper() == "INTEGER" else None


def _rowid_name(columns: Sequence[SourceColumn]) -> str:
    taken = {fold(column.name) for column in columns}
    return next((name for name in _ROWID_NAMES if name not in taken), "")
