"""Reads an untrusted SQLite file: one read-only connection, one read transaction, tables only.

The file may be hostile (design.md section 4). An authorizer refuses everything but reading tables; views and triggers
are never run; sizes are limited; a progress handler lets long statements be stopped. SQLite itself decides what is
in the file, WAL and hot journals included: never `immutable`. The file isn't opened by anything but SQLite in this
process, because closing any other descriptor of it would drop this process's locks on it
(https://www.sqlite.org/howtocorrupt.html, section 2.2).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Cancelled, Failed, Refused
from migrations_app.engine.source.address import Address, identity_of
from migrations_app.engine.source.affinity import REAL, affinity
from migrations_app.engine.source.cells import Cell, InvalidText, Row
from migrations_app.engine.source.damage import describe_damage
from migrations_app.engine.source.guards import authorize, load_schema
from migrations_app.engine.source.row_keys import key_names, row_key_text
from migrations_app.engine.source.row_ranges import Part, range_condition
from migrations_app.engine.source.schema import SourceSchema, SourceTable
from migrations_app.engine.source.sqlite_ddl import fold
from migrations_app.engine.source.sqlite_errors import MAX_CELL_BYTES, corrupt, translate_error
from migrations_app.engine.source.sqlite_schema import read_schema, virtual_shadows
from migrations_app.engine.source.stand_ins import stand_in

BUSY_SECONDS = 5.0
_PROGRESS_STEPS = 200_000  # virtual machine steps between two looks at the stop flag: a few milliseconds
_CODEC = {"UTF-8": "utf-8", "UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}
# Lines of integrity_check that speak of values, not of a damaged file: constraints that old rows break.
_VALUE_LINES = ("NULL value in ", "CHECK constraint failed in ", "NUMERIC value in ", "TEXT value in ", "non-")


class NeedsCare(Exception):
    """A row that fetcher() can't give: text that isn't valid UTF-8, or more bytes than a row may have."""


def quote_name(name: str) -> str:
    """A SQLite identifier, quoted."""
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class _Tail:
    """What follows the table's name in a SELECT; limit -1 is none."""

    where: str = ""
    order: str = ""
    limit: int = -1
    offset: int = 0

    @property
    def sql(self) -> str:
        limit = f" LIMIT {self.limit} OFFSET {self.offset}" if (self.limit, self.offset) != (-1, 0) else ""
        return f"{self.where}{self.order}{limit}"


class Source:
    """An open SQLite file. Use as a context manager; `schema` is read once, at the start."""

    def __init__(self, path: Path, connection: sqlite3.Connection, control: Control, uri: str) -> None:
        self.path = path
        self._connection = connection
        self._control = control
        self._uri = uri
        self._shadows: frozenset[str] = frozenset()
        self._watch: sqlite3.Connection | None = None
        self._remove_copy: Callable[[], None] | None = None
        self.recovered_journal = False
        self.identity = (0, 0)  # device and inode that the path named just before it was opened
        connection.text_factory = decode_utf8
        connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_CELL_BYTES)
        connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
        connection.setlimit(sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 0)
        connection.set_authorizer(self._authorize)
        connection.set_progress_handler(self._must_stop, _PROGRESS_STEPS)
        with self._errors("reading the schema"):
            for pragma in ("query_only=ON", "trusted_schema=OFF", "cell_size_check=ON", "mmap_size=0"):
                connection.execute(f"PRAGMA {pragma}")
            load_schema(connection)  # before any pragma that would have SQLite parse it
            # Taken before our snapshot, so that is_alone() can tell whether somebody has committed since.
            self._wal = connection.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
            self._version = self.data_version() if self._wal else 0
            connection.execute("BEGIN")
            load_schema(connection)
            connection.execute("PRAGMA cache_size=-16000")
            self._shadows = virtual_shadows(connection)
            self.schema: SourceSchema = read_schema(connection)
            # Stand-ins know nothing of the order that the application's own collations have.
            self._unordered = {table.name for table in self.schema.tables if stand_in(connection, table)}
        self._codec = _CODEC[self.schema.encoding]

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the read transaction and forget the file. May be called twice."""
        for connection in (self._watch, self._connection):
            if connection is not None:
                connection.close()
        self._watch = None
        remove, self._remove_copy = self._remove_copy, None
        if remove is not None:
            remove()

    def attach_copy(self, remove: Callable[[], None]) -> None:
        """What is read is a copy of our own; `remove` is called when the Source closes."""
        self._remove_copy = remove

    @property
    def is_copy(self) -> bool:
        """Whether a copy of our own is read, and not the file itself."""
        return self._remove_copy is not None

    def check_integrity(self, control: Control | None = None) -> tuple[str, ...]:
        """Run SQLite's integrity_check. Gives back lines on values that break constraints.

        Raises Refused CORRUPT, which names the tables and how much of them can be read.
        A CHECK or an index may use a function or collation that only the application has, whose order our stand-ins
        don't know: then quick_check, which looks into no index, is run, and all but such tables are checked in full.
        """
        control = control or self._control
        control.checkpoint()
        try:
            lines = None if self._unordered else self._check_lines("integrity_check(1000)")
            if lines is None:
                misjudged = {f"row not in PRIMARY KEY order for {name}" for name in self._unordered}
                found = self._check_lines("quick_check(1000)", needs_nothing=True) or []
                lines = [line for line in found if line not in misjudged]
                for table in self.schema.tables:
                    control.checkpoint()
                    if table.name not in self._unordered:
                        lines += self._check_lines(f"integrity_check({quote_name(table.name)})") or []
        except Refused as refused:
            if refused.code != "CORRUPT":
                raise
            raise corrupt(self.path, describe_damage(self, [], control)) from refused
        told = tuple(dict.fromkeys(line for line in lines if line != "ok"))
        broken = [line for line in told if not line.startswith(_VALUE_LINES)]
        if broken:
            raise corrupt(self.path, describe_damage(self, broken, control))
        return told

    def _check_lines(self, pragma: str, *, needs_nothing: bool = False) -> list[str] | None:
        """What the check says; None where it can't be run for want of a function or collation."""
        try:
            with self._errors("checking the file's integrity"):
                return [str(line) for (line,) in self._connection.execute(f"PRAGMA {pragma}")]
        except Failed:
            if needs_nothing:
                raise
            return None

    def count(self, table: str) -> int:
        """How many rows a table has: counted by its own b-tree, never by an index that may disagree."""
        with self._errors(f"counting the rows of table {table!r}"):
            query = f"SELECT count(*) FROM {quote_name(table)} NOT INDEXED"
            if self.schema.table(table).kind == "virtual":
                query = f"SELECT count(*) FROM {quote_name(table)}"
            return int(self._connection.execute(query).fetchone()[0])

    def rows(self, table: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """The rows in key order: by the declared primary key compared as SQLite's BINARY, else by rowid.

        columns: names in the wanted order, None for all visible ones. Memory doesn't grow with the table.
        """
        found = self.schema.table(table)
        return self._stream(found, self._wanted_cells(found, columns), _in_order(found))

    def rows_with_key(
        self, table: str, columns: Sequence[str] | None = None, *, ordered: bool = True, part: Part | None = None
    ) -> Iterator[tuple[Row, Row]]:
        """Like rows(), each row with its key before it: the key columns' values, or (rowid,) where only that serves.

        Not ordered, the rows may be those of a part.
        """
        found = self.schema.table(table)
        key = [quote_name(name) for name in found.key] or ([found.rowid_name] if found.rowid_name else [])
        width = len(key)
        wanted = self._wanted_cells(found, columns)
        for row in self._stream(found, [*key, *wanted], _in_order(found) if ordered else _of_part(found, part)):
            yield row[:width], row[width:]

    def rows_by_rowid(self, part: Part, columns: Sequence[str], limit: int) -> Iterator[tuple[int, Row]]:
        """The first `limit` rows of a part of a table, each with its rowid."""
        found = self.schema.table(part.table)
        tail = _Tail(range_condition(found, part), f" ORDER BY {found.rowid_name}", limit)
        wanted = self._wanted_cells(found, columns)
        for row in self._stream(found, [found.rowid_name, *wanted], tail):
            yield row[0], row[1:]  # type: ignore[misc]

    def order_of(self, table: str) -> str:
        """The ORDER BY terms of rows(); '' where a table has no order of its own."""
        return _order_by(self.schema.table(table))

    @property
    def size(self) -> int:
        """Bytes of the snapshot's pages."""
        return self.schema.page_count * self.schema.page_size

    @property
    def address(self) -> Address:
        """By which another process finds the same file."""
        return Address(self._uri, self.path)

    def is_alone(self, identity: tuple[int, int]) -> bool:
        """Whether a Source opened just now at our address (open_again), of that identity, sees our very snapshot.

        In WAL mode somebody may have committed since we were opened, and the path may name another file now. In the
        other modes our read transaction lets nobody commit.
        """
        committed = self._wal and self.data_version() != self._version
        return not committed and self.identity == identity == identity_of(self.address.path)

    def select(self, sql: str, parameters: Sequence[int | float | str | bytes | None] = ()) -> sqlite3.Cursor:
        """A SELECT of the engine's own under the same guards, for ready-made lines. Raises sqlite3.Error."""
        return self._connection.execute(sql, tuple(parameters))

    def fetcher(self, sql: str) -> Callable[[int], list[Row]]:
        """Run one of the engine's own SELECTs; the function gives so many more rows, their texts decoded in C.

        For UTF-8 only. NeedsCare where a row calls for rows(), which takes any text and names the row that is too
        large. Other statements may run between two calls.
        """
        with self._errors("reading"):
            cursor = self._connection.cursor()
        self._decoding_in_c(lambda: cursor.execute(sql))
        return lambda count: self._decoding_in_c(lambda: cursor.fetchmany(count))

    def _decoding_in_c(self, work: Callable[[], Any]) -> Any:
        """With sqlite3's own decoder in place of ours: only while `work` runs, since it belongs to the connection."""
        self._connection.text_factory = str
        try:
            with self._errors("reading"), _care_for_rows():
                return work()
        finally:
            self._connection.text_factory = decode_utf8

    def define(self, name: str, function: Callable[..., Any], arguments: int = 1) -> None:
        """Make a deterministic Python function known to the SELECTs of this connection; -1: of any arguments."""
        self._connection.create_function(name, arguments, function, deterministic=True)

    def limit_row(self, size: int = MAX_CELL_BYTES) -> None:
        """What select() may build at most, in bytes; over it sqlite3 raises SQLITE_TOOBIG."""
        self._connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, size)

    def keep_pages(self, kibibytes: int) -> None:
        """How much of the file this connection may keep in memory."""
        self._connection.execute(f"PRAGMA cache_size=-{kibibytes}")

    def data_version(self) -> int:
        """A number that changes when another connection has committed since the last call (PRAGMA data_version).

        Asked on a connection of its own, outside the read transaction, which sees no later commits.
        """
        with self._errors("reading the data version"):
            if self._watch is None:
                self._watch = sqlite3.connect(
                    self._uri, uri=True, isolation_level=None, timeout=BUSY_SECONDS, check_same_thread=False
                )
            self._watch.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            return int(self._watch.execute("PRAGMA data_version").fetchone()[0])

    def copy_into(self, target: sqlite3.Connection, pages: int = 2048, *, phase: str = "backup") -> None:
        """Copy this snapshot, page by page, by SQLite's own backup. Our read transaction keeps it from starting over.

        Raises sqlite3.Error as it comes: it may speak of the target.
        """

        def report(status: int, remaining: int, total: int) -> None:
            self._control.progress(phase, "", total - remaining, total)

        self._connection.backup(target, pages=pages, progress=report)

    def query(self, sql: str, parameters: Sequence[Cell] = ()) -> Iterator[Row]:
        """Run one of the engine's own SELECTs (anti-joins, duplicates) under the same guards."""
        with self._errors("reading"):
            yield from self._connection.execute(sql, tuple(_bindable(value) for value in parameters))

    def _wanted(self, table: SourceTable, columns: Sequence[str] | None) -> list[str]:
        known = [column.name for column in table.columns if not column.hidden]
        if columns is None:
            return known
        for name in columns:
            if name not in known:
                raise KeyError(f"{table.name}.{name}")
        return list(columns)

    def _wanted_cells(self, table: SourceTable, columns: Sequence[str] | None) -> list[str]:
        """Their SQL. A sort gives reals of a virtual column back as integers (seen in 3.40), but not a cast."""
        unsteady = {c.name for c in table.columns if c.generated == "virtual" and affinity(c.declared_type) == REAL}
        wanted = self._wanted(table, columns)
        return [_steady_real(quote_name(name)) if name in unsteady else quote_name(name) for name in wanted]

    def _stream(self, table: SourceTable, expressions: list[str], tail: _Tail) -> Iterator[Row]:
        wide = self.schema.encoding != "UTF-8"
        parts = [part for item in expressions for part in (_wide_parts(item) if wide else (item,))] or ["1"]
        query = f"SELECT {', '.join(parts)} FROM {quote_name(table.name)}{tail.sql}"
        done, ahead = 0, 1
        try:
            with self._errors(f"reading table {table.name!r}"):
                cursor = self._connection.execute(query)
                ahead = 2  # from here on sqlite3 fetches the next row before it hands out one
                for row in cursor:
                    yield self._narrow(row) if wide else row
                    done += 1
        except Refused as error:
            if error.code != "VALUE_TOO_LARGE":
                raise
            where = self._key_at(table, done + ahead, tail)
            raise Refused(error.code, f"{error.message} It is in table {table.name!r}, {where}.", error.hint) from error

    def _key_at(self, table: SourceTable, number: int, tail: _Tail) -> str:
        """The key of the row that comes as `number`th, or that number where the key can't be read alone."""
        key = [quote_name(name) for name in table.key] or ([table.rowid_name] if table.rowid_name else [])
        one = replace(tail, limit=1, offset=number - 1)
        try:
            query = f"SELECT {', '.join(key)} FROM {quote_name(table.name)}{one.sql}"
            found = self._connection.execute(query).fetchone() if key else None
        except sqlite3.Error:
            found = None
        return f"row {row_key_text(key_names(table), found)}" if found else f"row number {number}"

    def _narrow(self, row: Row) -> Row:
        """UTF-16: pairs (value, is text) back to cells, decoded strictly."""
        return tuple(
            _decode(value, self._codec) if text and isinstance(value, bytes) else value
            for value, text in zip(row[::2], row[1::2], strict=True)
        )

    def _authorize(self, action: int, first: str | None, second: str | None, _: str | None, inner: str | None) -> int:
        return authorize(action, first, second, inner, self._shadows)

    def _must_stop(self) -> int:
        return 1 if self._control.stop.is_set() else 0

    @contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Turn sqlite3's errors into ours."""
        try:
            yield
        except sqlite3.Error as error:
            if self._control.stop.is_set():
                raise Cancelled(self._control.stop_reason or "Stopped before the end, as asked.") from error
            raise translate_error(self.path, error, doing) from error
        except UnicodeDecodeError:
            # Raised by sqlite3 before it calls a stand-in for a collation.
            raise Refused(
                "NOT_READABLE",
                f"{self.path}: {doing} compares text that isn't valid by a collation that only the application has.",
                "Mend the text, or leave the table out with --exclude.",
            ) from None


@contextmanager
def _care_for_rows() -> Iterator[None]:
    """NeedsCare for a row that is too large, or has text that Python's module can't decode."""
    try:
        yield
    except sqlite3.Error as error:
        # What the module raises itself bears no code of SQLite's, and quotes the value.
        undecoded = isinstance(error, sqlite3.OperationalError) and not hasattr(error, "sqlite_errorname")
        if undecoded or getattr(error, "sqlite_errorname", "") == "SQLITE_TOOBIG":
            raise NeedsCare from None
        raise


def _bindable(value: Cell) -> int | float | str | bytes | None:
    if isinstance(value, InvalidText):
        raise TypeError("text that isn't valid can't be a parameter")
    return value


def decode_utf8(raw: bytes) -> str | InvalidText:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return InvalidText(raw)


def _decode(raw: bytes, codec: str) -> str | InvalidText:
    try:
        return raw.decode(codec)
    except UnicodeDecodeError:
        return InvalidText(raw)


def _steady_real(cell: str) -> str:
    return f"CASE typeof({cell}) WHEN 'real' THEN CAST({cell} AS REAL) ELSE {cell} END"


def _wide_parts(expression: str) -> tuple[str, str]:
    """UTF-16: SQLite would replace what it can't decode, so the stored bytes are asked for."""
    is_text = f"typeof({expression})='text'"
    return f"CASE WHEN {is_text} THEN CAST({expression} AS BLOB) ELSE {expression} END", is_text


def _of_part(table: SourceTable, part: Part | None) -> _Tail:
    return _Tail(range_condition(table, part)) if part is not None else _Tail()


def _in_order(table: SourceTable) -> _Tail:
    order = _order_by(table)
    return _Tail(order=f" ORDER BY {order}" if order else "")


def _order_by(table: SourceTable) -> str:
    if table.kind == "virtual":
        return "rowid" if table.rowid_name else ""
    if table.rowid_alias is not None or not table.key:
        return table.rowid_name or quote_name(table.rowid_alias or "")
    return ", ".join(f"{quote_name(name)} COLLATE BINARY" for name in table.key)


def rowid_is_key(table: SourceTable) -> bool:
    """Whether rows of the table are told apart by rowid alone (no declared primary key)."""
    return not table.key and not table.without_rowid


__all__ = ["MAX_CELL_BYTES", "Source", "fold", "quote_name", "rowid_is_key", "translate_error"]
