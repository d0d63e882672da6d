"""A small application's file, and a plan of it as the engine makes it."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path

from migrations_app.engine.plan import MODE_CREATE, MovePlan
from migrations_app.engine.planning.planning import make_plan
from migrations_app.engine.source.opening import open_source

SCHEMA = """
CREATE TABLE users(id INTEGER PRIMARY KEY AUTOINCREMENT, email TEXT NOT NULL COLLATE NOCASE UNIQUE, name TEXT);
CREATE TABLE tags(a TEXT, b INTEGER, note TEXT, PRIMARY KEY (a, b)) WITHOUT ROWID;
CREATE TABLE history(id INTEGER PRIMARY KEY, what TEXT);
INSERT INTO users(email, name) VALUES ('a@example.org', 'Ada'), ('b@example.org', 'Ben');
INSERT INTO tags VALUES ('x', 1, 'one'), ('x', 2, 'two');
CREATE VIEW names AS SELECT name FROM users;
CREATE TRIGGER noted AFTER UPDATE ON users BEGIN INSERT INTO history(what) VALUES (NEW.name); END;
CREATE TRIGGER added AFTER INSERT ON users BEGIN INSERT INTO history(what) VALUES ('new'); END;
CREATE TRIGGER through INSTEAD OF INSERT ON names BEGIN INSERT INTO users(email) VALUES (NEW.name); END;
"""


def make_file(path: Path, sql: str = SCHEMA, journal: str = "WAL") -> Path:
    with opened(path) as connection:
        connection.execute(f"PRAGMA journal_mode={journal}")
        connection.executescript(sql)
    return path


@contextlib.contextmanager
def opened(path: Path, timeout: float = 5.0) -> Iterator[sqlite3.Connection]:
    """As an application opens it."""
    connection = sqlite3.connect(path, isolation_level=None, timeout=timeout)
    try:
        yield connection
    finally:
        connection.close()


def plan_the_move(path: Path, excluded: Sequence[str] = ()) -> MovePlan:
    with open_source(path) as source:
        return make_plan(source, mode=MODE_CREATE, excluded=excluded)


def everything(path: Path) -> dict[str, object]:
    """All objects and all rows, and what SQLite numbers next."""
    with opened(path) as connection:
        objects = connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema").fetchall()
        tables = [name for kind, name, _, _ in objects if kind == "table"]
        rows = {name: connection.execute(f'SELECT * FROM "{name}"').fetchall() for name in tables}
    return {"objects": sorted(objects, key=repr), "rows": rows}
