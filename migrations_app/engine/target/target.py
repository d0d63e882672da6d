"""Connections to the target, with the session that every conversion relies on, and what the target must be.

The session settings decide how PostgreSQL prints a value; conversions.py predicts exactly that text. Never set
psycopg2's wait callback: COPY can't be used with it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import psycopg2
from psycopg2.extensions import connection as Connection
from psycopg2.extensions import cursor as Cursor

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Cancelled, EngineError, Failed, Refused
from migrations_app.engine.target.pg_names import quote
from migrations_app.engine.target.target_catalog import read_target_schema
from migrations_app.engine.target.target_url import TargetUrl

if TYPE_CHECKING:
    from migrations_app.engine.target.lease import Lease

__all__ = ["Connection", "Cursor", "TargetFacts", "application_name", "connect", "inspect_target", "read_target_schema"]

MINIMUM_VERSION = 150000
SESSION = {
    "TimeZone": "UTC",
    "DateStyle": "ISO, YMD",
    "IntervalStyle": "postgres",
    "extra_float_digits": "3",
    "bytea_output": "hex",
    "xmloption": "content",
    "search_path": "pg_catalog, pg_temp",
    "statement_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "lock_timeout": "30s",
    "row_security": "off",  # a policy that hides rows is an error, not a silent cut
    "standard_conforming_strings": "on",
    # Without it a statement goes on, and commits, after its client was killed.
    "client_connection_check_interval": "1s",
}


@dataclass(frozen=True)
class TargetFacts:
    """What answers there. `identity` is the same for two URLs that reach the same database."""

    version: int  # server_version_num
    version_text: str
    encoding: str
    database: str
    role: str
    system_identifier: str  # '' where the role may not read it
    database_oid: int
    can_create_in_database: bool
    can_create_in_schema: bool
    schema_exists: bool
    superuser: bool
    collation: str
    size_bytes: int

    @property
    def identity(self) -> str:
        return f"{self.system_identifier}/{self.database_oid}"


def application_name(run_key: str, token: int) -> str:
    """How our backends are found again: 'causeway:<run>:<token>', within PostgreSQL's 63 bytes."""
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "-_.") else "-" for c in run_key)
    return f"causeway:{safe[:30]}:{token}"


def connect(url: TargetUrl, *, application_name: str, lease: Lease | None = None) -> Connection:
    """A connection with our session settings, encoding UTF-8, not in autocommit.

    With a lease its run and token make up the name, whatever was given. Raises Refused: TARGET_UNREACHABLE,
    WRONG_PASSWORD, NO_SUCH_DATABASE, NO_SUCH_ROLE, TLS_FAILED, TOO_MANY_CONNECTIONS.
    """
    name = lease.application_name if lease is not None else application_name
    try:
        connection = psycopg2.connect(**url.connect_arguments(), client_encoding="UTF8", application_name=name[:63])
    except psycopg2.OperationalError as error:
        raise connection_refused(url, str(error)) from None
    except psycopg2.Error:
        raise Refused(
            "TARGET_UNREACHABLE", f"No connection to {url.redacted} could be made.", "Check the URL."
        ) from None
    try:
        with connection.cursor() as cursor:
            for setting, value in SESSION.items():
                cursor.execute(f"SET {setting} = {value}" if setting == "search_path" else f"SET {setting} = '{value}'")
        connection.commit()
    except psycopg2.Error as error:
        connection.close()
        raise database_failed(error, f"setting up the session on {url.redacted}") from None
    return connection


# libpq has no codes for what goes wrong before a session: its words decide, in English; anything else is "unreachable".
_REASONS: tuple[tuple[str, str, str, str], ...] = (
    ("password authentication failed", "WRONG_PASSWORD", "refuses the password of {user}", "Check user and password."),
    ("no password supplied", "WRONG_PASSWORD", "wants a password for {user}", "Put the password into the URL."),
    ("no pg_hba.conf entry", "WRONG_PASSWORD", "lets {user} in by no rule", "Add a rule to pg_hba.conf on the server."),
    ("too many", "TOO_MANY_CONNECTIONS", "has no free connection", "End some, or raise max_connections."),
    ("remaining connection slots", "TOO_MANY_CONNECTIONS", "has no free connection", "End some connections."),
    ("certificate", "TLS_FAILED", "didn't prove who it is", "Check sslrootcert and the host's name."),
    ("SSL", "TLS_FAILED", "could not agree on TLS", "Check sslmode and the server's TLS settings."),
    ("translate host name", "TARGET_UNREACHABLE", "is a host that can't be found", "Check the host's name."),
    ("Connection refused", "TARGET_UNREACHABLE", "refuses connections", "Is PostgreSQL running on that host and port?"),
    ("timeout expired", "TARGET_UNREACHABLE", "doesn't answer in time", "Check host, port and firewall."),
    ("starting up", "TARGET_UNREACHABLE", "is still starting", "Try again in a moment."),
    ("shutting down", "TARGET_UNREACHABLE", "is shutting down", "Start it, then try again."),
)


def connection_refused(url: TargetUrl, said: str) -> Refused:
    """What libpq said, as one of our codes. Its own text is never passed on: it may quote what it was given."""
    if "database " in said and "does not exist" in said:
        return Refused(
            "NO_SUCH_DATABASE",
            f"The server of {url.redacted} has no such database.",
            f"CREATE DATABASE {quote(url.database)} OWNER {quote(url.user)} ENCODING 'UTF8' TEMPLATE template0;",
        )
    if "role " in said and "does not exist" in said:
        return Refused("NO_SUCH_ROLE", f"The server of {url.redacted} has no such role.", "Create it, or use another.")
    for words, code, what, hint in _REASONS:
        if words in said:
            return Refused(code, f"The target {url.redacted} {what.format(user=url.user)}.", hint)
    return Refused("TARGET_UNREACHABLE", f"No connection to {url.redacted} could be made.", "Check host and port.")


def database_failed(error: psycopg2.Error, doing: str) -> EngineError:
    """An error of the server as one of ours, without the values that PostgreSQL likes to quote."""
    state = error.pgcode or ""
    if state == "57014":
        return Cancelled(f"Cancelled while {doing}.")
    if state in ("57P01", "57P02", "57P03") or state.startswith("08") or (not state and _lost(error)):
        return Failed("TARGET_LOST", f"The connection to the target was lost while {doing}.", "Run it again.")
    if state in ("53100", "53200", "53400") or error.diag.source_function in _EXTENDING:
        return Failed("TARGET_FULL", f"The target has no room (disk or memory) left while {doing}.", "Make room.")
    if state == "42501":
        return Refused("NO_RIGHTS", f"The target's role lacks a right while {doing}.", "Grant it, see preflight.")
    if state == "55P03":
        return Failed("TARGET_LOCKED", f"Another session held a lock for too long while {doing}.", "End that session.")
    if state in ("40001", "40P01"):
        return Failed("TARGET_CONFLICT", f"Another session changed the same rows while {doing}.", "Run it again.")
    primary = _safe_words(error)
    return Failed("TARGET_ERROR", f"PostgreSQL said {state or 'nothing known'}{primary} while {doing}.", "See its log.")


# Where PostgreSQL makes a table's file longer. A quota or a limit on the size of files is an internal error (XX000)
# to it; its words are in the server's language, the function's name isn't.
_EXTENDING = ("mdextend", "mdzeroextend")


def _lost(error: psycopg2.Error) -> bool:
    """Without an SQLSTATE nothing came from the server. psycopg2 uses the bare class when a COPY's connection broke."""
    return (
        isinstance(error, psycopg2.OperationalError | psycopg2.InterfaceError) or type(error) is psycopg2.DatabaseError
    )


def _safe_words(error: psycopg2.Error) -> str:
    """The names in the error's fields (they are no values), as ' (table x, column y, constraint z)'."""
    diag = error.diag
    names = (("table", diag.table_name), ("column", diag.column_name), ("constraint", diag.constraint_name))
    found = [f"{what} {name}" for what, name in names if name]
    return f" ({', '.join(found)})" if found else ""


def rows(cursor: Cursor, sql: str, parameters: tuple[Any, ...] | None = None) -> list[tuple[Any, ...]]:
    cursor.execute(sql, parameters)
    return list(cursor.fetchall())


def scalar(cursor: Cursor, sql: str, parameters: tuple[Any, ...] | None = None) -> Any:
    found = rows(cursor, sql, parameters)
    return found[0][0] if found else None


@contextmanager
def transaction(connection: Connection, doing: str) -> Iterator[Cursor]:
    """One transaction: committed at the end, else rolled back; PostgreSQL's errors become ours."""
    try:
        with connection.cursor() as cursor:
            yield cursor
        connection.commit()
    except psycopg2.Error as error:
        _roll_back(connection)
        raise database_failed(error, doing) from None
    except BaseException:
        _roll_back(connection)
        raise


def _roll_back(connection: Connection) -> None:
    if connection.closed:
        return
    try:
        connection.rollback()
    except psycopg2.Error:
        connection.close()  # the server rolls back what it no longer hears of


@contextmanager
def cancelling(connection: Connection, control: Control) -> Iterator[None]:
    """While inside, `control.stop` cancels the running statement at once.

    A blocked COPY or CREATE INDEX hears no signal and no soft time limit; cancel() from another thread works.
    """
    done, ending = threading.Event(), threading.Lock()

    def watch() -> None:
        while not done.is_set():
            if control.stop.wait(0.2):
                with ending:
                    if not done.is_set():
                        cancel_quietly(connection)
                done.wait(0.5)  # again: the cancel may have come between two statements

    watcher = threading.Thread(target=watch, name="causeway-cancel", daemon=True)
    watcher.start()
    try:
        yield
    finally:
        with ending:
            done.set()


def cancel_quietly(connection: Connection) -> None:
    try:
        if not connection.closed:
            connection.cancel()
    except psycopg2.Error:
        return  # nothing runs any more, or the server is gone: both are what was wanted


def inspect_target(url: TargetUrl, *, schema: str = "public") -> TargetFacts:
    """Look without touching. Raises Refused: SERVER_TOO_OLD, NOT_UTF8, READ_ONLY, NO_RIGHTS.

    NO_RIGHTS prints the exact GRANT (and CREATE) statements for whoever administers the target.
    """
    connection = connect(url, application_name="causeway:inspect:0")
    try:
        with transaction(connection, f"looking at {url.redacted}") as cursor:
            facts = _facts(cursor, schema)
            read_only = scalar(cursor, "SHOW transaction_read_only") == "on"
            recovering = bool(scalar(cursor, "SELECT pg_is_in_recovery()"))
    finally:
        connection.close()
    _refuse_unfit(url, facts, schema, read_only=read_only or recovering)
    return facts


def _facts(cursor: Cursor, schema: str) -> TargetFacts:
    found = rows(
        cursor,
        """SELECT current_setting('server_version_num')::int, current_setting('server_version'),
                  current_setting('server_encoding'), d.datname::text, current_user::text, d.oid::bigint,
                  has_database_privilege(d.oid, 'CREATE'), r.rolsuper, d.datcollate::text,
                  pg_database_size(d.oid)
             FROM pg_database d, pg_roles r WHERE d.datname = current_database() AND r.rolname = current_user""",
    )[0]
    schema_oid = scalar(cursor, "SELECT oid FROM pg_namespace WHERE nspname = %s", (schema,))
    in_schema = bool(schema_oid) and bool(
        scalar(cursor, "SELECT has_schema_privilege(%s::oid, 'CREATE')", (schema_oid,))
    )
    return TargetFacts(
        version=found[0],
        version_text=found[1],
        encoding=found[2],
        database=found[3],
        role=found[4],
        database_oid=found[5],
        can_create_in_database=found[6],
        superuser=found[7],
        collation=found[8],
        size_bytes=found[9],
        system_identifier=_system_identifier(cursor),
        schema_exists=bool(schema_oid),
        can_create_in_schema=in_schema,
    )


def _system_identifier(cursor: Cursor) -> str:
    """Public by default, but an administrator may have revoked it: '' then."""
    allowed = scalar(cursor, "SELECT has_function_privilege('pg_control_system()', 'EXECUTE')")
    return str(scalar(cursor, "SELECT system_identifier FROM pg_control_system()")) if allowed else ""


def _refuse_unfit(url: TargetUrl, facts: TargetFacts, schema: str, *, read_only: bool) -> None:
    if facts.version < MINIMUM_VERSION:
        raise Refused(
            "SERVER_TOO_OLD",
            f"The target {url.redacted} runs PostgreSQL {facts.version_text}; 15 is the oldest that is supported.",
            "Upgrade the server, or name another.",
        )
    if facts.encoding != "UTF8":
        raise Refused(
            "NOT_UTF8",
            f"The database {facts.database} is encoded in {facts.encoding}, which can't hold every text.",
            f"CREATE DATABASE {quote(facts.database + '_utf8')} OWNER {quote(facts.role)}"
            " ENCODING 'UTF8' TEMPLATE template0 LOCALE 'C.UTF-8';",
        )
    if read_only:
        raise Refused(
            "READ_ONLY", f"The target {url.redacted} takes no writes (a standby, or read-only).", "Name its primary."
        )
    grants = []
    if not facts.can_create_in_database:
        grants.append(f"GRANT CREATE ON DATABASE {quote(facts.database)} TO {quote(facts.role)};")
    if not facts.schema_exists and not facts.can_create_in_database:
        grants.append(f"CREATE SCHEMA {quote(schema)} AUTHORIZATION {quote(facts.role)};")
    elif facts.schema_exists and not facts.can_create_in_schema:
        grants.append(f"GRANT USAGE, CREATE ON SCHEMA {quote(schema)} TO {quote(facts.role)};")
    if grants:
        raise Refused("NO_RIGHTS", f"The role {facts.role} may not create what it needs.", "Run: " + " ".join(grants))
