"""Every cell of an encrypted column must open with the application's key; values are never shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from migrations_app.engine.control import Control
from migrations_app.engine.plan import ColumnPlan, EncryptedColumn, MovePlan, TablePlan
from migrations_app.engine.target.copy_text import split
from migrations_app.engine.target.pg_names import qualified, quote
from migrations_app.engine.target.target import Connection, rows
from migrations_app.engine.verify.copy_out import LinesOut
from migrations_app.engine.verify.decrypt import CellOpener, DecryptCheck
from migrations_app.engine.verify.differences import Difference

_LIMIT = 100  # differences that are listed a column; all are counted
_INTEGERS = ("smallint", "integer", "bigint")


@dataclass(frozen=True)
class EncryptedResult:
    """One column's check; `differences` are the first cells that didn't open ('not_decryptable'), by row key alone."""

    check: DecryptCheck
    differences: tuple[Difference, ...]

    @property
    def failed(self) -> int:
        """How many cells didn't open."""
        return self.check.cells - self.check.opened


def check_encrypted(
    connection: Connection,
    plan: MovePlan,
    column: EncryptedColumn,
    environment: Mapping[str, str],
    control: Control,
    *,
    limit: int = _LIMIT,
) -> EncryptedResult:
    """Read the whole column from the target, in the connection's transaction."""
    opener = CellOpener(column, environment)
    table = next((each for each in plan.tables if each.name == column.table and each.is_loaded), None)
    there = _columns_there(connection, plan.target_schema, table.target_name) if table else frozenset()
    if table is None or column.column not in {each.name for each in table.loaded_columns}:
        opener.inconclusive = opener.inconclusive or "the plan doesn't load it"
    elif not there:
        opener.inconclusive = "the target has no such table"
    elif _target_name(table, column.column) not in there:
        opener.inconclusive = "the target has no such column"
    if opener.inconclusive or table is None:
        return EncryptedResult(DecryptCheck(column.table, column.column, inconclusive=opener.inconclusive), ())
    return _open_all(connection, plan, table, column, opener, control, there, limit)


def _target_name(table: TablePlan, name: str) -> str:
    return next(each.target_name for each in table.columns if each.name == name)


def _columns_there(connection: Connection, schema: str, table: str) -> frozenset[str]:
    with connection.cursor() as cursor:
        found = rows(
            cursor,
            "SELECT attname::text FROM pg_attribute WHERE attrelid = to_regclass(%s) AND attnum > 0"
            " AND NOT attisdropped",
            (qualified(schema, table),),
        )
    return frozenset(row[0] for row in found)


def _key(plan: MovePlan, table: TablePlan, there: frozenset[str]) -> list[ColumnPlan]:
    """What names a row: the table's key where the target has all of it, and none of it is secret itself."""
    secret = {each.column for each in plan.encrypted if each.table == table.name}
    columns = {each.name: each for each in table.loaded_columns if each.name not in secret}
    usable = all(name in columns and columns[name].target_name in there for name in table.key)
    return [columns[name] for name in table.key] if usable else []


def _open_all(
    connection: Connection,
    plan: MovePlan,
    table: TablePlan,
    column: EncryptedColumn,
    opener: CellOpener,
    control: Control,
    there: frozenset[str],
    limit: int,
) -> EncryptedResult:
    key = _key(plan, table, there)
    # Where no column names a row, its place in the target does; it holds until the row is written again.
    names = [quote(each.target_name) for each in key] or ["ctid"]
    wanted = ", ".join([*names, quote(_target_name(table, column.column))])
    sql = f"COPY (SELECT {wanted} FROM {qualified(plan.target_schema, table.target_name)}) TO STDOUT"
    cells = opened = nulls = 0
    failed: list[Difference] = []
    with LinesOut(connection, sql, control, f"opening {table.name}.{column.column}") as lines:
        for raw in lines:
            *key_texts, cell = split(raw.decode())
            if cell is None:
                nulls += 1
                continue
            cells += 1
            if opener.opens(cell):
                opened += 1
            elif len(failed) < limit:
                failed.append(Difference(table.name, _row_key(key, key_texts), column.column, "not_decryptable"))
    return EncryptedResult(DecryptCheck(column.table, column.column, cells, opened, nulls), tuple(failed))


def _row_key(key: list[ColumnPlan], texts: list[str | None]) -> str:
    """As compare_rows writes it: integers as numbers."""
    if not key:
        return json.dumps({"ctid": texts[0]})
    values = {
        column.name: int(text) if column.target_type in _INTEGERS and text else text
        for column, text in zip(key, texts, strict=True)
    }
    return json.dumps(values, ensure_ascii=False)
