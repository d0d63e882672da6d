"""Constraints of the target that can't stand while rows are brought over one state after the other.

Foreign keys, where the applier has no right to put them to sleep: taking a row away to put it back would cascade. And
CHECKs against which a choice accepted rows: NOT VALID lets old rows be, yet refuses the same row when it comes again.
They are dropped and written down in one transaction, in schema `causeway`; put_back() brings them NOT VALID, which
looks at no row and so doesn't keep the application waiting; validate() does the looking, when it is up.
"""

from __future__ import annotations

from dataclasses import dataclass

import psycopg2

from migrations_app.engine.capture.pair import Pair
from migrations_app.engine.load.existing import not_valid_keys
from migrations_app.engine.replay.applier import right_of
from migrations_app.engine.target.pg_names import literal, qualified, quote
from migrations_app.engine.target.target import Cursor, rows, scalar

_NOT_VALID = " NOT VALID"
_CREATE = """
CREATE SCHEMA IF NOT EXISTS causeway;
CREATE TABLE IF NOT EXISTS causeway.aside (
    schema_name text NOT NULL, table_name text NOT NULL, name text NOT NULL,
    kind "char" NOT NULL, definition text NOT NULL, comment text, validated boolean NOT NULL, standing boolean NOT NULL,
    PRIMARY KEY (schema_name, table_name, name)
);
"""


@dataclass(frozen=True)
class Aside:
    """A constraint that was put aside. `standing`: it is back, and (if it was `validated` before) not validated yet."""

    schema: str
    table: str
    name: str
    kind: str  # 'f' foreign key, 'c' CHECK
    definition: str
    comment: str | None
    validated: bool
    standing: bool

    @property
    def on(self) -> str:
        return qualified(self.schema, self.table)


def put_aside(cursor: Cursor, pair: Pair) -> tuple[Aside, ...]:
    """Drop what is in the way, once it is written down; what stands aside by now. Raises psycopg2.Error."""
    cursor.execute(_CREATE)
    keys = not right_of(cursor).granted
    loose = not_valid_keys(pair.plan)
    tables = [table.target_name for table in pair.plan.tables if table.is_loaded]
    for row in rows(cursor, _FIND, (pair.plan.target_schema, tables, pair.plan.target_schema, tables)):
        each = Aside(*row)
        if (each.kind == "f" and keys) or (each.kind == "c" and (each.table, each.name) in loose):
            cursor.execute(f"ALTER TABLE {each.on} DROP CONSTRAINT {quote(each.name)}")
            cursor.execute(_SAVE, row)
    return tuple(each for each in aside(cursor) if not each.standing)


_FIND = """
SELECT n.nspname::text, c.relname::text, o.conname::text, o.contype::text, pg_get_constraintdef(o.oid),
       obj_description(o.oid, 'pg_constraint'), o.convalidated, false
  FROM pg_constraint o JOIN pg_class c ON c.oid = o.conrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  LEFT JOIN pg_class p ON p.oid = o.confrelid LEFT JOIN pg_namespace m ON m.oid = p.relnamespace
 WHERE o.contype IN ('f', 'c') AND o.conparentid = 0
   AND (n.nspname = %s AND c.relname = ANY(%s) OR m.nspname = %s AND p.relname = ANY(%s))
 ORDER BY 1, 2, 3
"""
# One that was put back and hasn't been validated since was valid before.
_SAVE = """
INSERT INTO causeway.aside AS old VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (schema_name, table_name, name) DO UPDATE SET definition = excluded.definition,
    comment = excluded.comment, validated = old.validated OR excluded.validated, standing = false
"""


def aside(cursor: Cursor) -> tuple[Aside, ...]:
    """What is written down, `standing` or not."""
    if scalar(cursor, "SELECT to_regclass('causeway.aside')") is None:
        return ()
    found = rows(
        cursor,
        "SELECT schema_name, table_name, name, kind::text, definition, comment, validated, standing"
        " FROM causeway.aside ORDER BY 1, 2, 3",
    )
    return tuple(Aside(*row) for row in found)


def put_back(cursor: Cursor) -> tuple[str, ...]:
    """Everything that stands aside, NOT VALID: no row is looked at. Gives the constraints' names. Twice is once.

    Raises psycopg2.Error: LockNotAvailable where another session holds one of the tables.
    """
    found = [each for each in aside(cursor) if not each.standing]
    for each in found:
        definition = each.definition.removesuffix(_NOT_VALID) + _NOT_VALID
        cursor.execute(f"ALTER TABLE {each.on} ADD CONSTRAINT {quote(each.name)} {definition}")
        if each.comment:
            cursor.execute(f"COMMENT ON CONSTRAINT {quote(each.name)} ON {each.on} IS {literal(each.comment)}")
    if found:
        cursor.execute("UPDATE causeway.aside SET standing = true")
    return tuple(each.name for each in found)


def validate(cursor: Cursor) -> tuple[str, ...]:
    """Look at the rows behind each constraint that had been validated; writers go on meanwhile.

    Gives the names of those that rows break: they stay NOT VALID, and written down. Raises psycopg2.Error.
    """
    broken = []
    for each in aside(cursor):
        if not each.standing:
            continue
        if each.validated and not _validated(cursor, each):
            broken.append(each.name)
            continue
        same = (each.schema, each.table, each.name)
        cursor.execute("DELETE FROM causeway.aside WHERE (schema_name, table_name, name) = (%s, %s, %s)", same)
    return tuple(broken)


def _validated(cursor: Cursor, each: Aside) -> bool:
    cursor.execute("SAVEPOINT validating")
    try:
        cursor.execute(f"ALTER TABLE {each.on} VALIDATE CONSTRAINT {quote(each.name)}")
    except (psycopg2.errors.ForeignKeyViolation, psycopg2.errors.CheckViolation):
        cursor.execute("ROLLBACK TO SAVEPOINT validating")
        return False
    return True


def forget(cursor: Cursor) -> None:
    """The end of the crossing, once everything is back."""
    cursor.execute("DROP TABLE IF EXISTS causeway.aside")
