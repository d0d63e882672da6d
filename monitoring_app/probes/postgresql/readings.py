"""PostgreSQL as an application's role sees it: version, client connections against what is usable, exact row counts.

Counting pg_stat_activity whole would count background processes too, and a role without pg_monitor sees only its own
sessions' details; each reading says how much it could see.
"""

from __future__ import annotations

from typing import Any

import psycopg2
from psycopg2 import sql

from monitoring_app.probes.postgresql.refusals import Refusal, meaning
from monitoring_app.probes.reading import Health, Reading

POOL_WARNING = 0.7
POOL_CRITICAL = 0.8
COUNT_MILLISECONDS = 2000  # an exact count that takes longer is replaced by an estimate, and labelled

_SLOTS = """
SELECT current_setting('max_connections')::int
         - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true)::int, 0),
       (SELECT rolconnlimit FROM pg_roles WHERE rolname = current_user),
       pg_has_role(current_user, 'pg_monitor', 'MEMBER')
"""
# Of other roles' sessions even the kind is hidden; those with a user and a database are clients.
_CLIENTS = """
SELECT coalesce(application_name, ''), coalesce(state, 'hidden'), count(*)::int,
       count(*) FILTER (WHERE usename = current_user)::int
  FROM pg_stat_activity
 WHERE backend_type = 'client backend' OR (backend_type IS NULL AND usesysid IS NOT NULL AND datid IS NOT NULL)
 GROUP BY 1, 2 ORDER BY 3 DESC, 1
"""
_TABLES = """
SELECT c.relname::text, greatest(c.reltuples, 0)::bigint
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
 WHERE n.nspname = %s AND c.relkind IN ('r', 'p') ORDER BY 1
"""


def probe_postgresql(dsn: dict[str, Any], schema: str, *, detailed: bool) -> list[Reading]:
    """Readings of one database. dsn: libpq keywords. A server that doesn't answer is a reading, not an error."""
    try:
        connection = psycopg2.connect(**dsn, connect_timeout=3, application_name="causeway health")
    except psycopg2.OperationalError as error:
        return [_unreachable(str(error))]
    try:
        connection.set_session(readonly=True, autocommit=True)
        with connection.cursor() as cursor:
            readings = [_version(cursor), *_connections(cursor)]
            if detailed:
                readings += [_size(cursor), *_rows(cursor, schema)]
            return readings
    except psycopg2.Error as error:
        state = error.pgcode or "no code"
        return [Reading("postgresql", Health.UNKNOWN, f"stopped answering ({state})", "unknown")]
    finally:
        connection.close()


def _unreachable(said: str) -> Reading:
    refusal = meaning(said)
    if refusal is Refusal.FULL:
        return Reading("connections", Health.CRITICAL, f"100 % of the connections are in use ({refusal})", "partial")
    return Reading("postgresql", Health.CRITICAL, str(refusal), "unknown")


def _version(cursor: Any) -> Reading:
    cursor.execute("SELECT current_setting('server_version'), current_setting('server_version_num')::int")
    text, number = cursor.fetchone()
    health = Health.FINE if number >= 150000 else Health.WARNING
    return Reading("postgresql", health, f"version {text} answers")


def _connections(cursor: Any) -> list[Reading]:
    cursor.execute(_SLOTS)
    usable, limit, monitor = cursor.fetchone()
    cursor.execute(_CLIENTS)
    clients = cursor.fetchall()
    total, said = sum(row[2] for row in clients), "client connections"
    own = sum(row[3] for row in clients)
    if limit is not None and limit >= 0 and own * usable > total * limit:  # the role's own limit is nearer
        total, usable, said = own, limit, "connections that the role may have"
    share = total / usable if usable else 1.0
    health = Health.CRITICAL if share > POOL_CRITICAL else Health.WARNING if share > POOL_WARNING else Health.FINE
    by_application: dict[str, dict[str, int]] = {}
    for name, state, count, _ in clients:
        by_application.setdefault(name or "(unnamed)", {})[state] = count
    return [
        Reading(
            "connections",
            health,
            f"{total} of {usable} {said} ({share:.0%})",
            "full" if monitor else "partial (the role lacks pg_monitor: states of other roles are hidden)",
            {"by_application": by_application},
        )
    ]


def _size(cursor: Any) -> Reading:
    cursor.execute("SELECT pg_database_size(current_database())")
    size = cursor.fetchone()[0]
    return Reading("size", Health.FINE, f"{size:,} bytes", detail={"bytes": size})


def _rows(cursor: Any, schema: str) -> list[Reading]:
    cursor.execute(_TABLES, (schema,))
    readings = []
    for name, estimate in cursor.fetchall():
        cursor.execute("SELECT set_config('statement_timeout', %s, false)", (str(COUNT_MILLISECONDS),))
        try:
            cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(schema, name)))
            count = cursor.fetchone()[0]
            readings.append(
                Reading(f"rows of {name}", Health.FINE, f"{count:,}", detail={"rows": count, "exact": True})
            )
        except psycopg2.errors.QueryCanceled:
            said = f"about {estimate:,} (estimate: counting takes too long)"
            readings.append(
                Reading(f"rows of {name}", Health.FINE, said, "partial", {"rows": estimate, "exact": False})
            )
        except psycopg2.errors.InsufficientPrivilege:
            readings.append(Reading(f"rows of {name}", Health.UNKNOWN, "the role may not read it", "unknown"))
    return readings
