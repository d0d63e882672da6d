"""verify_migration finds what was changed by hand, and nothing where nothing was."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from tests.migrations_app.management.running import fetch, run, session, shop


@pytest.fixture
def moved(tmp_path: Path, target_url: str) -> Path:
    path = shop(tmp_path / "a.sqlite")
    done = run(tmp_path, "move_database", "--source", path, "--target", target_url, "--export-dir", tmp_path / "export")
    assert done.code == 0, done.text
    return path


def test_an_untouched_target_is_equal(tmp_path: Path, moved: Path, target_url: str) -> None:
    done = run(tmp_path, "verify_migration", "--source", moved, "--target", target_url)
    assert done.code == 0 and done.report["outcome"] == "verified", done.text
    assert any("plan that the target keeps" in note for note in done.report["notes"])


@pytest.mark.parametrize(
    ("sql", "kind", "table", "column"),
    [
        ("UPDATE customers SET balance = balance + 1e-12 WHERE id = 7", "different", "customers", "balance"),
        ("UPDATE customers SET name = name || ' ' WHERE id = 7", "different", "customers", "name"),
        ("UPDATE customers SET active = NULL WHERE id = 7", "different", "customers", "active"),
        ("DELETE FROM orders WHERE id = 7", "missing_row", "orders", ""),
        ("INSERT INTO tags VALUES ('new', 1)", "extra_row", "tags", ""),
    ],
)
def test_what_was_changed_by_hand_is_found_and_left_to_be_looked_at(
    tmp_path: Path, moved: Path, target_url: str, sql: str, kind: str, table: str, column: str
) -> None:
    with session(target_url) as cursor:
        cursor.execute(sql)
    done = run(tmp_path, "verify_migration", "--source", moved, "--target", target_url)
    assert done.code == 1 and done.report["outcome"] == "different", done.text
    found = [d for d in done.report["differences"] if d["table"] == table]
    assert [(d["kind"], d["column"]) for d in found] == [(kind, column)]
    if table != "tags":
        assert "7" in found[0]["row_key"]
    assert fetch(target_url, "SELECT count(*) FROM customers") == [(30,)]


def test_values_are_shown_only_when_asked_for(tmp_path: Path, moved: Path, target_url: str) -> None:
    with session(target_url) as cursor:
        cursor.execute("UPDATE customers SET name = 'Mallory' WHERE id = 7")
    plain = run(tmp_path, "verify_migration", "--source", moved, "--target", target_url)
    assert "Mallory" not in plain.text + json.dumps(plain.report)
    detailed = run(tmp_path, "verify_migration", "--source", moved, "--target", target_url, "--detailed")
    assert "Mallory" in detailed.stdout and "customers: 30 rows" in detailed.stdout


def test_a_lost_index_is_found(tmp_path: Path, moved: Path, target_url: str) -> None:
    with session(target_url) as cursor:
        cursor.execute("DROP INDEX orders_at")
    done = run(tmp_path, "verify_migration", "--source", moved, "--target", target_url)
    assert done.code == 1 and "orders_at" in json.dumps(done.report["differences"]), done.text


def test_it_can_go_by_a_plan_from_a_file(tmp_path: Path, moved: Path, target_url: str) -> None:
    with session(target_url) as cursor:
        cursor.execute("DROP SCHEMA causeway CASCADE")
    plan = tmp_path / "export" / "manifest.json"
    done = run(tmp_path, "verify_migration", "--source", moved, "--target", target_url, "--plan", plan)
    assert done.code == 0, done.text
    plan.write_text("{}")
    done = run(tmp_path, "verify_migration", "--source", moved, "--target", target_url, "--plan", plan)
    assert (done.code, done.error) == (2, "BAD_PLAN_FILE")


def test_without_any_plan_it_plans_anew_and_says_so(tmp_path: Path, moved: Path, target_url: str) -> None:
    with session(target_url) as cursor:
        cursor.execute("DROP SCHEMA causeway CASCADE")
    done = run(tmp_path, "verify_migration", "--source", moved, "--target", target_url)
    assert done.code == 0 and any("planned anew" in note for note in done.report["notes"]), done.text
    with session(target_url) as cursor:
        cursor.execute("UPDATE customers SET balance = 0 WHERE id = 7")
    assert run(tmp_path, "verify_migration", "--source", moved, "--target", target_url).code == 1


def test_a_source_that_went_on_is_different_and_that_is_said(tmp_path: Path, moved: Path, target_url: str) -> None:
    with sqlite3.connect(moved) as connection:
        connection.execute("INSERT INTO log VALUES ('later')")
    done = run(tmp_path, "verify_migration", "--source", moved, "--target", target_url)
    assert done.code == 1 and any("since it was loaded" in note for note in done.report["notes"]), done.text
