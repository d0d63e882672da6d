"""Tables and columns of the target as they were when its changes began to be recorded.

What a schema migration makes there afterwards has no place in SQLite, and rows of a new table aren't even recorded: a
way back would lose them without a word. Constraints and partitions may come and go.
"""

from __future__ import annotations

import json

from migrations_app.engine.errors import Failed
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.target.target import Cursor, rows, scalar

_TABLE = "causeway.shape"
_NOW = """
SELECT c.relname::text, coalesce(string_agg(format('%%I %%s', a.attname, format_type(a.atttypid, a.atttypmod)), ', '
                                            ORDER BY a.attname COLLATE "C"), '')
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
 WHERE n.nspname = %s AND c.relkind IN ('r', 'p', 'f') AND NOT c.relispartition
   AND NOT EXISTS (SELECT 1 FROM pg_depend d
                    WHERE d.classid = 'pg_class'::regclass AND d.objid = c.oid AND d.deptype = 'e')
 GROUP BY c.relname
"""


def remember_shape(cursor: Cursor, plan: MovePlan) -> None:
    """As it is now; what was remembered before is forgotten."""
    cursor.execute(f"CREATE TABLE IF NOT EXISTS {_TABLE} (tables text NOT NULL)")
    cursor.execute(f"DELETE FROM {_TABLE}")
    cursor.execute(f"INSERT INTO {_TABLE} (tables) VALUES (%s)", (json.dumps(_shape(cursor, plan)),))


def check_shape(cursor: Cursor, plan: MovePlan) -> None:
    """Raises Failed TARGET_SCHEMA_CHANGED, which names the first table; NOT_ARMED where nothing is remembered."""
    found = rows(cursor, f"SELECT tables FROM {_TABLE}") if _is_there(cursor) else []
    if not found:
        raise Failed(
            "NOT_ARMED",
            "How the target's tables looked before isn't recorded.",
            "It is armed before the application starts on PostgreSQL.",
        )
    before, now = json.loads(found[0][0]), _shape(cursor, plan)
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            what = "was made" if name not in before else "is gone" if name not in now else "has other columns"
            raise Failed(
                "TARGET_SCHEMA_CHANGED",
                f"The target's table {name} {what} since the application works on PostgreSQL: SQLite has no place for"
                " what is kept there.",
                "Take that schema migration back on PostgreSQL, and rows flow again; else the way back without loss"
                " has ended.",
            )


def forget_shape(cursor: Cursor) -> None:
    cursor.execute(f"DROP TABLE IF EXISTS {_TABLE}")


def _is_there(cursor: Cursor) -> bool:
    return scalar(cursor, f"SELECT to_regclass('{_TABLE}')") is not None


def _shape(cursor: Cursor, plan: MovePlan) -> dict[str, str]:
    return {str(name): str(columns) for name, columns in rows(cursor, _NOW, (plan.target_schema,))}
