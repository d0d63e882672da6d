"""move_database as a user runs it: moved and equal, or refused with the target untouched, or failed and cleaned up."""

from __future__ import annotations

import json
import os
import re
import resource
import sqlite3
from datetime import date
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.migrations_app.management.running import ROOT, everything_in, fetch, left_over, make, run, session, shop

CASES = ROOT.parent / "shared" / "cases" / "db"
REAL_FILES = [name for name in ("chinook.sqlite", "northwind.db") if (CASES / name).exists()]


def test_a_database_arrives_with_every_cell_and_object(tmp_path: Path, target_url: str) -> None:
    done = run(tmp_path, "move_database", "--source", shop(tmp_path / "a.sqlite"), "--target", target_url)
    assert done.code == 0, done.text
    report = done.report
    assert report["outcome"] == "verified" and report["differences"] == []
    assert {table["name"]: table["rows"] for table in report["tables"]} == {
        "customers": 30,
        "orders": 30,
        "tags": 3,
        "log": 3,
    }
    assert {table["name"]: table["cells"] for table in report["tables"]}["customers"] == 210
    counts = {kind: (group["source"], group["carried"]) for kind, group in report["objects"].items()}
    assert counts["foreign_keys"] == counts["checks"] == counts["views"] == counts["uniques"] == (1, 1)
    assert counts["indexes"] == (1, 1) and counts["defaults"] == (1, 1)
    assert {"plan", "export", "load", "verify", "total"} <= report["seconds"].keys()
    assert 20 < report["peak_memory_mb"] < 400
    row = fetch(target_url, "SELECT id, name, email, born, active, balance, photo FROM customers WHERE id = 3")[0]
    assert (*row[:6], bytes(row[6])) == (3, "客 3", "c3@example.com", date(1913, 2, 3), True, 3 / 7, b"\x03\0")
    assert fetch(target_url, "SELECT count(*) FROM names") == [(30,)]
    with session(target_url) as cursor:
        cursor.execute("INSERT INTO customers (name) VALUES ('next') RETURNING id")
        assert cursor.fetchone() == (31,)


@pytest.mark.parametrize("name", ["built here", *REAL_FILES])
def test_a_database_arrives_cell_by_cell(tmp_path: Path, target_url: str, name: str) -> None:
    path = shop(tmp_path / "a.sqlite") if name == "built here" else tmp_path / name
    if name in REAL_FILES:
        path.write_bytes((CASES / name).read_bytes())
    done = run(tmp_path, "move_database", "--source", path, "--target", target_url)
    assert done.code == 0, done.text
    # Compared once more here, by other means than our own verification.
    with sqlite3.connect(path) as source:
        tables = [row[0] for row in source.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        for table in tables:
            if table.startswith("sqlite_"):
                continue
            ours = [tuple(map(plain, row)) for row in fetch(target_url, f'SELECT * FROM "{table}"')]
            theirs = [tuple(map(plain, row)) for row in source.execute(f'SELECT * FROM "{table}"')]
            assert sorted(ours, key=repr) == sorted(theirs, key=repr), table


def plain(value: object) -> object:
    """A value in a form that both databases' drivers give alike: numbers as floats, the rest as text."""
    if value is None or isinstance(value, bytes):
        return value
    if isinstance(value, memoryview):
        return bytes(value)
    if isinstance(value, bool):
        return float(value)
    try:
        return float(str(value))
    except ValueError:
        return re.sub(r"(:\d\d)\.0+$", r"\1", str(value))  # psycopg2 prints a time without its empty fraction


def test_the_same_command_again_changes_nothing(tmp_path: Path, target_url: str) -> None:
    path = shop(tmp_path / "a.sqlite")
    assert run(tmp_path, "move_database", "--source", path, "--target", target_url).code == 0
    again = run(tmp_path, "move_database", "--source", path, "--target", target_url)
    assert again.code == 0 and again.report["outcome"] == "verified", again.text
    assert fetch(target_url, "SELECT count(*) FROM customers") == [(30,)]


def test_the_url_may_come_from_the_environment(tmp_path: Path, target_url: str) -> None:
    path = shop(tmp_path / "a.sqlite")
    done = run(tmp_path, "move_database", "--source", path, TARGET_DATABASE_URL=target_url)
    assert done.code == 0, done.text
    secret = urlsplit(target_url).password
    assert secret and secret not in done.text + json.dumps(done.report)


def test_a_plan_needs_no_target_and_writes_nothing(tmp_path: Path) -> None:
    path = shop(tmp_path / "a.sqlite")
    before = path.read_bytes()
    done = run(tmp_path, "move_database", "--source", path, "--plan-only")
    assert done.code == 0 and done.report["outcome"] == "planned", done.text
    assert [table["name"] for table in done.report["tables"]] == ["customers", "log", "orders", "tags"]
    assert path.read_bytes() == before and sorted(os.listdir(tmp_path)) == ["a.sqlite", "report.json", "tmp"]


def test_a_finding_without_a_choice_is_refused_and_with_one_it_goes(tmp_path: Path, target_url: str) -> None:
    path = make(tmp_path / "a.sqlite", "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
    with sqlite3.connect(path) as connection:
        connection.execute("INSERT INTO t VALUES (7, 'a' || char(0) || 'b'), (8, 'plain')")
    move = ("move_database", "--source", path, "--target", target_url)
    done = run(tmp_path, *move)
    assert done.code == 2 and done.report["outcome"] == "refused" and done.error == "FINDINGS_WITHOUT_CHOICE"
    finding = next(f for f in done.report["findings"] if f["severity"] == "refuse")
    assert (finding["code"], finding["table"], finding["column"]) == ("NUL_IN_TEXT", "t", "x")
    assert finding["choices"] and "7" in finding["row_key"] and "--choose" in done.stdout
    assert everything_in(target_url) == []
    done = run(tmp_path, *move, "--choose", "NUL_IN_TEXT@t.x=bytea")
    assert done.code == 0, done.text
    assert [bytes(row[0]) for row in fetch(target_url, "SELECT x FROM t ORDER BY id")] == [b"a\0b", b"plain"]


def test_an_excluded_table_stays_behind(tmp_path: Path, target_url: str) -> None:
    path = shop(tmp_path / "a.sqlite")
    done = run(tmp_path, "move_database", "--source", path, "--target", target_url, "--exclude", "log")
    assert done.code == 0, done.text
    assert ("public", "log") not in everything_in(target_url)
    assert "log" not in [table["name"] for table in done.report["tables"]]


def source_file(folder: Path, kind: str) -> Path:
    path = folder / "a.sqlite"
    if kind == "empty":
        path.touch()
    elif kind == "text":
        path.write_text("this is no database " * 400)
    elif kind == "folder":
        path.mkdir()
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "truncated":
        shop(path, customers=2000)
        os.truncate(path, path.stat().st_size // 2)
    return path


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        ("missing", "NOT_FOUND"),
        ("empty", "EMPTY_FILE"),
        ("text", "NOT_SQLITE"),
        ("folder", "NOT_A_FILE"),
        ("fifo", "NOT_A_FILE"),
        ("truncated", "TRUNCATED"),
    ],
)
def test_a_source_that_is_no_database_is_refused(tmp_path: Path, target_url: str, kind: str, code: str) -> None:
    path = source_file(tmp_path, kind)
    done = run(tmp_path, "move_database", "--source", path, "--target", target_url)
    assert (done.code, done.error) == (2, code), done.text
    assert str(path) in done.stderr and everything_in(target_url) == []


CANARY = "canary-4711-secret"


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("", "EMPTY_URL"),
        (f"mysql://u:{CANARY}@127.0.0.1/d", "BAD_URL"),
        (f"postgresql://u:{CANARY}/x@127.0.0.1/d", "BAD_URL"),
        (f"postgresql://u:{CANARY}@127.0.0.1/d?passfile=/etc/passwd", "URL_PARAMETER"),
        (f"postgresql://u:{CANARY}@127.0.0.1/d?options=-csearch_path%3Dx", "URL_PARAMETER"),
        (f"postgresql://u:{CANARY}@127.0.0.1/d?host=/tmp", "URL_PARAMETER"),
        (f"postgresql://u:{CANARY}@%2Ftmp/d", "BAD_URL"),
        (f"postgresql://u:{CANARY}@db.example.com/d", "REMOTE_WITHOUT_TLS"),
        (f"postgresql://u:{CANARY}@no-such-host.invalid/d?sslmode=verify-full&connect_timeout=2", "TARGET_UNREACHABLE"),
        (f"postgresql://u:{CANARY}@127.0.0.1:1/d", "TARGET_UNREACHABLE"),
    ],
)
def test_a_target_that_can_not_be_used_is_refused_and_its_password_never_shown(
    tmp_path: Path, url: str, code: str
) -> None:
    path = shop(tmp_path / "a.sqlite")
    done = run(tmp_path, "move_database", "--source", path, "--target", url)
    assert (done.code, done.error) == (2, code), done.text
    assert CANARY not in done.text + json.dumps(done.report)
    assert done.report["error"]["hint"]


def test_a_wrong_password_and_a_missing_database_are_told_apart(tmp_path: Path, target_url: str) -> None:
    path = shop(tmp_path / "a.sqlite")
    parts = urlsplit(target_url)
    where = f"{parts.username}:{{}}@{parts.hostname}:{parts.port}"
    wrong = run(
        tmp_path, "move_database", "--source", path, "--target", f"postgresql://{where.format(CANARY)}/postgres"
    )
    assert (wrong.code, wrong.error) == (2, "WRONG_PASSWORD")
    assert CANARY not in wrong.text + json.dumps(wrong.report)
    missing = f"postgresql://{where.format(parts.password)}/no_such_database"
    done = run(tmp_path, "move_database", "--source", path, "--target", missing)
    assert (done.code, done.error) == (2, "NO_SUCH_DATABASE")
    assert "CREATE DATABASE" in done.stderr


def test_a_role_without_rights_is_shown_the_grant(tmp_path: Path, powerless_url: str) -> None:
    done = run(tmp_path, "move_database", "--source", shop(tmp_path / "a.sqlite"), "--target", powerless_url)
    assert (done.code, done.error) == (2, "NO_RIGHTS")
    assert "GRANT CREATE ON DATABASE" in done.stderr
    assert everything_in(powerless_url) == []


def test_a_target_table_that_holds_rows_is_refused_and_left_alone(tmp_path: Path, target_url: str) -> None:
    with session(target_url) as cursor:
        cursor.execute("CREATE TABLE customers (id int); INSERT INTO customers VALUES (42)")
    before = everything_in(target_url)
    done = run(tmp_path, "move_database", "--source", shop(tmp_path / "a.sqlite"), "--target", target_url)
    assert (done.code, done.error) == (2, "TARGET_NOT_EMPTY"), done.text
    assert "customers" in done.stderr
    assert everything_in(target_url) == before and fetch(target_url, "SELECT id FROM customers") == [(42,)]


@pytest.mark.parametrize(
    ("option", "value", "code"),
    [
        ("--choose", "NUL_IN_TEXT", "BAD_CHOICE"),
        ("--choose", "NO_SUCH_CODE=bytea", ""),
        ("--exclude", "no_such_table", ""),
        ("--jobs", "0", "BAD_JOBS"),
    ],
)
def test_an_option_that_means_nothing_is_refused(
    tmp_path: Path, target_url: str, option: str, value: str, code: str
) -> None:
    path = shop(tmp_path / "a.sqlite")
    done = run(tmp_path, "move_database", "--source", path, "--target", target_url, option, value)
    assert done.code == 2 and (not code or done.error == code), done.text
    assert everything_in(target_url) == []


def test_an_unknown_flag_does_not_print_the_password(tmp_path: Path) -> None:
    done = run(tmp_path, "move_database", "--source", "x", "--traget", f"postgresql://u:{CANARY}@h/d")
    assert done.code == 2 and CANARY not in done.text


def test_a_terminal_is_not_fed_what_a_name_in_the_file_holds(tmp_path: Path, target_url: str) -> None:
    name = "evil\x1b]0;owned\x07"
    path = make(tmp_path / "a.sqlite", f'CREATE TABLE "{name}" (x TEXT); INSERT INTO "{name}" VALUES (\'1\')')
    done = run(tmp_path, "move_database", "--source", path, "--target", target_url)
    assert done.code == 0, done.text
    assert "\x1b" not in done.text


def test_the_export_can_be_kept(tmp_path: Path, target_url: str, second_url: str) -> None:
    path = shop(tmp_path / "a.sqlite")
    folder = tmp_path / "kept"
    done = run(tmp_path, "move_database", "--source", path, "--target", target_url, "--export-dir", folder)
    assert done.code == 0 and done.report["artefacts"]["export"] == str(folder), done.text
    loaded = run(tmp_path, "load_json_to_postgresql", "--source", folder, "--target", second_url, "--verify")
    assert loaded.code == 0 and loaded.report["outcome"] == "verified", loaded.text
    assert fetch(second_url, "SELECT * FROM orders") == fetch(target_url, "SELECT * FROM orders")


def test_a_full_disk_fails_and_leaves_the_target_as_it_was(
    tmp_path: Path, target_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = shop(tmp_path / "a.sqlite", customers=4000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # the child inherits it
    try:
        done = run(tmp_path, "move_database", "--source", path, "--target", target_url)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (done.code, done.error) == (3, "DISK_FULL"), done.text
    assert everything_in(target_url) == [] and left_over(tmp_path) == []
