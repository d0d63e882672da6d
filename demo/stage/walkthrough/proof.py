"""What the walkthrough holds to be true, and how it looks for itself instead of believing Causeway."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing
from pathlib import Path

import psycopg2
from psycopg2 import sql

from demo.stage.console import Console
from demo.stage.errors import StageError

TABLES = ("employees", "genzai", "leave_requests", "staff", "ukeoi", "users", "yukyu_usage_details")


class Proofs:
    """Each proof that holds is a line; the first that doesn't ends the walkthrough."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self.held = 0

    def hold(self, condition: bool, sentence: str, otherwise: str = "") -> None:
        """Raises StageError walkthrough.proof when the condition is false."""
        if not condition:
            raise StageError("walkthrough.proof", f"Not true: {sentence}", otherwise or "See the run's page and logs.")
        self.held += 1
        self._console.say(f"  ✓ {sentence}")


def digest(path: Path) -> str:
    """SHA-256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def sqlite_rows(path: Path) -> dict[str, int]:
    """Rows by table of an SQLite file, by SQLite itself."""
    with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10)) as connection:
        return {table: connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in TABLES}


def postgresql_rows(url: str) -> dict[str, int]:
    """Rows by table of a PostgreSQL database, by its own count."""
    with closing(psycopg2.connect(url, connect_timeout=5)) as connection, connection.cursor() as cursor:
        found = {}
        for table in TABLES:
            cursor.execute(sql.SQL("SELECT count(*) FROM {}").format(sql.Identifier(table)))
            found[table] = int(cursor.fetchone()[0])
        return found
