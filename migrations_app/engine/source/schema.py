"""What a SQLite file holds, as plain data: every object of sqlite_schema, listed, none interpreted away."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceColumn:
    """One column as PRAGMA table_xinfo shows it. `declared_type` is the text of the DDL, '' when there is none."""

    name: str
    declared_type: str
    not_null: bool
    default: str | None  # the SQL text of the DEFAULT clause, None when there is none
    pk_position: int  # 1.. within the primary key, 0 outside
    generated: str = ""  # '', 'virtual' or 'stored'
    generated_sql: str = ""  # the expression of a generated column
    collation: str = "BINARY"
    hidden: bool = False  # hidden columns of virtual tables


@dataclass(frozen=True)
class IndexColumn:
    """A key part of an index: a column's name, or None for an expression."""

    name: str | None
    descending: bool = False
    collation: str = "BINARY"


@dataclass(frozen=True)
class SourceIndex:
    name: str
    unique: bool
    origin: str  # 'c' CREATE INDEX, 'u' UNIQUE constraint, 'pk' PRIMARY KEY
    partial: bool
    columns: tuple[IndexColumn, ...]
    sql: str | None  # None for automatic indexes
    where: str = ""  # the predicate of a partial index


@dataclass(frozen=True)
class SourceForeignKey:
    columns: tuple[str, ...]
    parent_table: str
    parent_columns: tuple[str, ...]  # () means the parent's primary key
    on_update: str
    on_delete: str
    initially_deferred: bool = False


@dataclass(frozen=True)
class SourceTable:
    """`key` names the columns that identify a row, in order; () means that only the rowid does."""

    name: str
    kind: str  # 'table', 'virtual' or 'shadow'
    columns: tuple[SourceColumn, ...]
    primary_key: tuple[str, ...]
    key: tuple[str, ...]
    rowid_alias: str | None  # the INTEGER PRIMARY KEY column, if any
    without_rowid: bool
    strict: bool
    autoincrement: bool
    indexes: tuple[SourceIndex, ...]
    foreign_keys: tuple[SourceForeignKey, ...]
    checks: tuple[str, ...]  # SQL expressions
    sql: str
    rowid_name: str = "rowid"  # a name that reaches the rowid ('' when WITHOUT ROWID or all names are taken)


@dataclass(frozen=True)
class SourceObject:
    """A view or a trigger: listed with its source text, never executed."""

    name: str
    table: str
    sql: str


@dataclass(frozen=True)
class SourceSchema:
    encoding: str  # 'UTF-8', 'UTF-16le', 'UTF-16be'
    journal_mode: str
    page_size: int
    user_version: int
    tables: tuple[SourceTable, ...]  # sorted by name; sqlite_* tables are not among them
    views: tuple[SourceObject, ...]
    triggers: tuple[SourceObject, ...]
    sequences: tuple[tuple[str, int], ...]  # sqlite_sequence: (table, last value)
    digest: str  # SHA-256 over all DDL texts, sorted: changes when any object's definition changes
    page_count: int = 0

    def table(self, name: str) -> SourceTable:
        """The table of that exact name. Raises KeyError."""
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(name)
