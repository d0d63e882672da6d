"""The server's settings that matter after a move, with the figures that say whether one is worth changing."""

from __future__ import annotations

from typing import Any, Final

import psutil

from monitoring_app.probes.postgresql.asking import Answer, Asked, Probe

NAMES: Final = (
    *("shared_buffers", "effective_cache_size", "work_mem", "maintenance_work_mem", "random_page_cost"),
    *("max_connections", "max_wal_size", "checkpoint_timeout", "autovacuum", "track_counts", "fsync"),
    *("full_page_writes", "idle_in_transaction_session_timeout", "jit"),
)
# setting in the unit of pg_settings; as bytes or milliseconds where it is an amount of those.
_SETTINGS = """
SELECT name, setting, coalesce(unit, ''), source, context, pending_restart FROM pg_settings WHERE name = ANY(%s)
"""
_FIGURES = """
SELECT pg_database_size(current_database()), temp_files, temp_bytes,
       extract(epoch FROM clock_timestamp() - coalesce(stats_reset, pg_postmaster_start_time()))::float8,
       inet_server_addr() IS NULL OR inet_server_addr() = inet_client_addr()
  FROM pg_stat_database WHERE datname = current_database()
"""
_CHECKPOINTS_17 = "SELECT num_timed, num_requested FROM pg_stat_checkpointer"
_CHECKPOINTS = "SELECT checkpoints_timed, checkpoints_req FROM pg_stat_bgwriter"
_FACTORS: Final = {
    "8kB": 8192,
    "kB": 1024,
    "MB": 1024**2,
    "GB": 1024**3,
    "16MB": 16 * 1024**2,
    "s": 1000,
    "min": 60_000,
}


def _ask(asked: Asked) -> Answer:
    rows = asked.session.rows(_SETTINGS, [list(NAMES)])
    ((size, temp_files, temp_bytes, since, local),) = asked.session.rows(_FIGURES)
    ((timed, requested),) = asked.session.rows(_CHECKPOINTS_17 if asked.server.version >= 170000 else _CHECKPOINTS)
    seen: dict[str, Any] = {
        "settings": {
            name: {"value": _amount(value, unit), "source": source, "restart": context == "postmaster", "waits": waits}
            for name, value, unit, source, context, waits in rows
        },
        "database_bytes": size,
        "temp_files": temp_files,
        "temp_bytes": temp_bytes,
        "statistics_seconds": since,
        "checkpoints_timed": timed,
        "checkpoints_requested": requested,
        # SQL knows nothing of the machine; only where the server is on this one can its memory be told.
        "memory_bytes": psutil.virtual_memory().total if local else None,
    }
    return Answer(seen=seen)


def _amount(value: str, unit: str) -> float | str:
    """Bytes or milliseconds as a number; a number without a unit as such; on, off and other words as they are."""
    try:
        number = float(value)
    except ValueError:
        return value
    return number * _FACTORS.get(unit, 1)


SETTINGS = Probe("settings", _ask, every=600)
