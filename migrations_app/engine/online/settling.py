"""What can wait until the application works on PostgreSQL: nobody stands still for it."""

from __future__ import annotations

import random
from dataclasses import dataclass

from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed
from migrations_app.engine.load.existing import loaded_tables
from migrations_app.engine.online.facts import TAKEN_OVER
from migrations_app.engine.replay import obstacles, replication, target_fence
from migrations_app.engine.target.pg_names import qualified, quote
from migrations_app.engine.target.target import Cursor, application_name, cancelling, connect, rows, transaction
from migrations_app.engine.verify.compare_constraints import count_orphans
from migrations_app.engine.verify.differences import Difference

_TRIES = 5
_LOCK = "2s"  # for one attempt: a reader that holds a table for longer makes this fail, and it is tried again later


@dataclass(frozen=True)
class Settled:
    """`orphans`: rows without a parent by foreign key, which SQLite let in; such keys are NOT VALID now.

    `broken`: names of constraints that were put aside and that rows break: they came back NOT VALID.
    """

    orphans: tuple[Difference, ...]
    broken: tuple[str, ...]


def settle(pair: Pair, control: Control | None = None) -> Settled:
    """Take the idle fence away, look at the rows behind foreign keys again, and validate what waited for it.

    The applier goes past foreign keys, so a key may be called valid that isn't: it is made NOT VALID, which PostgreSQL
    enforces for every later write. Safe to repeat: where the application's own transactions take the tables in another
    order, we are the one who gives way. Raises Failed TARGET_LOCKED, TARGET_CONFLICT, PHASE_CHANGED; Cancelled.
    """
    control = control or Control()
    for _ in range(_TRIES):
        try:
            return _settle(pair, control)
        except Failed as error:
            if error.code != "TARGET_CONFLICT":
                raise
            control.stop.wait(random.uniform(0.02, 0.2))
            control.checkpoint()
    return _settle(pair, control)


def _settle(pair: Pair, control: Control) -> Settled:
    connection = connect(pair.url, application_name=application_name("settle", 0))
    try:
        with cancelling(connection, control):
            with transaction(connection, "taking the idle fence away") as cursor:
                cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK}'")
                replication.lock(cursor, pair, {TAKEN_OVER})
                target_fence.drop_fence(cursor, pair)
            with transaction(connection, "validating what was put back") as cursor:
                broken = obstacles.validate(cursor)
            with transaction(connection, "looking for rows without a parent") as cursor:
                orphans = count_orphans(cursor, pair.plan)
            for orphan in orphans:
                with transaction(connection, f"marking the foreign key {orphan.column} as not valid") as cursor:
                    cursor.execute(f"SET LOCAL lock_timeout = '{_LOCK}'")
                    _loosen(cursor, pair, orphan)
    finally:
        connection.close()
    return Settled(orphans, broken)


def _loosen(cursor: Cursor, pair: Pair, orphan: Difference) -> None:
    """The same key, name and comment, NOT VALID: PostgreSQL knows no other way there than making it anew."""
    target = next(each.target_name for each in loaded_tables(pair.plan) if each.name == orphan.table)
    table, name = qualified(pair.plan.target_schema, target), quote(orphan.column)
    found = rows(
        cursor,
        "SELECT pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint') FROM pg_constraint"
        " WHERE conrelid = %s::regclass AND conname = %s AND convalidated",
        (table, orphan.column),
    )
    for definition, comment in found:
        cursor.execute(f"ALTER TABLE {table} DROP CONSTRAINT {name}, ADD CONSTRAINT {name} {definition} NOT VALID")
        if comment is not None:
            cursor.execute(f"COMMENT ON CONSTRAINT {name} ON {table} IS %s", (comment,))
