"""manifest.json: what an export holds, and the only place where names of tables, columns and files stand.

It has one canonical form and a digest of itself: a manifest that isn't byte for byte what we would write is refused.
Contract: docs/reference/export-format.md.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from migrations_app.engine.artefact_files import read_regular
from migrations_app.engine.errors import Refused
from migrations_app.engine.plan import MovePlan, plan_from_document
from migrations_app.engine.source.cells import HEX, PLAIN
from migrations_app.engine.source.fingerprint import Fingerprint, fingerprint_from_document
from migrations_app.engine.source.schema import SourceSchema
from migrations_app.engine.source.schema_document import schema_from_document, schema_to_document

FORMAT = "causeway-export/2"
NAME = "manifest.json"
CHUNK_NAME = re.compile(r"[0-9]+\.jsonl", re.ASCII)
_MAX_BYTES = 256 << 20
_HINT = "Export again from the original; don't edit an export."


@dataclass(frozen=True)
class ExportFile:
    """One chunk: `size` in bytes, SHA-256 in hex."""

    name: str
    rows: int
    size: int
    sha256: str


@dataclass(frozen=True)
class ExportColumn:
    """`encoding` is cells.HEX or cells.PLAIN; `classes` counts the cells of each storage class ({}: not counted)."""

    name: str
    encoding: str = PLAIN
    classes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class ExportTable:
    """`sha256` covers the SHA-256 of its files, in hex, one a line.

    `fitting`: every value was seen to fit the plan's conversion in the very snapshot that was exported. Only then may
    a loader hand lines to PostgreSQL without looking at each cell.
    """

    name: str
    columns: tuple[ExportColumn, ...]
    rows: int
    sha256: str
    files: tuple[ExportFile, ...]
    fitting: bool = False

    @property
    def column_names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def hex_positions(self) -> tuple[int, ...]:
        return tuple(position for position, column in enumerate(self.columns) if column.encoding == HEX)


def digest_of(files: Sequence[ExportFile]) -> str:
    """A table's digest, of those of its chunks."""
    return hashlib.sha256("".join(f"{file.sha256}\n" for file in files).encode()).hexdigest()


@dataclass(frozen=True)
class Manifest:
    """`plan` is None where the rows came from a single document; the plan is then made against the target."""

    fingerprint: Fingerprint
    schema: SourceSchema
    plan: MovePlan | None
    tables: tuple[ExportTable, ...]

    def to_bytes(self) -> bytes:
        """The canonical form."""
        body = {
            "format": FORMAT,
            "fingerprint": self.fingerprint.to_document(),
            "encoding": self.schema.encoding,
            "schema": schema_to_document(self.schema),
            "plan": self.plan.to_document() if self.plan else None,
            "tables": [asdict(table) for table in self.tables],
        }
        return _canonical({**body, "digest": hashlib.sha256(_canonical(body)).hexdigest()})


def _canonical(document: dict[str, Any]) -> bytes:
    return (json.dumps(document, indent=1, sort_keys=True, ensure_ascii=True) + "\n").encode()


def read_manifest(directory: Path) -> tuple[Manifest, str]:
    """The manifest and its SHA-256.

    Raises Refused NO_MANIFEST (missing: not an export, or one that was not finished), BAD_FORMAT, BAD_MANIFEST
    (edited, or names a file that isn't `[0-9]+.jsonl`).
    """
    path = directory / NAME
    raw = _read(path)
    try:
        document = json.loads(raw)
        if not isinstance(document, dict):
            raise ValueError("not an object")
        _check_format(document, path)
        manifest = _parse(document)
        if manifest.to_bytes() != raw:
            raise ValueError("it was edited after it was written")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        why = str(error) if isinstance(error, ValueError) and not isinstance(error, UnicodeError) else "not a manifest"
        raise Refused("BAD_MANIFEST", f"{path} can't be trusted: {why}.", _HINT) from None
    return manifest, hashlib.sha256(raw).hexdigest()


def _read(path: Path) -> bytes:
    if not os.path.lexists(path):
        raise Refused(
            "NO_MANIFEST",
            f"{path.parent} holds no {NAME}: it is not an export, or one that was never finished.",
            "Name the folder of a finished export, or export again.",
        )
    raw = read_regular(path, _MAX_BYTES)
    if raw is None:
        raise Refused("BAD_MANIFEST", f"{path} is not a readable file of at most 256 MB.", _HINT)
    return raw


def _check_format(document: dict[str, Any], path: Path) -> None:
    if document.get("format") != FORMAT:
        raise Refused(
            "BAD_FORMAT",
            f"{path} is not of the format {FORMAT}.",
            "Export again with this version, or load with the version that wrote it.",
        )


def _parse(document: dict[str, Any]) -> Manifest:
    plan = document["plan"]
    tables = tuple(_table(item) for item in document["tables"])
    names = [file.name for table in tables for file in table.files]
    if len(set(names)) != len(names):
        raise ValueError("it names a file twice")
    if len({table.name for table in tables}) != len(tables):
        raise ValueError("it names a table twice")
    return Manifest(
        fingerprint=fingerprint_from_document(document["fingerprint"]),
        schema=schema_from_document(document["schema"]),
        plan=plan_from_document(plan) if plan is not None else None,
        tables=tables,
    )


def _table(item: dict[str, Any]) -> ExportTable:
    table = ExportTable(
        **{
            **item,
            "columns": tuple(ExportColumn(**column) for column in item["columns"]),
            "files": tuple(ExportFile(**file) for file in item["files"]),
        }
    )
    for file in table.files:
        if not isinstance(file.name, str) or not CHUNK_NAME.fullmatch(file.name):
            raise ValueError("it names a file that is not a chunk (digits and .jsonl)")
    if sum(file.rows for file in table.files) != table.rows or digest_of(table.files) != table.sha256:
        raise ValueError("its chunks don't add up to the table")
    return table
