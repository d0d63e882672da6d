"""What of a SQLite file is in a PostgreSQL database, whoever loaded it: counted and compared by one rule for all."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import sql

from bench.cases import canonical, source_facts
from bench.cases.source_facts import SourceFacts, Table, Unreadable
from controlplane.embedded import EmbeddedPostgres

_RELATIONS = """SELECT c.relname, c.oid, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                 WHERE n.nspname = 'public' AND c.relkind IN ('r', 'v', 'm')"""
_COLUMNS = """SELECT attname, format_type(atttypid, atttypmod), attnotnull FROM pg_attribute
               WHERE attrelid = %s AND attnum > 0 AND NOT attisdropped ORDER BY attnum"""
_INDEXES = "SELECT count(*) FROM pg_index WHERE indrelid = %s AND NOT indisprimary"
_FOREIGN_KEYS = "SELECT count(*) FROM pg_constraint WHERE conrelid = %s AND contype = 'f'"
# The sequence behind a column, owned by it or only named in its default.
_SEQUENCE = """SELECT d.refobjid::regclass::text FROM pg_depend d
                 JOIN pg_class s ON s.oid = d.refobjid AND s.relkind = 'S'
                 JOIN pg_attrdef f ON f.oid = d.objid AND d.classid = 'pg_attrdef'::regclass
                 JOIN pg_attribute a ON a.attrelid = f.adrelid AND a.attnum = f.adnum
                WHERE f.adrelid = %(table)s AND a.attname = %(column)s
               UNION SELECT d.objid::regclass::text FROM pg_depend d
                 JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
                 JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
                WHERE d.refobjid = %(table)s AND a.attname = %(column)s AND a.attidentity <> ''"""
_LARGEST = 2**63 - 1


@dataclass(frozen=True)
class Kept:
    """How many of the source's are there."""

    source: int = 0
    kept: int = 0

    def __add__(self, other: Kept) -> Kept:
        return Kept(self.source + other.source, self.kept + other.kept)


@dataclass
class Arrival:
    """`rows`: of the source, and how many of them are there, table by table. `unread`: tables SQLite couldn't give."""

    tables: Kept = field(default_factory=Kept)
    rows: Kept = field(default_factory=Kept)
    cells: int = 0
    changed: int = 0
    not_nulls: Kept = field(default_factory=Kept)
    indexes: Kept = field(default_factory=Kept)
    foreign_keys: Kept = field(default_factory=Kept)
    sequences: Kept = field(default_factory=Kept)
    views: Kept = field(default_factory=Kept)
    changed_in: list[str] = field(default_factory=list)  # table.column, as far as known


def compare(
    server: EmbeddedPostgres, database: str, source: Path, names: Mapping[str, str], fold: Callable[[str], str]
) -> Arrival:
    """Compare a scratch copy with a database. `names`: the target's table by the source's, where the tool says it;
    `fold`: what the tool does to any other name. Raises Unreadable."""
    connection = psycopg2.connect(server.url(database))
    try:
        with source_facts.opened(source) as file, connection.cursor() as cursor:
            cursor.execute("SET TimeZone = 'UTC'; SET DateStyle = 'ISO, YMD'; SET bytea_output = 'hex'")
            return _Comparison(file, cursor, names, fold).arrival(source_facts.read_facts(file))
    finally:
        connection.close()


class _Comparison:
    def __init__(self, file: Any, cursor: Any, names: Mapping[str, str], fold: Callable[[str], str]) -> None:
        self.file, self.cursor, self.names, self.fold = file, cursor, names, fold
        cursor.execute(_RELATIONS)
        found = cursor.fetchall()
        self.tables = {name: oid for name, oid, kind in found if kind == "r"}
        self.views = sum(kind in "vm" for _name, _oid, kind in found)

    def arrival(self, facts: SourceFacts) -> Arrival:
        arrival = Arrival(views=Kept(facts.views, min(facts.views, self.views)))
        for table in facts.tables:
            self._add(arrival, table)
        return arrival

    def _find(self, table: Table) -> str | None:
        candidates = (self.names.get(table.name), table.name, self.fold(table.name))
        return next((name for name in candidates if name in self.tables), None)

    def _add(self, arrival: Arrival, table: Table) -> None:
        target = self._find(table)
        arrival.tables += Kept(1, int(target is not None))
        if target is None:
            arrival.rows += Kept(table.rows, 0)
            arrival.not_nulls += Kept(len(table.not_null))
            arrival.indexes += Kept(table.indexes)
            arrival.foreign_keys += Kept(table.foreign_keys)
            arrival.sequences += Kept(int(table.counter is not None))
            return
        oid = self.tables[target]
        columns = self._columns(table, oid)
        self._count_objects(arrival, table, oid, columns)
        self._compare_cells(arrival, table, target, columns)

    def _columns(self, table: Table, oid: int) -> list[tuple[str, str, bool] | None]:
        """The target's column for each of the source's: by place where there are as many, else by name."""
        self.cursor.execute(_COLUMNS, (oid,))
        there = self.cursor.fetchall()
        if len(there) == len(table.columns):
            return list(there)
        by_name = {column[0]: column for column in there}
        return [by_name.get(name) or by_name.get(self.fold(name)) for name in table.columns]

    def _count_objects(
        self, arrival: Arrival, table: Table, oid: int, columns: list[tuple[str, str, bool] | None]
    ) -> None:
        pairs = list(zip(table.columns, columns, strict=True))
        kept = sum(bool(column and column[2]) for name, column in pairs if name in table.not_null)
        arrival.not_nulls += Kept(len(table.not_null), kept)
        arrival.indexes += Kept(table.indexes, min(table.indexes, self._number(_INDEXES, oid)))
        arrival.foreign_keys += Kept(table.foreign_keys, min(table.foreign_keys, self._number(_FOREIGN_KEYS, oid)))
        if table.counter is not None:
            column = dict(pairs)[table.counter]
            arrival.sequences += Kept(1, int(column is not None and self._goes_on(oid, column[0], table.highest)))

    def _number(self, statement: str, oid: int) -> int:
        self.cursor.execute(statement, (oid,))
        found: int = self.cursor.fetchone()[0]
        return found

    def _goes_on(self, oid: int, column: str, highest: int) -> bool:
        """Would the next INSERT get a number above all that were ever given out?"""
        self.cursor.execute(_SEQUENCE, {"table": oid, "column": column})
        found = self.cursor.fetchone()
        if found is None:
            return False
        self.cursor.execute(f"SELECT last_value, is_called FROM {found[0]}")
        last, called = self.cursor.fetchone()
        return bool(last + int(called) > highest or highest == _LARGEST == last)

    def _compare_cells(
        self, arrival: Arrival, table: Table, target: str, columns: list[tuple[str, str, bool] | None]
    ) -> None:
        arrived = self._number_of_rows(target)
        arrival.rows += Kept(table.rows, min(table.rows, arrived))
        arrival.cells += table.rows * len(table.columns)
        values = source_facts.read_columns(self.file, table)
        lost = max(0, table.rows - arrived)
        for name, column, before in zip(table.columns, columns, values, strict=True):
            changed = self._changed(target, column, before, lost)
            if changed:
                arrival.changed += changed
                arrival.changed_in.append(f"{table.name}.{name}")

    def _number_of_rows(self, target: str) -> int:
        self.cursor.execute(sql.SQL("SELECT count(*) FROM public.{}").format(sql.Identifier(target)))
        found: int = self.cursor.fetchone()[0]
        return found

    def _changed(self, target: str, column: tuple[str, str, bool] | None, before: list[Any], lost: int) -> int:
        if column is None:
            return len(before) - lost
        kind = canonical.family(column[1])
        self.cursor.execute(
            sql.SQL("SELECT {}::text FROM public.{}").format(sql.Identifier(column[0]), sql.Identifier(target))
        )
        after = [canonical.of_target(value, kind) for (value,) in self.cursor.fetchall()]
        return canonical.changed_cells([[canonical.of_source(value, kind) for value in before]], [after], lost)


__all__ = ["Arrival", "Kept", "Unreadable", "compare"]
