"""The rows' way in: COPY, one transaction a chunk, over several connections, with the fence and the ledger in each."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import psycopg2

from migrations_app.engine.control import Control
from migrations_app.engine.crew import run_threads
from migrations_app.engine.errors import EngineError, Failed
from migrations_app.engine.export.export_reader import Export, ExportChunk
from migrations_app.engine.load import copy_direct
from migrations_app.engine.plan import MovePlan, TablePlan
from migrations_app.engine.source.cells import Row
from migrations_app.engine.target import ledger
from migrations_app.engine.target.copy_text import LineWriter, describe_row
from migrations_app.engine.target.lease import Lease, assert_held
from migrations_app.engine.target.target import (
    Connection,
    Cursor,
    application_name,
    cancelling,
    connect,
    database_failed,
    transaction,
)
from migrations_app.engine.target.target_url import TargetUrl

DIRECT = True  # tests turn it off, to show that both ways load the same rows
_BLOCK = 256 * 1024  # bytes gathered before they are handed to libpq
_VALUE_REFUSED = ("22", "23", "54")  # SQLSTATE classes: data exceptions, integrity constraints, limits of a row
# Where a COPY failed, in the server's context: 'COPY t, line 3, column c: "value"'. The value is never read on.
_AT = re.compile(r"^COPY .*?, line (\d+)(?:, column ([^:]*))?", re.MULTILINE)


@dataclass(frozen=True)
class Loading:
    """What every part of one load knows. `schema` is where the tables stand now (hidden until published)."""

    plan: MovePlan
    url: TargetUrl
    run_key: str
    lease: Lease | None
    schema: str

    def connect(self) -> Connection:
        return connect(self.url, application_name=application_name(self.run_key, 0), lease=self.lease)


@dataclass(frozen=True)
class _Way:
    """How a table's lines go in: as they are by `direct_sql`, or, where that is '', cell by cell."""

    writer: LineWriter
    direct_sql: str


def _way(export: Export, loading: Loading, table: TablePlan) -> _Way:
    # Only of an export that is known to be ours by its digest: nobody looks at what stands in its lines.
    direct = copy_direct.copy_sql(table, export.table(table.name), loading.schema) if DIRECT and export.known else ""
    return _Way(LineWriter(table), direct)


class CopyStream:
    """A file to read the lines of one chunk from, made as they are asked for."""

    def __init__(self, writer: LineWriter, rows: Sequence[Row], control: Control) -> None:
        self.error: EngineError | None = None
        self.sent: list[Row] = []  # the rows of the lines given, so that PostgreSQL's line number finds its row
        self._blocks = self._make(writer, rows, control)
        self._rest = b""

    def _make(self, writer: LineWriter, rows: Sequence[Row], control: Control) -> Iterator[bytes]:
        lines: list[str] = []
        size = 0
        for row in rows:
            line = writer.line(row)
            if line is None:
                continue
            lines.append(line)
            self.sent.append(row)
            size += len(line)
            if size >= _BLOCK:
                control.checkpoint()
                yield ("\n".join(lines) + "\n").encode()
                lines, size = [], 0
        if lines:
            yield ("\n".join(lines) + "\n").encode()

    def read(self, size: int) -> bytes:
        """Called by psycopg2, which turns what is raised here into an error of its own: `error` keeps ours."""
        if not self._rest:
            try:
                self._rest = next(self._blocks, b"")
            except EngineError as error:
                self.error = error
                raise
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


class _Work:
    """The chunks that are still to do, handed out one by one to the threads; counts what is in."""

    def __init__(self, export: Export, plan: MovePlan, done: dict[str, dict[int, int]], control: Control) -> None:
        self._lock = threading.Lock()
        self._control = control
        self._totals = {table.name: export.count(table.name) for table in plan.tables if table.is_loaded}
        self._in = {name: sum(done.get(name, {}).values()) for name in self._totals}
        self._todo = self._find(export, done)

    def _find(self, export: Export, done: dict[str, dict[int, int]]) -> Iterator[ExportChunk]:
        for name in sorted(self._totals, key=lambda name: (-self._totals[name], name)):
            for chunk in export.chunks(name):
                if chunk.number not in done.get(name, {}):
                    yield chunk

    def take(self) -> ExportChunk | None:
        with self._lock:
            return next(self._todo, None)

    def loaded(self, table: str, rows: int) -> None:
        with self._lock:
            self._in[table] += rows
            self._control.progress("load", table, self._in[table], self._totals[table])


def load_rows(export: Export, loading: Loading, *, jobs: int, control: Control) -> dict[str, int]:
    """Load every chunk that the ledger doesn't know yet. Returns the rows in the target by source table.

    Raises Fenced, Cancelled, Failed (VALUE_REFUSED, VALUE_UNFIT, TARGET_LOST, TARGET_FULL …).
    """
    work = _Work(export, loading.plan, _done(loading), control)
    ways = {table.name: _way(export, loading, table) for table in loading.plan.tables if table.is_loaded}

    def worker(inner: Control) -> None:
        connection = loading.connect()
        try:
            with cancelling(connection, inner):
                _write_lazily(connection)
                while (chunk := work.take()) is not None:
                    inner.checkpoint()
                    work.loaded(
                        chunk.table.name, _load_chunk(connection, loading, ways[chunk.table.name], chunk, inner)
                    )
        finally:
            connection.close()

    run_threads([worker] * max(1, jobs), control)
    _make_lasting(loading)
    _assert_complete(export, loading)
    return _count_loaded(loading)


def _write_lazily(connection: Connection) -> None:
    """Let chunks be committed before they are on the server's disk: a crash that loses rows loses their ledger's entry.

    What a pooler might hide from us, _assert_complete() sees once _make_lasting() has brought all of it to the disk
    (https://www.postgresql.org/docs/current/wal-async-commit.html).
    """
    with transaction(connection, "preparing to load") as cursor:
        cursor.execute("SET synchronous_commit = off")


def _make_lasting(loading: Loading) -> None:
    """A commit of the usual kind: with it everything before it is on the server's disk.

    It must write something: a transaction that only takes a number isn't waited for.
    """
    connection = loading.connect()
    try:
        with transaction(connection, "bringing the rows to the disk") as cursor:
            ledger.touch(cursor, loading.run_key)
    finally:
        connection.close()


def _assert_complete(export: Export, loading: Loading) -> None:
    """Every chunk is in. Where a crash took some back behind a pooler, the load goes on as after any outage."""
    done = _done(loading)
    for table in loading.plan.tables:
        found = done.get(table.name, {})
        if table.is_loaded and any(chunk.number not in found for chunk in export.chunks(table.name)):
            raise Failed("TARGET_LOST", f"The target lost rows of {table.name} that it had taken in.", "Run it again.")


def _load_chunk(connection: Connection, loading: Loading, way: _Way, chunk: ExportChunk, control: Control) -> int:
    """One transaction: fence, COPY, ledger. Returns the rows that went in."""
    table = chunk.table.name
    csv = copy_direct.csv_stream(chunk.raw()) if way.direct_sql else None
    with transaction(connection, f"loading table {table}") as cursor:
        if loading.lease is not None:
            assert_held(cursor, loading.lease)
        count = _copy_directly(cursor, way.direct_sql, csv) if csv is not None else None
        if count is not None and count != chunk.rows:
            raise chunk.miscounted()
        if count is None:
            count = _copy_by_cells(cursor, loading, way.writer, chunk, control)
        ledger.record_chunk(cursor, loading.run_key, table, chunk.number, count, chunk.sha256)
    return count


def _copy_directly(cursor: Cursor, sql: str, csv: copy_direct.CsvStream) -> int | None:
    """The rows that went in; None where PostgreSQL refused a value: looked at one by one, the cells will tell which."""
    cursor.execute("SAVEPOINT direct")
    try:
        cursor.copy_expert(sql, csv, size=_BLOCK)
    except psycopg2.Error as error:
        if (error.pgcode or "")[:2] not in _VALUE_REFUSED:
            raise
        cursor.execute("ROLLBACK TO SAVEPOINT direct")
        return None
    return int(cursor.rowcount)


def _copy_by_cells(cursor: Cursor, loading: Loading, writer: LineWriter, chunk: ExportChunk, control: Control) -> int:
    stream = CopyStream(writer, chunk.read(writer.columns), control)
    try:
        cursor.copy_expert(writer.copy_in_sql(loading.schema), stream, size=_BLOCK)
    except psycopg2.Error as error:
        if stream.error is not None:
            raise stream.error from None
        control.checkpoint()
        raise _copy_failed(error, loading.plan, writer, stream) from None
    return int(cursor.rowcount)


def _copy_failed(error: psycopg2.Error, plan: MovePlan, writer: LineWriter, stream: CopyStream) -> EngineError:
    """Table, column and row of a value that PostgreSQL refused. Its own message quotes values: not passed on."""
    state = error.pgcode or ""
    if state[:2] not in _VALUE_REFUSED:
        return database_failed(error, f"loading table {writer.table.name}")
    found = _AT.search(error.diag.context or "")
    column = (found and found[2]) or error.diag.column_name or ""
    if column in writer.target_columns:
        column = writer.columns[writer.target_columns.index(column)]
    where = describe_row(writer, stream.sent, int(found[1])) if found else "an unknown row"
    what = f"constraint {error.diag.constraint_name}" if error.diag.constraint_name else f"SQLSTATE {state}"
    place = f"{writer.table.name}.{column}" if column else writer.table.name
    return Failed(
        "VALUE_REFUSED",
        f"PostgreSQL refused a value of {place} in {where} ({what}).",
        "Plan again: the plan's type or constraint doesn't hold for this value.",
    )


def _count_loaded(loading: Loading) -> dict[str, int]:
    done = _done(loading)
    return {table.name: sum(done.get(table.name, {}).values()) for table in loading.plan.tables if table.is_loaded}


def _done(loading: Loading) -> dict[str, dict[int, int]]:
    connection = loading.connect()
    try:
        with transaction(connection, "reading the ledger") as cursor:
            return ledger.chunks_done(cursor, loading.run_key)
    finally:
        connection.close()
