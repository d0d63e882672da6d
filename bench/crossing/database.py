"""The application's SQLite file, of a size that is asked for."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

SCHEMA = """
CREATE TABLE accounts (
    id INTEGER PRIMARY KEY, email VARCHAR(200) NOT NULL UNIQUE, balance INTEGER NOT NULL, seen_at DATETIME
);
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, tx VARCHAR(60), account_id INTEGER NOT NULL REFERENCES accounts (id),
    amount INTEGER NOT NULL, note TEXT, made_at DATETIME NOT NULL
);
CREATE INDEX entries_tx ON entries (tx);
CREATE INDEX entries_account ON entries (account_id);
CREATE TABLE carts (
    account_id INTEGER NOT NULL REFERENCES accounts (id) ON DELETE CASCADE, item VARCHAR(40) NOT NULL,
    quantity INTEGER NOT NULL, PRIMARY KEY (account_id, item)
) WITHOUT ROWID;
CREATE TABLE counters (name VARCHAR(40) PRIMARY KEY NOT NULL, value INTEGER NOT NULL);
CREATE TABLE files (id INTEGER PRIMARY KEY, path VARCHAR(200) NOT NULL UNIQUE, body BLOB, hidden BOOLEAN NOT NULL);
CREATE TABLE history (id INTEGER PRIMARY KEY, what TEXT NOT NULL, amount REAL, at DATETIME NOT NULL);
"""
_ROW = 180  # bytes that a row of `history` takes with its share of the page
_WORDS = ("paid", "refunded", "moved", "Überweisung", "日本語", "opened", "closed", "checked")


def make_database(path: Path, megabytes: float, *, wal: bool = True, accounts: int = 500, more_tables: int = 0) -> Path:
    """A new file. `more_tables`: of a few rows each, that nobody writes to."""
    path.unlink(missing_ok=True)
    chance = random.Random(6)
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA journal_mode={'wal' if wal else 'delete'}")
    connection.execute("PRAGMA synchronous=OFF")
    connection.executescript(SCHEMA)
    connection.execute("BEGIN")
    connection.executemany(
        "INSERT INTO accounts VALUES (?, ?, 0, '2026-01-02 03:04:05.678901')",
        ((number, f"user{number}@example.org") for number in range(1, accounts + 1)),
    )
    connection.executemany(
        "INSERT INTO files (path, body, hidden) VALUES (?, ?, ?)",
        ((f"/old/{number}", chance.randbytes(100), number % 2) for number in range(200)),
    )
    connection.executemany("INSERT INTO history VALUES (?, ?, ?, ?)", _history(chance, int(megabytes * 1e6 / _ROW)))
    for number in range(more_tables):
        connection.execute(f"CREATE TABLE more_{number} (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE)")
        connection.execute(f"INSERT INTO more_{number} (name) VALUES ('one'), ('two')")
    connection.execute("COMMIT")
    connection.close()
    return path


def _history(chance: random.Random, rows: int) -> Iterator[tuple[object, ...]]:
    for number in range(1, rows + 1):
        words = " ".join(chance.choices(_WORDS, k=14))
        yield (
            number,
            words,
            chance.random() * 1000,
            f"2025-{number % 12 + 1:02d}-{number % 28 + 1:02d} 10:11:12.{number % 10**6:06d}",
        )
