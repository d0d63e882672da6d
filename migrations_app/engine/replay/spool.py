"""What is to be applied, kept outside SQLite and PostgreSQL: keys and rows as lines, in memory while they are few.

SQLite's read transaction can so end before PostgreSQL has taken a single row, rows are read once and still compared
with what PostgreSQL then holds, and memory doesn't grow with the backlog. The files have no names: nobody finds them,
and nothing is left after a kill.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from migrations_app.engine.artefact_files import told
from migrations_app.engine.target.copy_text import NULL

_IN_MEMORY = 1 << 20  # bytes of each of the two files
_PIECE = 64 * 1024


@dataclass
class Section:
    """The keys of one table that one read found, and those of their rows that there are."""

    table: int
    rows_at: int
    keys: int = 0
    rows: int = 0


class Spool:
    """Lines by table, in sections. Keys are numbered from 1 through all sections."""

    def __init__(self, keys: IO[bytes], rows: IO[bytes]) -> None:
        self.sections: list[Section] = []
        self.count = 0  # keys given so far
        self._keys, self._rows = keys, rows
        self._end, self._again = "", False

    def begin(self, table: int, missing: int = 0) -> None:
        """What is added from here on belongs to the table of that number, whose key has so many columns too few."""
        self.sections.append(Section(table, self._rows.tell()))
        self._end = f"\t{NULL}" * missing

    def add(self, key: str | None, row: str | None, digest: int = 0, *, again: bool = False) -> None:
        """One dirty key as a line and its row as one; None: PostgreSQL can't hold such a key, or there is no row.

        digest: of the key as SQLite has it, where it may come more than once: in another section, or (`again`) in
        this one.
        """
        section = self.sections[-1]
        self._again = self._again or again
        self.count += 1
        if key is not None:
            there = "f" if row is None else "t"
            self._keys.write(f"{section.table}\t{self.count}\t{digest}\t{there}\t{key}{self._end}\n".encode())
            section.keys += 1
        if row is not None:
            self._rows.write(f"{self.count}\t{row}\n".encode())
            section.rows += 1

    @property
    def tables(self) -> list[int]:
        """Numbers of the tables that have keys."""
        return sorted({section.table for section in self.sections if section.keys or section.rows})

    @property
    def repeats(self) -> bool:
        """Whether a key may be there more than once, as where a table was read more than once."""
        return self._again or len({section.table for section in self.sections}) < len(self.sections)

    @property
    def keys(self) -> int:
        """How many lines key_lines() has."""
        return sum(section.keys for section in self.sections)

    def key_lines(self) -> IO[bytes]:
        """The keys of all tables, each line behind the table's number and the key's; to be read from here."""
        self._keys.seek(0)
        return self._keys

    def rows(self, table: int) -> Iterator[tuple[int, bytes]]:
        """(number, line without number and newline) of a table's rows, in the order of their numbers.

        Only one reader at a time, and nothing is added meanwhile.
        """
        for section in self.sections:
            if section.table == table:
                self._rows.seek(section.rows_at)
                for line in islice(self._rows, section.rows):
                    number, _, row = line[:-1].partition(b"\t")
                    yield int(number), row


@contextmanager
def spool() -> Iterator[Spool]:
    """Raises Failed DISK_FULL, FILE_ERROR where $TMPDIR has no room."""
    with (
        told(Path(tempfile.gettempdir()) / "causeway-replay"),
        tempfile.SpooledTemporaryFile(_IN_MEMORY, prefix="causeway-replay-") as keys,
        tempfile.SpooledTemporaryFile(_IN_MEMORY, prefix="causeway-replay-") as rows,
    ):
        yield Spool(keys, rows)


class LineStream:
    """Lines as the file that COPY reads."""

    def __init__(self, lines: Iterator[bytes], checkpoint: Callable[[], None]) -> None:
        self.error: Exception | None = None
        self._lines = lines
        self._checkpoint = checkpoint
        self._rest = b""

    def read(self, size: int) -> bytes:
        """Called by psycopg2, which turns what is raised here into an error of its own: `error` keeps ours."""
        try:
            if not self._rest:
                self._checkpoint()
                self._rest = self._next()
        except Exception as error:
            self.error = error
            raise
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece

    def _next(self) -> bytes:
        pieces, size = [], 0
        for line in self._lines:
            pieces.append(line)
            size += len(line)
            if size >= _PIECE:
                break
        return b"".join(pieces)
