"""Writes a snapshot of a SQLite file as JSON Lines, and reads it back (format: docs/reference/export-format.md).

Deterministic: the same rows under the same plan give the same bytes in the same chunks, so that an export that was
lost can be made again in the middle of a load. Resumable: chunks that an earlier attempt finished are kept.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from migrations_app.engine.artefact_files import check_space, make_private_folder, only_one, part_file, write_atomically
from migrations_app.engine.cells import HEX, PLAIN, InvalidText, Row, encode_row
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Refused
from migrations_app.engine.export_journal import JOURNAL, Journal, JournalEntry, check_folder, clear_folder
from migrations_app.engine.export_reader import Export, ExportChunk, open_export
from migrations_app.engine.fingerprint import Fingerprint
from migrations_app.engine.manifest import FORMAT, NAME, ExportColumn, ExportFile, ExportTable, Manifest
from migrations_app.engine.plan import SKIP, MovePlan, TablePlan
from migrations_app.engine.schema import SourceSchema

__all__ = ["Export", "ExportChunk", "ExportResult", "RowSource", "export_source", "open_export"]

CHUNK_ROWS = 10_000
CHUNK_BYTES = 4 << 20
_CLASSES = {type(None): "null", int: "integer", float: "real", str: "text", bytes: "blob", InvalidText: "invalid_text"}


class RowSource(Protocol):
    """What is exported: a Source (sqlite_source), or a reader of a single document."""

    @property
    def schema(self) -> SourceSchema: ...

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Row]: ...


@dataclass(frozen=True)
class ExportResult:
    """`sha256` is the manifest's, and so stands for all files; `tables` are rows by table name."""

    directory: Path
    manifest_path: Path
    sha256: str
    tables: dict[str, int]
    size: int  # bytes of all chunks


class _NotOnlyBlobs(Exception):
    """A column that was written as plain hex holds something else after all."""


def export_source(
    source: RowSource, plan: MovePlan, directory: Path, control: Control, fingerprint: Fingerprint
) -> ExportResult:
    """Write every table that the plan doesn't skip; the manifest comes last, so half an export is none.

    All stored columns are written, those too that the plan drops: the export can then be planned anew.
    Raises Refused NO_SPACE, NOT_A_FOLDER, FOLDER_NOT_EMPTY, IN_USE; Failed DISK_FULL, FILE_ERROR; Cancelled.
    """
    tables = {table.name: stored_columns(table, source.schema) for table in plan.tables if table.rule != SKIP}
    return write_export(source, tables, _hex_candidates(plan), plan, directory, control, fingerprint)


def write_export(
    source: RowSource,
    tables: dict[str, tuple[str, ...]],
    hex_candidates: dict[str, tuple[str, ...]],
    plan: MovePlan | None,
    directory: Path,
    control: Control,
    fingerprint: Fingerprint,
) -> ExportResult:
    """export_source() for given tables and columns. An identical export that is already there is kept as it is."""
    make_private_folder(directory)
    head = {
        "format": FORMAT,
        "fingerprint": fingerprint.digest,
        "plan": plan.digest if plan else "",
        "schema": source.schema.digest,
    }
    with only_one(directory):
        finished = _finished(directory, head, control)
        if finished is not None:
            return finished
        check_folder(directory)
        check_space(directory, fingerprint.main_size + fingerprint.wal_size, "The export")
        writer = _Writer(source, directory, control, Journal(directory, head))
        return writer.run(tables, hex_candidates, plan, fingerprint)


def stored_columns(table: TablePlan, schema: SourceSchema) -> tuple[str, ...]:
    """The columns that travel: all that are stored, and generated ones whose values the plan loads."""
    found = schema.table(table.name).columns
    generated = {column.name for column in found if column.generated}
    if not table.columns:  # a table whose rows stay in the target is mapped nowhere; its own rows are kept all the same
        return tuple(column.name for column in found if not column.hidden and column.name not in generated)
    return tuple(column.name for column in table.columns if column.load or column.name not in generated)


def _hex_candidates(plan: MovePlan) -> dict[str, tuple[str, ...]]:
    """Columns that probably hold nothing but BLOBs, so that their cells needn't be wrapped."""
    return {
        table.name: tuple(
            column.name
            for column in table.columns
            if column.target_type == "bytea" and "BLOB" in column.declared_type.upper()
        )
        for table in plan.tables
    }


def _finished(directory: Path, head: dict[str, str], control: Control) -> ExportResult | None:
    """The export that is there already, if it is of the same source and plan, and every byte of it is right."""
    if not (directory / NAME).exists():
        return None
    try:
        export = open_export(directory)
        same = (
            export.fingerprint.digest == head["fingerprint"]
            and (export.plan.digest if export.plan else "") == head["plan"]
            and export.schema.digest == head["schema"]
        )
        if not same:
            return None
        for table in export.tables:
            for chunk in export.chunks(table.name):
                control.checkpoint()
                chunk.lines()
    except Refused:
        return None
    return _result(directory, export.manifest, export.sha256)


def _result(directory: Path, manifest: Manifest, sha256: str) -> ExportResult:
    return ExportResult(
        directory=directory,
        manifest_path=directory / NAME,
        sha256=sha256,
        tables={table.name: table.rows for table in manifest.tables},
        size=sum(file.size for table in manifest.tables for file in table.files),
    )


class _Writer:
    """One export under way: numbers its files through, and journals each."""

    def __init__(self, source: RowSource, directory: Path, control: Control, journal: Journal) -> None:
        self.source = source
        self.directory = directory
        self.control = control
        self.journal = journal
        self.kept: dict[str, list[JournalEntry]] = {}
        self.next_number = 1

    def run(
        self,
        tables: dict[str, tuple[str, ...]],
        hex_candidates: dict[str, tuple[str, ...]],
        plan: MovePlan | None,
        fingerprint: Fingerprint,
    ) -> ExportResult:
        try:
            for entry in self._whole(self.journal.resume()):
                self.kept.setdefault(entry.table, []).append(entry)
            clear_folder(self.directory, keep={e.file.name for entries in self.kept.values() for e in entries})
            written = tuple(self._table(name, cols, hex_candidates.get(name, ())) for name, cols in tables.items())
        finally:
            self.journal.close()
        manifest = Manifest(fingerprint, self.source.schema, plan, written)
        raw = manifest.to_bytes()
        write_atomically(self.directory / NAME, raw)
        (self.directory / JOURNAL).unlink()
        return _result(self.directory, manifest, hashlib.sha256(raw).hexdigest())

    def _whole(self, entries: list[JournalEntry]) -> Iterator[JournalEntry]:
        """The entries up to the first whose file is missing or damaged; they are numbered without a gap."""
        for number, entry in enumerate(entries, start=1):
            self.control.checkpoint()
            if entry.file.name != _name(number) or not _is_whole(self.directory / entry.file.name, entry.file):
                return
            yield entry

    def _table(self, name: str, columns: tuple[str, ...], candidates: Sequence[str]) -> ExportTable:
        kept = self.kept.get(name, [])
        first_number = self.next_number
        # Tables are written one after the other: only the last one with a chunk can be unfinished.
        complete = bool(kept) and name != list(self.kept)[-1]
        hex_columns = kept[0].hex_columns if kept else tuple(candidates)
        try:
            return _TableWriter(self, name, columns, hex_columns, kept).run(complete=complete)
        except _NotOnlyBlobs:
            self.journal.forget(name)
            self._remove_from(first_number)
            return _TableWriter(self, name, columns, (), []).run(complete=False)

    def _remove_from(self, number: int) -> None:
        for used in range(number, self.next_number):
            (self.directory / _name(used)).unlink(missing_ok=True)
        self.next_number = number


class _TableWriter:
    """One table: its rows in order, cut into chunks."""

    def __init__(
        self,
        writer: _Writer,
        name: str,
        columns: tuple[str, ...],
        hex_columns: tuple[str, ...],
        kept: Sequence[JournalEntry],
    ) -> None:
        self.writer = writer
        self.name = name
        self.columns = columns
        self.hex_columns = hex_columns
        self.hex_positions = tuple(columns.index(column) for column in hex_columns)
        self.entries: list[JournalEntry] = []
        self.kept = kept
        self.digest = hashlib.sha256()
        self.rows = 0

    def run(self, *, complete: bool) -> ExportTable:
        for entry in self.kept:
            self._take(entry, (self.writer.directory / entry.file.name).read_bytes())
        if not complete:
            # Skipping by counting is right because the rows of one fingerprint always come in the same order.
            rows = islice(self.writer.source.rows(self.name, self.columns), self.rows, None)
            for chunk, lines in _chunks(rows, self._encode):
                self._write(chunk, lines)
        return ExportTable(
            name=self.name,
            columns=tuple(self._column(name) for name in self.columns),
            rows=self.rows,
            sha256=self.digest.hexdigest(),
            files=tuple(entry.file for entry in self.entries),
        )

    def _encode(self, row: Row) -> bytes:
        for position in self.hex_positions:
            if row[position] is not None and type(row[position]) is not bytes:
                raise _NotOnlyBlobs
        return encode_row(row, self.hex_positions)

    def _write(self, rows: list[Row], lines: list[bytes]) -> None:
        raw = b"".join(lines)
        name = _name(self.writer.next_number)
        with part_file(self.writer.directory / name) as file:
            file.write(raw)
        counts = {
            column: {_CLASSES[kind]: count for kind, count in Counter(map(type, cells)).items()}
            for column, cells in zip(self.columns, zip(*rows, strict=True), strict=True)
        }
        written = ExportFile(name, len(rows), len(raw), hashlib.sha256(raw).hexdigest())
        entry = JournalEntry(self.name, written, self.hex_columns, counts)
        self.writer.journal.append(entry)
        self._take(entry, raw)

    def _take(self, entry: JournalEntry, raw: bytes) -> None:
        self.entries.append(entry)
        self.digest.update(raw)
        self.rows += entry.file.rows
        self.writer.next_number += 1
        self.writer.control.progress("export", self.name, self.rows, 0)

    def _column(self, name: str) -> ExportColumn:
        classes: Counter[str] = Counter()
        for entry in self.entries:
            classes.update(entry.classes.get(name, {}))
        return ExportColumn(name, HEX if name in self.hex_columns else PLAIN, dict(sorted(classes.items())))


def _name(number: int) -> str:
    return f"{number:04d}.jsonl"


def _is_whole(path: Path, file: ExportFile) -> bool:
    try:
        if path.stat().st_size != file.size:
            return False
        return hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256
    except OSError:
        return False


def _chunks(rows: Iterator[Row], encode: Callable[[Row], bytes]) -> Iterator[tuple[list[Row], list[bytes]]]:
    """Rows with their lines, up to CHUNK_ROWS or CHUNK_BYTES at a time; a row that is larger comes alone."""
    chunk: list[Row] = []
    lines: list[bytes] = []
    size = 0
    for row in rows:
        line = encode(row)
        if chunk and (size + len(line) > CHUNK_BYTES or len(chunk) == CHUNK_ROWS):
            yield chunk, lines
            chunk, lines, size = [], [], 0
        chunk.append(row)
        lines.append(line)
        size += len(line)
    if chunk:
        yield chunk, lines
