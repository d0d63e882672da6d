"""Nothing that was read of a file counts before SQLite found the file sound, though both go on at once."""

import sqlite3
from contextlib import closing
from pathlib import Path

import psutil
import pytest

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Cancelled, EngineError, Failed, Refused
from migrations_app.engine.source import integrity_beside
from migrations_app.engine.source.integrity_beside import checked_beside
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.source.sqlite_source import Source
from tests.migrations_app.engine.sqlite_files import build, hot_journal


@pytest.fixture(params=["here", "beside"])
def place(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the check is run: a file of a few pages is checked in this process, a large one beside it."""
    if request.param == "beside":
        monkeypatch.setattr(integrity_beside, "SMALL_BYTES", 0)
    return str(request.param)


@pytest.fixture
def checks_here(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Grows by one with each check that is run in this process."""
    seen: list[str] = []
    real = Source.check_integrity

    def check(source: Source, control: Control | None = None) -> tuple[str, ...]:
        seen.append(source.path.name)
        return real(source, control)

    monkeypatch.setattr(Source, "check_integrity", check)
    return seen


def sound(path: Path) -> Path:
    return build(path, "CREATE TABLE t(v); CREATE INDEX by_v ON t(v); INSERT INTO t VALUES ('a'), ('b')")


def with_a_wrong_index(path: Path) -> Path:
    """Every row can be read; only the check sees that the index says something else."""
    sound(path)
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("UPDATE sqlite_schema SET sql = 'CREATE INDEX by_v ON t(v DESC)' WHERE name = 'by_v'")
    return path


def test_a_sound_file_is_read_as_ever(tmp_path: Path, place: str, checks_here: list[str]) -> None:
    with open_source(sound(tmp_path / "a.db")) as source, checked_beside(source, Control()):
        assert list(source.rows("t")) == [("a",), ("b",)]
        assert checks_here == (["a.db"] if place == "here" else [])


def test_damage_is_told_at_the_end_of_the_reading_at_the_latest(tmp_path: Path, place: str) -> None:
    path = with_a_wrong_index(tmp_path / "a.db")
    with open_source(path) as source, pytest.raises(Refused) as caught, checked_beside(source, Control()):
        assert list(source.rows("t")) == [("a",), ("b",)]
    assert caught.value.code == "CORRUPT" and "by_v" in caught.value.message and str(path) in caught.value.message


@pytest.mark.parametrize("error", [Failed("BAD_CELL", "A cell."), KeyError("t")])
def test_damage_is_told_in_place_of_what_it_led_to(tmp_path: Path, place: str, error: Exception) -> None:
    path = with_a_wrong_index(tmp_path / "a.db")
    with open_source(path) as source, pytest.raises(Refused) as caught, checked_beside(source, Control()):
        raise error
    assert caught.value.code == "CORRUPT"


def test_of_a_sound_file_errors_are_what_they_were(tmp_path: Path, place: str) -> None:
    path = sound(tmp_path / "a.db")
    with open_source(path) as source, pytest.raises(EngineError) as caught, checked_beside(source, Control()):
        raise Failed("BAD_CELL", "A cell.")
    assert caught.value.code == "BAD_CELL"


def test_a_file_written_to_since_it_was_opened_is_checked_as_it_was_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checks_here: list[str]
) -> None:
    monkeypatch.setattr(integrity_beside, "SMALL_BYTES", 0)
    path = sound(tmp_path / "a.db")
    with closing(sqlite3.connect(path, isolation_level=None)) as writer:
        writer.execute("PRAGMA journal_mode=WAL")
        with open_source(path) as source:
            writer.execute("INSERT INTO t VALUES ('c')")
            with checked_beside(source, Control()):
                assert checks_here == ["a.db"]


def test_a_copy_that_had_to_be_recovered_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity_beside, "SMALL_BYTES", 0)
    with open_source(hot_journal(tmp_path)) as source, checked_beside(source, Control()):
        assert source.count("t") == 100


def test_stopping_waits_for_no_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(integrity_beside, "SMALL_BYTES", 0)
    before = {child.pid for child in psutil.Process().children()}
    with (
        open_source(with_a_wrong_index(tmp_path / "a.db")) as source,
        pytest.raises(Cancelled),
        checked_beside(source, Control()),
    ):
        raise Cancelled("Stopped.")
    assert {child.pid for child in psutil.Process().children()} == before
