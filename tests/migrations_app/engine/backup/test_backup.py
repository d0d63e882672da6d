"""A backup counts once it was restored and found equal; whatever goes wrong leaves nothing behind."""

import contextlib
import hashlib
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from migrations_app.engine.backup import backup as backup_module
from migrations_app.engine.backup.backup import restore_backup, take_backup
from migrations_app.engine.backup.compare_pages import PagesVerdict
from migrations_app.engine.backup.content import digest_content
from migrations_app.engine.control import Control, Progress
from migrations_app.engine.errors import Cancelled, Failed, Refused
from migrations_app.engine.side_process import SideProcess
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.source.sqlite_source import Source
from tests.migrations_app.engine.artefacts import every_kind, execute
from tests.migrations_app.engine.sqlite_files import hot_journal


def content(path: Path) -> str:
    with open_source(path) as source:
        return digest_content(source, Control()).digest


def test_it_is_equal_to_the_source_and_says_what_it_holds(tmp_path: Path) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    result = take_backup(path, tmp_path / "out" / "b.sqlite", Control())
    assert content(result.path) == content(path)
    assert result.tables == {"log": 3, "people": 51, "words": 5}
    assert result.size == result.path.stat().st_size
    assert result.path.stat().st_mode & 0o077 == 0
    assert os.listdir(tmp_path / "out") == ["b.sqlite"]
    assert result.compared == "pages"
    assert result.sha256 == hashlib.sha256(result.path.read_bytes()).hexdigest()


def test_it_holds_what_lies_in_the_log_only(tmp_path: Path) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    execute(path, "PRAGMA journal_mode=WAL")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("INSERT INTO log VALUES ('in the log')")
        result = take_backup(path, tmp_path / "b.sqlite", Control())
    assert result.tables["log"] == 4 and result.compared == "pages"
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
    assert written and result.compared == "pages"
    with open_source(result.path) as backup:
        assert backup.count("people") == 2001


def written_by_another(path: Path) -> bool:
    """Whether another process, which waits for nobody, can write to the file."""
    code = "import sqlite3,sys; sqlite3.connect(sys.argv[1],timeout=0).executescript('INSERT INTO log VALUES (0)')"
    return subprocess.run([sys.executable, "-c", code, path], capture_output=True, timeout=30).returncode == 0


def test_nobody_writes_to_a_file_in_journal_mode_until_copy_and_source_were_compared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    compare, write_out, written = backup_module._compare_pages, backup_module._write_out, []

    def compare_then_write(helper: SideProcess, held: Source, part: Path) -> PagesVerdict:
        verdict = compare(helper, held, part)
        written.append(written_by_another(path))
        return verdict

    def write(part: Path) -> None:
        written.append(written_by_another(path))
        write_out(part)

    monkeypatch.setattr(backup_module, "_compare_pages", compare_then_write)
    monkeypatch.setattr(backup_module, "_write_out", write)
    result = take_backup(path, tmp_path / "b.sqlite", Control())
    assert written == [False, True]
    assert result.tables["log"] == 3


@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_a_writer_who_goes_past_the_locks_leaves_no_backup_that_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str
) -> None:
    """As one does on a network file system that has no locks, or with a plain copy over the file."""
    path = every_kind(tmp_path / "a.sqlite")
    execute(path, f"PRAGMA journal_mode={mode}")
    compare = backup_module._compare_pages

    def overwrite(helper: SideProcess, held: Source, part: Path) -> PagesVerdict:
        code = "import sys; f=open(sys.argv[1],'r+b'); f.seek(-4, 2); f.write(b'evil')"
        subprocess.run([sys.executable, "-c", code, path], timeout=30, check=True)
        held._connection.execute("PRAGMA cache_size=0")  # SQLite reads it again
        return compare(helper, held, part)

    monkeypatch.setattr(backup_module, "_compare_pages", overwrite)
    with pytest.raises((Failed, Refused)):
        take_backup(path, tmp_path / "out" / "b.sqlite", Control())
    assert os.listdir(tmp_path / "out") == []


def flip(path: Path, at: int) -> None:
    raw = bytearray(path.read_bytes())
    raw[at] ^= 1
    path.write_bytes(raw)


def zero_last_page(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-4096] + bytes(4096))


DAMAGES: dict[str, Callable[[Path], None]] = {
    "cell": lambda part: execute(part, "UPDATE people SET wage = 1.0 WHERE id = 3"),
    "row": lambda part: execute(part, "DELETE FROM log"),
    "bit": lambda part: flip(part, part.stat().st_size - 9),
    "page of zeros": zero_last_page,
    "truncated": lambda part: os.truncate(part, part.stat().st_size - 4096),
    "half a page more": lambda part: os.truncate(part, part.stat().st_size + 2048),
}


@pytest.mark.parametrize("mode", ["DELETE", "WAL", "WAL with a log"])
@pytest.mark.parametrize("damage", DAMAGES)
def test_a_copy_that_went_wrong_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str, mode: str
) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    execute(path, f"PRAGMA journal_mode={mode.split()[0]}")
    real = backup_module._copy

    def bad_copy(held: Source, part: Path) -> None:
        real(held, part)
        DAMAGES[damage](part)

    monkeypatch.setattr(backup_module, "_copy", bad_copy)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        if mode == "WAL with a log":
            writer.execute("INSERT INTO log VALUES ('in the log')")
        with pytest.raises(Failed) as caught:
            take_backup(path, tmp_path / "out" / "b.sqlite", Control())
    assert caught.value.code == "BACKUP_DIFFERS"
    assert os.listdir(tmp_path / "out") == []


def test_a_copy_that_the_disk_changes_after_it_was_compared_does_not_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    monkeypatch.setattr(backup_module, "_write_out", lambda part: flip(part, 30))  # which integrity_check can't see
    with pytest.raises(Failed) as caught:
        take_backup(path, tmp_path / "out" / "b.sqlite", Control())
    assert caught.value.code == "BACKUP_DIFFERS"
    assert os.listdir(tmp_path / "out") == []


def test_a_backup_that_is_restored_wrongly_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = backup_module.restore_backup

    def restore_wrongly(backup: Path, destination: Path, expected_sha256: str) -> None:
        real(backup, destination, expected_sha256)
        flip(destination, 60)  # a byte of user_version

    monkeypatch.setattr(backup_module, "restore_backup", restore_wrongly)
    with pytest.raises(Failed) as caught:
        take_backup(every_kind(tmp_path / "a.sqlite"), tmp_path / "out" / "b.sqlite", Control())
    assert caught.value.code == "BACKUP_DIFFERS"
    assert os.listdir(tmp_path / "out") == []


def test_the_copy_is_read_back_from_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    fsync, advise = os.fsync, os.posix_fadvise

    def synced(descriptor: int) -> None:
        asked.append(("synced", os.fstat(descriptor).st_ino))
        fsync(descriptor)

    def advised(descriptor: int, offset: int, length: int, advice: int) -> None:
        assert (offset, length, advice) == (0, 0, os.POSIX_FADV_DONTNEED)
        asked.append(("forgotten", os.fstat(descriptor).st_ino))
        advise(descriptor, offset, length, advice)

    monkeypatch.setattr(os, "fsync", synced)
    monkeypatch.setattr(os, "posix_fadvise", advised)
    result = take_backup(every_kind(tmp_path / "a.sqlite"), tmp_path / "b.sqlite", Control())
    inode = result.path.stat().st_ino
    assert asked[:2] == [("synced", inode), ("forgotten", inode)]


def test_the_damage_that_a_source_has_of_its_own_is_told_of_the_source(tmp_path: Path) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    execute(path, "CREATE INDEX wages ON people (wage)")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name='log')"
            " WHERE name = 'wages'"
        )
    with pytest.raises(Refused) as caught:
        take_backup(path, tmp_path / "out" / "b.sqlite", Control())
    assert caught.value.code == "CORRUPT"
    assert str(path) in str(caught.value) and "restore-test" not in str(caught.value)
    assert os.listdir(tmp_path / "out") == []


def test_cells_are_compared_where_the_path_names_another_file_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    before, real = content(path), backup_module._copy

    def copy_and_replace(held: Source, part: Path) -> None:
        real(held, part)
        os.replace(every_kind(tmp_path / "other.sqlite", people=3), path)

    monkeypatch.setattr(backup_module, "_copy", copy_and_replace)
    result = take_backup(path, tmp_path / "b.sqlite", Control())
    assert result.compared == "cells" and result.tables == {"log": 3, "people": 51, "words": 5}
    assert content(result.path) == before


def test_a_file_that_must_be_recovered_first_is_compared_with_what_was_recovered(tmp_path: Path) -> None:
    path = hot_journal(tmp_path)
    before = path.read_bytes()
    result = take_backup(path, tmp_path / "out" / "b.sqlite", Control())
    assert result.compared == "pages" and result.tables == {"t": 100}
    assert path.read_bytes() == before


@pytest.mark.chaos
def test_a_file_is_compared_beyond_the_page_that_is_never_written(tmp_path: Path) -> None:
    """SQLite leaves out the page at 1 GiB."""
    path = tmp_path / "a.sqlite"
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("CREATE TABLE t(v)")
        connection.executemany("INSERT INTO t VALUES (zeroblob(?))", [(100 << 20,)] * 11)
    with open(path, "r+b") as file:
        file.seek(1 << 30)
        file.write(b"what a lock may leave")
    result = take_backup(path, tmp_path / "b.sqlite", Control())
    assert result.compared == "pages" and result.tables == {"t": 11} and result.size > 1 << 30


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
