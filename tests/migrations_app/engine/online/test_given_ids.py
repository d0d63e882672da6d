"""Numbers that PostgreSQL gave out, and SQLite's own record of those that it did."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from unittest.mock import Mock

import pytest

from migrations_app.engine.online import given_ids


@pytest.mark.parametrize(
    "before",
    [
        "DELETE FROM sqlite_sequence",
        "UPDATE sqlite_sequence SET seq = NULL",
        "UPDATE sqlite_sequence SET seq = '7'",
        "UPDATE sqlite_sequence SET seq = 3",
    ],
)
def test_no_number_is_given_out_twice_whatever_an_application_made_of_the_record(
    monkeypatch: pytest.MonkeyPatch, before: str
) -> None:
    assert _next_after(monkeypatch, before, last=500) == 501


@pytest.mark.parametrize("before", ["UPDATE sqlite_sequence SET seq = 900", "UPDATE sqlite_sequence SET seq = '900'"])
def test_a_record_that_is_ahead_stays(monkeypatch: pytest.MonkeyPatch, before: str) -> None:
    assert _next_after(monkeypatch, before, last=500) == 901


def _next_after(monkeypatch: pytest.MonkeyPatch, before: str, last: int) -> int:
    monkeypatch.setattr(given_ids, "_given_out", lambda *_: [("item", last)])
    with closing(sqlite3.connect(":memory:")) as file:
        file.execute("CREATE TABLE item (id INTEGER PRIMARY KEY AUTOINCREMENT, v)")
        file.execute("INSERT INTO item (v) VALUES (1)")
        file.execute(before)
        given_ids.raise_given_ids(file, Mock(), Mock(), ())
        return int(file.execute("INSERT INTO item (v) VALUES (1) RETURNING id").fetchone()[0])
