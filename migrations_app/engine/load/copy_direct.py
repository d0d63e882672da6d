"""An export's lines into COPY without parsing them: a JSON array of scalars is nearly a line of CSV.

With QUOTE '"', ESCAPE '\\' and NULL 'null', PostgreSQL reads JSON's strings, numbers and nulls as they stand; only the
brackets and JSON's letters for control characters need replacing. Right only where every value is known to fit its
column (manifest: `fitting`) and PostgreSQL takes the JSON text of each for what the plan's conversion would give it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from migrations_app.engine.conversions.conversions import type_parts
from migrations_app.engine.export.manifest import ExportTable
from migrations_app.engine.plan import ColumnPlan, TablePlan
from migrations_app.engine.target.pg_names import qualified, quote

OPTIONS = """FORMAT csv, QUOTE '"', ESCAPE '\\', NULL 'null'"""
# By conversion: the storage classes whose JSON text PostgreSQL reads as the very value that the conversion gives.
_TAKEN = {
    "bigint": {"integer", "text"},
    "boolean": {"integer"},
    "date": {"text"},
    "double": {"integer", "real", "text"},
    "enum": {"text"},
    "int8_strict": {"integer"},
    "integer": {"integer", "text"},
    "json": {"integer", "real", "text"},
    "jsonb": {"integer", "real", "text"},
    "numeric": {"integer", "real", "text"},
    "smallint": {"integer", "text"},
    "text": {"integer", "real", "text"},
    "time": {"text"},
    "timestamp": {"text"},
    "timestamptz": {"text"},
    "uuid": {"text"},
    "uuid_strict": {"text"},
    "varchar": {"integer", "real", "text"},
    "verbatim": {"integer", "real", "text"},
}
# An infinity, a BLOB, invalid text. No string looks so: behind its closing quote comes a comma or a bracket.
_WRAPPED = re.compile(rb'\{"[rbt]"')
# What JSON writes with a backslash and COPY doesn't read so; and a backslash itself, lest half of one be taken for it.
_ESCAPED = re.compile(rb"\\(?:[nrtbf\\]|u00[01][0-9a-f])")
_MEANT = {
    **{rb"\n": b"\n", rb"\r": b"\r", rb"\t": b"\t", rb"\b": b"\b", rb"\f": b"\f", rb"\\": rb"\\"},
    **{b"\\u%04x" % code: bytes((code,)) for code in range(1, 32)},
}
_LIKE_NUL = re.compile(rb"\\u0000")  # a search for bytes takes four times as long (Python 3.11)
_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")
_PIECE = 128 << 10  # bytes: small enough for the processor's cache, and for memory that needn't be asked of the system


def copy_sql(table: TablePlan, exported: ExportTable, schema: str) -> str:
    """The COPY that takes the table's lines as csv_lines() gives them; '' where cells must be looked at one by one."""
    plans = {column.name: column for column in table.columns}
    columns = [plans.get(column.name) for column in exported.columns]
    fit = all(
        plan is not None and plan.load and _is_taken(plan, set(column.classes) - {"null"})
        for plan, column in zip(columns, exported.columns, strict=True)
    )
    if not (exported.fitting and fit and len(columns) == len(table.loaded_columns)):
        return ""
    names = ", ".join(quote(plan.target_name) for plan in columns if plan is not None)
    return f"COPY {qualified(schema, table.target_name)} ({names}) FROM STDIN WITH ({OPTIONS})"


def _is_taken(column: ColumnPlan, classes: set[str]) -> bool:
    if type_parts(column.target_type).array:
        return False
    return classes <= _TAKEN.get(column.conversion.partition(":")[0], set())


def csv_lines(raw: bytes) -> bytes | None:
    """The same rows as CSV; None where a cell is none of string, number and null, or holds U+0000."""
    return _as_csv(raw) if _is_carried(raw) else None


class CsvStream:
    """The rows of a chunk as CSV, to be read by COPY; made a piece at a time."""

    def __init__(self, raw: bytes) -> None:
        self._pieces = _pieces(raw)
        self._rest = b""

    def read(self, size: int) -> bytes:
        if not self._rest:
            self._rest = next(self._pieces, b"")
        piece, self._rest = self._rest[:size], self._rest[size:]
        return piece


def csv_stream(raw: bytes) -> CsvStream | None:
    """None as csv_lines() gives it: known before anything is sent."""
    return CsvStream(raw) if _is_carried(raw) else None


def _pieces(raw: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(raw):
        end = raw.rfind(b"\n", at, at + _PIECE) + 1 or raw.index(b"\n", at) + 1
        yield _as_csv(raw[at:end])
        at = end


def _is_carried(raw: bytes) -> bool:
    if b"{" in raw and _WRAPPED.search(raw):
        return False
    return b"\\" not in raw or not (_LIKE_NUL.search(raw) and _NUL.search(raw))


def _as_csv(lines: bytes) -> bytes:
    body = lines.replace(b"]\n[", b"\n")
    if b"\\" in body:
        body = _ESCAPED.sub(_meant, body)
    return body[1:-2] + b"\n"


def _meant(found: re.Match[bytes]) -> bytes:
    return _MEANT[found[0]]
