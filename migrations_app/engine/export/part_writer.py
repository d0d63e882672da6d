"""Writes the chunks of one part of a table: here, or beside us in a helper process with its own view of the file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from migrations_app.engine.artefact_files import part_file
from migrations_app.engine.control import Control
from migrations_app.engine.crew import lend_hand
from migrations_app.engine.errors import EngineError
from migrations_app.engine.export.manifest import ExportFile
from migrations_app.engine.export.source_lines import Block, PartReader
from migrations_app.engine.profile.column_profile import TableProfile
from migrations_app.engine.side_process import Channel
from migrations_app.engine.source.address import Address
from migrations_app.engine.source.cells import Row, encode_row
from migrations_app.engine.source.opening import open_again
from migrations_app.engine.source.row_ranges import Part
from migrations_app.engine.source.schema import SourceSchema
from migrations_app.engine.source.sqlite_source import Source

CHUNK_ROWS = 10_000
CHUNK_BYTES = 4 << 20


class RowSource(Protocol):
    """What is exported: a Source (sqlite_source), or a reader of a single document."""

    @property
    def schema(self) -> SourceSchema: ...

    def rows(self, table: str, columns: Sequence[str]) -> Iterator[Row]: ...


@dataclass(frozen=True)
class TableContent:
    """What is written of a table, and what is known of its values."""

    name: str
    columns: tuple[str, ...]
    hex_columns: tuple[str, ...] = ()
    profile: TableProfile | None = None
    fitting: bool = False


@dataclass(frozen=True)
class PartJob:
    """A part of a table, the number of its first chunk, and the chunks of it that are there already."""

    table: TableContent
    part: Part
    first_number: int
    kept: tuple[ExportFile, ...]


def write_part(job: PartJob, source: RowSource, directory: Path, control: Control) -> Iterator[ExportFile]:
    """Write what is missing of the part, and tell of each chunk once it is on disk.

    A thread beside hashes and writes a chunk and waits for the disk, while the next is being read: at most two are in
    memory.
    """
    number = job.first_number + len(job.kept)
    written: Future[ExportFile] | None = None
    with ThreadPoolExecutor(1, "causeway-export") as beside:
        try:
            for raw, rows in cut(_blocks(job, source)):
                if written is not None:
                    yield written.result()
                    written = None
                control.checkpoint()
                written = beside.submit(_write_chunk, directory / f"{number:04d}.jsonl", raw, rows)
                number += 1
        except EngineError:
            if written is not None:  # it needn't be written again
                yield written.result()
            raise
        if written is not None:
            yield written.result()


def _write_chunk(path: Path, raw: bytes, rows: int) -> ExportFile:
    """The manifest's writing syncs all the names."""
    with part_file(path, sync_name=False) as file:
        file.write(raw)
    return ExportFile(path.name, rows, len(raw), hashlib.sha256(raw).hexdigest())


def help_writing(channel: Channel, control: Control, address: Address, directory: Path) -> None:
    """A helper's life: says which file it opened, then writes the parts that it is given."""
    with open_again(address, control) as source:
        lend_hand(channel, source.identity, lambda job: write_part(job, source, directory, control))


def _blocks(job: PartJob, source: RowSource) -> Iterator[Block]:
    table, skip = job.table, sum(file.rows for file in job.kept)
    if isinstance(source, Source):
        reader = PartReader(source, table.name, table.columns, table.hex_columns, table.profile)
        yield from reader.blocks(job.part, skip)
        return
    # Skipping by counting is right because the rows of one fingerprint always come in the same order.
    for row in islice(source.rows(table.name, table.columns), skip, None):
        yield Block(encode_row(row), 1)


def cut(blocks: Iterator[Block]) -> Iterator[tuple[bytes, int]]:
    """Chunks: as many lines as go into CHUNK_ROWS and CHUNK_BYTES, however the blocks come; a longer line alone."""
    chunk: list[bytes] = []
    rows = size = 0
    for block in blocks:
        if not block.rows:
            continue
        whole = rows + block.rows <= CHUNK_ROWS and size + len(block.raw) <= CHUNK_BYTES
        for raw, count in ((block.raw, block.rows),) if whole else ((line, 1) for line in block.raw.splitlines(True)):
            if chunk and (size + len(raw) > CHUNK_BYTES or rows + count > CHUNK_ROWS):
                yield b"".join(chunk), rows
                chunk, rows, size = [], 0, 0
            chunk.append(raw)
            rows += count
            size += len(raw)
    if rows:
        yield b"".join(chunk), rows
