"""Rows tried on the expressions of the target's rules, by PostgreSQL: in a temporary table, all of it rolled back."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg2

from migrations_app.engine.control import Control
from migrations_app.engine.conversions.conversions import Unfit, conversion
from migrations_app.engine.plan import ColumnPlan
from migrations_app.engine.source.cells import Row
from migrations_app.engine.source.row_keys import key_names, row_key_text
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.sqlite_source import Source, quote_name
from migrations_app.engine.target.copy_text import join
from migrations_app.engine.target.pg_names import qualified, quote
from migrations_app.engine.target.target import Cursor
from migrations_app.engine.target.target_rules import EXCLUDE, TEXT, UNIQUE, Rule

_TABLE, _PLACE = "pg_temp.causeway_trial", "causeway_place"
_FEW = 1000  # combinations of values; so few are tried instead of the rows
_CHECKPOINT = 1000  # rows


@dataclass(frozen=True)
class Broken:
    """Rows that a rule refuses: how many, and the key of the first. `state`: what PostgreSQL said instead, if it did"""

    count: int
    first_key: str = ""
    state: str = ""


class Trial:
    """Tries in one transaction, the cursor's; what is made for it is rolled back to a savepoint."""

    def __init__(self, cursor: Cursor, schema: str) -> None:
        self._cursor, self._schema = cursor, schema

    def refused(
        self, source: Source, table: SourceTable, target: str, rule: Rule, used: Sequence[ColumnPlan], control: Control
    ) -> Broken | None:
        """What a rule refuses of the rows, converted as the load will convert them; None when it takes them all."""
        self._cursor.execute("SAVEPOINT causeway_trial")
        try:
            return self._tried(source, table, target, rule, used, control)
        except psycopg2.Error as error:
            if error.pgcode is None:
                raise
            self._cursor.execute("ROLLBACK TO SAVEPOINT causeway_trial")
            return Broken(0, state=error.pgcode)
        finally:
            self._cursor.execute("ROLLBACK TO SAVEPOINT causeway_trial")

    def _tried(
        self, source: Source, table: SourceTable, target: str, rule: Rule, used: Sequence[ColumnPlan], control: Control
    ) -> Broken | None:
        names = [column.name for column in used]
        few = _few(source, table, names) if rule.kind not in (UNIQUE, EXCLUDE) else None
        self._fill(target, rule, used, few if few is not None else source.rows(table.name, names), control)
        self._cursor.execute(f"SET LOCAL search_path = {quote(self._schema)}")
        if rule.kind == UNIQUE:
            return self._duplicates(source, table, rule, names)
        if rule.kind == EXCLUDE:
            return self._excluded(source, table, rule, names)
        refuses = self._printed_otherwise(rule) if rule.kind == TEXT else f"({rule.sql}) IS FALSE"
        if few is None:
            self._cursor.execute(f"SELECT count(*), min({_PLACE}) FROM {_TABLE} WHERE {refuses}")
            count, place = self._cursor.fetchone()
            return Broken(count, _key_at(source, table, names, place)) if count else None
        self._cursor.execute(f"SELECT {_PLACE} FROM {_TABLE} WHERE {refuses}")
        refused = {few[place] for (place,) in self._cursor.fetchall()}
        return _among(source, table, names, refused) if refused else None

    def _printed_otherwise(self, rule: Rule) -> str:
        """A condition on the column's text. A function of our session's, since only PL/pgSQL goes on after an error."""
        self._cursor.execute(
            "CREATE FUNCTION pg_temp.causeway_printed(given text) RETURNS text LANGUAGE plpgsql AS $$"
            f"BEGIN RETURN pg_catalog.format('%s', given::{rule.sql}); EXCEPTION WHEN OTHERS THEN RETURN NULL; END $$"
        )
        column = quote(rule.columns[0])
        return f"{column} IS NOT NULL AND pg_temp.causeway_printed({column}) IS DISTINCT FROM {column}"

    def _duplicates(self, source: Source, table: SourceTable, rule: Rule, names: Sequence[str]) -> Broken | None:
        keys = ", ".join(rule.keys)
        complete = "true" if rule.nulls_alike else " AND ".join(f"({key}) IS NOT NULL" for key in rule.keys)
        where = f"({rule.sql}) AND {complete}" if rule.sql else complete
        self._cursor.execute(
            f"SELECT count(*), min(first) FROM (SELECT min({_PLACE}) AS first FROM {_TABLE} WHERE {where}"
            f" GROUP BY {keys} HAVING count(*) > 1) twice"
        )
        count, place = self._cursor.fetchone()
        return Broken(count, _key_at(source, table, names, place)) if count else None

    def _excluded(self, source: Source, table: SourceTable, rule: Rule, names: Sequence[str]) -> Broken | None:
        """Rows that stand in the way of one before them, in the order of the load."""
        taken = f"{_TABLE}_taken"
        self._cursor.execute(f"CREATE TEMPORARY TABLE {taken.partition('.')[2]} (LIKE {_TABLE})")
        self._cursor.execute(f"ALTER TABLE {taken} ADD {rule.sql}")
        self._cursor.execute(f"INSERT INTO {taken} SELECT * FROM {_TABLE} ORDER BY {_PLACE} ON CONFLICT DO NOTHING")
        self._cursor.execute(
            f"SELECT count(*), min({_PLACE}) FROM {_TABLE} t"
            f" WHERE NOT EXISTS (SELECT 1 FROM {taken} o WHERE o.{_PLACE} = t.{_PLACE})"
        )
        count, place = self._cursor.fetchone()
        return Broken(count, _key_at(source, table, names, place)) if count else None

    def _fill(
        self, target: str, rule: Rule, used: Sequence[ColumnPlan], rows: Iterator[Row] | Sequence[Row], control: Control
    ) -> None:
        """A temporary table like the target's, with its types and collations and without its rules."""
        columns = [_as_filled(rule, column) for column in used]
        self._cursor.execute(
            f"CREATE TEMPORARY TABLE {_TABLE.partition('.')[2]} AS SELECT {', '.join(columns)}, 0::bigint AS {_PLACE}"
            f" FROM {qualified(self._schema, target)} WITH NO DATA"
        )
        self._cursor.copy_expert(f"COPY {_TABLE} FROM STDIN", _Lines(used, rows, control))


def _as_filled(rule: Rule, column: ColumnPlan) -> str:
    """The column as the temporary table has it: a domain as the type beneath, a type to be tried as text."""
    name = quote(column.target_name)
    if rule.kind == TEXT:
        return f"NULL::text AS {name}"
    return f"{name}::{column.target_type} AS {name}" if rule.of_domain else name


class _Lines(io.RawIOBase):
    """Converted rows as COPY reads them, each with its place; rows that don't convert are findings of their own."""

    def __init__(self, columns: Sequence[ColumnPlan], rows: Iterator[Row] | Sequence[Row], control: Control) -> None:
        self._work = [conversion(column.conversion, column.target_type).convert for column in columns]
        self._rows, self._control = enumerate(rows), control
        self._held = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        while len(self._held) < size or size < 0:
            batch = list(itertools.islice(self._rows, _CHECKPOINT))
            if not batch:
                break
            self._control.checkpoint()
            self._held += b"".join(self._line(place, row) for place, row in batch)
        given, self._held = (self._held, b"") if size < 0 else (self._held[:size], self._held[size:])
        return given

    def _line(self, place: int, row: Row) -> bytes:
        try:
            texts = tuple(work(cell) for work, cell in zip(self._work, row, strict=True))
        except Unfit:
            return b""
        return f"{join((*texts, str(place)))}\n".encode()


def _few(source: Source, table: SourceTable, names: Sequence[str]) -> list[Row] | None:
    """The combinations of values that occur, when they are few."""
    columns = ", ".join(quote_name(name) for name in names)
    query = f"SELECT DISTINCT {columns} FROM {quote_name(table.name)} LIMIT {_FEW + 1}"
    found = list(source.query(query))
    return found if len(found) <= _FEW else None


def _key_at(source: Source, table: SourceTable, names: Sequence[str], place: int) -> str:
    key, _row = next(itertools.islice(source.rows_with_key(table.name, names), place, None))
    return row_key_text(key_names(table), key) if key_names(table) else ""


def _among(source: Source, table: SourceTable, names: Sequence[str], refused: set[Row]) -> Broken:
    count, first = 0, ""
    for key, row in source.rows_with_key(table.name, names):
        if row in refused:
            count += 1
            if count == 1 and key_names(table):
                first = row_key_text(key_names(table), key)
    return Broken(count, first)
