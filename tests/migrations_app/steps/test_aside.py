"""What a restore is about to replace is kept: whole, once, and also where the artefacts' disk has no room."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from migrations_app.steps.aside import put_aside
from tests.migrations_app.engine.test_full_disk import full_after


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file whose last rows are in its log only."""
    path = tmp_path / "srv" / "app.db"
    path.parent.mkdir()
    writer = sqlite3.connect(path)
    writer.executescript("PRAGMA journal_mode=wal; CREATE TABLE t (a); INSERT INTO t VALUES (randomblob(200000))")
    for name in ("app.db", "app.db-wal"):
        (path.parent / f"kept-{name}").write_bytes((path.parent / name).read_bytes())
    writer.close()  # folds its log in
    for name in ("app.db", "app.db-wal"):
        (path.parent / f"kept-{name}").rename(path.parent / name)
    return path


def rows(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        return int(connection.execute("SELECT count(*) FROM t").fetchone()[0])


def test_file_is_copied_with_its_log(source: Path, tmp_path: Path) -> None:
    among = tmp_path / "aside.sqlite"
    assert put_aside(source, among, tmp_path / "srv" / "beside") == among
    source.unlink()
    assert rows(among) == 1 and not list(tmp_path.glob("*.part"))


def test_without_room_it_is_kept_beside_the_file_itself(source: Path, tmp_path: Path) -> None:
    among, beside = tmp_path / "aside.sqlite", tmp_path / "srv" / "app.db.before-restore-7"
    with full_after(50_000):
        assert put_aside(source, among, beside) == beside
    assert not list(tmp_path.glob("aside*")), "half a copy is none"
    source.unlink()  # as a restore does that renames another file over it
    (source.parent / "app.db-wal").unlink()
    assert rows(beside) == 1


def test_what_an_earlier_attempt_kept_is_not_overwritten_by_what_it_restored(source: Path, tmp_path: Path) -> None:
    among, beside = tmp_path / "aside.sqlite", tmp_path / "srv" / "beside"
    put_aside(source, among, beside)
    before = among.read_bytes()
    source.write_bytes(b"another file")
    assert put_aside(source, among, beside) == among and among.read_bytes() == before
