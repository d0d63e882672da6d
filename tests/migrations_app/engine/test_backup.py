"""A backup counts once it was restored and found equal; whatever goes wrong leaves nothing behind."""

import contextlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from migrations_app.engine.backup import backup as backup_module
from migrations_app.engine.backup.backup import restore_backup, take_backup
from migrations_app.engine.backup.content import digest_content
from migrations_app.engine.control import Control, Progress
from migrations_app.engine.errors import Cancelled, Failed, Refused
from migrations_app.engine.source.sqlite_source import open_source
from tests.migrations_app.engine.artefacts import every_kind, execute


def content(path: Path) -> str:
    with open_source(path) as source:
        return digest_content(source, Control()).digest


def test_it_is_equal_to_the_source_and_says_what_it_holds(tmp_path: Path) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    result = take_backup(path, tmp_path / "out" / "b.sqlite", Control())
    assert content(result.path) == content(path) == result.content_digest
    assert result.tables == {"log": 3, "people": 51, "words": 5}
    assert result.size == result.path.stat().st_size
    assert result.path.stat().st_mode & 0o077 == 0
    assert os.listdir(tmp_path / "out") == ["b.sqlite"]
    assert result.compared_with_source


def test_it_holds_what_lies_in_the_log_only(tmp_path: Path) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    execute(path, "PRAGMA journal_mode=WAL")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("INSERT INTO log VALUES ('in the log')")
        result = take_backup(path, tmp_path / "b.sqlite", Control())
    assert result.tables["log"] == 4
    restore_backup(result.path, tmp_path / "c.sqlite", result.sha256)
    with contextlib.closing(sqlite3.connect(tmp_path / "c.sqlite")) as restored:
        assert restored.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        assert restored.execute("SELECT count(*) FROM log").fetchone() == (4,)


def test_it_ends_beside_a_writer_in_wal_mode(tmp_path: Path) -> None:
    path = every_kind(tmp_path / "a.sqlite", people=2000)
    execute(path, "PRAGMA journal_mode=WAL")
    stop, written = threading.Event(), []

    def write() -> None:
        with contextlib.closing(sqlite3.connect(path, isolation_level=None, timeout=20)) as writer:
            while not stop.is_set():
                writer.execute("INSERT INTO log VALUES ('busy')")
                written.append(1)

    thread = threading.Thread(target=write)
    thread.start()
    try:
        result = take_backup(path, tmp_path / "b.sqlite", Control())
    finally:
        stop.set()
        thread.join(20)
    assert written and result.compared_with_source
    assert content(result.path) == result.content_digest


def test_a_large_file_in_journal_mode_is_compared_after_its_writer_may_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_module, "_HOLD_BYTES", 0)
    path = every_kind(tmp_path / "a.sqlite")
    assert take_backup(path, tmp_path / "b.sqlite", Control()).compared_with_source
    real = backup_module._hash

    def write_meanwhile(part: Path) -> tuple[str, int]:
        execute(path, "INSERT INTO log VALUES ('meanwhile')")
        return real(part)

    monkeypatch.setattr(backup_module, "_hash", write_meanwhile)
    result = take_backup(path, tmp_path / "c.sqlite", Control())
    assert not result.compared_with_source and result.tables["log"] == 3


@pytest.mark.parametrize("damage", ["cell", "row", "truncated"])
def test_a_copy_that_went_wrong_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    real = backup_module._copy

    def bad_copy(held: object, part: Path) -> None:
        real(held, part)  # type: ignore[arg-type]
        if damage == "truncated":
            os.truncate(part, 4096)
        else:
            execute(part, "DELETE FROM log" if damage == "row" else "UPDATE people SET wage = 1.0 WHERE id = 3")

    monkeypatch.setattr(backup_module, "_copy", bad_copy)
    with pytest.raises(Failed) as caught:
        take_backup(path, tmp_path / "out" / "b.sqlite", Control())
    assert caught.value.code == "BACKUP_DIFFERS"
    assert os.listdir(tmp_path / "out") == []


def test_too_little_space_is_refused_before_the_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: full)
    with pytest.raises(Refused) as caught:
        take_backup(every_kind(tmp_path / "a.sqlite"), tmp_path / "out" / "b.sqlite", Control())
    assert caught.value.code == "NO_SPACE"
    assert os.listdir(tmp_path / "out") == []


def test_it_can_be_stopped_and_leaves_nothing(tmp_path: Path) -> None:
    control = Control()

    def report(progress: Progress) -> None:
        control.stop.set()

    control.report = report
    with pytest.raises(Cancelled):
        take_backup(every_kind(tmp_path / "a.sqlite"), tmp_path / "out" / "b.sqlite", control)
    assert os.listdir(tmp_path / "out") == []


def test_the_source_itself_is_no_destination(tmp_path: Path) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    before = path.read_bytes()
    with pytest.raises(Refused) as caught:
        take_backup(path, path, Control())
    assert caught.value.code == "SAME_FILE" and path.read_bytes() == before


def test_restoring_replaces_the_file_and_a_log_that_belonged_to_the_old_one(tmp_path: Path) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    result = take_backup(path, tmp_path / "b.sqlite", Control())
    before = content(path)
    execute(path, "PRAGMA journal_mode=WAL")
    code = (
        "import sqlite3,sys,os; c=sqlite3.connect(sys.argv[1],isolation_level=None)\n"
        "c.execute(\"INSERT INTO log VALUES ('lost')\"); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", code, str(path)], timeout=30, check=True)
    assert (tmp_path / "a.sqlite-wal").stat().st_size > 0
    path.chmod(0o640)
    restore_backup(result.path, path, result.sha256)
    assert sorted(os.listdir(tmp_path)) == ["a.sqlite", "b.sqlite"]
    assert path.stat().st_mode & 0o777 == 0o640
    assert content(path) == before
    assert path.read_bytes() == result.path.read_bytes()


def test_a_damaged_backup_is_not_restored(tmp_path: Path) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    result = take_backup(path, tmp_path / "b.sqlite", Control())
    raw = bytearray(result.path.read_bytes())
    raw[5000] ^= 1
    result.path.write_bytes(raw)
    before = path.read_bytes()
    with pytest.raises(Refused) as caught:
        restore_backup(result.path, path, result.sha256)
    assert caught.value.code == "BACKUP_DAMAGED"
    assert path.read_bytes() == before and sorted(os.listdir(tmp_path)) == ["a.sqlite", "b.sqlite"]
    with pytest.raises(Refused) as caught:
        restore_backup(tmp_path / "none", path, result.sha256)
    assert caught.value.code == "NOT_FOUND"


@pytest.mark.parametrize("at", [1, 2])
def test_a_restore_killed_midway_loses_nothing_and_can_be_run_again(tmp_path: Path, at: int) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    result = take_backup(path, tmp_path / "b.sqlite", Control())
    (tmp_path / "a.sqlite-journal").write_bytes(b"old journal")
    code = (
        "import os,signal,sys\nfrom pathlib import Path\n"
        "from migrations_app.engine.backup.backup import restore_backup\n"
        "real, seen = os.replace, []\n"
        "def dying(a, b):\n"
        "    seen.append(1)\n"
        f"    if len(seen) == {at}: os.kill(os.getpid(), signal.SIGKILL)\n"
        "    real(a, b)\n"
        "os.replace = dying\n"
        "restore_backup(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])\n"
    )
    child = subprocess.run([sys.executable, "-c", code, result.path, path, result.sha256], timeout=60)
    assert child.returncode == -signal.SIGKILL
    kept = [p for p in tmp_path.iterdir() if p.read_bytes() == b"old journal"]
    assert len(kept) == 1
    restore_backup(result.path, path, result.sha256)
    assert path.read_bytes() == result.path.read_bytes()
    assert sorted(os.listdir(tmp_path)) == ["a.sqlite", "b.sqlite"]
