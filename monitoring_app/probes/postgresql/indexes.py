"""Indexes that are missing, invalid or never used. Looked at now and then: nothing of it changes in seconds."""

from __future__ import annotations

from typing import Any, Final

from monitoring_app.probes.postgresql.asking import Answer, Asked, Probe

EVERY: Final = 600.0
SCANNED_ROWS: Final = 10_000  # a scan that reads fewer rows each time needs no index
_SHOWN: Final = 30

# A foreign key whose columns no index begins with: each delete or update of the other table reads this one whole.
_FOREIGN_KEYS = """
SELECT t.relname::text, k.conname::text, r.relname::text,
       (SELECT array_agg(a.attname::text ORDER BY u.place) FROM unnest(k.conkey) WITH ORDINALITY u(number, place)
          JOIN pg_attribute a ON a.attrelid = k.conrelid AND a.attnum = u.number),
       greatest(t.reltuples, 0)::bigint
  FROM pg_constraint k
  JOIN pg_class t ON t.oid = k.conrelid JOIN pg_namespace n ON n.oid = t.relnamespace
  JOIN pg_class r ON r.oid = k.confrelid
 WHERE k.contype = 'f' AND k.conparentid = 0 AND n.nspname = %s
   AND NOT EXISTS (
     SELECT 1 FROM pg_index i
      WHERE i.indrelid = k.conrelid AND i.indisvalid AND i.indpred IS NULL
        AND (SELECT array_agg(x.number ORDER BY x.number) FROM unnest(k.conkey) x(number))
          = (SELECT array_agg(y.number ORDER BY y.number)
               FROM unnest((i.indkey::int2[])[0:cardinality(k.conkey) - 1]) y(number)))
 ORDER BY 5 DESC, 1, 2 LIMIT 100
"""
_SCANNED = """
SELECT relname::text, seq_scan, seq_tup_read / seq_scan, coalesce(idx_scan, 0), n_live_tup
  FROM pg_stat_user_tables
 WHERE schemaname = %s AND seq_scan >= 50 AND seq_tup_read / seq_scan > %s AND seq_scan > coalesce(idx_scan, 0)
 ORDER BY seq_tup_read DESC LIMIT 50
"""
_UNUSED = """
SELECT s.relname::text, s.indexrelname::text, c.relpages::bigint * current_setting('block_size')::bigint,
       NOT i.indisvalid
  FROM pg_stat_user_indexes s JOIN pg_index i USING (indexrelid) JOIN pg_class c ON c.oid = s.indexrelid
 WHERE s.schemaname = %s
   AND (NOT i.indisvalid OR (s.idx_scan = 0 AND NOT i.indisunique AND NOT i.indisprimary AND NOT i.indisexclusion
        AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = s.indexrelid)))
 ORDER BY 3 DESC LIMIT 100
"""
_SINCE = """
SELECT extract(epoch FROM clock_timestamp() - coalesce(stats_reset, pg_postmaster_start_time()))::float8
  FROM pg_stat_database WHERE datname = current_database()
"""


def _ask(asked: Asked) -> Answer:
    ((since,),) = asked.session.rows(_SINCE)
    unused = asked.session.rows(_UNUSED, [asked.schema])
    seen: dict[str, Any] = {
        "statistics_seconds": since,
        "foreign_keys": [
            {
                "table": table,
                "constraint": name,
                "references": other,
                "columns": columns,
                "rows": rows,
                "mend": _create(asked.schema, table, columns),
            }
            for table, name, other, columns, rows in asked.session.rows(_FOREIGN_KEYS, [asked.schema])[:_SHOWN]
        ],
        "scanned": [
            {"table": table, "scans": scans, "rows_each": each, "index_scans": by_index, "rows": rows}
            for table, scans, each, by_index, rows in asked.session.rows(_SCANNED, [asked.schema, SCANNED_ROWS])[
                :_SHOWN
            ]
        ],
        "unused": [_index(row) for row in unused if not row[3]][:_SHOWN],
        "invalid": [_index(row) for row in unused if row[3]][:_SHOWN],
    }
    return Answer(seen=seen)


def _create(schema: str, table: str, columns: list[str]) -> str:
    names = ", ".join(_quoted(column) for column in columns)
    return f"CREATE INDEX CONCURRENTLY ON {_quoted(schema)}.{_quoted(table)} ({names});"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _index(row: tuple[Any, ...]) -> dict[str, Any]:
    return {"table": row[0], "index": row[1], "bytes": row[2]}


INDEXES = Probe("indexes", _ask, every=EVERY)
