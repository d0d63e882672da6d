"""A digest of what a SQLite file says, not of its bytes: equal for two files whose every cell is equal."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

from migrations_app.engine.control import Control
from migrations_app.engine.export.source_lines import PartReader
from migrations_app.engine.source.row_ranges import Part
from migrations_app.engine.source.schema import SourceTable
from migrations_app.engine.source.sqlite_source import Source

_REPORT_EVERY = 10_000  # rows


@dataclass(frozen=True)
class Content:
    """`digest` covers schema, sequences and, per table, rows and the SHA-256 of its lines as an export has them."""

    digest: str
    tables: dict[str, int]
    table_digests: dict[str, str]


def digest_content(source: Source, control: Control) -> Content:
    """Read every stored cell once. Virtual tables count by the tables that store them. Raises Cancelled, Failed."""
    rows: dict[str, int] = {}
    digests: dict[str, str] = {}
    for table in source.schema.tables:
        if table.kind != "virtual":
            rows[table.name], digests[table.name] = _digest_table(source, table, control)
    schema = source.schema
    whole = [schema.digest, schema.encoding, schema.user_version, schema.sequences, sorted(digests.items()), rows]
    text = json.dumps(whole, sort_keys=True, separators=(",", ":"))
    return Content(hashlib.sha256(text.encode()).hexdigest(), rows, digests)


def _digest_table(source: Source, table: SourceTable, control: Control) -> tuple[int, str]:
    columns = [column.name for column in table.columns if not column.generated and not column.hidden]
    digest, count, reported = hashlib.sha256(), 0, 0
    for block in PartReader(source, table.name, columns).blocks(Part(table.name, 0)):
        digest.update(block.raw)
        count += block.rows
        if count - reported >= _REPORT_EVERY:
            control.progress("backup", table.name, count, 0)
            reported = count
    control.checkpoint()
    return count, digest.hexdigest()


def first_difference(one: Content, two: Content) -> str:
    """Where two contents differ, in words."""
    for name, digest in one.table_digests.items():
        if two.table_digests.get(name) != digest:
            return f"table {name!r} ({one.tables[name]} rows against {two.tables.get(name, 'none')})"
    return "the schema or sqlite_sequence"
