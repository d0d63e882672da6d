"""SQLite calls json_extract() unsafe in a schema that it was told not to trust. Files that index by it are common."""

import contextlib
import shutil
import sqlite3
from pathlib import Path

import pytest

from migrations_app.engine.back.rebuild import rebuild_source
from migrations_app.engine.backup.backup import take_backup
from migrations_app.engine.control import Control
from migrations_app.engine.export.export import export_source
from migrations_app.engine.export.export_reader import open_export
from migrations_app.engine.source.fingerprint import fingerprint
from migrations_app.engine.source.opening import open_source
from tests.migrations_app.engine.sqlite_files import build, plan_file

SCHEMA = "CREATE TABLE t (a TEXT); CREATE INDEX by_path ON t (json_extract(a, '$.x'));"
ROWS = "INSERT INTO t VALUES ('{}'), ('{\"x\": 1}');"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return build(tmp_path / "json.db", SCHEMA + ROWS)


def test_a_file_that_indexes_a_json_path_is_backed_up(path: Path, tmp_path: Path) -> None:
    assert take_backup(path, tmp_path / "out" / "b.db", Control()).tables == {"t": 2}


def test_its_export_can_be_planned_anew(path: Path, tmp_path: Path) -> None:
    with open_source(path) as source:
        export_source(source, plan_file(path), tmp_path / "export", Control(), fingerprint(path))
    rebuild_source(open_export(tmp_path / "export"), tmp_path / "rebuilt.db", Control())
    with open_source(tmp_path / "rebuilt.db") as source:
        assert [index.name for index in source.schema.table("t").indexes] == ["by_path"]


def test_its_hot_journal_is_rolled_back(tmp_path: Path) -> None:
    live, dead = tmp_path / "live.db", tmp_path / "dead.db"
    with contextlib.closing(sqlite3.connect(live, isolation_level=None)) as connection:
        connection.executescript(SCHEMA + "PRAGMA cache_size = 1; PRAGMA cache_spill = 1;")
        connection.executemany("INSERT INTO t VALUES (?)", [('{"x": "%s"}' % ("x" * 500),)] * 100)
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("DELETE FROM t WHERE rowid > 1")
        connection.execute("UPDATE t SET a = '{}'")
        connection.executemany("INSERT INTO t VALUES (?)", [('{"x": "%s"}' % ("y" * 500),)] * 100)
        shutil.copy(live, dead)
        shutil.copy(f"{live}-journal", f"{dead}-journal")
        connection.execute("ROLLBACK")
    with open_source(dead) as source:
        assert source.recovered_journal
        assert sum(1 for _ in source.rows("t")) == 100
