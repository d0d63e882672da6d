"""Runs the headless commands as a user does: a process of its own, its exit status, its two streams, its report."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg2

ROOT = Path(__file__).resolve().parents[3]
SECONDS = 180  # more than any of these takes, however busy the machine
REPORT_KEYS = {"outcome", "findings", "tables", "objects", "differences", "seconds", "peak_memory_mb"}


@dataclass
class Outcome:
    code: int
    stdout: str
    stderr: str
    report: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        return self.stdout + self.stderr

    @property
    def error(self) -> str:
        """The stable code of the error, '' for none."""
        return str(self.report.get("error", {}).get("code", ""))


def environment(tmp_path: Path, **extra: str) -> dict[str, str]:
    """An environment in which the control database can't be reached, since no headless command may want it."""
    folder = tmp_path / "tmp"
    folder.mkdir(exist_ok=True)
    return {
        "PATH": os.environ["PATH"],
        "CAUSEWAY_READ_DOTENV": "0",
        "DATABASE_URL": "postgres://nobody:nothing@127.0.0.1:1/none",
        "TMPDIR": str(folder),
        "PYTHONPATH": str(ROOT),
        **extra,
    }


def arguments(command: str, *options: object) -> list[str]:
    return [sys.executable, str(ROOT / "manage.py"), command, *(str(option) for option in options)]


def run(tmp_path: Path, command: str, *options: object, **extra: str) -> Outcome:
    """Run to the end. Whatever happened: no traceback, no temporary file left, a report when one was asked for."""
    report = tmp_path / "report.json"
    report.unlink(missing_ok=True)
    home = environment(tmp_path, **extra)
    before = left_over(tmp_path)  # of a process that the test killed
    done = subprocess.run(
        [*arguments(command, *options), "--report", str(report)],
        env=home,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert "Traceback" not in done.stderr + done.stdout, done.stderr
    document = json.loads(report.read_text()) if report.exists() else {}
    assert not document or document.keys() >= REPORT_KEYS
    assert set(left_over(tmp_path)) <= set(before)
    return Outcome(done.returncode, done.stdout, done.stderr, document)


def left_over(tmp_path: Path) -> list[Path]:
    """Files of ours in $TMPDIR: exports hold the application's data."""
    return [path for path in (tmp_path / "tmp").rglob("*") if path.is_file()]


@contextlib.contextmanager
def session(url: str) -> Iterator[psycopg2.extensions.cursor]:
    """A cursor on the target, committed at the end."""
    connection = psycopg2.connect(url)
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    finally:
        connection.close()


def fetch(url: str, sql: str) -> list[tuple[Any, ...]]:
    with session(url) as cursor:
        cursor.execute(sql)
        return list(cursor.fetchall())


def everything_in(url: str) -> list[tuple[str, str]]:
    """(schema, relation) of all that is in the target and isn't PostgreSQL's own."""
    return fetch(
        url,
        "SELECT n.nspname, coalesce(c.relname, '') FROM pg_namespace n LEFT JOIN pg_class c ON c.relnamespace = n.oid"
        " WHERE n.nspname !~ '^pg_' AND n.nspname <> 'information_schema' AND NOT (n.nspname = 'public' AND c IS NULL)"
        " ORDER BY 1, 2",
    )


def make(path: Path, script: str, rows: Sequence[tuple[str, Sequence[Sequence[object]]]] = ()) -> Path:
    """A SQLite file: a script, then statements with many rows each."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.executescript(script)
        for sql, values in rows:
            connection.executemany(sql, values)
        connection.commit()
    return path


SHOP = """
CREATE TABLE customers (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, email VARCHAR(80) UNIQUE, born DATE, active BOOLEAN,
    balance REAL, photo BLOB
);
CREATE TABLE orders (
    id INTEGER PRIMARY KEY, customer_id INTEGER NOT NULL REFERENCES customers(id), at DATETIME, price NUMERIC(10,2),
    CHECK (id > 0)
);
CREATE TABLE tags (tag TEXT PRIMARY KEY, n INTEGER DEFAULT 0) WITHOUT ROWID;
CREATE TABLE log (line TEXT);
CREATE INDEX orders_at ON orders (at);
CREATE VIEW names AS SELECT id, name FROM customers;
"""


def shop(path: Path, customers: int = 30) -> Path:
    """A small application's database, with every common type, a unique, a foreign key, an index, a check, a view."""
    return make(
        path,
        SHOP,
        [
            (
                "INSERT INTO customers VALUES (?, ?, ?, ?, ?, ?, ?)",
                [
                    (i, f"客 {i}", f"c{i}@example.com", f"19{i % 90 + 10}-02-03", i % 2, i / 7, bytes([i % 256, 0]))
                    for i in range(1, customers + 1)
                ],
            ),
            (
                "INSERT INTO orders VALUES (?, ?, ?, ?)",
                [(i, i, f"2024-05-0{i % 9 + 1} 10:00:00", i * 1.25) for i in range(1, customers + 1)],
            ),
            ("INSERT INTO tags VALUES (?, ?)", [("b", 1), ("a", None), ("é", 3)]),
            ("INSERT INTO log VALUES (?)", [("same",), ("same",), (None,)]),
        ],
    )
