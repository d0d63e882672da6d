"""A copy is told from its source page by page, whatever the size of pages and wherever the log has got to."""

import contextlib
import hashlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrations_app.engine.backup import compare_pages, log_pages
from migrations_app.engine.backup.compare_pages import PagesTask, judge
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Cancelled
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.source.sqlite_source import Source


def make(path: Path, *pragmas: str, rows: int = 400) -> Path:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for pragma in pragmas:
            connection.execute(f"PRAGMA {pragma}")
        connection.execute("CREATE TABLE t(id INTEGER PRIMARY KEY, v)")
        connection.execute("BEGIN")
        connection.executemany(
            "INSERT INTO t(v) VALUES (?)", [(bytes([i % 251]) * (i * 7 % 3000),) for i in range(rows)]
        )
        connection.execute("COMMIT")
        connection.execute("DELETE FROM t WHERE id BETWEEN 100 AND 200")  # leaves free pages
    return path


def copy_of(source: Source, path: Path) -> Path:
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as target:
        source.copy_into(target)
    return path


def task(source: Source, copy: Path) -> PagesTask:
    schema = source.schema
    wal = schema.journal_mode == "wal"
    return PagesTask(source.path, source.identity, copy, schema.page_size, schema.page_count, wal)


def outcome(task: PagesTask) -> str:
    verdict = judge(task, Control())
    assert (verdict.sha256 != "") == (verdict.outcome == "equal")
    return verdict.outcome


@contextlib.contextmanager
def held(path: Path) -> Iterator[tuple[Source, PagesTask]]:
    """The source, and the task of comparing a copy of it."""
    with open_source(path) as source:
        yield source, task(source, copy_of(source, path.with_name("copy")))


def flip(path: Path, at: int) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


@pytest.mark.parametrize("auto_vacuum", ["NONE", "FULL", "INCREMENTAL"])
@pytest.mark.parametrize("page_size", [512, 4096, 65536])
@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_any_byte_that_differs_is_found(tmp_path: Path, mode: str, page_size: int, auto_vacuum: str) -> None:
    pragmas = (f"page_size={page_size}", f"auto_vacuum={auto_vacuum}", f"journal_mode={mode}", "user_version=7")
    with held(make(tmp_path / "a.db", *pragmas)) as (_source, pages):
        verdict = judge(pages, Control())
        assert verdict.outcome == "equal"
        assert verdict.sha256 == hashlib.sha256(pages.copy.read_bytes()).hexdigest()
        size = pages.copy.stat().st_size
        places = [0, 17, 20, 31, 60, 100, page_size - 1, page_size, size // 2, size - page_size, size - 1]
        for place in places:
            flip(pages.copy, place)
            found = judge(pages, Control())
            assert found.outcome == ("unsure" if mode == "WAL" else "different"), place
            assert mode == "WAL" or found.page == place // page_size + 1
            flip(pages.copy, place)
        assert outcome(pages) == "equal"


def test_what_a_copy_says_of_itself_may_differ_and_no_more(tmp_path: Path) -> None:
    with held(make(tmp_path / "a.db")) as (_source, pages):
        for byte in range(100):
            flip(pages.copy, byte)
            may = 24 <= byte < 28 or 40 <= byte < 44 or 92 <= byte < 100
            assert outcome(pages) == ("equal" if may else "different"), byte
            flip(pages.copy, byte)


def test_a_source_whose_header_is_of_an_old_version_has_an_equal_copy(tmp_path: Path) -> None:
    """SQLite before 3.7.0 left the size out of the header; a backup puts it in."""
    path = make(tmp_path / "a.db")
    with open(path, "r+b") as file:
        file.seek(28)
        file.write(bytes(4))
        file.seek(92)
        file.write(bytes(8))
    with held(path) as (_source, pages):
        assert outcome(pages) == "equal"


@pytest.mark.parametrize("length", [-1, -4096, 1, 4096])
def test_a_copy_of_another_length_differs(tmp_path: Path, length: int) -> None:
    with held(make(tmp_path / "a.db", "journal_mode=WAL")) as (_source, pages):
        os.truncate(pages.copy, pages.copy.stat().st_size + length)
        assert outcome(pages) == "different"


def test_bytes_after_the_last_page_of_the_source_are_none_of_its_pages(tmp_path: Path) -> None:
    path = make(tmp_path / "a.db")
    with open(path, "ab") as file:
        file.write(b"x" * 10_000)
    with held(path) as (_source, pages):
        assert outcome(pages) == "equal"


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    """Of a file in WAL mode whose log holds transactions already: new pages, old ones changed twice, a rollback."""
    path = make(tmp_path / "a.db", "journal_mode=WAL")
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_autocheckpoint=0")
        connection.execute("PRAGMA cache_size=10")  # spills what is rolled back
        for number in range(20):
            connection.execute("INSERT INTO t(v) VALUES (zeroblob(9000))")
            connection.execute("UPDATE t SET v = ? WHERE id = 7", (number,))
        connection.execute("BEGIN")
        connection.execute("UPDATE t SET v = zeroblob(3000)")
        connection.execute("ROLLBACK")
        yield connection


def test_the_log_up_to_the_snapshot_counts(tmp_path: Path, writer: sqlite3.Connection) -> None:
    with held(tmp_path / "a.db") as (_source, pages):
        assert outcome(pages) == "equal"
        flip(pages.copy, pages.copy.stat().st_size - 1)  # a page that only the log has
        assert outcome(pages) == "unsure"


def test_transactions_after_the_snapshot_do_not_count(tmp_path: Path, writer: sqlite3.Connection) -> None:
    with open_source(tmp_path / "a.db") as source:
        for number in range(40):
            writer.execute("UPDATE t SET v = ? WHERE id = 7", (number,))
        copy = copy_of(source, tmp_path / "copy")
        writer.execute("INSERT INTO t(v) VALUES (zeroblob(50000))")
        writer.execute("PRAGMA wal_checkpoint")  # brings in what the snapshot sees
        assert outcome(task(source, copy)) == "equal"
        later = tmp_path / "later"
        with open_source(tmp_path / "a.db") as now:
            copy_of(now, later)
        assert outcome(task(source, later)) == "different"  # it has more pages


def test_a_log_that_begins_anew_after_the_snapshot_does_not_count(tmp_path: Path, writer: sqlite3.Connection) -> None:
    writer.execute("PRAGMA wal_checkpoint")
    with open_source(tmp_path / "a.db") as source:
        writer.execute("UPDATE t SET v = 'later' WHERE id = 7")
        copy = copy_of(source, tmp_path / "copy")
        assert outcome(task(source, copy)) == "equal"


def test_a_mixture_of_two_transactions_is_not_taken_for_a_state(tmp_path: Path, writer: sqlite3.Connection) -> None:
    """One page of before and one of after: each is in the log, but no transaction ended so."""
    with held(tmp_path / "a.db") as (_source, pages):
        writer.execute("UPDATE t SET v = zeroblob(10) WHERE id IN (7, 400)")
        with open_source(tmp_path / "a.db") as now:
            later = copy_of(now, tmp_path / "later")
        before, after, size = pages.copy.read_bytes(), later.read_bytes(), pages.page_size
        assert len(before) == len(after)
        changed = [at for at in range(size, len(before), size) if before[at : at + size] != after[at : at + size]]
        assert len(changed) > 1
        for at in changed:
            pages.copy.write_bytes(before[:at] + after[at : at + size] + before[at + size :])
            assert outcome(pages) == "unsure"
        pages.copy.write_bytes(after)
        assert outcome(pages) == "equal"  # a state that was committed, though not this snapshot


def test_a_log_too_long_to_be_listed_is_left_to_the_cells(
    tmp_path: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_pages, "MAX_FRAMES", 10)
    with held(tmp_path / "a.db") as (_source, pages):
        assert outcome(pages) == "unsure"


def test_another_file_of_that_name_is_left_to_the_cells(tmp_path: Path) -> None:
    with held(make(tmp_path / "a.db")) as (source, pages):
        os.replace(make(tmp_path / "b.db", rows=3), source.path)
        assert outcome(pages) == "unsure"
        source.path.unlink()
        assert outcome(pages) == "unsure"
        os.mkfifo(source.path)
        assert outcome(pages) == "unsure"


@pytest.mark.parametrize(
    "lock_byte", [pytest.param(compare_pages._LOCK_BYTE, marks=pytest.mark.chaos), 2 << 20, (2 << 20) + 8192]
)
def test_the_page_that_holds_locks_is_left_out_and_none_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lock_byte: int
) -> None:
    """Two files with holes, since only they are small beyond 1 GiB."""
    monkeypatch.setattr(compare_pages, "_LOCK_BYTE", lock_byte)
    size = lock_byte + (3 << 20)
    for name in ("source", "copy"):
        with open(tmp_path / name, "wb") as file:
            file.truncate(size)
            file.seek(18)
            file.write(b"\1\1")
            file.seek(28)
            file.write((size // 4096).to_bytes(4, "big"))
    status = os.stat(tmp_path / "source")
    pages = PagesTask(tmp_path / "source", (status.st_dev, status.st_ino), tmp_path / "copy", 4096, size // 4096, False)
    flip(tmp_path / "source", lock_byte)
    flip(tmp_path / "source", lock_byte + 4095)
    assert outcome(pages) == "equal"
    for place in (lock_byte - 1, lock_byte + 4096):
        flip(tmp_path / "copy", place)
        assert judge(pages, Control()).page == place // 4096 + 1
        flip(tmp_path / "copy", place)


def test_it_stops_when_told(tmp_path: Path) -> None:
    control = Control()
    with held(make(tmp_path / "a.db")) as (_source, pages):
        control.stop.set()
        with pytest.raises(Cancelled):
            judge(pages, control)


def test_few_states_are_compared_in_full_before_it_is_left_to_the_cells(
    tmp_path: Path, writer: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A log of the same pages again and again would else be read a thousand times."""
    tried = []
    real = compare_pages._Comparison._compare

    def compare(self: compare_pages._Comparison, commit: log_pages.Commit) -> compare_pages.PagesVerdict:
        tried.append(commit)
        return real(self, commit)

    monkeypatch.setattr(compare_pages._Comparison, "_compare", compare)
    for number in range(50):
        writer.execute("UPDATE t SET v = ? WHERE id = 7", (number % 2,))
    with held(tmp_path / "a.db") as (_source, pages):
        flip(pages.copy, pages.page_size * 30 + 9)
        assert outcome(pages) == "unsure"
    assert len(tried) == compare_pages._STATES
