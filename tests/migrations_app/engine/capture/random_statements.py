"""Random applications: tables of every kind that capture must see through, and statements that write to them.

Drawn as SQL that SQLite then judges: a part of a schema that it refuses is left out, a statement that it refuses is
one that fails. Values come from a small set, so that rows clash often.
"""

from __future__ import annotations

import contextlib
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from hypothesis import strategies as st

# As SQL: equal under one collation or affinity and not under another, several classes, NULL.
VALUES = ("NULL", "0", "1", "2", "-1", "1.0", "-0.0", "2.5", "'a'", "'A'", "'b'", "'a '", "'1'", "x'61'", "''")
TYPES = ("INTEGER", "TEXT", "TEXT COLLATE NOCASE", "TEXT COLLATE RTRIM", "", "REAL", "NUMERIC", "BLOB")
CONFLICTS = ("", " OR REPLACE", " OR IGNORE", " OR ABORT", " OR FAIL", " OR ROLLBACK")
ON_CONFLICTS = ("", "", "", " ON CONFLICT REPLACE", " ON CONFLICT IGNORE", " ON CONFLICT FAIL")
COLUMNS = ("c0", "c1", "c2", "c3")
TABLES = ("one", "Two 2")
ENCODINGS = ("UTF-8", "UTF-16le", "UTF-16be")


def quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


@dataclass(frozen=True)
class Step:
    """One statement, on the first or second connection, or on a third one that has the file attached."""

    connection: int
    sql: str


@dataclass(frozen=True)
class Application:
    """Its repr, which a failing example prints, is all that it takes to run it again."""

    encoding: str
    journal: str
    foreign_keys: bool
    recursive_triggers: bool
    schema: tuple[str, ...]
    rows: tuple[str, ...]
    steps: tuple[Step, ...]

    def build(self, path: Path) -> Path:
        """The file before capture. What SQLite refuses is left out."""
        with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
            connection.execute(f"PRAGMA encoding='{self.encoding}'")
            connection.execute("PRAGMA synchronous=OFF")
            connection.execute(f"PRAGMA journal_mode={self.journal}")
            connection.execute(f"PRAGMA foreign_keys={int(self.foreign_keys)}")
            for statement in (*self.schema, *self.rows):
                with contextlib.suppress(sqlite3.Error):
                    connection.execute(statement)
        return path

    def connections(self, path: Path) -> list[sqlite3.Connection]:
        """Three of them, the last one with the file attached under another name."""
        made = [sqlite3.connect(path, isolation_level=None, timeout=0) for _ in range(2)]
        third = sqlite3.connect(":memory:", isolation_level=None, timeout=0)
        third.execute(f"PRAGMA encoding='{self.encoding}'")
        third.execute("ATTACH ? AS theirs", (str(path),))
        for connection in (*made, third):
            connection.execute(f"PRAGMA foreign_keys={int(self.foreign_keys)}")
            connection.execute(f"PRAGMA recursive_triggers={int(self.recursive_triggers)}")
            for name in ("main", "theirs") if connection is third else ("main",):
                connection.execute(f"PRAGMA {name}.synchronous=OFF")
        return [*made, third]


@st.composite
def tables(draw: st.DrawFn, name: str) -> list[str]:
    """CREATE TABLE and its unique indexes."""
    key = draw(st.sampled_from(_KEYS))
    columns = [f"{column} {draw(_definitions(column))}" for column in COLUMNS]
    parts = [*columns, *draw(st.lists(st.sampled_from(_CONSTRAINTS), max_size=2, unique=True))]
    if draw(st.booleans()):
        parts.append(draw(_foreign_keys()))
    if key.startswith("id "):
        parts.insert(0, key)
    elif key.startswith("PRIMARY"):
        parts.append(key.removesuffix(" WITHOUT ROWID") + draw(st.sampled_from(ON_CONFLICTS)))
    options = " WITHOUT ROWID" if key.endswith("ROWID") else ""
    generated = draw(st.sampled_from(["", "", "g AS (c1 || 'x')", "g TEXT AS (lower(c2)) STORED UNIQUE"]))
    table_parts = _columns_first([*parts, *([generated] if generated else [])])
    made = [f"CREATE TABLE {quote(name)} ({', '.join(table_parts)}){options}"]
    for number, index in enumerate(draw(st.lists(st.sampled_from(_INDEXES), max_size=2, unique=True))):
        made.append(f"CREATE UNIQUE INDEX {quote(f'{name} {number}')} ON {quote(name)} {index}")
    return made


def _columns_first(parts: list[str]) -> list[str]:
    return sorted(parts, key=lambda part: part.startswith(("PRIMARY", "UNIQUE", "FOREIGN")))


_KEYS = (
    "id INTEGER PRIMARY KEY",
    "id INTEGER PRIMARY KEY AUTOINCREMENT",
    "id INTEGER PRIMARY KEY ON CONFLICT REPLACE",
    "id INTEGER PRIMARY KEY DESC",
    "PRIMARY KEY (c0)",
    "PRIMARY KEY (c0, c1)",
    "PRIMARY KEY (c0 COLLATE NOCASE)",
    "PRIMARY KEY (c0) WITHOUT ROWID",
    "PRIMARY KEY (c1, c0) WITHOUT ROWID",
    "by a unique index",
)
_CONSTRAINTS = (
    "UNIQUE (c0)",
    "UNIQUE (c1) ON CONFLICT REPLACE",
    "UNIQUE (c2)",
    "UNIQUE (c1, c2) ON CONFLICT IGNORE",
    "UNIQUE (c2 COLLATE NOCASE)",
    "UNIQUE (c3) ON CONFLICT REPLACE",
)
_INDEXES = (
    "(lower(c2))",
    "(c1, upper(c3))",
    "(c1) WHERE c3 IS NOT NULL",
    "(c2) WHERE c1 > 0",
    "(c3 COLLATE NOCASE DESC)",
    "(CASE WHEN c1 IS NOT NULL THEN c2 END)",
    "(c2 || c3)",
    "(c0, c3)",
    "(c1) WHERE 'one'.c2 = 'a'",
)


@st.composite
def _definitions(draw: st.DrawFn, column: str) -> str:
    kind = draw(st.sampled_from(TYPES))
    if column == "c0" or draw(st.integers(0, 3)) == 0:
        kind += " NOT NULL" + draw(st.sampled_from(ON_CONFLICTS))
    if draw(st.integers(0, 3)) == 0:
        kind += " DEFAULT " + draw(st.sampled_from(("1", "'a'", "a", "('b' || 'c')", "NULL", "-1", "x'61'")))
    return kind


@st.composite
def _foreign_keys(draw: st.DrawFn) -> str:
    actions = ("CASCADE", "SET NULL", "SET DEFAULT", "RESTRICT", "NO ACTION")
    parent, column = draw(st.sampled_from(TABLES)), draw(st.sampled_from(COLUMNS[1:]))
    to = draw(st.sampled_from(("", " (c0)", " (c2)")))
    deferred = draw(st.sampled_from(("", " DEFERRABLE INITIALLY DEFERRED")))
    return (
        f"FOREIGN KEY ({column}) REFERENCES {quote(parent)}{to} ON DELETE {draw(st.sampled_from(actions))}"
        f" ON UPDATE {draw(st.sampled_from(actions))}{deferred}"
    )


_MOMENTS = (
    ("AFTER", "INSERT"),
    ("AFTER", "UPDATE"),
    ("AFTER", "DELETE"),
    ("BEFORE", "INSERT"),
    ("BEFORE", "DELETE"),
)


@st.composite
def _triggers(draw: st.DrawFn, number: int) -> str:
    """An application's own. None rewrites, before an update, the row that is updated: SQLite defines no outcome."""
    moment, event = draw(st.sampled_from(_MOMENTS))
    on, other = draw(st.permutations(TABLES))
    row = "OLD" if event == "DELETE" else "NEW"
    to = on if moment == "AFTER" and draw(st.booleans()) else other
    body = draw(
        st.sampled_from(
            (
                f"INSERT OR REPLACE INTO {quote(to)}(c0, c1) VALUES ({row}.c0, {row}.c2)",
                f"INSERT OR IGNORE INTO {quote(to)}(c0, c2) VALUES ({row}.c1, 'a')",
                f"UPDATE OR REPLACE {quote(to)} SET c2 = {row}.c2 WHERE c1 = {row}.c1",
                f"DELETE FROM {quote(to)} WHERE c1 = {row}.c1",
                "SELECT RAISE(IGNORE)",
                "SELECT RAISE(FAIL, 'no')",
            )
        )
    )
    when = draw(st.sampled_from(("", f" WHEN {row}.c1 = 1", f" WHEN {row}.c3 IS NULL")))
    return f"CREATE TRIGGER app_{number} {moment} {event} ON {quote(on)}{when} BEGIN {body}; END"


@st.composite
def _expressions(draw: st.DrawFn) -> str:
    return draw(st.sampled_from((*VALUES, *COLUMNS, "c1 + 1", "upper(c2)", "id", "rowid")))


@st.composite
def statements(draw: st.DrawFn, table: str) -> str:
    """One statement that writes to the table, or tries to."""
    returning = draw(st.sampled_from(("", "", "", " RETURNING *", " RETURNING c1, rowid")))
    written = draw(st.one_of(_inserts(table), _inserts(table), _updates(table), _updates(table), _deletes(table)))
    return written + returning


@st.composite
def _inserts(draw: st.DrawFn, table: str) -> str:
    verb = draw(st.sampled_from(("REPLACE", *(f"INSERT{conflict}" for conflict in CONFLICTS))))
    if draw(st.integers(0, 9)) == 0:
        return f"{verb} INTO {quote(table)} DEFAULT VALUES"
    columns = draw(st.lists(st.sampled_from((*COLUMNS, "id", "rowid")), min_size=1, max_size=5, unique=True))
    names = ", ".join(columns)
    if draw(st.integers(0, 5)) == 0:
        source = quote(draw(st.sampled_from(TABLES)))
        picked = ", ".join(draw(st.sampled_from((*COLUMNS, "NULL", "'a'", "rowid"))) for _ in columns)
        return f"{verb} INTO {quote(table)}({names}) SELECT {picked} FROM {source} WHERE true"
    rows = [
        "(" + ", ".join(draw(st.sampled_from(VALUES)) for _ in columns) + ")"
        for _ in range(draw(st.sampled_from((1, 1, 1, 2, 3))))
    ]
    return f"{verb} INTO {quote(table)}({names}) VALUES {', '.join(rows)}{draw(_upserts())}"


@st.composite
def _upserts(draw: st.DrawFn) -> str:
    if draw(st.integers(0, 3)):
        return ""
    target = draw(st.sampled_from(("", "(c0)", "(c1)", "(c2)", "(id)", "(c1, c2)", "(lower(c2))")))
    if not target or draw(st.booleans()):
        return f" ON CONFLICT {target} DO NOTHING"
    column, value = draw(st.sampled_from((*COLUMNS, "id"))), draw(_expressions())
    return f" ON CONFLICT {target} DO UPDATE SET {column} = {value}"


@st.composite
def _conditions(draw: st.DrawFn) -> str:
    return draw(
        st.sampled_from(
            ("", " WHERE c0 = 1", " WHERE c1 IS NULL", " WHERE c2 = 'a'", " WHERE rowid = 1", " WHERE id < 3",
             " WHERE c0 IN (1, 'a', 'A')", " WHERE c3 > 0", " WHERE c1 = 2")
        )
    )  # fmt: skip


@st.composite
def _updates(draw: st.DrawFn, table: str) -> str:
    names = (*COLUMNS, "id", "rowid", "oid")
    columns = draw(st.lists(st.sampled_from(names), min_size=1, max_size=2, unique=True))
    sets = ", ".join(f"{column} = {draw(_expressions())}" for column in columns)
    return f"UPDATE{draw(st.sampled_from(CONFLICTS))} {quote(table)} SET {sets}{draw(_conditions())}"


@st.composite
def _deletes(draw: st.DrawFn, table: str) -> str:
    return f"DELETE FROM {quote(table)}{draw(_conditions())}"


_TRANSACTIONS = (
    "BEGIN",
    "BEGIN IMMEDIATE",
    "COMMIT",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT s",
    "ROLLBACK TO s",
    "RELEASE s",
)


@st.composite
def applications(draw: st.DrawFn, most_steps: int = 14) -> Application:
    schema: list[str] = []
    for name in TABLES:
        schema += draw(tables(name))
    schema += [draw(_triggers(number)) for number in range(draw(st.sampled_from((0, 0, 1, 2))))]
    rows = [
        f"INSERT OR IGNORE INTO {quote(name)}(c0, c1, c2, c3) VALUES ({', '.join(draw(st.sampled_from(VALUES)) for _ in COLUMNS)})"  # noqa: E501
        for name in TABLES
        for _ in range(draw(st.integers(1, 4)))
    ]
    writes = st.one_of(*(statements(name) for name in TABLES), *(statements(name) for name in TABLES))
    others = st.sampled_from((*_TRANSACTIONS, "ANALYZE", "VACUUM"))
    one = st.builds(Step, st.sampled_from((0, 0, 0, 1, 2)), st.one_of(writes, writes, writes, others))
    return Application(
        encoding=draw(st.sampled_from((*ENCODINGS, "UTF-8"))),
        journal=draw(st.sampled_from(("WAL", "DELETE"))),
        foreign_keys=draw(st.booleans()),
        recursive_triggers=draw(st.booleans()),
        schema=tuple(schema),
        rows=tuple(rows),
        steps=tuple(draw(st.lists(one, min_size=1, max_size=most_steps))),
    )
