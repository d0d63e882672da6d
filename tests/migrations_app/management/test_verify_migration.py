"""verify_migration finds what was changed by hand, and nothing where nothing was."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import time
from pathlib import Path

import pytest

from tests.migrations_app.management.running import SECONDS, arguments, environment, fetch, run, session, shop


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


def test_detailed_shows_null_and_empty_values_apart(tmp_path: Path, moved: Path, target_url: str) -> None:
    with session(target_url) as cursor:
        cursor.execute("UPDATE customers SET email = NULL WHERE id = 7; UPDATE tags SET n = 0 WHERE tag = 'a'")
    done = run(tmp_path, "verify_migration", "--source", moved, "--target", target_url, "--detailed")
    assert "'c7@example.com' became None" in done.stdout and "None became '0'" in done.stdout
    assert done.report["peak_memory_mb"] > 10
    assert {"verify", "verify.schema", "verify.rows"} <= done.report["seconds"].keys()


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


# A source that is no longer what was planned


@pytest.mark.parametrize(
    ("sql", "table", "column"),
    [
        ("CREATE TABLE later (x)", "later", ""),
        ("ALTER TABLE tags ADD later TEXT", "tags", "later"),
    ],
)
def test_what_came_into_the_source_after_the_plan_is_different(
    tmp_path: Path, moved: Path, target_url: str, sql: str, table: str, column: str
) -> None:
    with sqlite3.connect(moved) as connection:
        connection.execute(sql)
    done = run(tmp_path, "verify_migration", "--source", moved, "--target", target_url)
    assert done.code == 1, done.text
    assert done.report["differences"] == [{"table": table, "row_key": "", "column": column, "kind": "not_in_plan"}]


def test_an_index_that_came_after_the_plan_keeps_it_from_being_proved(
    tmp_path: Path, moved: Path, target_url: str
) -> None:
    with sqlite3.connect(moved) as connection:
        connection.execute("CREATE INDEX later ON log (line)")
    done = run(tmp_path, "verify_migration", "--source", moved, "--target", target_url)
    assert (done.code, done.report["outcome"], done.report["difference_count"]) == (1, "different", 0), done.text
    assert "schema is not the one that was planned" in done.report["inconclusive"][0]
    assert "NOT PROVED" in done.stdout and "DIFFERENT" not in done.stdout


def test_a_value_that_its_column_cannot_hold_is_named(tmp_path: Path, moved: Path, target_url: str) -> None:
    with sqlite3.connect(moved) as connection:
        connection.execute("UPDATE orders SET price = 'canary' WHERE id = 7")
        connection.execute("UPDATE orders SET customer_id = 9 WHERE id = 8")
    done = run(tmp_path, "verify_migration", "--source", moved, "--target", target_url)
    assert done.code == 1, done.text
    found = {(d["table"], d["row_key"], d["column"], d["kind"]) for d in done.report["differences"]}
    assert ("orders", '{"id": 7}', "price", "unfit") in found
    assert ("orders", '{"id": 8}', "customer_id", "different") in found
    assert "canary" not in done.text


# Without a record


def test_a_table_that_the_target_lost_is_found_without_any_plan(tmp_path: Path, moved: Path, target_url: str) -> None:
    with session(target_url) as cursor:
        cursor.execute("DROP SCHEMA causeway CASCADE; DROP TABLE tags; ALTER TABLE log RENAME line TO other")
    done = run(tmp_path, "verify_migration", "--source", moved, "--target", target_url)
    assert done.code == 1, done.text
    found = {(d["table"], d["column"], d["kind"]) for d in done.report["differences"]}
    assert ("tags", "", "table_missing_in_target") in found
    assert ("log", "line", "column_missing_in_target") in found


def test_in_mode_create_objects_are_compared_without_any_plan(tmp_path: Path, moved: Path, target_url: str) -> None:
    with session(target_url) as cursor:
        cursor.execute("DROP SCHEMA causeway CASCADE")
    command = ("verify_migration", "--source", moved, "--target", target_url, "--schema-mode", "create")
    done = run(tmp_path, *command)
    assert done.code == 0, done.text
    with session(target_url) as cursor:
        cursor.execute("DROP VIEW names; CREATE TABLE stranger (x int)")
    done = run(tmp_path, *command)
    found = {(d["table"], d["column"], d["kind"]) for d in done.report["differences"]}
    assert (done.code, found) == (1, {("", "names", "view_missing"), ("stranger", "", "table_extra")}), done.text
    assert done.report["objects"]["views"]["carried"] == 0


def test_what_the_plan_left_out_is_said(tmp_path: Path, target_url: str) -> None:
    path = shop(tmp_path / "a.sqlite")
    done = run(tmp_path, "move_database", "--source", path, "--target", target_url, "--exclude", "log")
    assert done.code == 0, done.text
    done = run(tmp_path, "verify_migration", "--source", path, "--target", target_url)
    assert done.code == 0, done.text
    assert any("log (left out with --exclude)" in note for note in done.report["notes"])


def test_what_was_loaded_by_other_choices_than_exported_is_compared_with_the_first_file(
    tmp_path: Path, target_url: str
) -> None:
    path, folder = shop(tmp_path / "a.sqlite"), tmp_path / "dump"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TRIGGER t AFTER INSERT ON tags BEGIN SELECT 1; END")
    assert run(tmp_path, "dump_sqlite_to_json", "--source", path, "--output", folder, "--exclude", "log").code == 0
    choice = ("--schema-mode", "create", "--choose", "NUL_IN_TEXT=bytea")
    done = run(tmp_path, "load_json_to_postgresql", "--source", folder, "--target", target_url, *choice, "--verify")
    assert done.code == 0, done.text
    done = run(tmp_path, "verify_migration", "--source", path, "--target", target_url)
    assert done.code == 0, done.text
    assert any("log (left out with --exclude)" in note for note in done.report["notes"])


# Exit status


def test_bad_input_is_refused_with_2(tmp_path: Path, moved: Path, target_url: str) -> None:
    missing = run(tmp_path, "verify_migration", "--source", tmp_path / "none.sqlite", "--target", target_url)
    assert (missing.code, missing.report["outcome"]) == (2, "refused")
    elsewhere = run(tmp_path, "verify_migration", "--source", moved, "--target", f"{target_url}_none")
    assert (elsewhere.code, elsewhere.error) == (2, "NO_SUCH_DATABASE")


def test_a_verification_that_is_stopped_has_failed_with_3(tmp_path: Path, moved: Path, target_url: str) -> None:
    report = tmp_path / "stopped.json"
    command = arguments("verify_migration", "--source", moved, "--target", target_url, "--report", report)
    with session(target_url) as cursor:
        cursor.execute("LOCK TABLE log IN ACCESS EXCLUSIVE MODE")
        process = subprocess.Popen(command, env=environment(tmp_path), cwd=tmp_path, stderr=subprocess.DEVNULL)
        try:
            wait_for(target_url, "SELECT count(*) FROM pg_locks WHERE NOT granted", process)
            process.terminate()
            assert process.wait(SECONDS) == 3
        finally:
            process.kill()
            process.wait()
    document = json.loads(report.read_text())
    assert (document["outcome"], document["error"]["code"]) == ("failed", "CANCELLED")


def wait_for(url: str, sql: str, process: subprocess.Popen[bytes]) -> None:
    """Until the query gives something else than 0."""
    deadline = time.monotonic() + SECONDS
    while not fetch(url, sql)[0][0]:
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
