"""What a PostgreSQL schema holds, as plain data: read by target.py, planned against in mode `existing`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# What a relation is.
TABLE = "table"
PARTITIONED = "partitioned"
FOREIGN = "foreign"


@dataclass(frozen=True)
class TargetColumn:
    """One column of pg_attribute. `type_sql` is format_type(): 'numeric(10,2)', 'character varying(50)', 'mood[]'."""

    name: str
    type_sql: str
    not_null: bool = False
    default_sql: str | None = None  # pg_get_expr of the default, None when there is none
    generated: bool = False  # GENERATED ALWAYS AS (…) STORED or VIRTUAL: never written
    generated_sql: str = ""
    identity: str = ""  # '', 'always' or 'default'
    sequence: str = ""  # qualified name of the sequence that the column owns, '' for none
    max_length: int | None = None  # of varchar(n) and char(n), in characters
    enum_labels: tuple[str, ...] = ()  # in order, when the type (or its element type) is an enum
    base_type_sql: str = ""  # for domains: the type beneath, else ''
    collation: str = ""  # '' for the default one


@dataclass(frozen=True)
class TargetIndex:
    """An index as pg_index shows it; `columns` holds '' where a key part is an expression."""

    name: str
    unique: bool
    primary: bool
    columns: tuple[str, ...]
    sql: str  # pg_get_indexdef
    where: str = ""
    valid: bool = True


@dataclass(frozen=True)
class TargetForeignKey:
    name: str
    columns: tuple[str, ...]
    parent_schema: str
    parent_table: str
    parent_columns: tuple[str, ...]
    sql: str  # pg_get_constraintdef
    validated: bool = True


@dataclass(frozen=True)
class TargetCheck:
    name: str
    sql: str  # pg_get_constraintdef
    validated: bool = True


@dataclass(frozen=True)
class TargetTrigger:
    name: str
    sql: str  # pg_get_triggerdef
    enabled: str = "O"  # tgenabled: O, D, R or A


@dataclass(frozen=True)
class TargetTable:
    """`rows` is the exact number of rows when it was cheap to know, -1 when it was not counted."""

    name: str
    columns: tuple[TargetColumn, ...]
    primary_key: tuple[str, ...] = ()
    rows: int = -1
    kind: str = TABLE
    indexes: tuple[TargetIndex, ...] = ()
    foreign_keys: tuple[TargetForeignKey, ...] = ()
    checks: tuple[TargetCheck, ...] = ()
    triggers: tuple[TargetTrigger, ...] = ()
    version_rows: tuple[tuple[str, ...], ...] = ()  # content of schema-version tables only (small), as text, sorted

    def column(self, name: str) -> TargetColumn:
        """The column of that exact name. Raises KeyError."""
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(name)


@dataclass(frozen=True)
class TargetView:
    """A view or a materialized view of the target, with its definition."""

    name: str
    sql: str
    materialized: bool = False


@dataclass(frozen=True)
class TargetSchema:
    """All relations of one schema, sorted by name. `version` is server_version_num.

    sequences: those that feed no column of their own: the application asks them itself.
    fresh: the application's schema command has made it a moment ago in an empty database, so that all rows in it are
    the application's own seeds. Whoever ran the command says so; it can't be read from the catalogs.
    """

    name: str
    tables: tuple[TargetTable, ...]
    views: tuple[TargetView, ...] = ()
    version: int = 0
    fresh: bool = False
    sequences: tuple[str, ...] = ()
    used_extensions: tuple[str, ...] = ()  # those that columns, defaults, indexes or checks of the schema need

    def table(self, name: str) -> TargetTable:
        """The table of that exact name. Raises KeyError."""
        for table in self.tables:
            if table.name == name:
                return table
        raise KeyError(name)

    def has(self, name: str) -> bool:
        return any(table.name == name for table in self.tables)

    @property
    def matviews(self) -> tuple[TargetView, ...]:
        return tuple(view for view in self.views if view.materialized)


# Tables that record which schema migrations were applied: not data, the target's rows stay (see planning.py).
VERSION_TABLES = (
    "alembic_version",
    "django_migrations",
    "schema_migrations",
    "ar_internal_metadata",
    "flyway_schema_history",
    "knex_migrations",
    "knex_migrations_lock",
    "_prisma_migrations",
    "goose_db_version",
    "migrate_version",
    "__EFMigrationsHistory",
    "typeorm_migrations",
    "SequelizeMeta",
    # Synapse's: which of its deltas were applied; without them it applies them again.
    "applied_schema_deltas",
    "applied_module_schemas",
    "schema_version",
    "schema_compat_version",
)

# Columns that say which schema migration a row of a version table is; its other columns, such as the time when it was
# applied, differ from place to place.
_HEADS = (
    ("version_num",),
    ("app", "name"),
    ("version", "file"),
    ("module_name", "file"),
    ("version",),
    ("compat_version",),
    ("migration_name",),
    ("name",),
    ("MigrationId",),
)


def head_columns(names: Sequence[str]) -> tuple[str, ...]:
    """Those columns of a version table that name a migration; all of them where none is known."""
    return next((head for head in _HEADS if set(head) <= set(names)), tuple(names))


def version_heads(table: TargetTable, names: Sequence[str] = ()) -> tuple[tuple[str, ...], ...]:
    """What a version table's rows say in the columns `names`, or in its own head columns; sorted, as text."""
    columns = [column.name.lower() for column in table.columns]  # as SQLite compares names
    heads = names or head_columns([column.name for column in table.columns])
    wanted = [columns.index(name.lower()) if name.lower() in columns else -1 for name in heads]
    return tuple(sorted(tuple("" if place < 0 else row[place] for place in wanted) for row in table.version_rows))
