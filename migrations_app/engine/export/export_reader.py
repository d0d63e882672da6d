"""Reading an export: each chunk's bytes are proved by their digest before a single row of it is handed out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path

from migrations_app.engine.artefact_files import read_regular
from migrations_app.engine.errors import Refused
from migrations_app.engine.export.manifest import ExportFile, ExportTable, Manifest, read_manifest
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.source.cells import Cell, CellError, Row, decode_row
from migrations_app.engine.source.fingerprint import Fingerprint
from migrations_app.engine.source.schema import SourceSchema

_HINT = "The export was edited or damaged: export again."


@dataclass(frozen=True)
class ExportChunk:
    """At most 10,000 rows, or 4 MiB, of one table. `number` counts from 1 within the table."""

    table: ExportTable
    number: int
    file: ExportFile
    directory: Path

    @property
    def rows(self) -> int:
        return self.file.rows

    @property
    def sha256(self) -> str:
        return self.file.sha256

    def raw(self) -> bytes:
        """The chunk's lines, each with its newline. Raises Refused BAD_CHUNK when a byte isn't what was written."""
        raw = read_regular(self.directory / self.file.name, self.file.size)
        if raw is None or hashlib.sha256(raw).hexdigest() != self.file.sha256:
            raise Refused("BAD_CHUNK", f"{self._where} is not what was exported.", _HINT)
        return raw

    def miscounted(self) -> Refused:
        """What to raise where the rows turn out to be others in number than the manifest says."""
        return Refused("BAD_CHUNK", f"{self._where} doesn't hold the {self.file.rows} rows it should.", _HINT)

    def lines(self) -> list[bytes]:
        """The chunk's lines without their newlines. Raises as raw() does, and what miscounted() gives."""
        lines = self.raw().split(b"\n")
        if lines.pop() or len(lines) != self.file.rows:
            raise self.miscounted()
        return lines

    def read(self, columns: Sequence[str] | None = None) -> list[Row]:
        """The rows, decoded; of all exported columns, or of those named, in that order.

        Raises Refused BAD_CHUNK, BAD_CELL, and UNKNOWN_COLUMN for a column that the export doesn't hold.
        """
        select = column_getter(self.table, columns)
        width, hex_positions = len(self.table.columns), self.table.hex_positions
        rows: list[Row] = []
        for index, line in enumerate(self.lines(), start=1):
            try:
                rows.append(decode_row(line, width, hex_positions))
            except CellError as error:
                raise Refused("BAD_CELL", f"{self._where}, line {index}: {error}.", _HINT) from None
        return rows if select is None else [select(row) for row in rows]

    @property
    def _where(self) -> str:
        return f"{self.directory / self.file.name} (table {self.table.name!r}, chunk {self.number})"


class _Selector:
    """Picks cells by position, as a tuple even where there is only one."""

    def __init__(self, positions: Sequence[int]) -> None:
        self._get = itemgetter(*positions) if len(positions) > 1 else None
        self._positions = tuple(positions)

    def __call__(self, row: Row) -> Row:
        if self._get is not None:
            picked: tuple[Cell, ...] = self._get(row)
            return picked
        return tuple(row[position] for position in self._positions)


def column_getter(table: ExportTable, columns: Sequence[str] | None) -> _Selector | None:
    """What picks `columns` out of an exported row; None when the row is right as it is. Raises UNKNOWN_COLUMN."""
    names = table.column_names
    if columns is None or tuple(columns) == names:
        return None
    missing = [name for name in columns if name not in names]
    if missing:
        raise Refused(
            "UNKNOWN_COLUMN",
            f"The export's table {table.name!r} has no column {missing[0]!r}.",
            "Export again, or choose what shall happen to that column.",
        )
    return _Selector([names.index(name) for name in columns])


class Export:
    """A finished export. Made by open_export()."""

    def __init__(self, directory: Path, manifest: Manifest, sha256: str, *, known: bool = False) -> None:
        self.directory = directory
        self.manifest = manifest
        self.known = known  # by its digest: not only whole, but the one that was written then
        self.sha256 = sha256  # of manifest.json, which holds the digests of all else
        self._tables = {table.name: table for table in manifest.tables}

    @property
    def plan(self) -> MovePlan | None:
        """The plan it was exported under; None for an export made of a single document."""
        return self.manifest.plan

    @property
    def schema(self) -> SourceSchema:
        return self.manifest.schema

    @property
    def fingerprint(self) -> Fingerprint:
        return self.manifest.fingerprint

    @property
    def tables(self) -> tuple[ExportTable, ...]:
        return self.manifest.tables

    def table(self, name: str) -> ExportTable:
        """Raises Refused UNKNOWN_TABLE."""
        if name not in self._tables:
            raise Refused("UNKNOWN_TABLE", f"The export holds no table {name!r}.", "Export again without excluding it.")
        return self._tables[name]

    def chunks(self, name: str) -> Iterator[ExportChunk]:
        """The table's chunks, in order; nothing is read yet."""
        table = self.table(name)
        for number, file in enumerate(table.files, start=1):
            yield ExportChunk(table, number, file, self.directory)

    def rows(self, name: str, columns: Sequence[str] | None = None) -> Iterator[Row]:
        """The table's rows in the order of the export (that of the key); at most one chunk is in memory."""
        for chunk in self.chunks(name):
            yield from chunk.read(columns)

    def count(self, name: str) -> int:
        return self.table(name).rows


def open_export(directory: Path, expected_sha256: str = "") -> Export:
    """Open a finished export.

    Raises Refused NO_MANIFEST, BAD_FORMAT, BAD_MANIFEST, and WRONG_EXPORT when it isn't the one whose manifest has
    `expected_sha256`.
    """
    manifest, sha256 = read_manifest(directory)
    if expected_sha256 and sha256 != expected_sha256:
        raise Refused("WRONG_EXPORT", f"{directory} is another export than the one expected.", _HINT)
    return Export(directory, manifest, sha256, known=bool(expected_sha256))
