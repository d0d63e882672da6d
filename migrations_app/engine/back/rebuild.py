"""Makes a scratch SQLite file of an export, so that it can be planned anew (another mode, other choices).

Planning asks a Source: profiles, anti-joins, duplicates. An export answers none of that, but it holds every stored
cell and the DDL, so the file that it came from can be made again.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from pathlib import Path

from migrations_app.engine.artefact_files import told
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.export.export_reader import Export
from migrations_app.engine.source.cells import Cell, InvalidText
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.stand_ins import stand_in

# The manifest's DDL comes from a file that may be hostile: it may make tables and indexes, nothing else.
_ALLOWED = frozenset(
    {
        sqlite3.SQLITE_CREATE_TABLE,
        sqlite3.SQLITE_CREATE_INDEX,
        sqlite3.SQLITE_CREATE_VIEW,
        sqlite3.SQLITE_REINDEX,
        sqlite3.SQLITE_INSERT,
        sqlite3.SQLITE_UPDATE,
        sqlite3.SQLITE_READ,
        sqlite3.SQLITE_FUNCTION,
        sqlite3.SQLITE_TRANSACTION,
    }
)


def rebuild_source(export: Export, path: Path, control: Control) -> None:
    """Write the export's tables, rows, indexes and views into a new SQLite file at `path`.

    Tables that can't be made again as they were (virtual ones) become plain ones of the same name and columns.
    Raises Refused BAD_SCHEMA, BAD_CHUNK, BAD_CELL; Failed DISK_FULL, FILE_ERROR; Cancelled.
    """
    with told(path):
        path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute(f"PRAGMA encoding='{_encoding(export)}'")
        connection.execute(f"PRAGMA user_version={int(export.schema.user_version)}")
        for pragma in ("journal_mode=OFF", "synchronous=OFF", "ignore_check_constraints=ON"):
            connection.execute(f"PRAGMA {pragma}")
        connection.set_authorizer(lambda action, *_: sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY)
        connection.execute("BEGIN")
        for table in export.tables:
            _make(connection, export.schema.table(table.name))
        for table in export.tables:
            _fill(connection, export, table.name, control)
        _make_objects(connection, export)
        connection.set_authorizer(None)
        _set_sequences(connection, export)
        connection.execute("COMMIT")
    except sqlite3.Error as error:
        name = str(getattr(error, "sqlite_errorname", ""))
        if name.startswith(("SQLITE_FULL", "SQLITE_IOERR")):
            raise Failed("DISK_FULL", f"The disk that holds {path.parent} is full.", "Free some space.") from error
        raise Refused("BAD_SCHEMA", f"The export's schema can't be made again: {error}.", "Export again.") from error
    finally:
        connection.close()


def _encoding(export: Export) -> str:
    encoding = export.schema.encoding
    if encoding not in ("UTF-8", "UTF-16le", "UTF-16be"):
        raise Refused("BAD_SCHEMA", "The export names no encoding that SQLite has.", "Export again.")
    return encoding


def _make(connection: sqlite3.Connection, table: SourceTable) -> None:
    stand_in(connection, table)
    if table.kind == "table" and table.sql:
        connection.execute(table.sql)
        return
    columns = ", ".join(f"{_quoted(c.name)} {c.declared_type}".strip() for c in table.columns if not c.hidden)
    connection.execute(f"CREATE TABLE {_quoted(table.name)} ({columns})")


def _fill(connection: sqlite3.Connection, export: Export, name: str, control: Control) -> None:
    table = export.table(name)
    generated = {column.name for column in export.schema.table(name).columns if column.generated}
    stored = [column for column in table.column_names if column not in generated]
    columns = ", ".join(map(_quoted, stored))
    plain = f"INSERT INTO {_quoted(name)} ({columns}) VALUES ({', '.join('?' for _ in stored)})"
    done = 0
    for chunk in export.chunks(name):
        for row in chunk.read(stored):
            if InvalidText in map(type, row):
                sql, values = _with_casts(name, columns, row)
                connection.execute(sql, values)
            else:
                connection.execute(plain, row)
        done += chunk.rows
        control.progress("profile", name, done, table.rows)


def _with_casts(name: str, columns: str, row: Sequence[Cell]) -> tuple[str, list[object]]:
    """An INSERT for a row with text that can't be decoded: its bytes are bound, and cast to text as they are."""
    marks = ", ".join("CAST(? AS TEXT)" if isinstance(cell, InvalidText) else "?" for cell in row)
    values = [cell.raw if isinstance(cell, InvalidText) else cell for cell in row]
    return f"INSERT INTO {_quoted(name)} ({columns}) VALUES ({marks})", list(values)


def _make_objects(connection: sqlite3.Connection, export: Export) -> None:
    exported = {table.name for table in export.tables}
    for table in export.schema.tables:
        if table.name not in exported or table.kind != "table":
            continue
        for index in table.indexes:
            if index.sql:
                connection.execute(index.sql)
    for view in export.schema.views:
        connection.execute(view.sql)


def _set_sequences(connection: sqlite3.Connection, export: Export) -> None:
    known = {table.name for table in export.schema.tables if table.autoincrement}
    for name, value in export.schema.sequences:
        if name in known:
            connection.execute("DELETE FROM sqlite_sequence WHERE name = ?", (name,))
            connection.execute("INSERT INTO sqlite_sequence VALUES (?, ?)", (name, value))


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
