"""Cache hits of the interval, and dead rows of the table that has the most of them."""

from __future__ import annotations

from monitoring_app.probes.measurement import Measurement
from monitoring_app.probes.postgresql.asking import Answer, Asked, Probe

FEW_DEAD = 1000  # fewer dead rows say nothing about vacuuming
_READS = "SELECT blks_hit, blks_read FROM pg_stat_database WHERE datname = current_database()"
# By pages as last counted: pg_table_size() would wait for a table that is locked.
_TABLES = """
SELECT s.relname::text, n_live_tup, n_dead_tup, c.relpages::bigint * current_setting('block_size')::bigint,
       extract(epoch FROM greatest(last_vacuum, last_autovacuum))::float8,
       extract(epoch FROM greatest(last_analyze, last_autoanalyze))::float8
  FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid WHERE schemaname = %s
 ORDER BY n_dead_tup::float8 / greatest(n_live_tup + n_dead_tup, 1) DESC, n_dead_tup DESC LIMIT 200
"""
# Without statistics the planner guesses: after a load, until somebody or autovacuum has analysed.
_NEVER_ANALYZED = """
SELECT relname::text FROM pg_stat_user_tables
 WHERE schemaname = %s AND n_live_tup > 0 AND last_analyze IS NULL AND last_autoanalyze IS NULL
 ORDER BY n_live_tup DESC LIMIT 50
"""
_SHOWN = 10


def _cache(asked: Asked) -> Answer:
    ((hits, reads),) = asked.session.rows(_READS)
    memory = {"hits": hits, "reads": reads}
    old = asked.memory
    new_hits, new_reads = hits - old.get("hits", hits), reads - old.get("reads", reads)
    if not old:
        one = Measurement.unknown("cache_hits", "the first round: the next one has an interval")
    elif new_hits < 0 or new_reads < 0:
        one = Measurement.unknown("cache_hits", "the statistics were reset: the next round measures again")
    elif new_hits + new_reads == 0:
        one = Measurement.unknown("cache_hits", "nothing was read in the interval")
    else:
        touched = new_hits + new_reads
        one = Measurement("cache_hits", 100.0 * new_hits / touched, count=touched)
    return Answer([one], memory)


def _dead(asked: Asked) -> Answer:
    tables = [row for row in asked.session.rows(_TABLES, [asked.schema]) if row[2] >= FEW_DEAD]
    share, note = 0.0, ""
    if tables:
        name, live, dead, *_ = tables[0]
        share, note = 100.0 * dead / (live + dead), f"table {name}"
    seen = {
        "tables": [
            {"table": name, "live": live, "dead": dead, "bytes": size, "vacuumed": vacuumed, "analyzed": analyzed}
            for name, live, dead, size, vacuumed, analyzed in tables[:_SHOWN]
        ],
        "never_analyzed": [row[0] for row in asked.session.rows(_NEVER_ANALYZED, [asked.schema])],
    }
    return Answer([Measurement("dead_rows", share, note=note)], seen=seen)


CACHE = Probe("cache", _cache, ("cache_hits",))
DEAD_ROWS = Probe("dead_rows", _dead, ("dead_rows",))
