"""COPY TO as an iterator of lines, with memory that doesn't grow with the data."""

from __future__ import annotations

import contextlib
import fcntl
import os
import queue
import threading
from collections.abc import Iterator
from typing import BinaryIO

import psycopg2

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Cancelled
from migrations_app.engine.target.target import Connection, cancel_quietly, database_failed

_BATCH_BYTES = 128 * 1024
_BATCHES = 8  # that wait at most
_PIPE_BYTES = 1 << 20


class LinesOut:
    """Runs `COPY … TO STDOUT` in a thread and hands its lines over in batches. Use as a context manager.

    The connection belongs to this object until the context ends. Left early, the rest is read and thrown away: the
    transaction, and with it the snapshot, lives on.
    """

    def __init__(self, connection: Connection, sql: str, control: Control, doing: str) -> None:
        self._connection, self._sql, self._control, self._doing = connection, sql, control, doing
        self._queue: queue.Queue[list[bytes] | None] = queue.Queue(_BATCHES)
        self._batch: list[bytes] = []
        self._size = 0
        self._error: BaseException | None = None
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._run, name="causeway-copy-out", daemon=True)

    def __enter__(self) -> LinesOut:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._abandoned.set()
        while self._thread.is_alive():
            if self._control.stop.is_set():
                cancel_quietly(self._connection)
            self._empty()
            self._thread.join(0.05)

    def __iter__(self) -> Iterator[bytes]:
        """Lines without their newline. Raises what the COPY raised, or Cancelled."""
        while (batch := self._next()) is not None:
            yield from batch
        if self._error is not None:
            raise self._error

    def write(self, data: bytes) -> int:
        """Called by psycopg2 for every row."""
        if not self._abandoned.is_set():
            self._batch.append(data[:-1] if data.endswith(b"\n") else data)
            self._size += len(data)
            if self._size >= _BATCH_BYTES:
                self._put(self._batch)
                self._batch, self._size = [], 0
        return len(data)

    def _run(self) -> None:
        try:
            with self._connection.cursor() as cursor:
                cursor.copy_expert(self._sql, self, size=_BATCH_BYTES)
        except psycopg2.Error as error:
            self._error = database_failed(error, self._doing)
        except BaseException as error:  # noqa: BLE001 - raised again in the reader's thread
            self._error = error
        finally:
            if self._batch and self._error is None:
                self._put(self._batch)
            self._put(None)

    def _put(self, batch: list[bytes] | None) -> None:
        while not self._abandoned.is_set():
            try:
                self._queue.put(batch, timeout=0.2)
                return
            except queue.Full:
                if self._control.stop.is_set():
                    cancel_quietly(self._connection)

    def _next(self) -> list[bytes] | None:
        while True:
            if self._control.stop.is_set():
                cancel_quietly(self._connection)
                raise Cancelled(self._control.stop_reason or "Stopped before the end, as asked.")
            try:
                return self._queue.get(timeout=0.2)
            except queue.Empty:
                continue

    def _empty(self) -> None:
        try:
            while True:
                self._queue.get_nowait()
        except queue.Empty:
            return


class BytesOut:
    """Runs `COPY … TO STDOUT` in a thread and hands over its bytes, without a Python call a row. A context manager.

    psycopg2 calls write() for each row: here that is a buffered file's, in C, before a pipe. Left early, the rest is
    read and thrown away, as in LinesOut.
    """

    def __init__(self, connection: Connection, sql: str, doing: str) -> None:
        self._connection, self._sql, self._doing = connection, sql, doing
        self._error: BaseException | None = None
        read_end, write_end = os.pipe()
        _widen(write_end)
        self._in: BinaryIO = os.fdopen(read_end, "rb", buffering=_PIPE_BYTES)
        self._out: BinaryIO = os.fdopen(write_end, "wb", buffering=_BATCH_BYTES)
        self._thread = threading.Thread(target=self._run, name="causeway-copy-out", daemon=True)

    def __enter__(self) -> BytesOut:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        while self._in.read(_PIPE_BYTES):
            pass
        self._thread.join()
        self._in.close()

    def read(self, size: int) -> bytes:
        """That many bytes, fewer only at the end. Raises what the COPY raised."""
        found = self._in.read(size)
        if len(found) < size:
            self._thread.join()
            if self._error is not None:
                raise self._error
        return found

    def _run(self) -> None:
        try:
            with self._out as file, self._connection.cursor() as cursor:
                cursor.copy_expert(self._sql, file, size=_BATCH_BYTES)
        except psycopg2.Error as error:
            self._error = database_failed(error, self._doing)
        except BaseException as error:  # noqa: BLE001 - raised again in the reader's thread
            self._error = error


def _widen(pipe: int) -> None:
    """For speed alone: Linux knows the call, and refuses it where a user's pipes hold much already (pipe(7))."""
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):
            fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
