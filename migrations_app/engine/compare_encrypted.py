"""Every cell of an encrypted column must open with the application's key; values are never shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from migrations_app.engine.compare_rows import Difference
from migrations_app.engine.control import Control
from migrations_app.engine.copy_out import LinesOut
from migrations_app.engine.copy_text import split
from migrations_app.engine.decrypt import CellOpener, DecryptCheck
from migrations_app.engine.pg_names import qualified, quote
from migrations_app.engine.plan import EncryptedColumn, MovePlan
from migrations_app.engine.target import Connection


@dataclass(frozen=True)
class EncryptedResult:
    """One column's check; `differences` are the cells that didn't open ('not_decryptable'), by row key alone."""

    check: DecryptCheck
    differences: tuple[Difference, ...]


def check_encrypted(
    connection: Connection,
    plan: MovePlan,
    column: EncryptedColumn,
    environment: Mapping[str, str],
    control: Control,
    *,
    present: bool,
) -> EncryptedResult:
    """Read the whole column from the target, in the connection's transaction. `present`: the target has the table."""
    opener = CellOpener(column, environment)
    if not present:
        opener.inconclusive = "the target has no such table"
    if opener.inconclusive:
        return EncryptedResult(DecryptCheck(column.table, column.column, inconclusive=opener.inconclusive), ())
    table = plan.table(column.table)
    names = {each.name: each.target_name for each in table.loaded_columns}
    key = [name for name in table.key if name in names]
    wanted = ", ".join(quote(names[name]) for name in (*key, column.column))
    sql = f"COPY (SELECT {wanted} FROM {qualified(plan.target_schema, table.target_name)}) TO STDOUT"
    cells = opened = nulls = 0
    failed = []
    with LinesOut(connection, sql, control, f"opening {table.name}.{column.column}") as lines:
        for raw in lines:
            *key_texts, cell = split(raw.decode())
            if cell is None:
                nulls += 1
                continue
            cells += 1
            if opener.opens(cell):
                opened += 1
            else:
                row_key = json.dumps(dict(zip(key, key_texts, strict=True)), ensure_ascii=False)
                failed.append(Difference(table.name, row_key, column.column, "not_decryptable"))
    return EncryptedResult(DecryptCheck(column.table, column.column, cells, opened, nulls), tuple(failed))
