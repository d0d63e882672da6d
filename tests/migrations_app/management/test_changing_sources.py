"""A source that changes under the move: frozen by our lock, or noticed, and then nothing of it is in the target."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.export import export, part_writer
from migrations_app.engine.source import still
from tests.migrations_app.engine.fragile import database, text_of
from tests.migrations_app.management.in_process import MOMENTS, Moment, elsewhere, move, move_and_act
from tests.migrations_app.management.running import everything_in, fetch, make

ROWS = 6_000
TABLES = (
    "CREATE TABLE items (id INTEGER PRIMARY KEY, name TEXT NOT NULL); CREATE TABLE last (id INTEGER PRIMARY KEY, t)"
)

_WRITE = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=0.1); c.execute(sys.argv[2]); c.commit()"
_PATIENT = (
    "import sqlite3, sys; c = sqlite3.connect(sys.argv[1], timeout=0.1)\n"
    "try:\n    c.execute(sys.argv[2]); c.commit()\n"
    "except sqlite3.OperationalError as e:\n    assert 'locked' in str(e), e; c.rollback()\n"
)
_AT_MIDDLE = "import os, sys; p = sys.argv[1]; n = os.path.getsize(p) // 2\n"
_FLIP = _AT_MIDDLE + "f = open(p, 'r+b'); f.seek(n); b = f.read(1)[0]; f.seek(n); f.write(bytes([b ^ 1])); f.close()"
_CUT = _AT_MIDDLE + "os.truncate(p, n)"
_GROW = "import sys; open(sys.argv[1], 'ab').write(bytes(4096))"
_REPLACE = "import os, sys; os.replace(sys.argv[2], sys.argv[1])"
_REMOVE = "import os, sys; os.unlink(sys.argv[1])"
_INSERT = "INSERT INTO last VALUES (99999, 'late')"

# name: (journal mode of the source, what another process does to it, with which argument)
CHANGES: dict[str, tuple[str, str, str]] = {
    "a row committed to the log": ("wal", _WRITE, _INSERT),
    "a column added in the log": ("wal", _WRITE, "ALTER TABLE last ADD COLUMN more TEXT"),
    "a writer that respects our lock": ("delete", _PATIENT, _INSERT),
    "a byte overwritten": ("delete", _FLIP, ""),
    "cut in half": ("delete", _CUT, ""),
    "grown by a page": ("delete", _GROW, ""),
    "replaced by another file": ("delete", _REPLACE, "other"),
    "removed": ("delete", _REMOVE, ""),
}


@pytest.fixture
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part_writer, "CHUNK_ROWS", 1000)


def source_in(folder: Path, mode: str) -> Path:
    path = make(
        folder / "a.sqlite", TABLES, [("INSERT INTO items VALUES (?, ?)", ((i, f"item {i}" * 9) for i in range(ROWS)))]
    )
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("INSERT INTO last VALUES (1, 'there')")
        connection.commit()
        connection.execute(f"PRAGMA journal_mode={mode}")
    return path


def change_at(folder: Path, url: str, change: str, moment: Moment) -> str:
    """'noticed', 'frozen', or in words what went wrong."""
    mode, script, argument = CHANGES[change]
    path = source_in(folder, mode)
    if argument == "other":
        argument = str(make(folder / "other.sqlite", TABLES + "; INSERT INTO items VALUES (1, 'other')"))
    # A reader beside us keeps the log as it is: without one, the last to close would move it into the file.
    beside = sqlite3.connect(path) if mode == "wal" else None
    before = path.read_bytes() if mode == "delete" else b""
    done, acted = move_and_act(folder, path, url, moment, lambda: elsewhere(script, path, argument))
    if beside is not None:
        beside.close()
    if acted != 1:
        return f"the moment {moment} came {acted} times: {done.text}"
    if done.code == 0:
        same = path.exists() and path.read_bytes() == before
        exact = fetch(url, "SELECT count(*), count(DISTINCT id) FROM items") == [(ROWS, ROWS)]
        return "frozen" if same and exact else f"unnoticed: {done.text}"
    if done.code not in (2, 3) or not done.error or "Traceback" in done.text:
        return f"status {done.code}, {done.error}: {done.text}"
    left = everything_in(url)
    return "noticed" if left == [] else f"left in the target: {left}, {done.error}"


@pytest.mark.parametrize(
    ("change", "moment"),
    [
        ("a row committed to the log", ("verify", 1)),
        ("a row committed to the log", ("begin export", 1)),
        ("a writer that respects our lock", ("export", 1)),
        ("a byte overwritten", ("load", 2)),
        ("cut in half", ("export", 3)),
        ("grown by a page", ("begin verify", 1)),
        ("replaced by another file", ("begin load", 1)),
        ("removed", ("export", 1)),
    ],
)
def test_a_change_is_noticed_and_leaves_a_clean_target_unless_the_source_is_frozen(
    tmp_path: Path,
    target_url: str,
    monkeypatch: pytest.MonkeyPatch,
    small_chunks: None,
    change: str,
    moment: Moment,
) -> None:
    expected = "frozen" if change.startswith("a writer") else "noticed"
    assert change_at(tmp_path, target_url, change, moment) == expected


def test_without_the_last_look_a_late_row_would_be_lost_unnoticed(
    tmp_path: Path, target_url: str, monkeypatch: pytest.MonkeyPatch, small_chunks: None
) -> None:
    """The defence switched off: proves that the tests above would go red."""
    monkeypatch.setattr("migrations_app.management.headless.flows.refuse_changed_after_all", lambda *given: None)
    found = change_at(tmp_path, target_url, "a row committed to the log", ("verify", 1))
    assert found.startswith("unnoticed")


@pytest.mark.chaos
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_noticed_at_every_moment(
    tmp_path: Path, postgres: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, small_chunks: None, change: str
) -> None:
    found: dict[Moment, str] = {}
    for number, moment in enumerate(MOMENTS):
        folder = tmp_path / str(number)
        folder.mkdir()
        with database(postgres) as url:
            found[moment] = change_at(folder, text_of(url), change, moment)
    print(change, found)
    assert set(found.values()) <= {"noticed", "frozen"}
    assert change.startswith("a writer") or set(found.values()) == {"noticed"}


def test_a_move_that_was_refused_for_a_change_can_be_run_again(
    tmp_path: Path, target_url: str, monkeypatch: pytest.MonkeyPatch, small_chunks: None
) -> None:
    assert change_at(tmp_path, target_url, "a row committed to the log", ("verify", 1)) == "noticed"
    done = move(tmp_path, tmp_path / "a.sqlite", target_url)
    assert done.code == 0 and done.report["outcome"] == "verified", done.text
    assert fetch(target_url, "SELECT t FROM last ORDER BY 1") == [("late",), ("there",)]


def test_what_an_earlier_command_had_loaded_stays_when_a_later_one_fails(
    tmp_path: Path, target_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = source_in(tmp_path, "delete")
    assert move(tmp_path, path, target_url).code == 0
    done, acted = move_and_act(tmp_path, path, target_url, ("begin verify", 1), lambda: elsewhere(_GROW, path))
    assert acted == 1 and done.code == 3 and done.error == "SOURCE_CHANGED", done.text
    assert fetch(target_url, "SELECT count(*) FROM items") == [(ROWS,)]


def test_a_file_that_is_changed_past_its_locks_while_it_is_copied_is_not_dumped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder = source_in(tmp_path, "delete"), tmp_path / "dump"
    real = still.copy_to

    def then(*args: Any, **kwargs: Any) -> None:
        real(*args, **kwargs)
        elsewhere(_FLIP, path)

    with monkeypatch.context() as patch:
        patch.setattr(still, "copy_to", then)
        done = move(tmp_path, path, "", "dump_sqlite_to_json", "--output", str(folder))
    assert (done.code, done.error) == (2, "SOURCE_CHANGED"), done.text
    assert not folder.exists()


@pytest.mark.parametrize("mode", ["wal", "delete"])
def test_a_dump_of_a_file_that_is_written_to_is_its_state_of_the_beginning(
    mode: str, tmp_path: Path, target_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, folder = source_in(tmp_path, mode), tmp_path / "dump"
    real = export.Manifest.to_bytes

    def then(manifest: export.Manifest) -> bytes:
        elsewhere(_WRITE, path, _INSERT)
        return real(manifest)

    with monkeypatch.context() as patch:
        patch.setattr(export.Manifest, "to_bytes", then)
        done = move(tmp_path, path, "", "dump_sqlite_to_json", "--output", str(folder))
    assert done.code == 0, done.text
    loaded = move(tmp_path, folder, target_url, "load_json_to_postgresql", "--verify")
    assert loaded.code == 0, loaded.text
    assert fetch(target_url, "SELECT t FROM last") == [("there",)]
