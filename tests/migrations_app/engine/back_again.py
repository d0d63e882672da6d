"""What the property tests know by themselves: a file's cells bit for bit, and each one had back from PostgreSQL's text.

Nothing here calls the engine. `cell_back` follows the rule that the plan names: the printed text, the column's declared
type and the conversion's name give the stored cell. Where a choice changes values, `promised` says
what is left of them.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import math
import re
import sqlite3
import struct
import uuid
from collections.abc import Callable, Sequence
from decimal import Context, Decimal
from fractions import Fraction
from pathlib import Path

from migrations_app.engine.plan import ColumnPlan, Finding
from tests.migrations_app.engine.random_databases import know_odd_collation, quote

# Storage class and value: ('integer', 1), ('real', eight bytes), ('text', stored bytes), ('blob', …), ('null', None).
Stored = tuple[str, int | bytes | None]
NULL: Stored = ("null", None)
# What is left of a cell where a choice gave something up, e.g. ('moment', seconds): never equal to a Stored.
Form = Stored | tuple[str, str | Fraction | Decimal | bool]
_CODECS = {"UTF-8": "utf-8", "UTF-16le": "utf-16-le", "UTF-16be": "utf-16-be"}
_WIDE = Context(prec=2000)
_MIN, _MAX = -(2**63), 2**63 - 1


def stored_rows(path: Path, table: str, columns: Sequence[str]) -> list[tuple[Stored, ...]]:
    """All rows, asked of SQLite: class by typeof(), text as the bytes that lie in the file."""
    parts = []
    for name in map(quote, columns):
        parts += [f"typeof({name})", f"CASE typeof({name}) WHEN 'text' THEN CAST({name} AS BLOB) ELSE {name} END"]
    with contextlib.closing(sqlite3.connect(path)) as connection:
        know_odd_collation(connection)
        found = connection.execute(f"SELECT {', '.join(parts)} FROM {quote(table)} NOT INDEXED").fetchall()
    return [tuple(_stored(row[i], row[i + 1]) for i in range(0, len(row), 2)) for row in found]


def is_sound(path: Path) -> bool:
    """What SQLite itself says."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        know_odd_collation(connection)
        return bool(connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)])


def _stored(kind: str, value: object) -> Stored:
    if kind == "real":
        assert isinstance(value, float)
        return real(value)
    assert value is None or isinstance(value, int | bytes)
    return kind, value


def real(value: float) -> Stored:
    return "real", struct.pack(">d", value)


def number_of(cell: Stored) -> float | int:
    """The value of an integer or real cell."""
    kind, value = cell
    if kind == "real":
        assert isinstance(value, bytes)
        return float(struct.unpack(">d", value)[0])
    assert isinstance(value, int)
    return value


def affinity_class(declared: str, strict: bool) -> str:
    """What a column makes of values: 'number' (INTEGER, NUMERIC), 'real', 'text' or 'none'. SQLite's own answer."""
    if strict and declared.upper() in ("ANY", "BLOB"):
        return "none"
    with contextlib.closing(sqlite3.connect(":memory:")) as connection:
        connection.execute(f"CREATE TABLE t (x {quote(declared)})" if declared else "CREATE TABLE t (x)")
        connection.execute("INSERT INTO t VALUES ('1.0'), (1)")
        kinds = tuple(kind for (kind,) in connection.execute("SELECT typeof(x) FROM t"))
    named = {("integer", "integer"): "number", ("real", "real"): "real", ("text", "text"): "text"}
    return named.get(kinds, "none")


class Back:
    """The way back for the cells of one column."""

    def __init__(self, column: ColumnPlan, encoding: str, affinity: str, findings: Sequence[Finding]) -> None:
        """`findings`: those of this column."""
        self.column = column
        # MIXED_STORAGE answered with `text`
        self.as_text = column.conversion == "text" and any(finding.choice == "text" for finding in findings)
        is_json = column.declared_type.upper() in ("JSON", "JSONB")
        self.holds_numbers = is_json or any(_tells_of_numbers(finding, column.reason) for finding in findings)
        self.codec = _CODECS[encoding]
        self.affinity = affinity
        self.word, _, self.argument = column.conversion.partition(":")

    def text(self, text: str) -> Stored:
        return "text", text.encode(self.codec)

    def cell(self, printed: str | None) -> Form:
        """The cell that PostgreSQL's text stands for, or what a choice has left of it."""
        if printed is None:
            return NULL
        return self._ways[self.word](self, printed)

    def _number_or_text(self, printed: str) -> Stored:
        """Numbers in a text column are spelled as Python does; the plan refuses texts spelled so beside them."""
        if self.holds_numbers and self.affinity != "text" and not self.as_text:
            if re.fullmatch(r"-?(0|[1-9][0-9]*)", printed) and printed != "-0" and _MIN <= int(printed) <= _MAX:
                return "integer", int(printed)
            with contextlib.suppress(ValueError):
                if repr(float(printed)) == printed and not math.isnan(float(printed)):
                    return real(float(printed))
        return self.text(printed)

    def _numeric(self, printed: str) -> Stored:
        if printed in ("Infinity", "-Infinity"):
            return real(float(printed))
        value = Decimal(printed)
        if self.affinity == "number":  # keeps no real that is a whole number of 64 bits
            whole = value == value.to_integral_value() and _MIN < int(value) < 2**63
            return ("integer", int(value)) if whole or int(value) == value == _MIN else real(float(value))
        whole = "." not in printed and _MIN <= int(value) <= _MAX
        return ("integer", int(value)) if whole else real(float(value))

    def _double(self, printed: str) -> Stored:
        return real(float(printed))

    def _tagged(self, printed: str) -> Stored:
        tag, _, rest = printed.partition(":")
        if tag == "i":
            return "integer", int(rest)
        if tag == "r":
            return real(float(rest))
        if tag == "t":
            return self.text(rest)
        if tag == "n":
            return self.text(bytes.fromhex(rest).decode())
        assert tag in ("x", "b"), tag
        return "text" if tag == "x" else "blob", bytes.fromhex(rest)

    def _moment(self, printed: str) -> Stored:
        """A time in the column's form, or in no form (rows may be left out): then only the moment is promised."""
        if not self.argument:
            return "text", printed.encode()
        separator, style, zone = self.argument.split("-", 2)
        body = printed.removesuffix("+00") if self.word == "timestamptz" else printed
        whole, _, fraction = body.partition(".")
        six = fraction.ljust(6, "0")
        shown = {"py": six if fraction else "", "6": six, "3": six[:3], "trim": fraction}[style]
        whole = whole.replace(" ", {"space": " ", "T": "T"}[separator])
        return self.text(whole + (f".{shown}" if shown else "") + zone)

    def _counted(self, printed: str) -> Form:
        return "moment", _seconds(printed.removesuffix("+00"))

    _ways: dict[str, Callable[[Back, str], Form]] = {
        "int8_strict": lambda self, printed: ("integer", int(printed)),
        "boolean": lambda self, printed: ("integer", {"true": 1, "false": 0}[printed]),
        "double": _double,
        "numeric": _numeric,
        "numeric_apart": _numeric,
        "text": _number_or_text,
        "json": _number_or_text,
        "date": text,
        "uuid_strict": text,
        "timestamp": _moment,
        "timestamptz": _moment,
        "time": _moment,
        "bytea": lambda self, printed: ("blob", bytes.fromhex(printed.removeprefix("\\x"))),
        "text_bytes": lambda self, printed: ("blob", bytes.fromhex(printed.removeprefix("\\x"))),
        "tagged_text": _tagged,
        "boolean_words": lambda self, printed: ("truth", printed == "true"),
        "uuid": lambda self, printed: ("uuid", printed),
        "numeric_rounded": lambda self, printed: ("decimal", Decimal(printed)),
        "epoch": _counted,
        "julian": _counted,
    }

    def promised(self, cell: Stored) -> Form:
        """The cell itself, or, once a choice has given up the difference, its text, its bytes, its moment."""
        kind, value = cell
        if kind == "null":
            return cell
        if self.word == "text_bytes" and kind == "text":
            return "blob", value  # "kept as stored bytes, by choice"
        if self.as_text and kind in ("integer", "real"):
            return self.text(repr(number_of(cell)))
        with contextlib.suppress(ValueError, ArithmeticError):
            return self._weaker(cell)
        return cell

    def _weaker(self, cell: Stored) -> Form:
        """Raises ValueError or ArithmeticError where the cell can't be what the choice takes it for."""
        if self.word in ("timestamp", "time") and not self.argument:
            return "text", _plain_time(self._text_of(cell)).encode()
        if self.word == "boolean_words":
            return "truth", self._text_of(cell).lower() in ("1", "1.0", "t", "true", "yes", "on", "y")
        if self.word == "uuid":
            kind, value = cell
            digits = value.hex() if isinstance(value, bytes) and kind == "blob" else self._text_of(cell)
            return "uuid", str(uuid.UUID(digits))
        if self.word == "numeric_rounded":
            scale = int(re.findall(r"[0-9]+", self.column.target_type)[-1])
            return "decimal", Decimal(self._text_of(cell)).quantize(Decimal(1).scaleb(-scale), context=_WIDE)
        if self.word == "epoch":
            return "moment", Fraction(number_of(cell)) / {"s": 1, "ms": 1000}[self.argument]
        if self.word == "julian":
            # SQLite's numbers are whole milliseconds as a fraction of a day.
            return "moment", Fraction(round(Fraction(number_of(cell)) * 86_400_000) - 210_866_760_000_000, 1000)
        return cell

    def _text_of(self, cell: Stored) -> str:
        kind, value = cell
        if isinstance(value, bytes) and kind == "text":
            return value.decode(self.codec)
        if kind in ("integer", "real"):
            return repr(number_of(cell))
        raise ValueError(kind)

    def fits(self, cell: Stored) -> bool:
        """Whether a cell surely fits its conversion: such a row must not be left out on its account."""
        kind, value = cell
        if kind == "null":
            return not self.column.not_null
        if self.word == "tagged_text":
            return True
        if self.word == "text" and kind == "text":
            assert isinstance(value, bytes)
            with contextlib.suppress(UnicodeDecodeError):
                return "\0" not in value.decode(self.codec)
            return False
        if self.word == "boolean":
            return cell in (("integer", 0), ("integer", 1))
        return kind == {"int8_strict": "integer", "double": "real", "bytea": "blob"}.get(self.word)


def _tells_of_numbers(finding: Finding, reason: str) -> bool:
    """Whether a finding of a text column, or the plan's reason for its type, says that numbers occur in it."""
    if finding.code in ("INVALID_TEXT", "NUL_IN_TEXT"):
        return "bytea" not in finding.choices
    if finding.code == "TYPE_FOLLOWS_VALUES" and " occur:" in reason:
        return "integers" in reason or "reals" in reason
    return finding.code in ("TYPE_FOLLOWS_VALUES", "MIXED_STORAGE")


def _seconds(printed: str) -> Fraction:
    """Since 1970, of a time as PostgreSQL prints it."""
    whole, _, fraction = printed.partition(".")
    days = dt.datetime.strptime(whole, "%Y-%m-%d %H:%M:%S") - dt.datetime(1970, 1, 1)
    return days.days * 86_400 + days.seconds + Fraction(int(fraction.ljust(6, "0")), 1_000_000)


def _plain_time(text: str) -> str:
    """As PostgreSQL prints it."""
    whole, _, fraction = text.replace("T", " ").partition(".")
    for form in ("%Y-%m-%d %H:%M:%S", "%H:%M:%S"):
        with contextlib.suppress(ValueError):
            dt.datetime.strptime(whole, form)
            fraction = fraction.rstrip("0")
            return f"{whole}.{fraction}" if fraction else whole
    raise ValueError(text)
