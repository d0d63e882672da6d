"""Client connections by application and state, against the nearest limit: the server's, a role's or the database's.

pg_stat_activity lists background processes too (measured: 15 rows where 8 were clients), so clients are counted.
"""

from __future__ import annotations

import re
from typing import Any, Final

from monitoring_app.probes.measurement import FULL, PARTIAL, Measurement
from monitoring_app.probes.postgresql.asking import Answer, Asked, Probe
from monitoring_app.probes.postgresql.session import APPLICATION

MOST_SERIES: Final = 40  # an application that puts its process id into application_name must not make endless series
OTHERS: Final = "(others)"

# Of other roles' sessions even the kind is hidden; those with a user and a database are clients.
CLIENT = "(backend_type = 'client backend' OR (backend_type IS NULL AND usesysid IS NOT NULL AND datid IS NOT NULL))"
_CLIENTS = f"""
SELECT coalesce(application_name, ''), coalesce(state, 'hidden'), count(*)::int,
       count(*) FILTER (WHERE state IS NULL)::int
  FROM pg_stat_activity WHERE {CLIENT} GROUP BY 1, 2 ORDER BY 3 DESC, 1, 2
"""
# What is near to its limit: the server's usable slots, this database's, those of the roles that use this database.
# Walsenders have slots of their own. Who only watches doesn't make a role one of the application's.
_LIMITS = f"""
WITH client AS (SELECT usesysid, datid, application_name FROM pg_stat_activity WHERE {CLIENT})
SELECT 'the server', (SELECT count(*) FROM client)::int,
       current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int
         - coalesce(current_setting('reserved_connections', true)::int, 0)
UNION ALL
SELECT 'database ' || datname, (SELECT count(*) FROM client WHERE datid = oid)::int, datconnlimit
  FROM pg_database WHERE datname = current_database() AND datconnlimit > 0
UNION ALL
SELECT 'role ' || rolname, (SELECT count(*) FROM client WHERE usesysid = oid)::int, rolconnlimit
  FROM pg_roles r
 WHERE rolconnlimit > 0 AND NOT rolsuper
   AND (oid = (SELECT datdba FROM pg_database WHERE datname = current_database())
        OR EXISTS (SELECT 1 FROM client c JOIN pg_database d ON d.oid = c.datid
                    WHERE c.usesysid = r.oid AND d.datname = current_database() AND c.application_name <> %s))
"""


def _ask(asked: Asked) -> Answer:
    clients = asked.session.rows(_CLIENTS)
    limits = asked.session.rows(_LIMITS, [APPLICATION])
    hidden = sum(row[3] for row in clients)
    view, note = asked.view(hidden)
    where, used, usable = max(limits, key=lambda limit: _share(limit[1], limit[2]))
    # The number of connections needs no right; only whose they are and what they do does.
    pool = Measurement(
        "pool_used",
        _share(used, usable),
        view=FULL,
        note=f"{used} of {usable} connections of {where}",
        detail={"used": used, "usable": usable, "limit": where},
    )
    counts = _counts(clients, asked.memory.get("series", []))
    series = [
        Measurement("connections", count, {"application": name, "state": state}, view, note)
        for (name, state), count in counts.items()
    ]
    seen = {
        "limits": [{"limit": name, "used": count, "usable": most} for name, count, most in limits],
        "by_application": _by_application(clients),
        "view": view,
        "note": note,
    }
    return Answer([pool, *series], {"series": [list(key) for key in counts]}, seen)


def _share(used: int, usable: int) -> float:
    return min(100.0, 100.0 * used / usable) if usable > 0 else 100.0


def plain_name(name: str) -> str:
    """An application's name as a label: a process id or a random part in it would make a series for each process."""
    text = re.sub(r"[^\w .:/@()-]", "?", name.strip())
    return re.sub(r"\b(?=[0-9a-f]*\d)[0-9a-f]{4,}\b|\d{3,}", "#", text)[:60] or "(unnamed)"


def _counts(clients: list[tuple[Any, ...]], known: list[list[str]]) -> dict[tuple[str, str], int]:
    """Connections by name and state. What was seen before and is gone is 0, not missing."""
    counts: dict[tuple[str, str], int] = {(str(name), str(state)): 0 for name, state in known[:MOST_SERIES]}
    for name, state, count, _ in clients:
        key = (plain_name(name), state)
        if key not in counts and len(counts) >= MOST_SERIES:
            key = (OTHERS, state)
        counts[key] = counts.get(key, 0) + count
    return counts


def _by_application(clients: list[tuple[Any, ...]]) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    for name, state, count, _ in clients:
        states = found.setdefault(plain_name(name), {})
        states[state] = states.get(state, 0) + count
    return dict(list(found.items())[:MOST_SERIES])


CONNECTIONS = Probe("connections", _ask, ("pool_used",))
EXHAUSTED = Measurement("pool_used", 100.0, view=PARTIAL, note="cannot connect: too many clients")
