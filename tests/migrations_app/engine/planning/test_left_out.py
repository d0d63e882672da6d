"""Rows that are left out by choice: their children are known before the load, and no key fails because of them."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations_app.engine.plan import MODE_EXISTING, SKIP, Finding, MovePlan
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.moves import Look
from tests.migrations_app.engine.planning.test_wide_rows import noise
from tests.migrations_app.engine.sqlite_files import build
from tests.migrations_app.engine.whole_moves import again, move, planned

SKIPPING = ("NUL_IN_TEXT", "skip_rows")
CHILD = "CREATE TABLE child(id INTEGER PRIMARY KEY, {columns}, FOREIGN KEY({key}) REFERENCES parent);"


def only(plan: MovePlan, code: str) -> Finding:
    (found,) = [finding for finding in plan.findings if finding.code == code]
    return found


def keys(look: Look) -> list[tuple[bool]]:
    return look.rows(
        "SELECT convalidated FROM pg_constraint WHERE contype = 'f' AND conrelid::regclass::text LIKE '%child'"
    )


@pytest.mark.parametrize(
    "script",
    [
        # by rowid
        f"""CREATE TABLE parent(id INTEGER PRIMARY KEY, v TEXT); {CHILD.format(columns="p INTEGER", key="p")}
            INSERT INTO parent VALUES(1, 'a'), (2, 'a' || char(0)), (3, NULL);
            INSERT INTO child VALUES(7, 1), (8, 2), (9, NULL), (10, 2)""",
        # by texts, numbers and blobs
        f"""CREATE TABLE parent(k TEXT, n REAL, b BLOB, v TEXT, PRIMARY KEY(k, n, b)) WITHOUT ROWID;
            {CHILD.format(columns="k TEXT, n REAL, b BLOB", key="k, n, b")}
            INSERT INTO parent VALUES('ä', 0.1, x'ff', 'a'), ('ä', 0.1, x'fe', char(0)), ('a', 1, x'', NULL);
            INSERT INTO child VALUES(7, 'ä', 0.1, x'ff'), (8, 'ä', 0.1, x'fe'), (9, NULL, 0.1, x'fe'),
                                    (10, 'ä', 0.1, x'fe')""",
        # the texts of a file in UTF-16
        f"""PRAGMA encoding = 'UTF-16le'; CREATE TABLE parent(k TEXT PRIMARY KEY, v TEXT) WITHOUT ROWID;
            {CHILD.format(columns="k TEXT", key="k")}
            INSERT INTO parent VALUES('ä€', 'a'), ('ö€', char(0)); INSERT INTO child
            VALUES(7, 'ä€'), (8, 'ö€'), (9, NULL), (10, 'ö€')""",
        # rows of its own table, one of which is left out itself
        """CREATE TABLE child(id INTEGER PRIMARY KEY, p REFERENCES child, v TEXT);
           INSERT INTO child VALUES(1, 1, 'a'), (2, 1, char(0)), (3, 2, char(0)), (8, 2, ''), (10, 3, '')""",
    ],
)
def test_children_of_rows_that_are_left_out_are_orphans(
    script: str, tmp_path: Path, url: TargetUrl, look: Look
) -> None:
    path = build(tmp_path / "t.db", script)
    plan, result = move(path, url, choices=[SKIPPING])
    found = only(plan, "ORPHANS")
    assert (found.table, found.row_key, found.count, found.choice) == ("child", '{"id": 8}', 2, "not_valid")
    assert "left out, by choice" in found.message
    assert result.equal and keys(look) == [(False,)]
    assert {(8,), (10,)} <= set(look.rows("SELECT id FROM child"))


def test_a_key_is_made_whole_where_only_rows_without_children_are_left_out(
    tmp_path: Path, url: TargetUrl, look: Look
) -> None:
    """Not even a child without a parent counts that is left out itself."""
    script = f"""CREATE TABLE parent(id INTEGER PRIMARY KEY, v TEXT);
                 {CHILD.format(columns="p INTEGER, v TEXT", key="p")}
                 INSERT INTO parent VALUES(1, 'a'), (2, char(0)); INSERT INTO child VALUES(1, 1, ''), (2, 5, char(0))"""
    plan, result = move(build(tmp_path / "t.db", script), url, choices=[SKIPPING])
    assert [finding.code for finding in plan.findings] == ["NUL_IN_TEXT", "NUL_IN_TEXT"]
    assert result.equal and keys(look) == [(True,)]


def test_children_of_rows_too_wide_are_orphans(tmp_path: Path, url: TargetUrl, look: Look) -> None:
    names = ", ".join(f"c{place} TEXT" for place in range(500))
    script = f"CREATE TABLE parent(id INTEGER PRIMARY KEY, {names}); {CHILD.format(columns='p INTEGER', key='p')}"
    insert = f"INSERT INTO parent VALUES(?{', ?' * 500})"
    rows = [(insert, (1, *["short"] * 500)), (insert, (2, *[noise(40) for _ in range(500)]))]
    path = build(tmp_path / "t.db", script, [*rows, ("INSERT INTO child VALUES(1, 1), (2, 2)", ())])
    plan, result = move(path, url, choices=[("ROW_TOO_WIDE", "skip_rows")])
    assert (only(plan, "ORPHANS").row_key, only(plan, "ORPHANS").count) == ('{"id": 2}', 1)
    assert result.equal and look.rows("SELECT id, p FROM child ORDER BY id") == [(1, 1), (2, 2)]


def test_a_unique_key_has_no_duplicates_once_rows_are_left_out(tmp_path: Path, url: TargetUrl, look: Look) -> None:
    script = """CREATE TABLE t(id INTEGER PRIMARY KEY, u TEXT, v TEXT);
                INSERT INTO t VALUES(1, 'same', ''), (2, 'same', char(0)), (3, 'other', '')"""
    path = build(tmp_path / "t.db", script)
    look.run("CREATE TABLE t(id bigint PRIMARY KEY, u text UNIQUE, v text)")
    _plan, result = move(path, url, MODE_EXISTING, [("VALUE_DOES_NOT_FIT", "skip_rows")])
    assert result.equal and look.rows("SELECT id FROM t ORDER BY id") == [(1,), (3,)]


FAMILY = """CREATE TABLE a_child(id INTEGER PRIMARY KEY, p INTEGER);
            CREATE TABLE parent(id INTEGER PRIMARY KEY, n INTEGER);
            INSERT INTO parent VALUES(1, 7), (2, -1); INSERT INTO a_child VALUES(1, 1), (2, 2)"""


def test_the_applications_own_key_asks_what_becomes_of_such_children(
    tmp_path: Path, url: TargetUrl, look: Look
) -> None:
    path = build(tmp_path / "t.db", FAMILY.replace("-1)", "'words')"))
    look.run("CREATE TABLE parent(id bigint PRIMARY KEY, n bigint)")
    look.run("CREATE TABLE a_child(id bigint PRIMARY KEY, p bigint REFERENCES parent)")
    skipping = ("VALUE_DOES_NOT_FIT", "skip_rows")
    with open_source(path) as source:
        (found,) = planned(source, url, MODE_EXISTING, [skipping])[0].open_findings
    assert (found.code, found.table, found.row_key, found.count) == ("ORPHANS", "a_child", '{"id": 2}', 1)
    assert found.choices == ("not_valid",)
    plan, result = move(path, url, MODE_EXISTING, [skipping, ("ORPHANS", "not_valid")])
    assert result.equal and keys(look) == [(False,)]
    look.run("DELETE FROM a_child WHERE id = 1")
    assert [difference.row_key for difference in again(path, plan, url).differences] == ['{"id": 1}']


def test_a_parent_that_its_rows_keep_from_being_moved_is_told_to_its_children(
    tmp_path: Path, url: TargetUrl, look: Look
) -> None:
    path = build(tmp_path / "t.db", FAMILY)
    look.run("CREATE TABLE parent(id bigint PRIMARY KEY, n bigint CHECK (n >= 0))")
    look.run("CREATE TABLE a_child(id bigint PRIMARY KEY, p bigint REFERENCES parent)")
    choices = [("CHECK_VIOLATED", "skip"), ("PARENT_NOT_MOVED", "not_valid")]
    plan, result = move(path, url, MODE_EXISTING, choices)
    assert plan.table("parent").rule == SKIP and only(plan, "PARENT_NOT_MOVED").choices == ("create", "not_valid")
    assert result.equal and keys(look) == [(False,)]
    assert look.rows("SELECT id, p FROM a_child ORDER BY id") == [(1, 1), (2, 2)]
