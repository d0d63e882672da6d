"""The key of a row as JSON text, for findings: ["a",1] in the key's order, {"rowid":7} where only that tells rows."""

from __future__ import annotations

import json
from collections.abc import Sequence

from migrations_app.engine.cells import Cell, InvalidText, Row, encode_key
from migrations_app.engine.schema import SourceTable

_LONGEST = 200  # a key shown to a person, not one to be read back


def key_names(table: SourceTable) -> tuple[str, ...]:
    """The names of the cells that Source.rows_with_key() gives as a row's key."""
    return table.key or (("rowid",) if table.rowid_name else ())


def row_key_text(table: SourceTable, key: Row) -> str:
    """JSON text of a key as rows_with_key() gives it; cells as in an export, long ones cut; '' without any key."""
    if not key:
        return ""
    if table.key:
        return values_text(key)
    return json.dumps({"rowid": key[0]}, separators=(",", ":"))


def values_text(values: Sequence[Cell]) -> str:
    """JSON text of some cells of a row, long ones cut."""
    return encode_key([_cut(cell) for cell in values])


def _cut(cell: Cell) -> Cell:
    if isinstance(cell, InvalidText):
        return InvalidText(cell.raw[:_LONGEST])
    if isinstance(cell, bytes):
        return cell[:_LONGEST]
    if isinstance(cell, str) and len(cell) > _LONGEST:
        return cell[:_LONGEST] + "…"
    return cell
