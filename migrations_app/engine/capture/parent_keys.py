"""Keys that a foreign key compares as something else than they are.

Where a child's column converts (a REAL that refers to a TEXT), SQLite looks for children with the parent's own value
converted, and AFTER triggers then get that: '01.0' is deleted, OLD says 1 (seen in 3.40 and 3.51). The log would name
another row than the one that changed.
"""

from __future__ import annotations

from collections.abc import Sequence

from migrations_app.engine.errors import Refused
from migrations_app.engine.source.affinity import BLOB, TEXT, affinity
from migrations_app.engine.source.schema import SourceColumn, SourceForeignKey, SourceSchema, SourceTable
from migrations_app.engine.source.sqlite_ddl import fold


def check_parent_keys(schema: SourceSchema, table: SourceTable, key: Sequence[str]) -> None:
    """Raise Refused ONLINE_FOREIGN_KEY where children compare a column of the table's key as another type."""
    for child in schema.tables:
        for foreign in child.foreign_keys:
            if fold(foreign.parent_table) != fold(table.name):
                continue
            for parent, own in _pairs(table, child, foreign):
                if parent.name in key and _converts(affinity(parent.declared_type), affinity(own.declared_type)):
                    raise Refused(
                        "ONLINE_FOREIGN_KEY",
                        f"{child.name}.{own.name} refers to {table.name}.{parent.name}, which is of another type, and "
                        "SQLite then tells triggers another key than the row has.",
                        "Declare both alike, or move with the strategy offline.",
                    )


def _pairs(
    table: SourceTable, child: SourceTable, foreign: SourceForeignKey
) -> list[tuple[SourceColumn, SourceColumn]]:
    """Columns of the parent, each with the child's that refers to it; names that aren't there are passed over."""
    columns = [{fold(column.name): column for column in side.columns} for side in (table, child)]
    names = zip(foreign.parent_columns or table.primary_key, foreign.columns, strict=False)
    return [
        (columns[0][fold(parent)], columns[1][fold(own)])
        for parent, own in names
        if fold(parent) in columns[0] and fold(own) in columns[1]
    ]


def _converts(parent: str, child: str) -> bool:
    """Numbers stay what they are; text, and what has no type, is converted by a child of another kind."""
    return parent in (TEXT, BLOB) and child not in (parent, BLOB)
