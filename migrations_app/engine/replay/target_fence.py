"""PostgreSQL's fence: while SQLite is live, nobody but the applier writes to the crossing's tables.

Triggers on every table that the crossing holds call one function, which raises SQLSTATE 25006
(read_only_sql_transaction): what an application meets on a standby, and no framework takes for a fault of its rows.
They fire for each statement, before it, TRUNCATE and statements that touch no row included. The applier passes: normal
triggers don't fire in the replica role, and where it may not take that role, the triggers look for its setting.

Taking over must wait for nobody: taking a trigger away, or disabling it, needs a lock that a reader or autovacuum
holds up. So disarm_fence() replaces the function by one that does nothing, which every session sees with its next
statement, whatever its snapshot; drop_fence() takes the triggers away later.
"""

from __future__ import annotations

from collections.abc import Iterator

from migrations_app.engine.back.queue_triggers import NOT_THE_APPLIER
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.plan import SKIP
from migrations_app.engine.target.pg_names import LEDGER_SCHEMA, qualified, quote
from migrations_app.engine.target.target import Cursor, rows, scalar

FENCE_TRIGGER = "causeway_fence"
SQLSTATE = "25006"

_FUNCTION = f"{LEDGER_SCHEMA}.fence()"
_CLOSED = f"""
    RAISE EXCEPTION USING ERRCODE = '{SQLSTATE}',
        MESSAGE = format('Table %I takes no writes here: the application runs on SQLite, this is its copy.',
                         TG_TABLE_NAME),
        HINT = 'Write through the application. The copy is closed until PostgreSQL takes over.';
"""
_KINDS = ("r", "p")


def arm_fence(cursor: Cursor, pair: Pair) -> None:
    """Close every table of the plan to all but the applier. Twice is once.

    A transaction that has written already isn't stopped: lock the tables first where there may be one.
    """
    cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {LEDGER_SCHEMA}")
    _replace_function(cursor, _CLOSED)
    fenced = set(_fenced(cursor))
    for relation in _relations(cursor, pair):
        if relation not in fenced:
            cursor.execute(
                f"CREATE OR REPLACE TRIGGER {FENCE_TRIGGER} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {relation}"
                f" FOR EACH STATEMENT WHEN ({NOT_THE_APPLIER}) EXECUTE FUNCTION {_FUNCTION}"
            )


def disarm_fence(cursor: Cursor, pair: Pair) -> None:
    """Open the tables: PostgreSQL takes over. Takes no lock on any of them; triggers stay, and do nothing."""
    if is_there(cursor):
        _replace_function(cursor, "")


def drop_fence(cursor: Cursor, pair: Pair) -> None:
    """Take the triggers and their function away. Waits for whoever uses a table, as long as lock_timeout says."""
    for relation in _fenced(cursor):
        cursor.execute(f"DROP TRIGGER IF EXISTS {FENCE_TRIGGER} ON {relation}")
    cursor.execute(f"DROP FUNCTION IF EXISTS {_FUNCTION}")


def is_there(cursor: Cursor) -> bool:
    """Whether the fence has been made, closed or open."""
    return scalar(cursor, "SELECT to_regprocedure(%s)", (_FUNCTION,)) is not None


def _replace_function(cursor: Cursor, body: str) -> None:
    cursor.execute(
        f"CREATE OR REPLACE FUNCTION {_FUNCTION} RETURNS trigger LANGUAGE plpgsql"
        f" SET search_path = pg_catalog, pg_temp AS $causeway$BEGIN {body} RETURN NULL; END$causeway$"
    )
    cursor.execute(f"REVOKE ALL ON FUNCTION {_FUNCTION} FROM PUBLIC")


def _relations(cursor: Cursor, pair: Pair) -> Iterator[str]:
    """The plan's tables as they are in the target, qualified; of a partitioned one its partitions, too, since a
    statement on a partition doesn't fire its parent's triggers."""
    for table in pair.plan.tables:
        if table.rule == SKIP:
            continue
        found = rows(
            cursor,
            "SELECT n.nspname::text, c.relname::text FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
            ' WHERE c.relkind = ANY(%s::"char"[]) AND (c.oid = to_regclass(%s)'
            " OR c.oid IN (SELECT relid FROM pg_partition_tree(to_regclass(%s))))",
            (list(_KINDS), *[qualified(pair.plan.target_schema, table.target_name)] * 2),
        )
        yield from (qualified(*each) for each in found)


def _fenced(cursor: Cursor) -> list[str]:
    found = rows(
        cursor,
        "SELECT n.nspname::text, c.relname::text FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid"
        " JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE t.tgname = %s AND t.tgfoid = to_regprocedure(%s) AND NOT t.tgisinternal",
        (FENCE_TRIGGER, _FUNCTION),
    )
    return [f"{quote(schema)}.{quote(table)}" for schema, table in found]
