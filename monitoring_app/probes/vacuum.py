"""VACUUM ANALYZE of an application's tables, one after the other, over a connection that never waits for ever.

As gentle as autovacuum (vacuum_cost_delay), and it stands in nobody's way: a table that is locked is left out.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import psycopg2
from psycopg2 import sql

from monitoring_app.probes.postgresql.session import CannotConnect, NoAnswer, Session, open_session

APPLICATION: Final = "causeway maintenance"
TABLE_SECONDS: Final = 1800
_OPTIONS: Final = (
    f"-c statement_timeout={TABLE_SECONDS * 1000} -c lock_timeout=3000 -c vacuum_cost_delay=2 -c search_path=pg_catalog"
)
_GRACE: Final = 30.0  # seconds that a server that still answers has to say that it stopped
# Partitions go with their parent. By pages as last counted: the functions that measure a table would wait for its lock.
_TABLES = """
SELECT c.relname::text, pg_has_role(current_user, c.relowner, 'USAGE')
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'm') AND NOT c.relispartition
 ORDER BY c.relpages, 1
"""


class VacuumFailed(Exception):
    """It can't go on; the text is for a person."""


@dataclass(frozen=True)
class Progress:
    """After each table: how many there are, how many are through, which one is next, and what was left out."""

    tables: int
    done: int
    current: str
    skipped: tuple[tuple[str, str], ...]


def vacuum(dsn: Mapping[str, Any], schema: str, tell: Callable[[Progress], None]) -> Progress:
    """Small tables first. tell is called before each table. Raises VacuumFailed."""
    try:
        session = open_session(dsn, time.monotonic() + 5, application=APPLICATION, options=_OPTIONS)
    except CannotConnect as refused:
        raise VacuumFailed(str(refused)) from None
    except NoAnswer:
        raise VacuumFailed("PostgreSQL does not answer") from None
    try:
        session.until = time.monotonic() + 10
        return _all(session, schema, tell)
    except NoAnswer:
        raise VacuumFailed("PostgreSQL stopped answering") from None
    except psycopg2.Error as error:
        raise VacuumFailed(f"PostgreSQL ended it ({error.pgcode or 'connection lost'})") from None
    finally:
        session.close()


def _all(session: Session, schema: str, tell: Callable[[Progress], None]) -> Progress:
    tables = session.rows(_TABLES, [schema])
    skipped: list[tuple[str, str]] = []
    for number, (table, ours) in enumerate(tables):
        tell(Progress(len(tables), number, table, tuple(skipped)))
        why = _one(session, schema, table) if ours else "another role owns it"
        if why:
            skipped.append((table, why))
    return Progress(len(tables), len(tables), "", tuple(skipped))


def _one(session: Session, schema: str, table: str) -> str:
    """Why it was left out; "" when it was done."""
    session.until = time.monotonic() + TABLE_SECONDS + _GRACE
    try:
        session.rows(sql.SQL("VACUUM (ANALYZE) {}").format(sql.Identifier(schema, table)))
    except psycopg2.Error as error:
        if not session.usable or error.pgcode is None or error.pgcode.startswith("57P"):
            raise
        reasons = {"55P03": "locked by another session", "57014": "it took too long", "42P01": "gone meanwhile"}
        return reasons.get(error.pgcode, f"refused ({error.pgcode})")
    return ""
