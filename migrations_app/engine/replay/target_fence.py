"""PostgreSQL's fence: while SQLite is live, nobody but the applier writes to the crossing's tables.

Triggers on every table that the crossing holds call one function, which raises SQLSTATE 25006
(read_only_sql_transaction): what an application meets on a standby, and no framework takes for a fault of its rows.
They fire for each statement, before it, TRUNCATE and statements that touch no row included, in the replica role, too,
which a subscription or a restore may write in. The applier passes by its setting.

Taking over must wait for nobody: taking a trigger away, or disabling it, needs a lock that a reader or autovacuum
holds up. So disarm_fence() replaces the function by one that does nothing, which every session sees with its next
statement, whatever its snapshot; drop_fence() takes the triggers away later.
"""

from __future__ import annotations

from migrations_app.engine.back.queue_triggers import NOT_THE_APPLIER, with_partitions
from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.errors import Failed
from migrations_app.engine.plan import SKIP
from migrations_app.engine.target.pg_names import LEDGER_SCHEMA, qualified
from migrations_app.engine.target.target import Connection, Cursor, rows, scalar, transaction

FENCE_TRIGGER = "causeway_fence"
SQLSTATE = "25006"

_FUNCTION = f"{LEDGER_SCHEMA}.fence()"
_CLOSED = f"""
    RAISE EXCEPTION USING ERRCODE = '{SQLSTATE}',
        MESSAGE = format('Table %I takes no writes here: the application runs on SQLite, this is its copy.',
                         TG_TABLE_NAME),
        HINT = 'Write through the application. The copy is closed until PostgreSQL takes over.';
"""
_PREPARE_LOCK = "50ms"  # for one table: a writer that holds it longer isn't worth waiting for


def prepare_fence(connection: Connection, pair: Pair) -> None:
    """Make the triggers, which do nothing yet, so that closing is quick. A table that is in use is left for later."""
    with transaction(connection, "preparing the fence") as cursor:
        if not is_there(cursor):
            _replace_function(cursor, "")
        missing = _missing(cursor, pair)
    for relation in missing:
        try:
            with transaction(connection, "preparing the fence") as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{_PREPARE_LOCK}'")
                cursor.execute(_trigger_sql(relation))
        except Failed as error:
            if error.code not in ("TARGET_LOCKED", "TARGET_CONFLICT"):
                raise


def arm_fence(cursor: Cursor, pair: Pair) -> None:
    """Close every table of the plan to all but the applier. Twice is once.

    A transaction that has written already isn't stopped: lock the tables first where there may be one.
    """
    cursor.execute(f"CREATE SCHEMA IF NOT EXISTS {LEDGER_SCHEMA}")
    _replace_function(cursor, _CLOSED)
    missing = _missing(cursor, pair)
    if missing:  # in one message: each answer takes its time to come
        cursor.execute("; ".join(map(_trigger_sql, missing)))


def _missing(cursor: Cursor, pair: Pair) -> list[str]:
    fenced = set(_fenced(cursor, "A"))
    return [relation for relation in _relations(cursor, pair) if relation not in fenced]


def _trigger_sql(relation: str) -> str:
    return (
        f"CREATE OR REPLACE TRIGGER {FENCE_TRIGGER} BEFORE INSERT OR UPDATE OR DELETE OR TRUNCATE ON {relation}"
        f" FOR EACH STATEMENT WHEN ({NOT_THE_APPLIER}) EXECUTE FUNCTION {_FUNCTION};"
        f" ALTER TABLE ONLY {relation} ENABLE ALWAYS TRIGGER {FENCE_TRIGGER}"
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


def _relations(cursor: Cursor, pair: Pair) -> list[str]:
    schema, tables = pair.plan.target_schema, pair.plan.tables
    return with_partitions(cursor, [qualified(schema, each.target_name) for each in tables if each.rule != SKIP])


def _fenced(cursor: Cursor, enabled: str = "") -> list[str]:
    """The relations that have the trigger. enabled: those alone in which it stands so, as pg_trigger.tgenabled."""
    found = rows(
        cursor,
        "SELECT n.nspname::text, c.relname::text, t.tgenabled::text FROM pg_trigger t"
        " JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE t.tgname = %s AND t.tgfoid = to_regprocedure(%s) AND NOT t.tgisinternal",
        (FENCE_TRIGGER, _FUNCTION),
    )
    return [qualified(schema, table) for schema, table, state in found if not enabled or state == enabled]
