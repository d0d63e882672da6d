"""Scratch databases for rehearsals and for planning against a schema that the application makes itself."""

from __future__ import annotations

import re

import psycopg2
from psycopg2 import sql

from migrations_app.engine.errors import Refused
from migrations_app.engine.target.target import connect, database_failed
from migrations_app.engine.target.target_url import TargetUrl

# Only names that we give are ever dropped, whatever a caller passes.
_OURS = re.compile(r"causeway_(rehearsal|plan)_[0-9]+")
_END_OURS = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s AND usename = current_user"


def create_database(server: TargetUrl, name: str) -> None:
    """An empty UTF-8 database with the server's own defaults. Raises Refused NO_RIGHTS, with the grant to ask for."""
    _run(server, name, "CREATE DATABASE {} ENCODING 'UTF8' TEMPLATE template0")


def drop_database(server: TargetUrl, name: str) -> None:
    """Drop a scratch database and end our role's sessions in it; nothing happens when there is none.

    Not WITH (FORCE): when autovacuum is at work there, that wants rights over a superuser's process and fails, while
    the plain statement sends autovacuum away and waits up to 5 s for the sessions that are ending.
    """
    _run(server, name, "DROP DATABASE IF EXISTS {}", end_sessions=True)


def _run(server: TargetUrl, name: str, statement: str, *, end_sessions: bool = False) -> None:
    if not _OURS.fullmatch(name):
        raise ValueError(f"{name!r} is not the name of a scratch database")
    connection = connect(server, application_name="causeway:scratch:0")
    try:
        connection.autocommit = True  # neither statement runs inside a transaction
        with connection.cursor() as cursor:
            if end_sessions:
                cursor.execute(_END_OURS, [name])
            cursor.execute(sql.SQL(statement).format(sql.Identifier(name)))
    except psycopg2.errors.InsufficientPrivilege:
        raise Refused(
            "NO_RIGHTS",
            f"The role {server.user} may not create databases on {server.host}.",
            f'ALTER ROLE "{server.user}" CREATEDB; (by an administrator), or name another server for rehearsals.',
        ) from None
    except psycopg2.Error as error:
        raise database_failed(error, "making a scratch database") from None
    finally:
        connection.close()
