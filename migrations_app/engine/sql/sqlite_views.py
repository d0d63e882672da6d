"""What SQLite itself calls a view's columns, asked of an empty database in memory: the file's views are never run."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from migrations_app.engine.sql.sql_parse import NotTranslated

_STEPS = 100_000
_ALLOWED = frozenset(
    {
        sqlite3.SQLITE_CREATE_TABLE,
        sqlite3.SQLITE_CREATE_VIEW,
        sqlite3.SQLITE_INSERT,
        sqlite3.SQLITE_UPDATE,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_SELECT,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_RECURSIVE,
        sqlite3.SQLITE_TRANSACTION,
    }
)


class EmptyTwin:
    """The schema without a row: tables by name and columns, views as they are written. Use as a context manager."""

    def __init__(self, tables: Sequence[tuple[str, Sequence[tuple[str, str]], str | None]]) -> None:
        """tables: name, for each column its name and declared type, and the column that is the rowid."""
        self._connection = sqlite3.connect(":memory:", isolation_level=None)
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, 1_000_000)
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_SQL_LENGTH, 1_000_000)
        for name, columns, rowid in tables:
            parts = ", ".join(
                f"{_quoted(column)} {'INTEGER PRIMARY KEY' if column == rowid else _quoted(declared)}"
                for column, declared in columns
            )
            self._connection.execute(f"CREATE TABLE {_quoted(name)} ({parts})")
        self._connection.set_authorizer(
            lambda action, *_: sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY
        )
        self._connection.set_progress_handler(lambda: 1, _STEPS)

    def __enter__(self) -> EmptyTwin:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def columns(self, name: str, sql: str) -> list[str]:
        """Make the view and name its columns. Raises NotTranslated when SQLite can't."""
        try:
            self._connection.execute(sql)
            return [item[0] for item in self._connection.execute(f"SELECT * FROM {_quoted(name)} LIMIT 0").description]
        except (sqlite3.Error, sqlite3.Warning) as error:
            raise NotTranslated(f"SQLite itself says of it: {error}") from error


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
