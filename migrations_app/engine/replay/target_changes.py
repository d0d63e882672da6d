"""What changed on PostgreSQL, table by table, as its queue names it: keys with the rows that they have now.

Everything is read from one snapshot. Keys are compared as types do and by their printed text, since 1.0 and 1.00 are
equal as numbers and two keys in SQLite.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed
from migrations_app.engine.plan import MovePlan, TablePlan
from migrations_app.engine.target.copy_text import split
from migrations_app.engine.target.pg_names import literal, qualified, quote
from migrations_app.engine.target.target import Connection, Cursor, rows, scalar
from migrations_app.engine.verify.copy_out import LinesOut

# Types of which two values that are equal are printed alike.
_ONE_TEXT = ("smallint", "integer", "bigint", "uuid")

Texts = tuple[str | None, ...]


@dataclass(frozen=True)
class TableChanges:
    """`key`: the columns by the source's names; `types`: the target's, as SQL. `waiting`: rows of the queue.

    truncated: the whole table was emptied, so that every row that there is now came afterwards.
    """

    table: TablePlan
    key: tuple[str, ...]
    types: tuple[str, ...]
    waiting: int
    truncated: bool


def changed_tables(cursor: Cursor, plan: MovePlan) -> tuple[TableChanges, ...]:
    """The tables that the queue has rows of, in the plan's order.

    Raises Failed NOT_ARMED, QUEUE_NOT_OURS (rows of a table that the plan doesn't move, or that have no key).
    """
    if scalar(cursor, "SELECT to_regclass('causeway.changes')") is None:
        raise _not_armed("Changes of rows aren't recorded in the target.")
    watched = {
        (schema, name): (columns, types)
        for schema, name, columns, types in rows(
            cursor, "SELECT schema_name, table_name, key_columns, key_types FROM causeway.watched"
        )
    }
    counted = {
        (schema, name): (waiting, truncated, unkeyed)
        for schema, name, waiting, truncated, unkeyed in rows(
            cursor,
            "SELECT schema_name, table_name, count(*), bool_or(op = 'T'), bool_or(key IS NULL AND op <> 'T')"
            " FROM causeway.changes GROUP BY schema_name, table_name",
        )
    }
    found = []
    for table in plan.tables:
        place = (plan.target_schema, table.target_name)
        if not table.is_loaded:
            continue
        if place not in watched:
            raise _not_armed(f"Changes of table {table.target_name} aren't recorded in the target.")
        if place in counted:
            waiting, truncated, unkeyed = counted.pop(place)
            if unkeyed:
                raise _not_ours(f"rows of {table.target_name} without a key")
            columns, types = watched[place]
            names = {column.target_name: column.name for column in table.loaded_columns}
            key = tuple(names[column] for column in columns)
            found.append(TableChanges(table, key, tuple(types), waiting, truncated))
    if counted:
        raise _not_ours(f"rows of {next(iter(counted))[1]}, which the plan doesn't move")
    return tuple(found)


def _not_armed(message: str) -> Failed:
    return Failed("NOT_ARMED", message, "It is armed before the application starts on PostgreSQL.")


def _not_ours(what: str) -> Failed:
    return Failed(
        "QUEUE_NOT_OURS",
        f"PostgreSQL's record of changes holds {what}: they can't be brought to SQLite.",
        "Somebody else recorded them. Look at causeway.changes before anything is done.",
    )


class ChangeReader:
    """The keys and rows of one table that changed. Each call reads anew, inside the connection's transaction."""

    def __init__(self, connection: Connection, plan: MovePlan, changes: TableChanges, control: Control) -> None:
        self._connection, self._control = connection, control
        self._changes, self._schema = changes, plan.target_schema
        table = changes.table
        self._target = qualified(plan.target_schema, table.target_name)
        by_name = {column.name: column.target_name for column in table.loaded_columns}
        self._key = [quote(by_name[name]) for name in changes.key]
        self._columns = [quote(column.target_name) for column in table.loaded_columns]
        self._doing = f"reading what changed in {table.target_name}"

    def changed(self) -> Iterator[tuple[Texts, Texts | None]]:
        """(key, row as it is now), each key once; None for a row that is gone."""
        width = len(self._key)
        keys = [f"k{number}" for number in range(1, width + 1)]
        wanted = ", ".join(f"k.{name}" for name in keys) + f", t.{self._key[0]} IS NOT NULL, "
        wanted += ", ".join(f"t.{name}" for name in self._columns)
        dirty = (
            f"SELECT DISTINCT {', '.join(f'key[{number}] AS {name}' for number, name in enumerate(keys, start=1))}"
            f" FROM causeway.changes WHERE schema_name = {literal(self._schema)}"
            f" AND table_name = {literal(self._changes.table.target_name)} AND key IS NOT NULL"
        )
        sql = f"SELECT {wanted} FROM ({dirty}) k LEFT JOIN {self._target} t ON {self._same(keys)}"
        for cells in self._lines(sql):
            yield cells[:width], cells[width + 1 :] if cells[width] == "t" else None

    def _same(self, keys: Sequence[str]) -> str:
        parts = []
        for column, key, type_sql in zip(self._key, keys, self._changes.types, strict=True):
            parts.append(f"t.{column} = k.{key}::{type_sql}")
            if type_sql not in _ONE_TEXT:
                parts.append(f'format(\'%s\', t.{column}) COLLATE "C" = k.{key} COLLATE "C"')
        return " AND ".join(parts)

    def everything(self) -> Iterator[tuple[Texts, Texts]]:
        """(key, row) of each row that there is."""
        places = [self._columns.index(name) for name in self._key]
        for cells in self._lines(f"SELECT {', '.join(self._columns)} FROM {self._target}"):
            yield tuple(cells[place] for place in places), cells

    def _lines(self, sql: str) -> Iterator[Texts]:
        with LinesOut(self._connection, f"COPY ({sql}) TO STDOUT", self._control, self._doing) as lines:
            for line in lines:
                yield tuple(split(line.decode()))


def take_from_queue(cursor: Cursor) -> int:
    """Delete the queue's rows that the snapshot shows; how many there were."""
    cursor.execute("DELETE FROM causeway.changes")
    return int(cursor.rowcount)
