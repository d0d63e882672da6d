"""A file with keys of many kinds, and an application that changes it at random in every way that SQLite has."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

SCHEMA = """
CREATE TABLE team (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, place INTEGER UNIQUE);
CREATE TABLE member (
    id INTEGER PRIMARY KEY, team INTEGER REFERENCES team(id) ON DELETE CASCADE ON UPDATE CASCADE,
    boss INTEGER REFERENCES member(id) ON DELETE SET NULL,
    mail TEXT COLLATE NOCASE UNIQUE, score REAL, photo BLOB, joined TIMESTAMP, active BOOLEAN NOT NULL DEFAULT 1
);
CREATE TABLE seat (hall TEXT NOT NULL, row INTEGER NOT NULL, note TEXT, PRIMARY KEY (hall, row)) WITHOUT ROWID;
CREATE TABLE word (word TEXT PRIMARY KEY NOT NULL COLLATE NOCASE, used INTEGER);
CREATE TABLE ticket (code TEXT NOT NULL, kind INTEGER NOT NULL, body TEXT, UNIQUE (kind, code));
CREATE UNIQUE INDEX ticket_body ON ticket (lower(body)) WHERE kind = 1;
CREATE TABLE pick (id INTEGER PRIMARY KEY, slot INTEGER NOT NULL UNIQUE ON CONFLICT REPLACE, what TEXT);
"""
_WORDS = ("a", "A", "b", "B", "ä", "Ä", "tab\there", "new\nline", "back\\slash", "日本", "", " ", "c ", "'quoted'")


def make_busy_file(path: Path, *, wal: bool = True, encoding: str = "UTF-8") -> Path:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(f"PRAGMA encoding='{encoding}'")
    connection.execute(f"PRAGMA journal_mode={'WAL' if wal else 'DELETE'}")
    connection.executescript(SCHEMA)
    Application(connection, random.Random(0)).work(150)
    connection.close()
    return path


class Application:
    """Statements of one connection. What SQLite refuses is refused; the rest is there."""

    def __init__(self, connection: sqlite3.Connection, seed: random.Random) -> None:
        self.connection, self.random = connection, seed
        connection.execute(f"PRAGMA foreign_keys={seed.choice(('ON', 'ON', 'OFF'))}")
        connection.execute(f"PRAGMA recursive_triggers={seed.choice(('ON', 'OFF'))}")
        self._ways: tuple[Callable[[], tuple[str, tuple[object, ...]]], ...] = (
            self._team,
            self._member,
            self._member,
            self._seat,
            self._word,
            self._ticket,
            self._pick,
            self._update,
            self._update,
            self._delete,
        )

    def work(self, statements: int) -> None:
        """Some alone, some in transactions, of which some are taken back."""
        while statements > 0:
            count = self.random.randint(1, 6)
            statements -= count
            if self.random.random() < 0.4:
                self._one()
                continue
            self.connection.execute("BEGIN")
            for _ in range(count):
                self._one()
            if self.connection.in_transaction:
                self.connection.execute(self.random.choice(("COMMIT", "COMMIT", "COMMIT", "ROLLBACK")))

    def _one(self) -> None:
        sql, values = self.random.choice(self._ways)()
        try:
            self.connection.execute(sql, values)
        except sqlite3.IntegrityError:
            return

    def _verb(self) -> str:
        return self.random.choice(
            ("INSERT", "INSERT OR REPLACE", "INSERT OR IGNORE", "REPLACE", "INSERT OR FAIL", "INSERT OR ROLLBACK")
        )

    def _text(self) -> str:
        return self.random.choice(_WORDS) + self.random.choice(("", "", str(self.random.randint(0, 9))))

    def _id(self) -> int | None:
        return self.random.choice((None, self.random.randint(1, 60), self.random.randint(1, 60)))

    def _team(self) -> tuple[str, tuple[object, ...]]:
        place = self.random.choice((None, self.random.randint(1, 20)))
        return f"{self._verb()} INTO team VALUES (?, ?, ?)", (self._id(), self._text(), place)

    def _member(self) -> tuple[str, tuple[object, ...]]:
        pick = self.random
        values = (
            self._id(),
            pick.choice((None, pick.randint(1, 30))),
            pick.choice((None, pick.randint(1, 60))),
            pick.choice((None, self._text())),
            pick.choice((None, pick.random() * 1e3, -0.0, 1.5, 1e300, float(pick.randint(0, 9)))),
            pick.choice((None, bytes((pick.randint(0, 255),)) * pick.randint(0, 5))),
            f"2024-0{pick.randint(1, 9)}-1{pick.randint(0, 9)} 10:11:12.{pick.randint(0, 999999):06d}",
            pick.choice((0, 1)),
        )
        return f"{self._verb()} INTO member VALUES (?, ?, ?, ?, ?, ?, ?, ?)", values

    def _seat(self) -> tuple[str, tuple[object, ...]]:
        values = (self._text(), self.random.randint(1, 5), self.random.choice((None, self._text())))
        tail = self.random.choice(("", " ON CONFLICT (hall, row) DO UPDATE SET note = excluded.note || 'x'"))
        return (
            f"INSERT {self.random.choice(('', 'OR REPLACE ')) if not tail else ''}INTO seat VALUES (?, ?, ?){tail}",
            (values),
        )

    def _word(self) -> tuple[str, tuple[object, ...]]:
        tail = self.random.choice(
            ("", " ON CONFLICT DO NOTHING", " ON CONFLICT (word) DO UPDATE SET word = upper(word)")
        )
        verb = "INSERT" if tail else self._verb()
        return f"{verb} INTO word VALUES (?, ?){tail}", (self._text(), self.random.randint(0, 99))

    def _ticket(self) -> tuple[str, tuple[object, ...]]:
        return f"{self._verb()} INTO ticket VALUES (?, ?, ?)", (self._text(), self.random.randint(1, 3), self._text())

    def _pick(self) -> tuple[str, tuple[object, ...]]:
        return "INSERT INTO pick (slot, what) VALUES (?, ?)", (self.random.randint(1, 15), self._text())

    def _update(self) -> tuple[str, tuple[object, ...]]:
        verb = self.random.choice(("UPDATE", "UPDATE OR REPLACE", "UPDATE OR IGNORE"))
        number = self.random.randint(1, 60)
        return self.random.choice(
            (
                (f"{verb} team SET name = ?, place = place + 1 WHERE id = ?", (self._text(), number)),
                (f"{verb} team SET id = id + 1 WHERE id = ?", (number,)),
                (f"{verb} member SET mail = ? WHERE id = ?", (self._text(), number)),
                (f"{verb} member SET id = ? WHERE id = ?", (self.random.randint(1, 60), number)),
                (f"{verb} seat SET hall = ?, row = row + 1 WHERE row = ?", (self._text(), number % 5)),
                (f"{verb} word SET word = ? WHERE word = ?", (self._text(), self._text())),
                (f"{verb} ticket SET code = ?, kind = ? WHERE code = ?", (self._text(), number % 3 + 1, self._text())),
                (f"{verb} pick SET slot = slot + 1 WHERE id % 3 = ?", (number % 3,)),
                ("UPDATE member SET score = score + 1, active = 1 - active WHERE team = ?", (number % 30,)),
            )
        )

    def _delete(self) -> tuple[str, tuple[object, ...]]:
        number = self.random.randint(1, 60)
        return self.random.choice(
            (
                ("DELETE FROM team WHERE id = ?", (number,)),
                ("DELETE FROM member WHERE id % 13 = ?", (number % 13,)),
                ("DELETE FROM seat WHERE hall = ?", (self._text(),)),
                ("DELETE FROM word WHERE word = ?", (self._text(),)),
                ("DELETE FROM ticket WHERE kind = ? AND code > ?", (number % 3, self._text())),
                ("DELETE FROM pick WHERE id % 7 = ?", (number % 7,)),
            )
        )
