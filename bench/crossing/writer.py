"""An application that writes without pause, on the database that its configuration names: python writer.py FOLDER.

FOLDER/database names the database (sqlite:///path or a postgresql:// URL), FOLDER/settings.json how much is written.
Each transaction inserts a row with a name of its own, changes other rows, commits, and is then acknowledged: a line
`name seconds` in FOLDER/acks-<pid>. On SIGTERM running transactions end, then the process. Only what its database's
driver needs is imported, so that it starts quickly.

Balances: each transaction adds 1 to one account and inserts one entry, so the sum says whether half of one got through.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import sys
import threading
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

_STOP = threading.Event()
_LONGEST_BACKOFF = 0.05


class Database:
    """The same statements for both: one connection a thread."""

    def __init__(self, address: str, busy_timeout_ms: int, synchronous: str) -> None:
        self.sqlite = address.startswith("sqlite:///")
        if self.sqlite:
            self._connection: Any = sqlite3.connect(
                address.removeprefix("sqlite:///"), isolation_level=None, timeout=busy_timeout_ms / 1000
            )
            self._connection.execute(f"PRAGMA synchronous={synchronous}")
            self._connection.execute("PRAGMA foreign_keys=ON")
            self._cursor = self._connection.cursor()
            self.errors: tuple[type[Exception], ...] = (sqlite3.Error,)
        else:
            import psycopg2

            self._connection = psycopg2.connect(address, application_name="bench-writer")
            self._cursor = self._connection.cursor()
            self.errors = (psycopg2.Error,)

    def run(self, sql: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        self._cursor.execute(sql if self.sqlite else sql.replace("?", "%s"), values)
        return list(self._cursor.fetchall()) if self._cursor.description else []

    def begin(self) -> None:
        if self.sqlite:
            self._cursor.execute("BEGIN IMMEDIATE")

    def commit(self) -> None:
        self._cursor.execute("COMMIT") if self.sqlite else self._connection.commit()

    def roll_back(self) -> None:
        if not self.sqlite:
            self._connection.rollback()
        elif self._connection.in_transaction:
            self._cursor.execute("ROLLBACK")

    def close(self) -> None:
        self._connection.close()


def transaction(database: Database, chance: random.Random, name: str, accounts: int) -> None:
    """One of several kinds; always an entry and an account."""
    now = datetime.now().isoformat(sep=" ", timespec="microseconds")
    account = chance.randrange(1, accounts + 1)
    database.run(
        "INSERT INTO entries (tx, account_id, amount, note, made_at) VALUES (?, ?, 1, ?, ?)",
        (name, account, chance.choice(("", "paid", "Überweisung 日本", None)), now),
    )
    database.run("UPDATE accounts SET balance = balance + 1, seen_at = ? WHERE id = ?", (now, account))
    _KINDS[chance.randrange(len(_KINDS))](database, chance, account, name)


def _count(database: Database, chance: random.Random, account: int, name: str) -> None:
    database.run(
        "INSERT INTO counters (name, value) VALUES (?, 1) ON CONFLICT (name) DO UPDATE SET value = counters.value + 1",
        (f"of-{chance.randrange(20)}",),
    )


def _fill_cart(database: Database, chance: random.Random, account: int, name: str) -> None:
    database.run(
        "INSERT INTO carts (account_id, item, quantity) VALUES (?, ?, 1)"
        " ON CONFLICT (account_id, item) DO UPDATE SET quantity = carts.quantity + excluded.quantity",
        (account, f"item {chance.randrange(50)}"),
    )


def _empty_cart(database: Database, chance: random.Random, account: int, name: str) -> None:
    database.run("DELETE FROM carts WHERE account_id = ?", (account,))


def _rename(database: Database, chance: random.Random, account: int, name: str) -> None:
    database.run("UPDATE accounts SET email = ? WHERE id = ?", (f"{name}@example.org", account))


def _store_file(database: Database, chance: random.Random, account: int, name: str) -> None:
    database.run(
        "INSERT INTO files (path, body, hidden) VALUES (?, ?, ?)",
        (f"/new/{name}", chance.randbytes(chance.randrange(200)), chance.random() < 0.5),
    )


def _delete_file(database: Database, chance: random.Random, account: int, name: str) -> None:
    """The newest, of those that weren't there from the start."""
    database.run("DELETE FROM files WHERE id = (SELECT max(id) FROM files WHERE id > 200)")


_KINDS: tuple[Callable[[Database, random.Random, int, str], None], ...] = (
    _count,
    _fill_cart,
    _empty_cart,
    _rename,
    _store_file,
    _delete_file,
)


class Writer(threading.Thread):
    """One client of the application: as many transactions a second as it was told, then the next."""

    def __init__(self, number: int, address: str, settings: dict[str, Any], log: int) -> None:
        super().__init__(name=f"writer-{number}")
        self.number, self.address, self.settings, self.log = number, address, settings, log
        self.chance = random.Random(f"{os.getpid()}-{number}")

    def run(self) -> None:
        pause = self.settings["threads"] / self.settings["per_second"] if self.settings["per_second"] else 0.0
        database: Database | None = None
        due, done, failures = time.monotonic(), 0, 0
        while not _STOP.is_set():
            name = f"{os.getpid()}-{self.number}-{done}-{self.chance.getrandbits(32):x}"
            done += 1
            try:
                if database is None:
                    database = Database(self.address, self.settings["busy_timeout_ms"], self.settings["synchronous"])
                self._one(database, name)
                failures = 0
            except Exception as error:  # noqa: BLE001 an application serves the next request, whatever became of this one
                self._say(f"! {type(error).__name__} {time.monotonic():.6f}")
                database = self._let_go(database)
                failures += 1
                _STOP.wait(min(_LONGEST_BACKOFF, 0.002 * failures))
            if pause:
                due = max(due + pause, time.monotonic() - 1)
                _STOP.wait(max(0.0, due - time.monotonic()))
        if database is not None:
            database.close()

    def _one(self, database: Database, name: str) -> None:
        database.begin()
        transaction(database, self.chance, name, self.settings["accounts"])
        database.commit()
        self._say(f"{name} {time.monotonic():.6f}")

    def _let_go(self, database: Database | None) -> Database | None:
        """Keeps a connection that can still be used, as applications do."""
        if database is None:
            return None
        try:
            database.roll_back()
        except database.errors:
            return None
        return database

    def _say(self, line: str) -> None:
        """One write each: what is acknowledged survives a kill."""
        os.write(self.log, f"{line}\n".encode())


def main() -> None:
    folder = Path(sys.argv[1])
    address = (folder / "database").read_text().strip()
    settings = json.loads((folder / "settings.json").read_text())
    signal.signal(signal.SIGTERM, lambda number, frame: _STOP.set())
    log = os.open(folder / f"acks-{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(
        log, f"# started {'sqlite' if address.startswith('sqlite') else 'postgresql'} {time.monotonic():.6f}\n".encode()
    )
    writers = [Writer(number, address, settings, log) for number in range(settings["threads"])]
    for writer in writers:
        writer.start()
    _STOP.wait()
    for writer in writers:
        writer.join()


if __name__ == "__main__":
    main()
