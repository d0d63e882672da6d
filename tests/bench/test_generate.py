"""The generated database is the same every time, and holds what loaders trip over."""

import contextlib
import hashlib
import sqlite3
from pathlib import Path

import pytest

from bench.generate import generate


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bench") / "made.db"
    generate(path, 0.001)
    return path


def test_the_same_scale_gives_the_same_bytes(made: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.db"
    generate(again, 0.001)
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(made.read_bytes()).digest()


def test_rows_grow_with_the_scale_and_text_keys_are_unique(made: Path) -> None:
    with contextlib.closing(sqlite3.connect(made)) as connection:
        assert connection.execute("SELECT count(*) FROM usage_details").fetchone() == (2000,)
        assert connection.execute("SELECT count(*), count(DISTINCT id) FROM employees").fetchone() == (200, 200)


@pytest.mark.parametrize("text", ["\r\n", "\t", "\\N", "NULL", '"', "🎊"])
def test_awkward_text_is_among_the_reasons(made: Path, text: str) -> None:
    with contextlib.closing(sqlite3.connect(made)) as connection:
        assert connection.execute("SELECT count(*) FROM leave_requests WHERE instr(reason, ?)", (text,)).fetchone()[0]
