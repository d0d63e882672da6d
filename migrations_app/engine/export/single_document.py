"""A whole database as one JSON document, `data_export_*.json`: written from a snapshot, read back as a stream.

`{"tables": {name: [row objects]}, "row_counts": {name: n}, …}`. It carries rows and column names only, so it can be
loaded into tables that are there already. Format: docs/reference/export-format.md.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from migrations_app.engine.artefact_files import check_space, make_private_folder, part_file
from migrations_app.engine.control import Control
from migrations_app.engine.export.export import ExportResult, RowSource, stored_columns, write_export
from migrations_app.engine.plan import SKIP, MovePlan
from migrations_app.engine.source.cells import encode_object
from migrations_app.engine.source.document_reader import DocumentSource, scan_document
from migrations_app.engine.source.fingerprint import Fingerprint, fingerprint

FORMAT = "causeway-document/1"
_REPORT_EVERY = 10_000  # rows


@dataclass(frozen=True)
class DocumentResult:
    """`tables` are rows by table; size in bytes."""

    path: Path
    sha256: str
    size: int
    tables: dict[str, int]


class _Hashing:
    """Writes, and knows the digest and the size of what was written."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.size = 0

    def write(self, text: str) -> None:
        raw = text.encode()
        self._file.write(raw)
        self.digest.update(raw)
        self.size += len(raw)


def write_single_document(
    source: RowSource, plan: MovePlan, path: Path, control: Control, fingerprint: Fingerprint
) -> DocumentResult:
    """Write every table that the plan doesn't skip, a row a line. The file has its name once it is whole.

    Raises Refused NO_SPACE, NOT_A_FOLDER; Failed DISK_FULL, FILE_ERROR; Cancelled.
    """
    tables = {table.name: stored_columns(table, source.schema) for table in plan.tables if table.rule != SKIP}
    make_private_folder(path.parent)
    check_space(path.parent, fingerprint.main_size + fingerprint.wal_size, "The document")
    counts: dict[str, int] = {}
    with part_file(path) as file:
        out = _Hashing(file)
        head = {"format": FORMAT, "fingerprint": fingerprint.digest, "encoding": source.schema.encoding}
        out.write(json.dumps(head)[:-1] + f', "columns": {json.dumps(tables)}, "tables": {{')
        for position, (name, columns) in enumerate(tables.items()):
            out.write(("," if position else "") + f"\n{json.dumps(name)}: [")
            counts[name] = _write_rows(out, source, name, columns, control)
            out.write("]")
        out.write('\n}, "row_counts": ' + json.dumps(counts) + "}\n")
    return DocumentResult(path, out.digest.hexdigest(), out.size, counts)


def _write_rows(out: _Hashing, source: RowSource, name: str, columns: Sequence[str], control: Control) -> int:
    count = 0
    for row in source.rows(name, columns):
        out.write((",\n" if count else "\n") + encode_object(columns, row))
        count += 1
        if count % _REPORT_EVERY == 0:
            control.progress("export", name, count, 0)
    control.progress("export", name, count, count)
    return count


def import_single_document(path: Path, directory: Path, control: Control | None = None) -> ExportResult:
    """Turn the document into an export folder without a plan or types, to be loaded into existing tables.

    Read twice, in a stream: once to see that all of it is right, before anything is written, and once for the rows.
    Raises Refused NOT_FOUND, NOT_A_FILE, BAD_DOCUMENT (with table, row and column); what export_source raises.
    """
    control = control or Control()
    before = fingerprint(path, control)
    tables = scan_document(path, control)
    source = DocumentSource(path, tables)
    wanted = {table.name: table.columns for table in tables if table.columns}
    return write_export(source, wanted, directory, control, before)
