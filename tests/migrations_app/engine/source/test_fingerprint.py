"""The fingerprint tells whether a byte of the database changed, and takes no lock away."""

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Cancelled, Refused
from migrations_app.engine.source import fingerprint as fingerprint_module
from migrations_app.engine.source.fingerprint import fingerprint, fingerprint_from_document, watch
from tests.migrations_app.engine.artefacts import every_kind, execute


def test_it_stays_when_nothing_was_written(tmp_path: Path) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    before = fingerprint(path)
    with contextlib.closing(sqlite3.connect(path)) as reader:
        reader.execute("SELECT count(wage) FROM people").fetchall()
    assert fingerprint(path) == before
    assert before.main_size == path.stat().st_size


def test_it_stays_when_a_mere_reader_makes_an_empty_log(tmp_path: Path) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    execute(path, "PRAGMA journal_mode=WAL")
    before = fingerprint(path)
    (tmp_path / "a.sqlite-wal").touch()
    assert fingerprint(path).digest == before.digest


def test_it_changes_with_a_write_that_lies_in_the_log_only(tmp_path: Path) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    execute(path, "PRAGMA journal_mode=WAL")
    before = fingerprint(path)
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("INSERT INTO log VALUES ('new')")
        after = fingerprint(path)
        assert after.main_sha256 == before.main_sha256
        assert after.digest != before.digest


def test_it_changes_with_a_hot_journal(tmp_path: Path) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    before = fingerprint(path)
    (tmp_path / "a.sqlite-journal").write_bytes(b"\xd9\xd5\x05\xf9\x20\xa1\x63\xd7" + b"\0" * 504)
    assert fingerprint(path).digest != before.digest


def test_a_lock_held_here_survives_it(tmp_path: Path) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    code = (
        "import sqlite3,sys; c=sqlite3.connect(sys.argv[1],timeout=0)\n"
        "try: c.execute('BEGIN IMMEDIATE'); print('in')\n"
        "except sqlite3.OperationalError: print('out')"
    )
    import subprocess
    import sys

    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        fingerprint(path)
        answer = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=30)
    assert answer.stdout.strip() == "out"


def test_it_goes_through_a_document_unchanged_and_refuses_an_edited_one(tmp_path: Path) -> None:
    found = fingerprint(every_kind(tmp_path / "a.sqlite"))
    assert fingerprint_from_document(found.to_document()) == found
    with pytest.raises(ValueError):
        fingerprint_from_document({**found.to_document(), "wal_sha256": "0" * 64})
    with pytest.raises(ValueError):
        fingerprint_from_document({"digest": "x"})


@pytest.mark.parametrize("kind", ["missing", "folder", "fifo"])
def test_what_is_no_file_is_refused_without_blocking(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "x"
    if kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    with pytest.raises(Refused) as caught:
        fingerprint(path)
    assert caught.value.code == ("NOT_FOUND" if kind == "missing" else "NOT_A_FILE")


def test_it_can_be_stopped(tmp_path: Path) -> None:
    control = Control()
    control.stop.set()
    with pytest.raises(Cancelled):
        fingerprint(every_kind(tmp_path / "a.sqlite"), control)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every file had been still for long."""
    monkeypatch.setattr(fingerprint_module, "_SETTLED_NS", -(10**18))


def test_a_file_that_nothing_touched_is_not_hashed_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settled: None
) -> None:
    watched = watch(every_kind(tmp_path / "a.sqlite"))
    monkeypatch.setattr(fingerprint_module, "fingerprint", None)
    assert not watched.changed() and watched.again() == watched.fingerprint


def test_a_file_that_changed_a_moment_ago_is_hashed_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two changes within one tick of the file system's clock look like one."""
    path = every_kind(tmp_path / "a.sqlite")
    watched = watch(path)
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    monkeypatch.setattr(fingerprint_module, "_marks", lambda path: watched.marks)
    assert watched.changed()


def test_a_changed_byte_is_noticed_though_size_and_time_were_put_back(tmp_path: Path, settled: None) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    watched, before = watch(path), path.stat()
    with path.open("r+b") as file:
        file.seek(5000)
        file.write(b"\xa5")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert watched.changed()


def test_another_file_with_the_same_bytes_is_no_change_and_a_removed_one_is(tmp_path: Path, settled: None) -> None:
    path = every_kind(tmp_path / "a.sqlite")
    watched = watch(path)
    (tmp_path / "copy").write_bytes(path.read_bytes())
    os.replace(tmp_path / "copy", path)
    assert not watched.changed()
    path.unlink()
    assert watched.changed()
