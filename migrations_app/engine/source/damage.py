"""What a damaged SQLite file still holds: SQLite's own check speaks of trees and pages, people of tables and rows.

The rows of each table are read from both ends until the damage stops that; what lies between is lost or needs .recover.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from migrations_app.engine.control import Control

if TYPE_CHECKING:
    from migrations_app.engine.source.schema import SourceTable
    from migrations_app.engine.source.sqlite_source import Source

_MOST_TABLES = 5  # that are named
_INDEX = re.compile(r"(?:missing from|entries in) index (.+)$")


@dataclass(frozen=True)
class Damage:
    """One table that can't be read to its end. Rows are counted from its beginning, and back from its end."""

    table: str
    before: int
    after: int

    @property
    def words(self) -> str:
        first = f"its first {self.before:,}" if self.before else "none of its first"
        last = f"its last {self.after:,} rows" if self.after else "none of its last rows"
        return f"table {self.table!r} can't be read in full ({first} and {last} can)"


def describe_damage(source: Source, lines: Sequence[str], control: Control) -> str:
    """A phrase that names the damaged tables, or the indexes if nothing else is hit; with SQLite's first line."""
    found = find_damage(source, control)
    said = f"SQLite says: {lines[0]}" if lines else "SQLite can't read all of it"
    if found:
        named = [damage.words for damage in found[:_MOST_TABLES]]
        rest = f", and {len(found) - len(named)} more tables" if len(found) > len(named) else ""
        return f"{'; '.join(named)}{rest}. {said}"
    indexes = sorted({match[1] for line in lines if (match := _INDEX.search(line))})
    if indexes and all(_INDEX.search(line) for line in lines):
        return f"every table can be read, but index {', '.join(indexes[:_MOST_TABLES])} doesn't agree with it. {said}"
    return f"every table can be read to its end, but the file isn't sound. {said}"


def find_damage(source: Source, control: Control) -> list[Damage]:
    """The tables of which not every row can be read. Reads every value of the file; stops when asked (Cancelled)."""
    found = []
    for table in source.schema.tables:
        if table.kind != "table":
            continue
        before, whole = _readable(source, table, "", control)
        if not whole:
            found.append(Damage(table.name, before, _readable(source, table, " DESC", control)[0]))
    return found


def _readable(source: Source, table: SourceTable, direction: str, control: Control) -> tuple[int, bool]:
    """How many rows come before the damage, and whether all do. In the order of the table's own tree."""
    control.checkpoint()
    name = '"' + table.name.replace('"', '""') + '"'
    terms = [table.rowid_name] if table.rowid_name else ['"' + key.replace('"', '""') + '"' for key in table.key]
    order = ", ".join(f"{term}{direction}" for term in terms)
    rows = 0
    try:
        for _ in source.select(f"SELECT * FROM {name} NOT INDEXED" + (f" ORDER BY {order}" if order else "")):
            rows += 1
    except sqlite3.Error:
        control.checkpoint()
        return rows, False
    return rows, True
