"""Random SQLite databases for the property tests: awkward names, types and constraints, any cell in any column.

Everything is drawn as SQL that SQLite then judges: a statement that it refuses (a check that a row breaks, an index on
an expression that overflows) is left out, so that drawing needs no knowledge of its rules.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

ODD_COLLATION = "odd"  # one that only the application knows
ENCODINGS = ("UTF-8", "UTF-16le", "UTF-16be")


@dataclass(frozen=True)
class RawText:
    """A cell of class TEXT with exactly these stored bytes, valid in the file's encoding or not."""

    stored: bytes


Value = None | int | float | str | bytes | RawText


@dataclass(frozen=True)
class Insert:
    sql: str  # as far as VALUES
    values: tuple[Value, ...]


@dataclass(frozen=True)
class Database:
    """What build() makes a file of. Its repr, which a failing example prints, is all that it takes to make it again."""

    encoding: str
    statements: tuple[str, ...]
    inserts: tuple[Insert, ...]
    afterwards: tuple[str, ...] = ()
    ignore_checks: bool = False

    def build(self, path: Path) -> Path:
        """Write the file. Statements and rows that SQLite refuses are left out."""
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA encoding='{self.encoding}'")
            connection.execute("PRAGMA user_version=7")  # a file, even when all else is refused
            # No transaction around it all: running out of rowids would roll that back.
            connection.executescript("PRAGMA synchronous=OFF; PRAGMA journal_mode=MEMORY")
            connection.execute(f"PRAGMA ignore_check_constraints={int(self.ignore_checks)}")
            know_odd_collation(connection)
            for statement in self.statements:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute(statement)
            for insert in self.inserts:
                marks = ["CAST(? AS TEXT)" if isinstance(value, RawText) else "?" for value in insert.values]
                values = [value.stored if isinstance(value, RawText) else value for value in insert.values]
                with contextlib.suppress(sqlite3.Error, UnicodeDecodeError):  # the latter by an odd collation
                    connection.execute(f"{insert.sql} ({', '.join(marks)})", values)
            for statement in self.afterwards:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute(statement)
        return path


def know_odd_collation(connection: sqlite3.Connection) -> None:
    """Backwards, so that it differs from all others."""
    connection.create_collation(ODD_COLLATION, lambda one, two: (one < two) - (one > two))


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


# Names

_LONG = "n" * 62
_NAMES = (
    *("a", "b", "c", "t", "T1", "t_pkey", "a_b", "t_a_key", "id", "ID2", "select", "Order", "user", "table", "end"),
    *('a"b', "a'b", "%s", "a%%b", "%(x)s", "{schema}", "{", "a.b", "t.a", "a, b", "a,b", "a;b--", "$1", ":x", "?1"),
    *("[x]", "`x`", "\\", "a\nb", "a\tb", " ", "é", "e\u0301", "É", "ß", "İ", "ı", "日本", "\U0001f600", "@", "a@b"),
    *("ctid", "xmin", "tableoid", "oid", "rowid", "_rowid_", "public", "causeway", "pg_type", "null", "true", "1", "*"),
    *(_LONG, _LONG + "1", _LONG + "12", _LONG + "13", _LONG + "é", _LONG + "É", _LONG.upper() + "12", "日" * 22),
)
names = st.sampled_from(_NAMES) | st.text(
    st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8
).filter(lambda name: not name.lower().startswith("sqlite_"))


def _fold(name: str) -> str:
    """SQLite tells names apart after folding A to Z alone."""
    return "".join(chr(ord(c) + 32) if "A" <= c <= "Z" else c for c in name)


def _distinct(count: st.SearchStrategy[int]) -> st.SearchStrategy[list[str]]:
    return count.flatmap(lambda n: st.lists(names, min_size=n, max_size=n, unique_by=_fold))


# Types and the values that go with them

_TYPES: dict[str, tuple[str, ...]] = {
    "integer": ("INTEGER", "INT", "BIGINT", "UNSIGNED BIG INT", "TINYINT(1)", "POINT", "FLOATING POINT", "INTEGER[]"),
    "real": ("REAL", "DOUBLE", "DOUBLE PRECISION", "FLOAT", "FLOAT(10,2)"),
    "decimal": ("NUMERIC", "DECIMAL(10,2)", "NUMERIC(5)", "DECIMAL(3,5)", "NUMERIC(2000,2)", "MONEY", "NUMBER(8, 3)"),
    "text": ("TEXT", "VARCHAR(3)", "CHARACTER VARYING(5)", "CLOB", "NCHAR(2)", "TEXT[]"),
    "blob": ("BLOB", "", "LONGBLOB"),
    "boolean": ("BOOLEAN", "BOOL"),
    "date": ("DATE",),
    "stamp": ("DATETIME", "TIMESTAMP", "TIMESTAMP WITH TIME ZONE", "TIMESTAMP(3)"),
    "time": ("TIME",),
    "uuid": ("UUID", "GUID", "UNIQUEIDENTIFIER"),
    "json": ("JSON", "JSONB"),
    "odd": (
        "ANY",
        "STRING",
        "nonsense",
        '"we""ird type"',
        "ENUM(1,2)",
        "NULL",
        "XML",
        '""',
        "SERIAL",
        "TEXT COLLATE C",
    ),
}
_STRICT_TYPES = ("INTEGER", "INT", "REAL", "TEXT", "BLOB", "ANY")

_EDGES = (
    *(0, 1, -1, 2, 7, 255, 2**15, 2**31 - 1, -(2**31) - 1, 2**53, 2**53 + 1, -(2**53) - 1, 10**15, 10**16, 10**18),
    *(2**63 - 1, -(2**63), 2**62, 9007199254740993, 1700000000),
)
integers = st.sampled_from(_EDGES) | st.integers(-(2**63), 2**63 - 1)
_REALS = (
    *(
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        1.5,
        0.1,
        1 / 3,
        1e15,
        1e16,
        1e17,
        1e18,
        9e18,
        1e19,
        1e20,
        2.0**53,
        2.0**63,
        -(2.0**63),
    ),
    *(1e22, 1e23, 9007199254740993.0, 1.7976931348623157e308, 5e-324, 2.2250738585072014e-308, 2.225073858507201e-308),
    *(float("inf"), float("-inf"), 1e-5, 1e-7, 123456.789, 0.30000000000000004, 4.35, 2.675, 1e300, 1.5e-10),
)
reals = st.sampled_from(_REALS) | st.floats(allow_nan=False)
_TEXTS = (
    *(
        "",
        "a",
        "A",
        "ab",
        "null",
        "NULL",
        "\\N",
        "\\.",
        "\\",
        "\\\\",
        "\\x",
        "\\x41",
        "\t",
        "\n",
        "\r",
        "\r\n",
        "\b\f\v",
    ),
    *(
        "a\\\nb",
        "'",
        '"',
        "$$",
        "%s",
        " ",
        "a ",
        " a",
        "1",
        "-1",
        "01",
        "+1",
        "-0",
        "1.0",
        "1.5",
        "1e5",
        "1e+20",
        "inf",
    ),
    *("-inf", "nan", "Infinity", "0x10", "9223372036854775808", "99999999999999999999", " 3 ", "true", "t", "f"),
    *(
        "i:1",
        "t:a",
        "b:00",
        "x:ff",
        "n:00",
        "é",
        "e\u0301",
        "日本語",
        "\U0001f600",
        "\ufeff",
        "\ufeffa",
        "\uffff",
        "\x7f",
    ),
    *("\x01", "\x1b", "\x85", "\u2028", "a\0b", "\0", "0\0", "1\0", "[1]", "{}", '{"a": 1}', "(1,2)", "2024-02-29"),
    *("x" * 700, "日" * 900, "y" * 3000, "1" * 30, "0" * 700),
)
texts = st.sampled_from(_TEXTS) | st.text(st.characters(codec="utf-8"), max_size=6)
raw_texts = st.builds(
    RawText,
    st.sampled_from(
        (b"\xff", b"\xc3\x28", b"\xed\xa0\x80", b"\xed\xb0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80", b"a\xff")
    )
    | st.sampled_from((b"\x00\xd8", b"\xd8\x00", b"\xdc\x00\xd8\x00", b"A\0", b"\0A", b"\xff\xfeA\0", b"\xfe\xff\0A"))
    | st.binary(max_size=5),
)
blobs = st.sampled_from(
    (b"", b"\0", b"\xff\x00", b"abc", b"1", b"\\x41", bytes(range(256)), b"\x80" * 2800)
) | st.binary(max_size=17)
anything: st.SearchStrategy[Value] = st.none() | integers | reals | texts | raw_texts | blobs

_moments = st.sampled_from(
    (dt.datetime(1, 1, 1), dt.datetime(9999, 12, 31, 23, 59, 59, 999999), dt.datetime(2024, 2, 29, 12, 0, 0, 120000))
) | st.datetimes(dt.datetime(1, 1, 1))


@st.composite
def _stamps(draw: st.DrawFn) -> st.SearchStrategy[str]:
    """Times that one program wrote: all of one form."""
    separator, zone = draw(st.sampled_from(" T")), draw(st.sampled_from(("", "", "Z", "+00:00", "+00", "+02:00")))
    style = draw(st.sampled_from(("none", "python", "six", "three", "trim", "nine")))

    def write(moment: dt.datetime) -> str:
        six = f"{moment.microsecond:06d}"
        fraction = {
            "none": "",
            "python": f".{six}" if moment.microsecond else "",
            "six": f".{six}",
            "three": f".{six[:3]}",
            "trim": f".{six.rstrip('0')}" if moment.microsecond else "",
            "nine": f".{six}000",
        }[style]
        day = f"{moment.year:04d}-{moment.month:02d}-{moment.day:02d}"
        return f"{day}{separator}{moment.hour:02d}:{moment.minute:02d}:{moment.second:02d}{fraction}{zone}"

    return _moments.map(write)


_odd_times = st.sampled_from(
    ("2024-02-30", "0000-01-01", "2024-01-01 24:00:00", "2024-01-01 00:00:60", "24:00:00", "2024-1-1", "2024-01-01Z")
)
_dates = _moments.map(lambda moment: f"{moment.year:04d}-{moment.month:02d}-{moment.day:02d}")
_clocks = st.times().map(str)
_uuids = st.uuids(allow_nil=True).map(str)
_any_uuids = (
    _uuids | _uuids.map(str.upper) | _uuids.map(lambda u: u.replace("-", "")) | st.binary(min_size=16, max_size=16)
)
_JSONS = (
    *("null", "1", "1.50", "1e5", "1E400", "-0", '"a"', '"\\u0000"', '"\\ud800"', "[1, 2]", "{}", " []", "[\n1]"),
    *("NaN", '{"b":1,"a":2}', '{"a":1,"a":2}', "[NaN]", "[1,]", '"\x01"', "", "[" * 50 + "]" * 50, "\ufeff1"),
    *("nul", "1 x"),
)
_decimals = st.decimals(-999, 999, places=2).map(float) | st.decimals(-999, 999, places=2).map(str)

_THEMES: dict[str, st.SearchStrategy[st.SearchStrategy[Value]]] = {
    "integer": st.sampled_from([integers, st.integers(-3, 30), st.integers(0, 1)]),
    "real": st.sampled_from([reals, reals | st.integers(-5, 5), integers | reals]),
    "decimal": st.sampled_from([_decimals, _decimals | st.integers(-99, 99), reals, integers | reals]),
    "text": st.sampled_from([texts, st.sampled_from(("a", "A", "b", "B ", "b", "")), texts | integers, texts | reals]),
    "blob": st.sampled_from([blobs, blobs | texts, blobs | texts | raw_texts]),
    "boolean": st.sampled_from([st.integers(0, 1), st.integers(0, 2), st.sampled_from((0, 1, "0", "t", 1.0))]),
    "date": st.sampled_from([_dates, _dates | _odd_times]),
    "stamp": _stamps() | st.just(_dates | _odd_times),
    "time": st.sampled_from([_clocks, _clocks | _odd_times]),
    "uuid": st.sampled_from([_uuids, _any_uuids]),
    "json": st.just(st.sampled_from(_JSONS)),
    "odd": st.sampled_from([integers, texts, reals, integers | reals, texts | integers]),
}
_KINDS = tuple(_TYPES)


@dataclass(frozen=True)
class _Column:
    name: str
    declared: str
    constraints: str
    values: st.SearchStrategy[Value]
    generated: bool


_DEFAULTS = (
    *("0", "1", "-1", "1.5", "'x'", "''", "'it''s'", "NULL", "TRUE", "FALSE", "CURRENT_TIMESTAMP", "CURRENT_DATE"),
    *("x'00ff'", "(1 + 1)", "(datetime('now'))", "(random())", "(lower('A'))", '"dq"', "9223372036854775808", "'a\\b'"),
    *("'%s'", "1e400", "(strftime('%s','now'))", "'{schema}'", "'0'", "'null'", "(NULL)", "(hex(randomblob(16)))"),
)


@st.composite
def _columns(draw: st.DrawFn, name: str, earlier: tuple[str, ...], strict: bool) -> _Column:
    kind = draw(st.sampled_from(_KINDS))
    declared = draw(st.sampled_from(_STRICT_TYPES if strict else _TYPES[kind]))
    if strict:
        kind = {"INTEGER": "integer", "INT": "integer", "REAL": "real", "TEXT": "text", "BLOB": "blob"}.get(
            declared, "odd"
        )
    mixture = draw(st.integers(0, 9))
    if mixture == 0:
        values = anything
    elif mixture == 1:
        values = draw(_THEMES[draw(st.sampled_from(_KINDS))])
    else:
        values = draw(_THEMES[kind])
    nulls = draw(st.integers(0, 3))
    if nulls == 1:
        values = st.none() | values
    if draw(st.integers(0, 9)) == 9:
        values = st.one_of(values, values, values, values, anything)
    parts: list[str] = []
    if earlier and draw(st.integers(0, 11)) == 11:
        other = quote(draw(st.sampled_from(earlier)))
        expression = draw(st.sampled_from(("{} || 'x'", "length({})", "{} + 1", "upper({})", "coalesce({}, 0)", "{}")))
        where = draw(st.sampled_from(("VIRTUAL", "STORED")))
        parts.append(f"GENERATED ALWAYS AS ({expression.replace('{}', other)}) {where}")
        return _Column(name, declared, " ".join(parts), values, True)
    if draw(st.integers(0, 4)) == 4:
        parts.append("NOT NULL")
    if draw(st.integers(0, 7)) == 7:
        parts.append(f"COLLATE {draw(st.sampled_from(('NOCASE', 'RTRIM', 'nocase', 'BINARY', ODD_COLLATION)))}")
    if draw(st.integers(0, 7)) == 7:
        parts.append("UNIQUE")
    if draw(st.integers(0, 3)) == 3:
        parts.append(f"DEFAULT {draw(st.sampled_from(_DEFAULTS))}")
    if draw(st.integers(0, 9)) == 9:
        parts.append(f"CHECK ({_condition(draw, name)})")
    return _Column(name, declared, " ".join(parts), values, False)


_CONDITIONS = (
    *("IS NOT NULL", ">= 0", "<> 'x'", "IN (0, 1)", "BETWEEN 0 AND 1e9", "LIKE 'a%'", "GLOB '[a-z]*'", "> ''", "= 1"),
    *("IS NULL OR TRUE", "NOT IN ('b')", "!= ''"),
)


def _condition(draw: st.DrawFn, name: str) -> str:
    text = draw(st.sampled_from(_CONDITIONS))
    wrap = draw(st.sampled_from(("{}", "{}", "length({})", "typeof({})", "abs({})", "coalesce({}, 1)")))
    return f"{wrap.replace('{}', quote(name))} {text}"


@dataclass(frozen=True)
class _Table:
    ddl: str
    insert: str
    columns: tuple[_Column, ...]  # those that values are given for
    indexes: tuple[str, ...]


@st.composite
def _tables(draw: st.DrawFn, name: str, others: tuple[str, ...], reserved: tuple[str, ...]) -> _Table:
    strict = draw(st.integers(0, 9)) == 9
    column_names = draw(_distinct(st.integers(1, 5)))
    columns = [draw(_columns(each, tuple(column_names[:place]), strict)) for place, each in enumerate(column_names)]
    key = draw(st.sampled_from(("none", "alias", "alias", "autoincrement", "column", "composite", "desc", "without")))
    constraints: list[str] = []
    without_rowid = ""
    plain = [column.name for column in columns if not column.generated]
    if key in ("alias", "autoincrement", "desc"):
        word = {"alias": "", "autoincrement": "AUTOINCREMENT", "desc": "DESC"}[key]
        small = st.none() | st.integers(1, 40)
        odd = draw(st.integers(0, 5)) == 5
        columns[0] = _Column(
            columns[0].name, "INTEGER", f"PRIMARY KEY {word}", small | integers if odd else small, False
        )
    elif key != "none" and plain:
        count = 1 if key == "column" else draw(st.integers(1, min(3, len(plain))))
        parts = draw(st.permutations(plain))[:count]
        directions = [f"{quote(part)}{draw(st.sampled_from(('', '', ' DESC', ' COLLATE NOCASE')))}" for part in parts]
        constraints.append(f"PRIMARY KEY ({', '.join(directions)})")
        if key == "without":
            without_rowid = "WITHOUT ROWID"
    if plain and draw(st.integers(0, 5)) == 5:
        parts = draw(st.permutations(plain))[: draw(st.integers(1, 3))]
        constraints.append(f"UNIQUE ({', '.join(map(quote, parts))})")
    if others and draw(st.integers(0, 2)) == 2:
        constraints.append(_foreign_key(draw, column_names, others))
    if draw(st.integers(0, 7)) == 7:
        label = f"CONSTRAINT {quote(draw(names))} " if draw(st.booleans()) else ""
        constraints.append(f"{label}CHECK ({_condition(draw, draw(st.sampled_from(column_names)))})")
    options = ", ".join(option for option in (without_rowid, "STRICT" if strict else "") if option)
    body = [f"{quote(c.name)} {c.declared} {c.constraints}".rstrip() for c in columns] + constraints
    given = tuple(column for column in columns if not column.generated)
    listed = ", ".join(quote(column.name) for column in given)
    return _Table(
        ddl=f"CREATE TABLE {quote(name)} ({', '.join(body)}) {options}".rstrip(),
        insert=f"INSERT OR IGNORE INTO {quote(name)} ({listed}) VALUES",
        columns=given,
        indexes=tuple(draw(st.lists(_indexes(name, tuple(column_names), reserved), max_size=2))),
    )


def _foreign_key(draw: st.DrawFn, columns: list[str], others: tuple[str, ...]) -> str:
    """A parent by its key, or by columns that may well not be there."""
    parent = draw(st.sampled_from(others))
    mine = draw(st.permutations(columns))[: draw(st.sampled_from((1, 1, 1, 2)))]
    theirs = draw(st.sampled_from(("", "", "same")))
    named = f" ({', '.join(map(quote, mine))})" if theirs else ""
    tail = draw(
        st.sampled_from(("", "", " ON DELETE CASCADE", " ON UPDATE SET NULL", " DEFERRABLE INITIALLY DEFERRED"))
    )
    return f"FOREIGN KEY ({', '.join(map(quote, mine))}) REFERENCES {quote(parent)}{named}{tail}"


_INDEXED = (
    *("{}", "{}", "{}", "{} DESC", "{} COLLATE NOCASE", "{} COLLATE RTRIM", "lower({})", "length({})", "{} || 'x'"),
    *("coalesce({}, 0)", "abs({})", "{} + 1"),
)


@st.composite
def _indexes(draw: st.DrawFn, table: str, columns: tuple[str, ...], reserved: tuple[str, ...]) -> str:
    name = draw(names.filter(lambda each: _fold(each) not in reserved))
    unique = draw(st.sampled_from(("", "", "UNIQUE ")))
    parts = []
    for column in draw(st.permutations(columns))[: draw(st.integers(1, 3))]:
        shape = draw(st.sampled_from(_INDEXED))
        parts.append(shape.replace("{}", quote(column)))
    where = ""
    if draw(st.integers(0, 4)) == 4:
        where = f" WHERE {_condition(draw, draw(st.sampled_from(columns)))}"
    return f"CREATE {unique}INDEX {quote(name)} ON {quote(table)} ({', '.join(parts)}){where}"


@st.composite
def databases(draw: st.DrawFn, *, objects: bool = True) -> Database:
    """One to three tables with at most 30 rows each. objects: views and triggers, too."""
    table_names = draw(_distinct(st.integers(1, 3)))
    reserved = tuple(_fold(name) for name in table_names)
    statements: list[str] = []
    inserts: list[Insert] = []
    afterwards: list[str] = []
    for name in table_names:
        table = draw(_tables(name, (*table_names, "ghost"), reserved))
        statements += [table.ddl, *table.indexes]
        rows = draw(st.lists(st.tuples(*(column.values for column in table.columns)), max_size=30))
        inserts += [Insert(table.insert, row) for row in rows]
        if draw(st.integers(0, 9)) == 9:
            afterwards.append(f"DELETE FROM {quote(name)} WHERE rowid > 5")
    if draw(st.integers(0, 9)) == 9:
        number = draw(st.sampled_from((0, 7, 10**6, 2**63 - 1, "'x'")))
        afterwards.append(f"UPDATE sqlite_sequence SET seq = {number}")
    if objects and draw(st.integers(0, 5)) == 5:
        body = draw(st.sampled_from(("SELECT * FROM {}", "SELECT count(*) AS n FROM {}", "SELECT 1 AS x, 'a' AS y")))
        view = draw(names)
        statements.append(f"CREATE VIEW {quote(view)} AS {body.replace('{}', quote(table_names[0]))}")
    if objects and draw(st.integers(0, 7)) == 7:
        table_name = quote(table_names[-1])
        statements.append(f"CREATE TRIGGER touch AFTER DELETE ON {table_name} BEGIN SELECT 1; END")
    return Database(
        draw(st.sampled_from((*ENCODINGS, "UTF-8"))),
        tuple(statements),
        tuple(inserts),
        tuple(afterwards),
        draw(st.integers(0, 3)) == 3,
    )
