"""The key of a row as JSON text, for findings and differences: {"id": 3}, {"k": "a", "n": 1} or {"rowid": 7}."""

from __future__ import annotations

import json
from collections.abc import Sequence

from migrations_app.engine.source.cells import Cell, InvalidText, Row
from migrations_app.engine.source.schema import SourceTable

_LONGEST = 200  # a key shown to a person, not one to be read back


def key_names(table: SourceTable) -> tuple[str, ...]:
    """The names of the cells that Source.rows_with_key() gives as a row's key."""
    return table.key or (("rowid",) if table.rowid_name else ())


def row_key_text(names: Sequence[str], key: Row) -> str:
    """JSON text of a key; blobs and invalid text as in an export ({"b": hex}, {"t": hex}), long values cut."""
    return json.dumps({name: _shown(cell) for name, cell in zip(names, key, strict=True)}, ensure_ascii=False)


def _shown(cell: Cell) -> object:
    if isinstance(cell, InvalidText):
        return {"t": cell.raw[:_LONGEST].hex()}
    if isinstance(cell, bytes):
        return {"b": cell[:_LONGEST].hex()}
    if isinstance(cell, str):
        return cell if len(cell) <= _LONGEST else cell[:_LONGEST] + "…"
    if isinstance(cell, float) and cell in (float("inf"), float("-inf")):
        return {"r": "inf" if cell > 0 else "-inf"}
    return cell
