"""What a connection to an untrusted SQLite file may do: read its tables, and nothing else."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection

_REFUSED_FUNCTIONS = frozenset({"load_extension", "fts3_tokenizer", "readfile", "writefile", "edit"})
_PRAGMAS = frozenset(
    {
        "cache_size",
        "cell_size_check",
        "data_version",
        "encoding",
        "foreign_key_list",
        "index_info",
        "index_list",
        "index_xinfo",
        "integrity_check",
        "journal_mode",
        "mmap_size",
        "page_count",
        "page_size",
        "query_only",
        "quick_check",
        "schema_version",
        "table_info",
        "table_xinfo",
        "trusted_schema",
        "user_version",
    }
)


def authorize(action: int, first: str | None, second: str | None, inner: str | None, shadows: Collection[str]) -> int:
    """An authorizer's answer: reading tables and a few pragmas. `inner` names the view or trigger that asks: never.

    `shadows`: tables that virtual tables keep their content in.
    """
    if inner is not None:
        return sqlite3.SQLITE_DENY
    if action in (sqlite3.SQLITE_READ, sqlite3.SQLITE_SELECT, sqlite3.SQLITE_TRANSACTION):
        return sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_DENY if (second or "").lower() in _REFUSED_FUNCTIONS else sqlite3.SQLITE_OK
    if action == sqlite3.SQLITE_PRAGMA:
        name = (first or "").lower()
        allowed = name in _PRAGMAS and (name not in ("journal_mode", "encoding") or second is None)
        return sqlite3.SQLITE_OK if allowed else sqlite3.SQLITE_DENY
    # R*Tree and FTS prepare their writes as soon as they are opened, and declaring any virtual table asks for
    # the right to update sqlite_master. The file is open read-only, so no write ever runs.
    if action in (sqlite3.SQLITE_INSERT, sqlite3.SQLITE_UPDATE, sqlite3.SQLITE_DELETE):
        declaring = action == sqlite3.SQLITE_UPDATE and first == "sqlite_master"
        return sqlite3.SQLITE_OK if declaring or first in shadows else sqlite3.SQLITE_DENY
    return sqlite3.SQLITE_DENY


def load_schema(connection: sqlite3.Connection) -> None:
    """Make SQLite parse the schema. With trusted_schema off it refuses files whose indexes use, say, json_extract().

    Then it is turned on: no function of the file's choosing has effects here, extensions being off.
    """
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.DatabaseError as error:
        if "unsafe use of" not in str(error):
            raise
        connection.execute("PRAGMA trusted_schema=ON")
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
