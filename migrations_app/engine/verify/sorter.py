"""Sorts two sides of a comparison in a scratch file of SQLite, whose sorter keeps to a bounded memory."""

from __future__ import annotations

import contextlib
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from migrations_app.engine.errors import Failed


@dataclass(frozen=True)
class Sorter:
    """Sides are 0 and 1. Methods raise sqlite3.Error, which sorter() turns into ours."""

    connection: sqlite3.Connection

    def fill(self, side: int, lines: Iterator[tuple[str, str]]) -> None:
        """Take a side's lines, each with its key before it."""
        self.connection.execute("BEGIN")
        for key, line in lines:
            self.connection.execute(f"INSERT INTO side{side} VALUES (?, ?)", (key, line))
        self.connection.execute("COMMIT")

    def lines(self, side: int) -> Iterator[tuple[str, str]]:
        """The side's keys and lines, in order."""
        yield from self.connection.execute(f"SELECT key, line FROM side{side} ORDER BY key, line")


@contextlib.contextmanager
def sorter(table: str) -> Iterator[Sorter]:
    """`table`: for the message. Raises Failed SCRATCH_FAILED."""
    with tempfile.TemporaryDirectory(prefix="causeway-verify-") as folder:
        scratch = sqlite3.connect(Path(folder) / "sort.db", isolation_level=None)
        try:
            scratch.executescript(
                "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -16000;"
                "CREATE TABLE side0 (key TEXT NOT NULL, line TEXT NOT NULL);"
                "CREATE TABLE side1 (key TEXT NOT NULL, line TEXT NOT NULL);"
            )
            yield Sorter(scratch)
        except sqlite3.Error as error:
            raise Failed(
                "SCRATCH_FAILED",
                f"Table {table} couldn't be sorted in {folder}: {error}.",
                "Make room there, or set TMPDIR to a folder with more.",
            ) from None
        finally:
            scratch.close()
