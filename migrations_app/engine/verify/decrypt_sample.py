"""Do the application's keys open a sample of its encrypted cells? Asked of the source, before anything is moved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Refused
from migrations_app.engine.plan import EncryptedColumn
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.verify.decrypt import CellOpener

SAMPLE = 100  # cells of each column


def check(path: Path, columns: Sequence[EncryptedColumn], environment: Mapping[str, str]) -> list[dict[str, Any]]:
    """One line a column. Raises Refused KEY_MISSING, CELLS_DONT_OPEN, UNKNOWN_COLUMN; never shows a value."""
    if not columns:
        return []
    with open_source(path, Control()) as source:
        tables = {table.name: {column.name for column in table.columns} for table in source.schema.tables}
        lines = []
        for column in columns:
            if column.column not in tables.get(column.table, set()):
                raise Refused(
                    "UNKNOWN_COLUMN",
                    f"The encrypted column {column.table}.{column.column} isn't in the source.",
                    "Correct the application's description.",
                )
            opener = CellOpener(column, environment)
            if opener.inconclusive:
                raise Refused(
                    "KEY_MISSING",
                    f"{column.table}.{column.column} can't be opened: {opener.inconclusive}.",
                    f"Give the worker {column.key_env}, or put it in the application's configuration file.",
                )
            cells = [row[0] for row in islice(source.rows(column.table, [column.column]), SAMPLE) if row[0] is not None]
            failed = sum(1 for cell in cells if not isinstance(cell, str) or not opener.opens(cell))
            if failed:
                raise Refused(
                    "CELLS_DONT_OPEN",
                    f"{failed} of {len(cells)} sampled cells of {column.table}.{column.column} don't open with "
                    f"{column.key_env}.",
                    "Check the key and the scheme.",
                )
            lines.append({"table": column.table, "column": column.column, "sampled": len(cells), "opened": len(cells)})
    return lines
