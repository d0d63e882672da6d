"""What runs now: the longest query, idle and long transactions, who waits for whom. Of the application's database.

pg_stat_statements counts a statement when it ends: one that runs, hangs or is cancelled is seen only here.
"""

from __future__ import annotations

from typing import Any, Final

from monitoring_app.probes.measurement import Measurement
from monitoring_app.probes.postgresql.asking import Answer, Asked, Probe
from monitoring_app.probes.postgresql.connections import CLIENT, plain_name
from monitoring_app.probes.postgresql.masking import is_maintenance, masked

# Causeway's own sessions all say so; a VACUUM that it was asked for is no slow query of the application.
_SESSIONS = f"""
SELECT pid, coalesce(application_name, ''), coalesce(usename::text, ''), state,
       extract(epoch FROM clock_timestamp() - query_start)::float8,
       extract(epoch FROM clock_timestamp() - xact_start)::float8,
       extract(epoch FROM clock_timestamp() - state_change)::float8,
       coalesce(query, ''), coalesce(wait_event_type || ': ' || wait_event, '')
  FROM pg_stat_activity
 WHERE {CLIENT} AND datname = current_database() AND pid <> pg_backend_pid()
   AND coalesce(application_name, '') !~ '^causeway[ :]'
   AND (state IS DISTINCT FROM 'idle')
 ORDER BY xact_start NULLS LAST LIMIT 500
"""
_PREPARED = """
SELECT extract(epoch FROM clock_timestamp() - min(prepared))::float8, count(*)::int
  FROM pg_prepared_xacts WHERE database = current_database()
"""
# Who waits is in pg_locks, which every role may read; pg_blocking_pids() stops the lock manager for a moment, so it
# is asked for those who wait only. A blocker of 0 is a prepared transaction.
_BLOCKED = """
WITH waiting AS (
    SELECT pid, min(waitstart) AS since, min(mode) AS mode,
           min(relation::regclass::text) FILTER (WHERE database = (SELECT oid FROM pg_database
                                                                    WHERE datname = current_database())) AS relation
      FROM pg_locks WHERE NOT granted GROUP BY pid)
SELECT w.pid, coalesce(a.application_name, ''), coalesce(a.usename::text, ''), coalesce(a.query, ''), w.mode,
       coalesce(w.relation, ''), extract(epoch FROM clock_timestamp() - w.since)::float8, pg_blocking_pids(w.pid)
  FROM waiting w JOIN pg_stat_activity a USING (pid)
 WHERE a.datname = current_database() ORDER BY w.since NULLS LAST LIMIT 100
"""
_BLOCKERS = """
SELECT pid, coalesce(application_name, ''), coalesce(usename::text, ''), coalesce(state, 'hidden'),
       coalesce(query, ''), extract(epoch FROM clock_timestamp() - xact_start)::float8
  FROM pg_stat_activity WHERE pid = ANY(%s)
"""
_SHOWN: Final = 20


def _activity(asked: Asked) -> Answer:
    rows = [_session(row) for row in asked.session.rows(_SESSIONS)]
    hidden = sum(1 for row in rows if row["state"] == "hidden")
    view, note = asked.view(hidden)
    running = [row for row in rows if row["state"] == "active"]
    idle = [row for row in rows if row["state"].startswith("idle in transaction")]
    prepared, count = asked.session.rows(_PREPARED)[0]
    ages = [row["transaction_seconds"] for row in rows if row["transaction_seconds"] is not None]
    if prepared is not None:
        ages.append(prepared)
        note = "; ".join(filter(None, [note, f"{count} prepared transactions are among them"]))

    def longest(metric: str, values: list[float]) -> Measurement:
        return Measurement(metric, max([0.0, *values]), view=view, note=note)

    measurements = [
        longest("query_running", [row["seconds"] * 1000 for row in running if not row["maintenance"]]),
        longest("idle_in_transaction", [row["idle_seconds"] for row in idle]),
        longest("transaction_age", ages),
    ]
    seen = {
        "running": sorted(running, key=lambda row: -row["seconds"])[:_SHOWN],
        "idle_in_transaction": sorted(idle, key=lambda row: -row["idle_seconds"])[:_SHOWN],
        "prepared": count,
        "view": view,
        "note": note,
    }
    return Answer(measurements, seen=seen)


def _session(row: tuple[Any, ...]) -> dict[str, Any]:
    pid, name, user, state, query_for, transaction_for, state_for, text, waits = row
    return {
        "pid": pid,
        "application": plain_name(name),
        "user": user,
        "state": state or "hidden",
        "seconds": max(0.0, query_for or 0.0),
        "transaction_seconds": None if transaction_for is None else max(0.0, transaction_for),
        "idle_seconds": max(0.0, state_for or 0.0),
        "text": masked(text),
        "maintenance": is_maintenance(text),
        "waits": waits,
    }


def _blocked(asked: Asked) -> Answer:
    rows = asked.session.rows(_BLOCKED)
    pids = sorted({pid for row in rows for pid in row[7]})
    who = {row[0]: row for row in asked.session.rows(_BLOCKERS, [pids])} if pids else {}
    seen = {
        "sessions": [
            {
                "pid": pid,
                "application": plain_name(name),
                "user": user,
                "text": masked(text),
                "mode": mode,
                "relation": relation,
                "seconds": max(0.0, seconds or 0.0),
                "blockers": [_blocker(blocker, who.get(blocker)) for blocker in sorted(set(blockers))],
            }
            for pid, name, user, text, mode, relation, seconds, blockers in rows
        ]
    }
    return Answer([Measurement("blocked_sessions", float(len(rows)))], seen=seen)


def _blocker(pid: int, row: tuple[Any, ...] | None) -> dict[str, Any]:
    if row is None:
        return {"pid": pid, "application": "", "state": "a prepared transaction" if pid == 0 else "gone", "text": ""}
    _, name, user, state, text, seconds = row
    return {
        "pid": pid,
        "application": plain_name(name),
        "user": user,
        "state": state,
        "text": masked(text),
        "transaction_seconds": seconds,
    }


ACTIVITY = Probe("activity", _activity, ("query_running", "idle_in_transaction", "transaction_age"))
BLOCKED = Probe("blocked", _blocked, ("blocked_sessions",))
