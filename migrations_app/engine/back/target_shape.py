"""The target as it was when its changes began to be recorded: its tables and columns, and the triggers that record.

What a schema migration makes there afterwards has no place in SQLite, and rows of a new table aren't even recorded. Nor
are rows that are written while a trigger is away or switched off, or that come and go with a partition. A way back
would lose them without a word, so each of it ends the way back. Indexes and constraints may come and go.
"""

from __future__ import annotations

import json
from typing import Any

from migrations_app.engine.errors import Failed
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.target.target import Cursor, rows, scalar

ROW_TRIGGER, TRUNCATE_TRIGGER = "causeway_changes", "causeway_truncates"

# Reasons for which nobody knows how many rows can't come back.
UNCOUNTED = frozenset({"TARGET_MIGRATED", "CHANGES_UNRECORDED"})

_TABLE = "causeway.shape"
_COLUMNS = """
SELECT c.relname::text, coalesce(string_agg(format('%%I %%s', a.attname, format_type(a.atttypid, a.atttypmod)), ', '
                                            ORDER BY a.attname COLLATE "C"), '')
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition
   AND NOT EXISTS (SELECT 1 FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 GROUP BY c.relname
"""
# Each watched table with all that inherits from it, partitions or not, and how their triggers of ours stand: a trigger
# that was switched off and on again, or made anew, is another row of the catalog (xmin).
_RECORDED = """
WITH RECURSIVE watched AS (
    SELECT w.table_name AS root, c.oid AS relation
      FROM causeway.watched w JOIN pg_namespace n ON n.nspname = w.schema_name
      JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = w.table_name
     WHERE w.schema_name = %s
    UNION ALL
    SELECT watched.root, i.inhrelid FROM watched JOIN pg_inherits i ON i.inhparent = watched.relation
)
SELECT root, json_agg(relation::bigint ORDER BY relation)::text,
       json_agg((SELECT string_agg(format('%%s %%s %%s', t.tgname, t.tgenabled, t.xmin), ', ' ORDER BY t.tgname)
                   FROM pg_trigger t WHERE t.tgrelid = relation AND t.tgname IN (%s, %s)) ORDER BY relation)::text
  FROM watched GROUP BY root
"""


def remember_shape(cursor: Cursor, plan: MovePlan) -> None:
    """As it is now; what was remembered before is forgotten."""
    cursor.execute(f"CREATE TABLE IF NOT EXISTS {_TABLE} (tables text NOT NULL)")
    cursor.execute(f"DELETE FROM {_TABLE}")
    cursor.execute(f"INSERT INTO {_TABLE} (tables) VALUES (%s)", (json.dumps(_shape(cursor, plan)),))


def check_shape(cursor: Cursor, plan: MovePlan) -> None:
    """Raises Failed TARGET_MIGRATED, CHANGES_UNRECORDED or NOT_ARMED, which name the first table.

    A crossing that an earlier version armed has nothing remembered. It isn't stranded for that: what is there now is
    remembered, and changes are told from then on.
    """
    before = _remembered(cursor)
    if before is None:
        remember_shape(cursor, plan)
        return
    now = _shape(cursor, plan)
    _compare_columns(before["columns"], now["columns"])
    for name, (relations, triggers) in before["recorded"].items():
        found = now["recorded"].get(name)
        if found is None:
            raise Failed(
                "NOT_ARMED",
                f"Changes of table {name} aren't recorded in the target any more.",
                "Somebody else took it out of causeway.watched. The way back without loss has ended.",
            )
        if found[0] != relations:
            raise _changed(f"{name} was made anew, or has other partitions")
        if found[1] != triggers:
            raise Failed(
                "CHANGES_UNRECORDED",
                f"The triggers that record changes of the target's table {name} were removed or switched off, if only"
                " for a while: what was written meanwhile isn't known, and would be missing in SQLite.",
                "Find out who did it (a load with DISABLE TRIGGER does). The way back without loss has ended.",
            )


def forget_shape(cursor: Cursor) -> None:
    cursor.execute(f"DROP TABLE IF EXISTS {_TABLE}")


def _compare_columns(before: dict[str, str], now: dict[str, str]) -> None:
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            what = "was made" if name not in before else "is gone" if name not in now else "has other columns"
            raise _changed(f"{name} {what}")


def _changed(what: str) -> Failed:
    return Failed(
        "TARGET_MIGRATED",
        f"The target's table {what} since the application works on PostgreSQL: SQLite has no place for what is kept"
        " there, or it isn't recorded.",
        "Take that schema migration back on PostgreSQL, and rows flow again; else the way back without loss has ended.",
    )


def _remembered(cursor: Cursor) -> dict[str, Any] | None:
    if scalar(cursor, f"SELECT to_regclass('{_TABLE}')") is None:
        return None
    found = rows(cursor, f"SELECT tables FROM {_TABLE}")
    return dict(json.loads(found[0][0])) if found else None


def _shape(cursor: Cursor, plan: MovePlan) -> dict[str, Any]:
    columns = {str(name): str(each) for name, each in rows(cursor, _COLUMNS, (plan.target_schema,))}
    found = rows(cursor, _RECORDED, (plan.target_schema, ROW_TRIGGER, TRUNCATE_TRIGGER))
    return {
        "columns": columns,
        "recorded": {str(name): [json.loads(oids), json.loads(triggers)] for name, oids, triggers in found},
    }
