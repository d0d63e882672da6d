"""SQL that makes SQLite itself write the cells of an export's lines, in C, without a Python object a cell.

Each expression gives, inside json_array(), exactly what cells.encode_row() writes. SQLite alone can't do all of it:
json_array() prints 15 digits of a REAL, which is exact only for multiples of 1/16 up to 1e10; other reals go through
a Python function, but for those that a column is known to repeat: their text stands in the SQL. What no expression
covers (text that isn't valid UTF-8) is for the careful way, row by row; so is every cell where self_test() finds that
this SQLite writes something else.
"""

from __future__ import annotations

import math
import sqlite3
import struct
from collections.abc import Collection, Sequence
from weakref import WeakKeyDictionary

from migrations_app.engine.source.affinity import BLOB, INTEGER, REAL, TEXT, affinity
from migrations_app.engine.source.cells import encode_cell, encode_row
from migrations_app.engine.source.schema import SourceColumn
from migrations_app.engine.source.sqlite_source import Source, quote_name

REAL_FUNCTION = "causeway_real"
FINITE_FUNCTION = "causeway_finite"  # float.__repr__ itself: a third less time than a function of ours
_TESTED: WeakKeyDictionary[Source, bool] = WeakKeyDictionary()  # by connection
# The negative 0 equals 0, and SQLite prints it so: only its angle tells.
_NOT_NEGATIVE_ZERO = "({0} <> 0 OR atan2({0}, -1) > 0)"
# json_array() prints these reals as Python's repr does.
_PRINTED_ALIKE = "{0} BETWEEN -1e10 AND 1e10 AND {0} * 16 = CAST({0} * 16 AS INTEGER) AND " + _NOT_NEGATIVE_ZERO
_MOST_DENOMINATOR = 2**62
_INFINITE = ("inf", "-inf")
_HUGE = "1e300"
ANY_KIND = ("integer", "real", "text", "blob")
_BITS = (0x4330000000000001, 0x7FEFFFFFFFFFFFFF, 0x0000000000000001, 0xBFD3333333333333, 0x3FB999999999999A)
_PROBES: tuple[int | float | str | bytes | None, ...] = (
    *(None, 0, 1, -1, 2**63 - 1, -(2**63)),
    *(0.0, -0.0, 0.5, -1.0, 1.0, 100.0625, 1e10, 10000000000.0625, 0.1, 1e15, 1e16, 123456789012345680.0, 5e-324),
    *(float("inf"), float("-inf"), *(struct.unpack("<d", bits.to_bytes(8, "little"))[0] for bits in _BITS)),
    *("", "null", 'a"b\\c/d', "".join(map(chr, range(1, 128))), "a\0b", "é名🎉\u2028\ufeff\x7f\x9f", "[1]", '{"a":1}'),
    *(b"", b"\0\xff", b"abc"),
)
_REPEATED = tuple(probe for probe in _PROBES if isinstance(probe, float))


def real_text(value: object) -> str:
    """JSON text of a REAL as it stands in a line. Raises TypeError for anything else, which makes the SELECT fail."""
    if type(value) is not float:
        raise TypeError("not a real")
    text = repr(value)
    return encode_cell(value) if text in _INFINITE else text


def export_cell(
    name: str, kinds: Collection[str] = ANY_KIND, *, hex_strings: bool = False, repeated: Sequence[float] = ()
) -> str:
    """The SQL of one cell of a column that holds at most the storage classes `kinds`.

    A BLOB where none is expected makes json_array() fail; a REAL where none is expected would lose digits.
    `repeated`: reals that many of its rows hold, for speed alone; used where `kinds` has no text that may equal them.
    """
    cell = quote_name(name)
    if hex_strings:
        return f"CASE WHEN {cell} IS NULL THEN NULL ELSE lower(hex({cell})) END"
    if set(kinds) == {"real"}:
        return _real(cell, repeated)
    branches = ""
    if "real" in kinds:
        branches += f" WHEN 'real' THEN {_real(cell)}"
    if "blob" in kinds:
        branches += f" WHEN 'blob' THEN json_object('b', lower(hex({cell})))"
    return f"CASE typeof({cell}){branches} ELSE {cell} END" if branches else cell


def unprofiled_cell(column: SourceColumn, *, typed: bool) -> str:
    """export_cell() of a column that nobody has looked at: right for all that its affinity lets in, and cheap to ask.

    `typed`: the table is an ordinary one, where affinities hold (https://www.sqlite.org/datatype3.html section 3):
    no number stays one in a TEXT column, no integer in a REAL one, no whole number is a REAL in an INTEGER one.
    """
    kind = affinity(column.declared_type) if typed and not column.generated else BLOB
    cell = quote_name(column.name)
    if kind == TEXT:
        return cell
    if kind == REAL:
        return _real(cell)
    if kind == INTEGER:
        return f"CASE WHEN {cell} = CAST({cell} AS INTEGER) THEN {cell} ELSE {export_cell(column.name)} END"
    return export_cell(column.name)


def _real(cell: str, repeated: Sequence[float] = ()) -> str:
    exact, finite = _PRINTED_ALIKE.format(cell), f"abs({cell}) < {_HUGE}"
    known = "".join(_repeated(cell, value) for value in repeated)
    others = f"WHEN {finite} THEN json({FINITE_FUNCTION}({cell})) ELSE json({REAL_FUNCTION}({cell}))"
    return f"CASE{known} WHEN {exact} THEN {cell} WHEN {cell} IS NULL THEN NULL {others} END"


def _repeated(cell: str, value: float) -> str:
    """The branch for one value; '' for one that has no exact form in SQL. SQLite works out its constants once."""
    if not math.isfinite(value):
        return ""
    # A quotient of integers: that SQLite reads decimals right to the last bit isn't certain.
    above, below = value.as_integer_ratio()
    if below > _MOST_DENOMINATOR or abs(above) > 2**53:
        return ""
    same = f"{cell} = CAST({above} AS REAL) / CAST({below} AS REAL)"
    if value == 0:
        value, same = 0.0, f"{same} AND {_NOT_NEGATIVE_ZERO.format(cell)}"
    return f" WHEN {same} THEN json('{value!r}')"


def export_line(cells: Sequence[str]) -> str:
    """The SQL of a row's line, without the newline."""
    return f"json_array({', '.join(cells)})"


def prepare(source: Source) -> bool:
    """Make the function known to this connection; False when its SQLite doesn't write lines as we do. Tested once."""
    if source not in _TESTED:
        source.define(REAL_FUNCTION, real_text)
        source.define(FINITE_FUNCTION, float.__repr__)
        if not _knows_angles(source):
            source.define("atan2", math.atan2, 2)
        _TESTED[source] = self_test(source)
    return _TESTED[source]


def _knows_angles(source: Source) -> bool:
    """Builds without SQLITE_ENABLE_MATH_FUNCTIONS don't."""
    try:
        source.select("SELECT atan2(0.0, -1)").fetchone()
    except sqlite3.OperationalError:
        return False
    return True


def self_test(source: Source) -> bool:
    """Whether SQLite writes every odd cell as encode_row() does: escaping and JSON have changed between versions."""
    for probe in _PROBES:
        wanted = [(export_cell("c"), encode_row((probe,)))]
        if isinstance(probe, str | int | None):
            wanted.append((export_cell("c", ("integer", "text")), encode_row((probe,))))
        if isinstance(probe, bytes | None):
            wanted.append((export_cell("c", hex_strings=True), encode_row((probe,), (0,))))
        if isinstance(probe, float | None):
            wanted.append((export_cell("c", ("real",), repeated=_REPEATED), encode_row((probe,))))
        for cell, expected in wanted:
            sql = f"SELECT CAST({export_line((cell,))} AS BLOB) FROM (SELECT ? AS c)"
            if source.select(sql, (probe,)).fetchone()[0] != expected[:-1]:
                return False
    return True
