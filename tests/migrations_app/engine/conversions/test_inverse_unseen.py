"""Columns without a value yet: what is first written on PostgreSQL comes back as the application spells such values."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from migrations_app.engine.control import Control
from migrations_app.engine.conversions.inverse import InverseForms, learn
from migrations_app.engine.plan import LOAD, MODE_EXISTING, ColumnPlan, MovePlan, TablePlan
from migrations_app.engine.source.opening import open_source

HEX = "0123456789abcdef0123456789abcdef"
Columns = dict[str, tuple[str, str, str]]  # name: declared type, target type, conversion


def learned(path: Path, ddl: str, tables: dict[str, Columns]) -> InverseForms:
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(ddl)
    plans = tuple(
        TablePlan(
            table, table, LOAD, tuple(ColumnPlan(n, n, *what) for n, what in columns.items()), (next(iter(columns)),)
        )
        for table, columns in tables.items()
    )
    with open_source(path) as source:
        return learn(source, MovePlan(MODE_EXISTING, "public", "digest", "UTF-8", plans), Control())


def uuid(declared: str) -> tuple[str, str, str]:
    return declared, "uuid", "uuid"


def moment(declared: str) -> tuple[str, str, str]:
    return declared, "timestamp with time zone", "timestamptz"


def test_a_child_finds_its_parent_again(tmp_path: Path) -> None:
    """Through a child of a child that is empty, too; and where tables refer to themselves."""
    forms = learned(
        tmp_path / "app.db",
        "CREATE TABLE grandchild (id TEXT PRIMARY KEY NOT NULL, of TEXT REFERENCES Child (ID));"
        "CREATE TABLE child (id TEXT PRIMARY KEY NOT NULL REFERENCES parent, other TEXT REFERENCES child);"
        "CREATE TABLE parent (id TEXT PRIMARY KEY NOT NULL);"
        "CREATE TABLE more (a TEXT, b TEXT);"
        f"INSERT INTO parent VALUES ('{HEX.upper()}');"
        "INSERT INTO more VALUES ('01234567-89ab-cdef-0123-456789abcdef', '01234567-89ab-cdef-0123-456789abcdef')",
        {
            "grandchild": {"id": uuid("TEXT"), "of": uuid("TEXT")},
            "child": {"id": uuid("TEXT"), "other": uuid("TEXT")},
            "parent": {"id": uuid("TEXT")},
            "more": {"a": uuid("TEXT"), "b": uuid("TEXT")},
        },
    )
    assert forms.tables["child"] == {"id": "uuid:PLAIN", "other": "uuid:PLAIN"}
    assert forms.tables["grandchild"]["of"] == "uuid:PLAIN"
    assert forms.tables["grandchild"]["id"] == "uuid:dashes"  # as most others


def test_a_uuid_keeps_to_the_length_that_is_declared(tmp_path: Path) -> None:
    forms = learned(
        tmp_path / "app.db",
        "CREATE TABLE empty (a CHAR(32), b CHAR(36), c BLOB, d TEXT)",
        {"empty": {"a": uuid("CHAR(32)"), "b": uuid("CHAR(36)"), "c": uuid("BLOB"), "d": uuid("TEXT")}},
    )
    assert forms.tables["empty"] == {"a": "uuid:plain", "b": "uuid:dashes", "c": "uuid:bytes", "d": "uuid:dashes"}


def test_a_time_is_spelt_as_most_others_in_the_file(tmp_path: Path) -> None:
    forms = learned(
        tmp_path / "app.db",
        "CREATE TABLE seen (a TEXT, b TEXT, c TEXT); CREATE TABLE empty (a TEXT, b DATETIME);"
        "INSERT INTO seen VALUES"
        " ('2024-01-02T03:04:05.000Z', '2024-01-02T03:04:05.120Z', '2024-01-02 03:04:05.123456')",
        {
            "empty": {"a": moment("TEXT"), "b": moment("DATETIME")},
            "seen": {"a": moment("TEXT"), "b": moment("TEXT"), "c": moment("TEXT")},
        },
    )
    assert forms.tables["empty"] == {"a": "T-3-Z", "b": "space-py-"}
