"""Stand-ins for collations that only the application has, so that its tables can be read and made at all.

Order and equality by them are never relied on: the engine compares keys as BINARY.
"""

from __future__ import annotations

import itertools
import sqlite3

from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.sqlite_ddl import tokenize

_BUILTIN = frozenset({"BINARY", "NOCASE", "RTRIM"})


def stand_in(connection: sqlite3.Connection, table: SourceTable) -> bool:
    """Define what the table and its indexes name behind COLLATE and SQLite doesn't have; True when there is such."""
    tokens = tokenize(table.sql) + [token for index in table.indexes for token in tokenize(index.sql or "")]
    pairs = itertools.pairwise(tokens)
    names = {token.name for before, token in pairs if before.keyword == "COLLATE"}
    missing = [name for name in names if name.upper() not in _BUILTIN]
    for name in missing:
        connection.create_collation(name, _compare)
    return bool(missing)


def _compare(one: str, two: str) -> int:
    return (one > two) - (one < two)
