"""A damaged file is refused with what it is about: which table, how much of it can be read, what to do."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from migrations_app.engine.control import Control
from migrations_app.engine.errors import Cancelled, Refused
from migrations_app.engine.source.damage import find_damage
from migrations_app.engine.source.opening import open_source
from tests.migrations_app.engine.sqlite_files import build

PAGE = 4096


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Three tables, the middle one of some 100 pages."""
    rows = [("INSERT INTO middle(v) VALUES(?)", ("z" * 900,))] * 400
    return build(
        tmp_path / "a.db",
        "CREATE TABLE one(v); INSERT INTO one VALUES('a'); CREATE TABLE middle(id INTEGER PRIMARY KEY, v);"
        " CREATE TABLE last(k TEXT PRIMARY KEY) WITHOUT ROWID; INSERT INTO last VALUES('b');"
        " CREATE INDEX by_v ON one(v)",
        rows,
    )


def overwrite(path: Path, page: int) -> None:
    with path.open("r+b") as file:
        file.seek(PAGE * (page - 1))
        file.write(b"\xde\xad\xbe\xef" * (PAGE // 4))


def page_of_middle(path: Path) -> int:
    """A leaf of the middle table, away from both ends: the one that holds row 200."""
    raw = path.read_bytes()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("UPDATE middle SET v = 'here it is' || substr(v, 11) WHERE id = 200")
        connection.commit()
    page = path.read_bytes().index(b"here it is") // PAGE + 1
    path.write_bytes(raw)
    return page


def refusal(path: Path) -> Refused:
    with pytest.raises(Refused) as caught, open_source(path) as source:
        source.check_integrity()
    assert caught.value.code == "CORRUPT"
    return caught.value


def test_the_table_with_a_damaged_page_is_named_with_the_rows_that_can_be_read(file: Path) -> None:
    overwrite(file, page_of_middle(file))
    found = refusal(file)
    assert "'middle'" in found.message and "'one'" not in found.message and "'last'" not in found.message
    assert ".recover" in found.hint
    with open_source(file) as source:
        (damage,) = find_damage(source, Control())
    assert 150 < damage.before < 200 and 150 < damage.after <= 200
    assert f"first {damage.before:,}" in found.message and f"last {damage.after:,}" in found.message


def test_reading_the_damaged_table_names_it_too(file: Path) -> None:
    overwrite(file, page_of_middle(file))
    with open_source(file) as source, pytest.raises(Refused) as caught:
        list(source.rows("middle"))
    assert caught.value.code == "CORRUPT" and "'middle'" in caught.value.message


def test_an_index_that_does_not_agree_is_named_and_the_rows_are_said_to_be_readable(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute(
            "UPDATE sqlite_schema SET sql = replace(sql, '(v)', '(v) WHERE v <> ''a''') WHERE name='by_v'"
        )
        connection.commit()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("REINDEX by_v")
        connection.execute("PRAGMA writable_schema=ON")
        connection.execute("UPDATE sqlite_schema SET sql = 'CREATE INDEX by_v ON one(v)' WHERE name = 'by_v'")
        connection.commit()
    found = refusal(file)
    assert "index by_v" in found.message and "every table can be read" in found.message


def test_looking_for_damage_can_be_stopped(file: Path) -> None:
    control = Control()
    control.stop.set()
    with open_source(file) as source, pytest.raises(Cancelled):
        find_damage(source, control)
