"""An application on PostgreSQL that changes any tables at random, in every way that rows can change there.

New values are taken from rows of the same column, or made of its key, so that a way back exists for them. What
PostgreSQL refuses is taken back.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import psycopg2

from migrations_app.engine.plan import MovePlan, TablePlan
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.random_databases import quote

_NUMBERS = ("bigint", "integer", "smallint", "numeric", "double precision")


@dataclass(frozen=True)
class _Table:
    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    types: dict[str, str]

    @property
    def rest(self) -> tuple[str, ...]:
        return tuple(column for column in self.columns if column not in self.key)


def _table(schema: str, table: TablePlan, key: Sequence[str]) -> _Table:
    names = {column.name: column.target_name for column in table.loaded_columns}
    return _Table(
        f"{quote(schema)}.{quote(table.target_name)}",
        tuple(map(quote, names.values())),
        tuple(quote(names[name]) for name in key),
        {quote(column.target_name): column.target_type for column in table.loaded_columns},
    )


class Writers:
    """Two sessions whose transactions overlap, and end in any order. `truncated`: tables that were emptied."""

    def __init__(self, url: TargetUrl, plan: MovePlan, keys: Mapping[str, Sequence[str]], seed: int) -> None:
        self.random = random.Random(seed)
        self._tables = {t.name: _table(plan.target_schema, t, keys[t.name]) for t in plan.tables if t.is_loaded}
        self._sessions = [psycopg2.connect(**url.connect_arguments()) for _ in range(2)]
        self.truncated: set[str] = set()
        for session in self._sessions:
            with session.cursor() as cursor:  # one that waits for the other's lock gives way
                cursor.execute("SET lock_timeout = '20ms'")
            session.commit()
        self._ways: tuple[Callable[[_Table], str], ...] = (
            self._update,
            self._update,
            self._insert,
            self._insert,
            self._upsert,
            self._move_key,
            self._delete,
            self._swap,
        )

    def work(self, statements: int) -> None:
        for _ in range(statements):
            session = self.random.choice(self._sessions)
            self._one(session)
            if self.random.random() < 0.3:
                self._end(session)

    def _one(self, session: psycopg2.extensions.connection) -> None:
        name = self.random.choice(sorted(self._tables))
        emptied = self.random.random() < 0.03
        sql = f"TRUNCATE {self._tables[name].name} CASCADE" if emptied else self._choice()(self._tables[name])
        with session.cursor() as cursor:
            cursor.execute("SAVEPOINT one")
            try:
                cursor.execute(sql)
            except psycopg2.Error:
                cursor.execute("ROLLBACK TO SAVEPOINT one")
                return
        if emptied:
            self.truncated |= set(self._tables)  # CASCADE

    def _choice(self) -> Callable[[_Table], str]:
        return self.random.choice(self._ways)

    def _end(self, session: psycopg2.extensions.connection) -> None:
        with contextlib.suppress(psycopg2.Error):  # a deferred constraint
            session.commit() if self.random.random() < 0.8 else session.rollback()

    def finish(self) -> None:
        for session in self._sessions:
            with contextlib.suppress(psycopg2.Error):
                session.commit()
            session.close()

    # Statements

    def _some(self, table: _Table) -> str:
        """A condition that is true of one row, or of some."""
        first = ", ".join(table.key)
        pick = f"SELECT {first} FROM {table.name} ORDER BY md5(({first})::text || '{self.random.random()}')"
        return f"({first}) IN ({pick} LIMIT {self.random.randint(1, 3)})"

    def _other(self, table: _Table, column: str) -> str:
        """The value of that column in some row."""
        pick = f"md5(ctid::text || '{self.random.random()}')"
        return f"(SELECT {column} FROM {table.name} ORDER BY {pick} LIMIT 1)"

    def _fresh(self, table: _Table, column: str, row: str) -> str:
        """A value for a key that is likely to be new."""
        kind = table.types[column]
        if kind in _NUMBERS:
            return f"{row}{column} + {self.random.randint(1, 9)}"
        return f"{row}{column} || '{self.random.choice('xyz')}'" if kind == "text" else f"{row}{column}"

    def _update(self, table: _Table) -> str:
        column = self.random.choice(table.rest or table.columns)
        return f"UPDATE {table.name} SET {column} = {self._other(table, column)} WHERE {self._some(table)}"

    def _insert(self, table: _Table) -> str:
        return f"INSERT INTO {table.name} ({', '.join(table.columns)}) {self._copies(table)}"

    def _copies(self, table: _Table) -> str:
        values = [self._fresh(table, c, "s.") if c in table.key else f"s.{c}" for c in table.columns]
        return f"SELECT {', '.join(values)} FROM {table.name} s WHERE {self._some(table)}"

    def _upsert(self, table: _Table) -> str:
        column = self.random.choice(table.columns)
        action = f"({', '.join(table.key)}) DO UPDATE SET {column} = EXCLUDED.{column}"
        return f"{self._insert(table)} ON CONFLICT {self.random.choice(('DO NOTHING', action))}"

    def _move_key(self, table: _Table) -> str:
        column = self.random.choice(table.key)
        return f"UPDATE {table.name} SET {column} = {self._fresh(table, column, '')} WHERE {self._some(table)}"

    def _delete(self, table: _Table) -> str:
        return f"DELETE FROM {table.name} WHERE {self._some(table)}"

    def _swap(self, table: _Table) -> str:
        """Rows change places: gone and come again with each other's values."""
        column = self.random.choice(table.columns)
        rest = ", ".join(f"g.{c}" for c in table.columns if c != column)
        listed = ", ".join(c for c in table.columns if c != column)
        return (
            f"WITH g AS (DELETE FROM {table.name} WHERE {self._some(table)} RETURNING *)"
            f" INSERT INTO {table.name} ({', '.join(filter(None, (listed, column)))})"
            f" SELECT {', '.join(filter(None, (rest, f'g.{column}')))} FROM g"
        )
