"""Database triggers that keep other tables as they were written: rows are added to them, never changed nor deleted.

For what people signed on the strength of: recorded results, proofs, certificates. An app declares its tables in
AppConfig.ready and installs the triggers in a schema migration. What guards.py says of the trail's own triggers holds
here too: who owns the tables can drop them, an ordinary role can't, `missing` finds out, and a schema migration that
makes SQLite rebuild such a table must end with `install`.

On SQLite, INSERT OR REPLACE deletes without firing a delete trigger: so a row whose number is taken is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

REFUSAL: Final = "rows of this table are never changed or deleted"
# Every declared table with the schema migration (app, name) that guards it.
_declared: dict[str, tuple[str, str]] = {}

_FUNCTION: Final = f"""
    CREATE OR REPLACE FUNCTION causeway_append_only_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION '{REFUSAL}' USING ERRCODE = 'integrity_constraint_violation';
    END $$"""
_SQLITE: Final = {"update": "BEFORE UPDATE ON {0}", "delete": "BEFORE DELETE ON {0}"}
_SQLITE_INSERT: Final = "BEFORE INSERT ON {0} WHEN EXISTS (SELECT 1 FROM {0} WHERE id = NEW.id)"
_POSTGRESQL: Final = {
    "change": "BEFORE UPDATE OR DELETE ON {0} FOR EACH ROW",
    "truncate": "BEFORE TRUNCATE ON {0} FOR EACH STATEMENT",
}


def declare(tables: Iterable[str], *, since: tuple[str, str]) -> None:
    """These tables (with a number `id`) are guarded once the schema migration `since` is applied."""
    _declared.update(dict.fromkeys(tables, since))


def declared(applied: Iterable[tuple[str, str]]) -> list[str]:
    """The tables that must be guarded in a database with these schema migrations."""
    known = set(applied)
    return sorted(table for table, since in _declared.items() if since in known)


def install(connection: BaseDatabaseWrapper, tables: Iterable[str]) -> None:
    """Creates the triggers; those that are there are made anew."""
    tables = list(tables)
    remove(connection, tables)
    with connection.cursor() as cursor:
        if connection.vendor != "sqlite" and tables:
            cursor.execute(_FUNCTION)
        for table in tables:
            for kind, event in _triggers(connection).items():
                name, on = _name(table, kind), event.format(table)
                if connection.vendor == "sqlite":
                    cursor.execute(f"CREATE TRIGGER {name} {on} BEGIN SELECT RAISE(ABORT, '{REFUSAL}'); END")
                else:
                    cursor.execute(f"CREATE TRIGGER {name} {on} EXECUTE FUNCTION causeway_append_only_refuse()")
                    cursor.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {name}")


def remove(connection: BaseDatabaseWrapper, tables: Iterable[str]) -> None:
    """Drops the triggers: for the reverse of the schema migration, and for a test database that is emptied."""
    with connection.cursor() as cursor:
        for table in tables:
            on = "" if connection.vendor == "sqlite" else f" ON {table}"
            for kind in _triggers(connection):
                cursor.execute(f"DROP TRIGGER IF EXISTS {_name(table, kind)}{on}")


def missing(connection: BaseDatabaseWrapper, tables: Iterable[str]) -> list[str]:
    """The names of the tables' triggers that are absent or switched off."""
    expected = {(table, _name(table, kind)) for table in tables for kind in _triggers(connection)}
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT tbl_name, name FROM sqlite_master WHERE type = 'trigger'")
        else:
            cursor.execute("SELECT tgrelid::regclass::text, tgname FROM pg_catalog.pg_trigger WHERE tgenabled = 'A'")
        return sorted(name for _, name in expected - set(cursor.fetchall()))


def missing_now(connection: BaseDatabaseWrapper) -> list[str]:
    """The same for every table that the database's schema migrations say is guarded."""
    return missing(connection, declared(MigrationRecorder(connection).applied_migrations()))


def _triggers(connection: BaseDatabaseWrapper) -> dict[str, str]:
    return {**_SQLITE, "insert": _SQLITE_INSERT} if connection.vendor == "sqlite" else _POSTGRESQL


def _name(table: str, kind: str) -> str:
    return f"causeway_kept_{table}_{kind}"
