"""Roles and databases on the target server, as an administrator would have prepared them."""

from __future__ import annotations

from contextlib import closing
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg2
from psycopg2 import sql

from demo.stage.errors import StageError


def prepare(admin_url: str, *, role: str, password: str, database: str, createdb: bool = False) -> str:
    """A role that owns a database of its own; the URL with which it signs in. Safe to do again.

    Raises StageError demo.target, without the URL.
    """
    try:
        with closing(psycopg2.connect(admin_url, connect_timeout=5)) as connection:
            connection.autocommit = True
            with connection.cursor() as cursor:
                _role(cursor, role, password, createdb)
                _applier(cursor, role)
                _database(cursor, database, role)
    except psycopg2.Error as error:
        reason = (error.diag.message_primary if error.diag else None) or type(error).__name__
        raise StageError(
            "demo.target",
            f"Role {role} and database {database} can't be made on the PostgreSQL server: {reason}.",
            "The role of TARGET_DATABASE_URL needs CREATEROLE and CREATEDB; or unset it, and the demo brings its own.",
        ) from None
    return _as(admin_url, role, password, database)


def _role(cursor: Any, role: str, password: str, createdb: bool) -> None:
    cursor.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role])
    verb = sql.SQL("ALTER" if cursor.fetchone() else "CREATE")
    rights = sql.SQL("LOGIN CREATEDB" if createdb else "LOGIN NOCREATEDB")
    cursor.execute(
        sql.SQL("{} ROLE {} {} PASSWORD {}").format(verb, sql.Identifier(role), rights, sql.Literal(password))
    )


def _applier(cursor: Any, role: str) -> None:
    """The right that a live crossing needs. A server of the user's may not let us give it: then that says so itself."""
    right = "session_replication_role"
    cursor.execute("SELECT has_parameter_privilege(%s, 'SET WITH GRANT OPTION')", [right])
    if cursor.fetchone()[0]:
        cursor.execute(sql.SQL("GRANT SET ON PARAMETER {} TO {}").format(sql.Identifier(right), sql.Identifier(role)))


def _database(cursor: Any, database: str, owner: str) -> None:
    cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database])
    if cursor.fetchone():
        return
    cursor.execute("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")
    if not cursor.fetchone()[0]:
        # Who is no superuser may give a database only to a role that he could become.
        cursor.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(sql.Identifier(owner)))
    cursor.execute(
        sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0").format(
            sql.Identifier(database), sql.Identifier(owner)
        )
    )


def _as(admin_url: str, role: str, password: str, database: str) -> str:
    parts = urlsplit(admin_url)
    host = parts.hostname or "localhost"
    host = f"[{host}]" if ":" in host else host
    place = f"{quote(role, safe='')}:{quote(password, safe='')}@{host}:{parts.port or 5432}"
    return urlunsplit(("postgresql", place, f"/{quote(database, safe='')}", parts.query, ""))
