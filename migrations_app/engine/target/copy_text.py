"""Rows of the source as lines of PostgreSQL's COPY text format: the same bytes are loaded and compared.

COPY TO prints a value as COPY FROM takes it, so a line made here equals the line that the target prints for the same
row, as long as each conversion returns the text that PostgreSQL prints (conversions.py).
"""

from __future__ import annotations

from collections.abc import Sequence

from migrations_app.engine.conversions.conversions import RowUnfit, row_converter
from migrations_app.engine.errors import Failed
from migrations_app.engine.plan import TablePlan
from migrations_app.engine.source.cells import Row
from migrations_app.engine.source.row_keys import row_key_text
from migrations_app.engine.target.pg_names import qualified, quote

NULL = "\\N"
# What COPY TO escapes (CopyAttributeOutText in PostgreSQL's copyto.c).
_ESCAPES = str.maketrans({"\\": "\\\\", "\b": "\\b", "\f": "\\f", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\v": "\\v"})
_UNESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def unescape(field: str) -> str | None:
    """The value of one field of a line, None for NULL. Only what COPY TO writes is understood."""
    if field == NULL:
        return None
    if "\\" not in field:
        return field
    parts = field.split("\\\\")
    return "\\".join(_unescape_letters(part) for part in parts)


def _unescape_letters(text: str) -> str:
    for letter, character in _UNESCAPES.items():
        text = text.replace("\\" + letter, character)
    return text


def join(texts: tuple[str | None, ...]) -> str:
    """Converted cells as one line, without its newline."""
    fields = [NULL if text is None else text for text in texts]
    whole = "".join(fields)
    # One quick pass in C over the whole row: false for every character that is escaped, but the backslash.
    if whole.isprintable() and whole.count("\\") == texts.count(None):
        return "\t".join(fields)
    return "\t".join([NULL if text is None else _escaped(text) for text in texts])


def _escaped(text: str) -> str:
    if text.isprintable():  # then only a backslash is escaped, as in the hex of a large BLOB
        return text.replace("\\", "\\\\")
    return text.translate(_ESCAPES)


def split(line: str) -> list[str | None]:
    """The cells of a line that COPY TO wrote."""
    return [unescape(field) for field in line.split("\t")]


class LineWriter:
    """Makes the lines of one table. `columns` are the source's names in the order in which rows must come."""

    def __init__(self, table: TablePlan) -> None:
        self.table = table
        self.columns = tuple(column.name for column in table.loaded_columns)
        self.target_columns = tuple(column.target_name for column in table.loaded_columns)
        self.key_positions = tuple(self.columns.index(name) for name in table.key if name in self.columns)
        self._convert = row_converter(table)

    def texts(self, row: Row) -> tuple[str | None, ...] | None:
        """The converted cells, as PostgreSQL prints them; None for a row that the plan leaves out.

        Raises Failed VALUE_UNFIT naming table, column and row, never the value.
        """
        try:
            return self._convert(row)
        except RowUnfit as error:
            raise Failed(
                "VALUE_UNFIT",
                f"A value of {self.table.name}.{error.column} in row {self.row_key(row) or '(no key)'} doesn't fit:"
                f" {error.why}.",
                "The source changed since the plan was made: plan again.",
            ) from None

    def line(self, row: Row) -> str | None:
        """The line without its newline; None for a row that the plan leaves out. Raises as texts() does."""
        texts = self.texts(row)
        return None if texts is None else join(texts)

    def row_key(self, row: Row) -> str:
        """JSON text of the row's key; '' when only the rowid identifies it."""
        names = [self.columns[position] for position in self.key_positions]
        return row_key_text(names, tuple(row[position] for position in self.key_positions)) if names else ""

    def copy_in_sql(self, schema: str) -> str:
        columns = ", ".join(quote(name) for name in self.target_columns)
        return f"COPY {qualified(schema, self.table.target_name)} ({columns}) FROM STDIN"


def describe_row(writer: LineWriter, rows: Sequence[Row], number: int) -> str:
    """'row <key>', or its position in the chunk where there is no key; `number` counts from 1."""
    if 1 <= number <= len(rows):
        key = writer.row_key(rows[number - 1])
        if key:
            return f"row {key}"
    return f"row number {number} of the chunk"
