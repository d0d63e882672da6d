"""What PostgreSQL doesn't hold of a row stays with it in SQLite: its rowid, columns and rows that the plan leaves out,
the spelling of values that didn't change."""

from __future__ import annotations

from dataclasses import replace

import pytest

from migrations_app.engine.errors import Failed
from migrations_app.engine.plan import EncryptedColumn
from tests.migrations_app.engine.replay.returning import Cross, contents, flow


def test_a_rowid_that_no_column_shows_stays_with_its_row(cross: Cross) -> None:
    crossed = cross(
        "CREATE TABLE item (code TEXT PRIMARY KEY NOT NULL, n INTEGER);"
        "INSERT INTO item (rowid, code, n) VALUES (5, 'a', 1), (70, 'b', 2), (900, 'c', 3)"
    )
    crossed.brought_home("UPDATE item SET n = n + 10; INSERT INTO item VALUES ('d', 4)")
    assert crossed.file("SELECT rowid, code, n FROM item ORDER BY rowid") == [
        (5, "a", 11),
        (70, "b", 12),
        (900, "c", 13),
        (901, "d", 4),
    ]


def test_a_new_row_takes_no_rowid_of_a_row_that_comes_after_it(cross: Cross) -> None:
    crossed = cross("CREATE TABLE item (code TEXT PRIMARY KEY NOT NULL, n INTEGER); INSERT INTO item VALUES ('z', 1)")
    crossed.brought_home("INSERT INTO item VALUES ('a', 0); UPDATE item SET n = 5; INSERT INTO item VALUES ('zz', 0)")
    assert crossed.file("SELECT rowid FROM item WHERE code = 'z'") == [(1,)]


def test_columns_that_the_target_lacks_stay_and_columns_that_only_it_has_do_no_harm(cross: Cross) -> None:
    crossed = cross(
        "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, old BLOB DEFAULT x'01', twice AS (id * 2));"
        "INSERT INTO item (id, name, old) VALUES (1, 'a', x'beef'), (2, 'b', NULL)",
        target="CREATE TABLE item (id bigint PRIMARY KEY, name text, fresh text DEFAULT 'f');",
        choices=(("COLUMN_MISSING_IN_TARGET", "skip_column"),),
    )
    assert crossed.brought_home("UPDATE item SET name = upper(name); INSERT INTO item VALUES (3, 'c', 'x')") == 3
    assert crossed.file("SELECT id, name, hex(old) FROM item ORDER BY id") == [
        (1, "A", "BEEF"),
        (2, "B", ""),
        (3, "c", "01"),
    ]
    assert crossed.file("SELECT typeof(old) FROM item WHERE id = 2") == [("null",)]
    assert crossed.brought_home("UPDATE item SET fresh = 'changed alone'") == 0


SPELT = '{"b": 1,"a":[ 1.50 ]}'


def test_json_that_did_not_change_keeps_its_spelling(cross: Cross) -> None:
    crossed = cross(
        "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT, profile JSON);"
        f"INSERT INTO item VALUES (1, 'x', '{SPELT}'), (2, 'y', '{SPELT}'), (3, 'z', '5')",
        target="CREATE TABLE item (id bigint PRIMARY KEY, name text, profile jsonb)",
        choices=(("JSON_REWRITTEN", "rewrite"),),
    )
    assert [remark.column for remark in crossed.forms.remarks] == ["profile"]
    crossed.brought_home(
        "UPDATE item SET name = 'new' WHERE id = 1; UPDATE item SET profile = '{\"c\": 1}' WHERE id = 2"
    )
    assert crossed.file("SELECT name, profile FROM item ORDER BY id") == [
        ("new", SPELT),
        ("y", '{"c": 1}'),
        ("z", 5),
    ]


def test_a_time_that_did_not_change_keeps_its_spelling(cross: Cross) -> None:
    crossed = cross(
        "CREATE TABLE item (id INTEGER PRIMARY KEY, at TIMESTAMP, n INTEGER);"
        "INSERT INTO item VALUES (1, '2024-01-02T03:04:05', 1), (2, '2024-01-02 03:04:05', 2), (3, NULL, 3);"
        "INSERT INTO item SELECT n + 9, '2025-01-02 03:04:05.000000', 0 FROM item",
        target="CREATE TABLE item (id bigint PRIMARY KEY, at timestamp, n integer)",
    )
    crossed.brought_home("UPDATE item SET n = 7; UPDATE item SET at = '2030-01-01' WHERE id = 3")
    assert crossed.file("SELECT at FROM item WHERE id < 4 ORDER BY id") == [
        ("2024-01-02T03:04:05",),
        ("2024-01-02 03:04:05",),
        ("2030-01-01 00:00:00.000000",),
    ]


def test_a_rounded_number_that_did_not_change_keeps_its_digits(cross: Cross) -> None:
    crossed = cross(
        "CREATE TABLE item (id INTEGER PRIMARY KEY, price DECIMAL(10,2), n INTEGER);"
        "INSERT INTO item VALUES (1, 0.30000000000000004, 1), (2, 1.005, 1)",
        choices=(("TYPE_FOLLOWS_VALUES@item.price", "round"),),
    )
    crossed.brought_home("UPDATE item SET n = 2; UPDATE item SET price = 9.99 WHERE id = 2")
    assert crossed.file("SELECT price, n FROM item ORDER BY id") == [(0.30000000000000004, 2), (9.99, 2)]


@pytest.mark.parametrize("flowing", ["INSERT INTO item VALUES (2, 'ANN')", "UPDATE item SET name = 'ANN' WHERE id = 3"])
def test_a_row_that_sqlite_would_put_in_the_place_of_another_is_refused(cross: Cross, flowing: str) -> None:
    crossed = cross(
        "CREATE TABLE item (id INTEGER PRIMARY KEY, name TEXT COLLATE NOCASE UNIQUE ON CONFLICT REPLACE);"
        "INSERT INTO item VALUES (1, 'ann'), (3, 'bob')",
        target="CREATE TABLE item (id bigint PRIMARY KEY, name text UNIQUE)",
    )
    crossed.look.run(flowing)
    with pytest.raises(Failed, match="SQLite refuses the row") as refused:
        flow(crossed.pair, crossed.forms)
    assert refused.value.code == "NO_WAY_BACK_FOR_VALUE"
    assert crossed.file("SELECT * FROM item ORDER BY id") == [(1, "ann"), (3, "bob")]


LEFT_OUT = (
    "CREATE TABLE item (id INTEGER PRIMARY KEY, at DATE);"
    "INSERT INTO item VALUES (1, '2024-01-01'), (2, 'never'), (3, '2024-01-03')",
    (("TYPE_FOLLOWS_VALUES@item.at", "skip_rows"),),
)


@pytest.mark.parametrize("sql", ["UPDATE item SET at = '2030-01-01'", "DELETE FROM item", "TRUNCATE item"])
def test_rows_that_the_plan_left_out_stay_untouched(cross: Cross, sql: str) -> None:
    ddl, choices = LEFT_OUT
    crossed = cross(ddl, choices=choices)
    before = contents(crossed.pair.source, "item")
    crossed.brought_home(sql)
    assert crossed.file("SELECT at FROM item WHERE id = 2") == [("never",)]
    assert len(before & contents(crossed.pair.source, "item")) == 1


def test_a_row_that_comes_and_goes_under_the_key_of_one_left_out_does_it_no_harm(cross: Cross) -> None:
    ddl, choices = LEFT_OUT
    crossed = cross(ddl, choices=choices)
    crossed.brought_home("INSERT INTO item VALUES (2, '2024-02-02'); DELETE FROM item WHERE id = 2")
    assert crossed.file("SELECT at FROM item WHERE id = 2") == [("never",)]


def test_a_row_that_stays_under_the_key_of_one_left_out_ends_the_way_back(cross: Cross) -> None:
    ddl, choices = LEFT_OUT
    crossed = cross(ddl, choices=choices)
    with pytest.raises(Failed, match="which the plan left out") as caught:
        crossed.brought_home("INSERT INTO item VALUES (2, '2024-02-02')")
    assert caught.value.code == "NO_WAY_BACK_FOR_VALUE"
    assert crossed.file("SELECT at FROM item WHERE id = 2") == [("never",)]


def test_a_key_of_an_encrypted_column_is_not_shown(cross: Cross) -> None:
    crossed = cross("CREATE TABLE item (code TEXT PRIMARY KEY NOT NULL, x REAL); INSERT INTO item VALUES ('s3cret', 1)")
    plan = replace(crossed.pair.plan, encrypted=(EncryptedColumn("item", "code", "fernet", "KEY"),))
    crossed.pair = replace(crossed.pair, plan=plan)
    crossed.forms = replace(crossed.forms, plan_digest=plan.digest)
    with pytest.raises(Failed) as caught:
        crossed.brought_home("UPDATE item SET x = 'NaN'")
    assert "s3cret" not in str(caught.value)
