"""Writes a snapshot of a SQLite file as JSON Lines, and reads it back (format: docs/reference/export-format.md).

Deterministic: the same rows under the same plan give the same bytes in the same chunks, so that an export that was
lost can be made again in the middle of a load. Resumable: chunks that an earlier attempt finished are kept. Parts of
tables are written side by side, by us and by helper processes.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from migrations_app.engine.artefact_files import check_space, make_private_folder, only_one, write_atomically
from migrations_app.engine.control import Control
from migrations_app.engine.crew import Crew, Helper
from migrations_app.engine.errors import Refused
from migrations_app.engine.export.export_journal import JOURNAL, Journal, JournalEntry, check_folder, clear_folder
from migrations_app.engine.export.export_reader import Export, ExportChunk, open_export
from migrations_app.engine.export.manifest import (
    FORMAT,
    NAME,
    ExportColumn,
    ExportFile,
    ExportTable,
    Manifest,
    digest_of,
)
from migrations_app.engine.export.part_writer import PartJob, RowSource, TableContent, help_writing, write_part
from migrations_app.engine.export.source_lines import class_counts, only_blobs
from migrations_app.engine.plan import SKIP, MovePlan, TablePlan
from migrations_app.engine.profile.profile import Profile, TableProfile
from migrations_app.engine.source.cells import HEX, PLAIN
from migrations_app.engine.source.fingerprint import Fingerprint
from migrations_app.engine.source.row_ranges import Part
from migrations_app.engine.source.schema import SourceSchema
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.source.table_parts import parts

__all__ = ["Export", "ExportChunk", "ExportResult", "RowSource", "export_source", "open_export"]

HELPED_BYTES = 32 << 20  # of a source: below, a helper's start takes longer than it saves
_NUMBERS_A_PART = 1_000_000  # of chunks; each part counts on from its own multiple


@dataclass(frozen=True)
class ExportResult:
    """`sha256` is the manifest's, and so stands for all files; `tables` are rows by table name."""

    directory: Path
    manifest_path: Path
    sha256: str
    tables: dict[str, int]
    size: int  # bytes of all chunks


def export_source(
    source: Source,
    plan: MovePlan,
    directory: Path,
    control: Control,
    fingerprint: Fingerprint,
    *,
    profile: Profile | None = None,
    jobs: int = 1,
) -> ExportResult:
    """Write every table that the plan doesn't skip; the manifest comes last, so half an export is none.

    All stored columns are written, those too that the plan drops: the export can then be planned anew. `profile` is
    what plan_with_profile() or check_plan_with_profile() found in this very Source: it makes export and load faster.
    Raises Refused NO_SPACE, NOT_A_FOLDER, FOLDER_NOT_EMPTY, IN_USE; Failed DISK_FULL, FILE_ERROR, HELPER_DIED;
    Cancelled.
    """
    profiles = {table.name: table for table in profile.tables} if profile else {}
    tables = [
        TableContent(
            name=table.name,
            columns=(columns := stored_columns(table, source.schema)),
            hex_columns=_hex_columns(source, table, columns, profiles.get(table.name)),
            profile=_covering(profiles.get(table.name), columns),
            fitting=_fits(table, profiles.get(table.name)),
        )
        for table in plan.tables
        if table.rule != SKIP
    ]
    return _write(source, tables, plan, directory, control, fingerprint, jobs)


def write_export(
    source: RowSource,
    columns: Mapping[str, tuple[str, ...]],
    directory: Path,
    control: Control,
    fingerprint: Fingerprint,
) -> ExportResult:
    """An export without a plan, of rows that come from elsewhere; `columns` by table. Raises as export_source()."""
    return _write(source, [TableContent(*item) for item in columns.items()], None, directory, control, fingerprint, 1)


def stored_columns(table: TablePlan, schema: SourceSchema) -> tuple[str, ...]:
    """The columns that travel: all that are stored, and generated ones whose values the plan loads."""
    found = schema.table(table.name).columns
    generated = {column.name for column in found if column.generated}
    if not table.columns:  # a table whose rows stay in the target is mapped nowhere; its own rows are kept all the same
        return tuple(column.name for column in found if not column.hidden and column.name not in generated)
    return tuple(column.name for column in table.columns if column.load or column.name not in generated)


def _hex_columns(
    source: Source, table: TablePlan, columns: Sequence[str], profile: TableProfile | None
) -> tuple[str, ...]:
    """Columns meant for BLOBs that hold nothing else: their cells needn't be wrapped."""
    meant = [c.name for c in table.columns if c.target_type == "bytea" and "BLOB" in c.declared_type.upper()]
    kinds = {column.name: column.kinds for column in profile.columns} if profile else {}
    return tuple(
        name
        for name in meant
        if name in columns and (set(kinds[name]) <= {"blob"} if name in kinds else only_blobs(source, table.name, name))
    )


def _covering(profile: TableProfile | None, columns: Sequence[str]) -> TableProfile | None:
    """The profile, if it speaks of every column that is written."""
    known = {column.name for column in profile.columns} if profile else set()
    return profile if known.issuperset(columns) else None


def _fits(table: TablePlan, profile: TableProfile | None) -> bool:
    """Whether the profile tried every conversion of the plan on every cell, and all fitted."""
    if profile is None or not table.is_loaded:
        return False
    for column in table.loaded_columns:
        fit = profile.column(column.name).fit(column.conversion, column.target_type)
        if fit is None or fit.unfit or column.on_unfit != "fail":
            return False
    return True


def _write(
    source: RowSource,
    tables: Sequence[TableContent],
    plan: MovePlan | None,
    directory: Path,
    control: Control,
    fingerprint: Fingerprint,
    jobs: int,
) -> ExportResult:
    """An identical export that is already there is kept as it is."""
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
        return writer.run(tables, plan, fingerprint, jobs)


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
                chunk.raw()
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
    """One export under way."""

    def __init__(self, source: RowSource, directory: Path, control: Control, journal: Journal) -> None:
        self.source = source
        self.directory = directory
        self.control = control
        self.journal = journal
        self._lock = threading.Lock()
        self._rows: dict[str, int] = {}
        self._files: dict[int, list[ExportFile]] = {}  # by the number of their part's first chunk

    def run(
        self, tables: Sequence[TableContent], plan: MovePlan | None, fingerprint: Fingerprint, jobs: int
    ) -> ExportResult:
        try:
            kept = self._whole(self.journal.resume())
            clear_folder(self.directory, keep={file.name for files in kept.values() for file in files})
            todo = self._jobs(tables, kept)
            self._run(todo, jobs)
        finally:
            self.journal.close()
        manifest = Manifest(fingerprint, self.source.schema, plan, tuple(self._table(each, todo) for each in tables))
        raw = manifest.to_bytes()
        write_atomically(self.directory / NAME, raw)
        (self.directory / JOURNAL).unlink()
        return _result(self.directory, manifest, hashlib.sha256(raw).hexdigest())

    def _whole(self, entries: list[JournalEntry]) -> dict[int, list[ExportFile]]:
        """By the first number of their part: the chunks up to the first that is missing or damaged."""
        kept: dict[int, list[ExportFile]] = {}
        for file in sorted((entry.file for entry in entries), key=lambda file: _number(file.name)):
            self.control.checkpoint()
            place = (_number(file.name) - 1) % _NUMBERS_A_PART
            files = kept.setdefault(_number(file.name) - place, [])
            if place == len(files) and _is_whole(self.directory / file.name, file):
                files.append(file)
        return kept

    def _jobs(self, tables: Sequence[TableContent], kept: dict[int, list[ExportFile]]) -> list[PartJob]:
        jobs: list[PartJob] = []
        for table in tables:
            found = parts(self.source, table.name) if isinstance(self.source, Source) else (Part(table.name, 0),)
            for part in found:
                first = len(jobs) * _NUMBERS_A_PART + 1
                jobs.append(PartJob(table, part, first, tuple(kept.get(first, ()))))
        return jobs

    def _run(self, todo: Sequence[PartJob], jobs: int) -> None:
        """Here alone, or beside helper processes, each with a view of its own of the same snapshot."""
        for job in todo:
            self._files[job.first_number] = list(job.kept)
            self._rows[job.table.name] = self._rows.get(job.table.name, 0) + sum(file.rows for file in job.kept)
        # The largest tables first: what is handed out last should be over soon.
        todo = sorted(todo, key=lambda job: -(job.table.profile.rows if job.table.profile else 0))
        crew = Crew(todo, lambda job, control: write_part(job, self.source, self.directory, control), self._written)
        crew.run(self.control, self._helpers(min(jobs, len(todo)) - 1))

    def _helpers(self, count: int) -> list[Helper]:
        source = self.source
        if not isinstance(source, Source) or source.size < HELPED_BYTES:
            return []
        # Those that would see later rows are of no use.
        return [Helper((help_writing, source.address, self.directory), source.is_alone)] * count

    def _written(self, job: PartJob, file: ExportFile) -> None:
        table = job.table.name
        self.journal.append(JournalEntry(table, file))
        self._files[job.first_number].append(file)
        with self._lock:
            self._rows[table] += file.rows
            total = job.table.profile.rows if job.table.profile else 0
            self.control.progress("export", table, self._rows[table], total)

    def _table(self, table: TableContent, jobs: Sequence[PartJob]) -> ExportTable:
        files = tuple(file for job in jobs if job.table is table for file in self._files[job.first_number])
        classes = {c.name: class_counts(c) for c in table.profile.columns} if table.profile else {}
        return ExportTable(
            name=table.name,
            columns=tuple(
                ExportColumn(name, HEX if name in table.hex_columns else PLAIN, classes.get(name, {}))
                for name in table.columns
            ),
            rows=sum(file.rows for file in files),
            sha256=digest_of(files),
            files=files,
            fitting=table.fitting,
        )


def _number(name: str) -> int:
    return int(name.removesuffix(".jsonl"))


def _is_whole(path: Path, file: ExportFile) -> bool:
    try:
        if path.stat().st_size != file.size:
            return False
        return hashlib.sha256(path.read_bytes()).hexdigest() == file.sha256
    except OSError:
        return False
