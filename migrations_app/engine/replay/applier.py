"""What the applier may do in the target, and what it does at the start of each of its transactions.

Rows are taken away and put back as a whole, so nothing may answer to that: no foreign key may cascade, no trigger fire.
With session_replication_role = replica PostgreSQL sees to it; that setting needs a right (15 and later can grant it).
Without the right the foreign keys must be gone meanwhile, and our own triggers look at the setting causeway.applier.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg2

from migrations_app.engine.errors import Refused
from migrations_app.engine.plan import MODE_CREATE, MovePlan
from migrations_app.engine.target.pg_names import quote
from migrations_app.engine.target.target import Cursor, connect, rows, scalar, transaction
from migrations_app.engine.target.target_url import TargetUrl

SETTING = "causeway.applier"
_SHOWN = 5


@dataclass(frozen=True)
class ApplierRight:
    """`grant`: the statement that an administrator gives the right with."""

    granted: bool
    role: str

    @property
    def grant(self) -> str:
        return f"GRANT SET ON PARAMETER session_replication_role TO {quote(self.role)};"


def applier_right(url: TargetUrl) -> ApplierRight:
    """Tries it, changes nothing. Raises what connect() raises."""
    connection = connect(url, application_name="causeway:applier:0")
    try:
        with transaction(connection, "asking for the applier's right") as cursor:
            return right_of(cursor)
    finally:
        connection.close()


def right_of(cursor: Cursor) -> ApplierRight:
    """Of the session's role, in its transaction, which goes on as it was."""
    role = str(scalar(cursor, "SELECT current_user"))
    cursor.execute("SAVEPOINT applier_right")
    try:
        cursor.execute("SET LOCAL session_replication_role = replica")
    except psycopg2.errors.InsufficientPrivilege:
        return ApplierRight(False, role)
    finally:
        cursor.execute("ROLLBACK TO SAVEPOINT applier_right")
        cursor.execute("RELEASE SAVEPOINT applier_right")
    return ApplierRight(True, role)


def become_applier(cursor: Cursor, right: ApplierRight) -> None:
    """For the rest of the transaction: no trigger of the application fires, no foreign key acts, no fence refuses."""
    cursor.execute(f"SET LOCAL {SETTING} = 'on'")
    if right.granted:
        cursor.execute("SET LOCAL session_replication_role = replica")


def refuse_obstacles(cursor: Cursor, plan: MovePlan, right: ApplierRight) -> None:
    """Without the right: only in mode create, and only while nothing in the target answers to what we write.

    Raises Refused ONLINE_NO_APPLIER_RIGHT, with the GRANT.
    """
    if right.granted:
        return
    if plan.mode != MODE_CREATE:
        raise _no_right(right, "the application's own triggers and foreign keys would act on what is brought over")
    standing = _standing(cursor, plan)
    if standing:
        names = ", ".join(standing[:_SHOWN])
        raise _no_right(right, f"foreign keys and triggers stand in the way ({names})")


def _standing(cursor: Cursor, plan: MovePlan) -> list[str]:
    """Foreign keys and triggers of the loaded tables, but for our own triggers."""
    found = rows(
        cursor,
        """SELECT format('%%I.%%I', c.relname, o.conname)
             FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_class p ON p.oid = o.confrelid
             JOIN pg_namespace n ON n.oid = c.relnamespace JOIN pg_namespace m ON m.oid = p.relnamespace
            WHERE o.contype = 'f' AND (n.nspname = %(schema)s AND c.relname = ANY(%(tables)s)
                                       OR m.nspname = %(schema)s AND p.relname = ANY(%(tables)s))
           UNION ALL
           SELECT format('%%I.%%I', c.relname, t.tgname)
             FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE NOT t.tgisinternal AND t.tgname NOT LIKE 'causeway\\_%%' AND t.tgenabled <> 'D'
              AND n.nspname = %(schema)s AND c.relname = ANY(%(tables)s)
            ORDER BY 1""",
        {"schema": plan.target_schema, "tables": [t.target_name for t in plan.tables if t.is_loaded]},  # type: ignore[arg-type]
    )
    return [str(row[0]) for row in found]


def _no_right(right: ApplierRight, why: str) -> Refused:
    return Refused(
        "ONLINE_NO_APPLIER_RIGHT",
        f"The role {right.role} may not set session_replication_role in the target, and {why}.",
        f"Run, by an administrator: {right.grant}",
    )
