"""A file that an application writes to is read without a writer having to wait; what is read is one moment's state."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from collections import namedtuple
from contextlib import closing
from pathlib import Path

import pytest

from migrations_app.engine.control import Control, Progress
from migrations_app.engine.errors import Cancelled, Failed, Refused
from migrations_app.engine.planning.planning import make_plan
from migrations_app.engine.source import integrity_beside, still
from migrations_app.engine.source.integrity_beside import checked_beside
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.source.still import open_still
from tests.migrations_app.engine.sqlite_files import build, hot_journal

# The application: it hardly waits, and says what SQLite said.
_WRITER = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0.1, isolation_level=None)
try:
    connection.execute("INSERT INTO t(v) VALUES('late')")
except sqlite3.OperationalError as error:
    print(error)
else:
    print("committed")
"""


def application_writes(path: Path) -> str:
    done = subprocess.run([sys.executable, "-c", _WRITER, str(path)], capture_output=True, text=True, timeout=60)
    return done.stdout.strip() or done.stderr


def in_use(path: Path, mode: str = "delete") -> Path:
    build(path, f"PRAGMA journal_mode={mode}; CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT)")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.executemany("INSERT INTO t(v) VALUES(?)", [("early" * 100,)] * 50)
    return path


@pytest.mark.parametrize("mode", ["delete", "truncate", "persist", "wal"])
def test_a_writer_commits_while_the_file_is_planned_and_checked(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check beside us opens the file once more: with a writer waiting, it couldn't."""
    monkeypatch.setattr(integrity_beside, "SMALL_BYTES", 0)
    path = in_use(tmp_path / "a.db", mode)
    with open_still(path) as source:
        assert application_writes(path) == "committed"
        with checked_beside(source, Control()):
            plan = make_plan(source, mode="create")
            assert application_writes(path) == "committed"
        assert source.count("t") == 50 and source.path == path
    assert plan.findings == ()
    with open_source(path) as source:
        assert source.count("t") == 52
        assert mode == "wal" or application_writes(path) == "database is locked"  # what open_still() is for


def test_the_copy_is_private_and_goes_with_what_a_killed_process_left(tmp_path: Path) -> None:
    path, folder = in_use(tmp_path / "a.db"), tmp_path / "made" / "reading"
    folder.mkdir(parents=True)
    (folder / "left.sqlite").write_bytes(b"x")
    with open_still(path, folder=folder) as source:
        (copy,) = folder.iterdir()
        assert source.address.path == copy
        assert (folder.stat().st_mode & 0o777, copy.stat().st_mode & 0o777) == (0o700, 0o600)
        assert list(source.rows("t", ["id"]))[-1] == (50,)
    assert not folder.exists()


def test_a_hot_journal_is_rolled_back_in_one_copy(tmp_path: Path) -> None:
    path, folder = hot_journal(tmp_path), tmp_path / "reading"
    with open_still(path, folder=folder) as source:
        assert source.recovered_journal and source.count("t") == 100 and not folder.exists()


def test_what_goes_past_sqlites_locks_while_the_file_is_copied_is_noticed(tmp_path: Path) -> None:
    path, folder = in_use(tmp_path / "a.db"), tmp_path / "reading"

    def flip(progress: Progress) -> None:
        if progress.phase == "copy":
            with path.open("r+b") as file:
                file.seek(5000)
                file.write(b"\xff")

    with pytest.raises(Refused) as caught:
        open_still(path, Control(report=flip), folder)
    assert caught.value.code == "SOURCE_CHANGED" and str(path) in caught.value.message
    assert not folder.exists()
    assert application_writes(path) == "committed"  # nothing of ours holds it any more


def test_a_disk_without_room_for_the_copy_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10, 10, 0))
    with pytest.raises(Refused) as caught:
        open_still(in_use(tmp_path / "a.db"), folder=tmp_path / "reading")
    assert caught.value.code == "NO_SPACE" and not (tmp_path / "reading").exists()


def test_a_disk_that_fills_up_while_the_file_is_copied_is_told(tmp_path: Path) -> None:
    """The limit on the size of files stands for the full disk."""
    path = in_use(tmp_path / "a.db")
    code = """
import resource, signal, sys
from pathlib import Path
from migrations_app.engine.errors import EngineError
from migrations_app.engine.source.still import open_still
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
try:
    open_still(Path(sys.argv[1]), folder=Path(sys.argv[2]))
except EngineError as error:
    print(error.code)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(path), str(tmp_path / "reading")],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[4])},
    )
    assert done.stdout.strip() == "DISK_FULL", done.stderr
    assert not (tmp_path / "reading").exists()


def test_a_stop_while_the_file_is_copied_leaves_nothing(tmp_path: Path) -> None:
    folder, control = tmp_path / "reading", Control(stop_reason="enough")
    path = in_use(tmp_path / "a.db")
    control.stop.set()
    with pytest.raises(Cancelled, match="enough"):
        open_still(path, control, folder)
    assert not folder.exists() and application_writes(path) == "committed"


def test_a_copy_that_can_not_be_made_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object, **__: object) -> None:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(still, "copy_to", fails)
    with pytest.raises(Failed) as caught:
        open_still(in_use(tmp_path / "a.db"), folder=tmp_path / "reading")
    assert caught.value.code == "COPY_FAILED" and not (tmp_path / "reading").exists()
