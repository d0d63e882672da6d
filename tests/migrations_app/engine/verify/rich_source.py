"""A source with a column of every kind, a key of every kind and an object of every kind, for the mutation test."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from uuid import UUID

SCRIPT = """
CREATE TABLE author (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, email VARCHAR(60) UNIQUE, born DATE,
    active BOOLEAN NOT NULL DEFAULT 1, rating REAL, balance DECIMAL(12,2), profile JSON, token UUID, photo BLOB,
    seen TIMESTAMP, nick TEXT DEFAULT 'none', CONSTRAINT rated CHECK (rating >= 0));
CREATE TABLE book (
    id INTEGER PRIMARY KEY, author_id INTEGER NOT NULL
        REFERENCES author(id) ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    title TEXT NOT NULL, isbn TEXT, pages INTEGER, sold INTEGER DEFAULT 0, CHECK (pages > 0));
CREATE UNIQUE INDEX book_isbn ON book (isbn) WHERE isbn IS NOT NULL;
CREATE INDEX book_title ON book (lower(title));
CREATE INDEX book_order ON book (author_id, pages DESC);
CREATE UNIQUE INDEX book_sold ON book (sold, id);
CREATE TABLE edition (
    book_id INTEGER NOT NULL REFERENCES book(id), number INTEGER NOT NULL, note TEXT, made DATETIME,
    PRIMARY KEY (book_id, number)) WITHOUT ROWID;
CREATE TABLE tag (name TEXT PRIMARY KEY NOT NULL, colour TEXT, UNIQUE (colour, name)) WITHOUT ROWID;
CREATE TABLE book_tag (
    book_id INTEGER NOT NULL REFERENCES book(id), tag TEXT NOT NULL REFERENCES tag(name), PRIMARY KEY (tag, book_id));
CREATE TABLE line (at TEXT, words TEXT, n INTEGER);
CREATE TABLE node (id INTEGER PRIMARY KEY, parent INTEGER REFERENCES node(id));
CREATE TABLE area (id INTEGER PRIMARY KEY, wide INTEGER, high INTEGER, size INTEGER AS (wide * high) STORED);
CREATE TABLE empty (id INTEGER PRIMARY KEY, word TEXT);
CREATE VIEW names AS SELECT id, name FROM author;
CREATE VIEW long_titles AS SELECT name, title FROM names JOIN book ON author_id = names.id WHERE pages > 100;
"""
CHOICES = (("GENERATED_AS_VALUES", "generate"),)  # the values of area.size are PostgreSQL's own
AUTHORS, BOOKS = 40, 60


def make_rich_source(path: Path) -> Path:
    """Write the file. Every table holds rows but 'empty'; every column that may hold NULL does so somewhere."""
    connection = sqlite3.connect(path)
    connection.executescript(SCRIPT)
    fill = connection.executemany
    fill(f"INSERT INTO author VALUES ({', '.join('?' * 12)})", [_author(n) for n in range(1, AUTHORS + 1)])
    fill("INSERT INTO book VALUES (?, ?, ?, ?, ?, ?)", [_book(n) for n in range(1, BOOKS + 1)])
    fill(
        "INSERT INTO edition VALUES (?, ?, ?, ?)",
        [(b, n, f"note {n}" if n != 2 else None, "2021-02-03 04:05:06") for b in range(1, 31) for n in (1, 2)],
    )
    tags = ["Zeta", "alpha", "beta", "éclair", "日本", "with blank", "", "tab\there"]
    fill("INSERT INTO tag VALUES (?, ?)", [(tag, f"#{n}" if n % 3 else None) for n, tag in enumerate(tags)])
    fill("INSERT INTO book_tag VALUES (?, ?)", [(b, tags[b % len(tags)]) for b in range(1, BOOKS + 1)])
    fill("INSERT INTO line VALUES (?, ?, ?)", [(f"t{n % 7}", _words(n % 9), n % 5 or None) for n in range(45)])
    fill("INSERT INTO node VALUES (?, ?)", [(n, n // 2 or None) for n in range(1, 20)])
    fill("INSERT INTO area (id, wide, high) VALUES (?, ?, ?)", [(n, n, n * 3 if n % 4 else None) for n in range(1, 20)])
    connection.execute("DELETE FROM author WHERE id = ?", (AUTHORS,))  # sqlite_sequence stays ahead of the rows
    connection.execute("DELETE FROM book WHERE author_id = ?", (AUTHORS,))
    connection.commit()
    connection.close()
    return path


def _author(n: int) -> tuple[object, ...]:
    some = n % 5 != 0
    return (
        n,
        f"Näme {n}",
        f"a{n}@example.org" if some else None,
        f"19{n + 10}-03-0{n % 9 + 1}" if some else None,
        n % 2,
        n / 7 if some else None,
        f"{n * 1000}.{n:02d}" if some else None,
        f'{{"n": {n}, "deep": [1, null, "x"]}}' if some else None,
        str(UUID(int=n * 10**30)) if some else None,
        bytes([n, 0, 255]) * (n % 4) if some else None,
        f"2024-01-02 03:04:05.{n:06d}" if some else None,
        ["", "two\nlines", "back\\slash", None][n % 4],
    )


def _book(n: int) -> tuple[object, ...]:
    return (n, n % (AUTHORS - 1) + 1, f"Title {n}", f"isbn-{n}" if n % 3 else None, n * 7 if n % 6 else None, n % 10)


def _words(n: int) -> str | None:
    return ["same", "same", "Same", "same ", "", None, "\\N", "x\ty", "日"][n]
