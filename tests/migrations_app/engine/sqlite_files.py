"""SQLite files for the tests of the read side, built in code."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from migrations_app.engine.control import Control
from migrations_app.engine.plan import MODE_CREATE, MovePlan
from migrations_app.engine.planning.planning import make_plan
from migrations_app.engine.source.opening import open_source


def build(path: Path, script: str, rows: Iterable[tuple[str, Sequence[Any]]] = ()) -> Path:
    """A file from a script and parametrised statements."""
    connection = sqlite3.connect(path)
    connection.executescript(script)
    for statement, values in rows:
        connection.execute(statement, values)
    connection.commit()
    connection.close()
    return path


def plan_file(path: Path, choices: Sequence[tuple[str, str]] = (), **more: Any) -> MovePlan:
    """The plan in mode create."""
    with open_source(path) as source:
        return make_plan(source, mode=MODE_CREATE, choices=choices, control=Control(), **more)


def hot_journal(folder: Path) -> Path:
    """A file as an application leaves it that dies in a transaction after pages were written: 100 rows of 'x…'."""
    live = folder / "live.db"
    connection = sqlite3.connect(live, isolation_level=None)
    connection.executescript(
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); PRAGMA cache_size=1; PRAGMA cache_spill=1"
    )
    connection.executemany("INSERT INTO t(v) VALUES(?)", [("x" * 500,)] * 100)
    connection.execute("BEGIN IMMEDIATE")
    connection.execute("UPDATE t SET v = 'half done' || v")
    dead = folder / "dead.db"
    shutil.copy(live, dead)
    shutil.copy(f"{live}-journal", f"{dead}-journal")
    connection.execute("ROLLBACK")
    connection.close()
    return dead


def unflushed_wal(folder: Path) -> Path:
    """A file whose main part has 1 row and whose -wal, without -shm, has 999 more."""
    live = folder / "live.db"
    connection = sqlite3.connect(live, isolation_level=None)
    connection.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0; CREATE TABLE t(id INTEGER PRIMARY KEY)"
    )
    connection.execute("INSERT INTO t VALUES(1)")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.executemany("INSERT INTO t VALUES(?)", [(i,) for i in range(2, 1001)])
    copy = folder / "copied.db"
    shutil.copy(live, copy)
    shutil.copy(f"{live}-wal", f"{copy}-wal")
    connection.close()
    return copy
