"""Cuts a table into parts that can be read side by side."""

from __future__ import annotations

from migrations_app.engine.source.row_ranges import Part, is_by_rowid, range_condition
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.sqlite_source import Source, quote_name

PART_ROWS = 200_000


def parts(source: Source, name: str) -> tuple[Part, ...]:
    """Cut a table into parts of PART_ROWS rows by rowid. One that has none is one part, in the order of its key.

    Deterministic for one state of the file, so that parts can be made again.
    """
    table = source.schema.table(name)
    if not is_by_rowid(table):
        return (Part(name, 0),)
    found: list[Part] = []
    after: int | None = None
    while (last := rowid_at(source, table, Part(name, 0, after), PART_ROWS - 1)) is not None:
        found.append(Part(name, len(found), after, last))
        after = last
    return (*found, Part(name, len(found), after))


def rowid_at(source: Source, table: SourceTable, part: Part, offset: int) -> int | None:
    """The rowid of the part's row at that place, None when the part is shorter."""
    key, condition = table.rowid_name, range_condition(table, part)
    sql = f"SELECT {key} FROM {quote_name(table.name)} NOT INDEXED{condition} ORDER BY {key} LIMIT 1 OFFSET {offset}"
    found = next(source.query(sql), None)
    return None if found is None else int(found[0])  # type: ignore[arg-type]
