"""What a host can say of a file or a server before anything is planned: looked at, never changed."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from psycopg2 import sql

from migrations_app.applications.commands import minimal_environment
from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.target.target import Connection, connect, inspect_target, transaction
from migrations_app.engine.target.target_url import TargetUrl

_ROOT = Path(__file__).resolve().parents[2]
_SOURCE_SECONDS = 30
_CONNECT_SECONDS = 5  # a person waits for the answer
_TABLES_ASKED = 500


def look_at_source(path: Path) -> dict[str, Any]:
    """What the file is, asked in a process of its own. Raises Refused with the reader's codes, Failed LOOK_FAILED."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "migrations_app.applications.source_look", str(path)],
            cwd=_ROOT,
            env=minimal_environment({}),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_SOURCE_SECONDS,
            check=False,
        )
        answer = json.loads(done.stdout)
    except (subprocess.TimeoutExpired, ValueError):
        raise Failed(
            "LOOK_FAILED",
            f"{path} could not be looked at within {_SOURCE_SECONDS} s and the memory that a look may take.",
            "Is it the application's SQLite file, on a disk that answers?",
        ) from None
    if "problem" in answer:
        problem = answer["problem"]
        raise Refused(problem["code"], problem["message"], problem["hint"])
    facts: dict[str, Any] = answer["facts"]
    return facts


def look_at_target(url: TargetUrl, schema: str) -> dict[str, Any]:
    """Version, rights, TLS, and whether it is empty. Raises Refused as inspect_target() does."""
    url = replace(url, connect_timeout=_CONNECT_SECONDS)
    found = inspect_target(url, schema=schema)
    with closing(connect(url, application_name="causeway:look:0")) as connection:
        tables = _tables(connection, schema)
        return {
            "address": url.redacted,
            "version": found.version_text,
            "role": found.role,
            "database": found.database,
            "bytes": found.size_bytes,
            "identity": found.identity if found.system_identifier else "",
            "tls": _tls(connection),
            "table_count": len(tables),
            "filled": [name for name, has_rows in tables if has_rows],
            "creates_databases": _creates_databases(connection),
        }


def look_at_rehearsal_server(url: TargetUrl, schema: str) -> dict[str, Any]:
    """As look_at_target(), and the role must be able to create scratch databases. Raises Refused NO_CREATEDB."""
    facts = look_at_target(url, schema)
    if not facts["creates_databases"]:
        raise Refused(
            "NO_CREATEDB",
            f"The role {url.user} may not create databases on {url.host}, and a rehearsal needs one of its own.",
            f'Have an administrator run: ALTER ROLE "{url.user}" CREATEDB;',
        )
    return facts


def _tables(connection: Connection, schema: str) -> list[tuple[str, bool]]:
    """Names of the schema's tables, and whether each has a row: asked for one, never counted."""
    with transaction(connection, "looking for tables") as cursor:
        cursor.execute(
            """SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = %s AND c.relkind IN ('r', 'p') AND NOT c.relispartition
                ORDER BY c.relname LIMIT %s""",
            (schema, _TABLES_ASKED),
        )
        names = [str(name) for (name,) in cursor.fetchall()]
    return [(name, _has_rows(connection, schema, name)) for name in names]


def _has_rows(connection: Connection, schema: str, name: str) -> bool:
    """A table that may not be read counts as one with rows: nothing says that it is empty."""
    try:
        with transaction(connection, f"looking at table {name}") as cursor:
            cursor.execute(sql.SQL("SELECT EXISTS (SELECT 1 FROM {})").format(sql.Identifier(schema, name)))
            found = cursor.fetchone()
            return bool(found and found[0])
    except Refused:
        return True


def _tls(connection: Connection) -> str:
    """'TLSv1.3', or '' where the connection is not encrypted."""
    info = connection.info
    return str(info.ssl_attribute("protocol") or "TLS") if info.ssl_in_use else ""


def _creates_databases(connection: Connection) -> bool:
    with transaction(connection, "looking at the role") as cursor:
        cursor.execute("SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user")
        found = cursor.fetchone()
        return bool(found and found[0])
