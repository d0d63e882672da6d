"""dump_sqlite_to_json and load_json_to_postgresql: what is dumped arrives, and what is wrong is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from tests.migrations_app.management.running import everything_in, fetch, make, run, session, shop

TABLES = """
CREATE TABLE customers (id bigint PRIMARY KEY, name text NOT NULL, email varchar(80), born date, active boolean,
    balance double precision, photo bytea);
CREATE TABLE orders (id bigint PRIMARY KEY, customer_id bigint NOT NULL REFERENCES customers, at timestamp,
    price numeric(10,2));
CREATE TABLE tags (tag text PRIMARY KEY, n integer);
CREATE TABLE log (line text);
"""


@pytest.fixture
def tables(target_url: str) -> str:
    """The tables as the application itself would have made them."""
    with session(target_url) as cursor:
        cursor.execute(TABLES)
    return target_url


def dump(tmp_path: Path, source: Path, *options: object) -> Path:
    done = run(tmp_path, "dump_sqlite_to_json", "--source", source, *options)
    assert done.code == 0 and done.report["outcome"] == "exported", done.text
    return Path(done.report["artefacts"].get("export") or done.report["artefacts"]["document"])


def test_a_dump_goes_into_a_folder_of_its_own_by_default(tmp_path: Path) -> None:
    folder = dump(tmp_path, shop(tmp_path / "a.sqlite"))
    assert folder.name.startswith("data_export_") and "manifest.json" in os.listdir(tmp_path / folder)


def test_a_dump_is_loaded_and_verified(tmp_path: Path, target_url: str) -> None:
    folder = dump(tmp_path, shop(tmp_path / "a.sqlite"), "--output", tmp_path / "out")
    loaded = run(tmp_path, "load_json_to_postgresql", "--source", folder, "--target", target_url)
    assert loaded.code == 0 and loaded.report["outcome"] == "loaded", loaded.text
    verified = run(tmp_path, "verify_migration", "--source", tmp_path / "a.sqlite", "--target", target_url)
    assert verified.code == 0, verified.text


def test_a_dump_is_loaded_into_tables_that_are_there(tmp_path: Path, tables: str) -> None:
    folder = dump(tmp_path, shop(tmp_path / "a.sqlite"), "--output", tmp_path / "out")
    load = ("load_json_to_postgresql", "--source", folder, "--target", tables, "--schema-mode", "existing", "--verify")
    done = run(tmp_path, *load)
    assert done.code == 0 and done.report["outcome"] == "verified", done.text
    assert fetch(tables, "SELECT name, active FROM customers WHERE id = 3") == [("客 3", True)]


def test_a_single_document_is_loaded_into_tables_that_are_there(tmp_path: Path, tables: str) -> None:
    document = dump(tmp_path, shop(tmp_path / "a.sqlite"), "--single-file", "--output", tmp_path)
    assert json.loads(document.read_text())["row_counts"]["customers"] == 30
    done = run(tmp_path, "load_json_to_postgresql", "--source", document, "--target", tables, "--verify")
    assert done.code == 0 and done.report["outcome"] == "verified", done.text
    assert fetch(tables, "SELECT count(*) FROM orders") == [(30,)]
    assert [bytes(row[0]) for row in fetch(tables, "SELECT photo FROM customers WHERE id = 5")] == [b"\x05\0"]


def test_a_single_document_makes_no_tables(tmp_path: Path, target_url: str) -> None:
    document = dump(tmp_path, shop(tmp_path / "a.sqlite"), "--single-file", "--output", tmp_path)
    load = ("load_json_to_postgresql", "--source", document, "--target", target_url, "--schema-mode", "create")
    done = run(tmp_path, *load)
    assert (done.code, done.error) == (2, "DOCUMENT_WITHOUT_TYPES")
    assert everything_in(target_url) == []


@pytest.mark.parametrize(
    "document",
    [
        {"tables": {"no_such_table": [{"a": 1}]}},
        {"tables": {"tags": [{"tag": "a", "n": 1, "no_such_column": 1}]}},
        {"tables": {"tags": [{"tag": "a", "n": "many"}]}},
        {"tables": {"tags": [{"tag": "a", "n": 1}]}, "row_counts": {"tags": 2}},
    ],
    ids=["table", "column", "value", "count"],
)
def test_a_document_that_does_not_fit_is_refused_and_the_tables_stay_empty(
    tmp_path: Path, tables: str, document: dict[str, object]
) -> None:
    (tmp_path / "d.json").write_text(json.dumps(document))
    before = everything_in(tables)
    done = run(tmp_path, "load_json_to_postgresql", "--source", tmp_path / "d.json", "--target", tables)
    assert done.code == 2 and done.report["outcome"] == "refused", done.text
    assert everything_in(tables) == before and fetch(tables, "SELECT count(*) FROM tags") == [(0,)]


def test_an_edited_byte_is_refused_and_nothing_is_left_in_the_target(tmp_path: Path, target_url: str) -> None:
    folder = dump(tmp_path, shop(tmp_path / "a.sqlite"), "--output", tmp_path / "out")
    chunk = folder / "2000001.jsonl"
    raw = bytearray(chunk.read_bytes())
    raw[5] ^= 1
    chunk.write_bytes(raw)
    done = run(tmp_path, "load_json_to_postgresql", "--source", folder, "--target", target_url)
    assert (done.code, done.error) == (2, "BAD_CHUNK"), done.text
    assert everything_in(target_url) == []


def test_an_unfinished_export_is_refused(tmp_path: Path, target_url: str) -> None:
    folder = dump(tmp_path, shop(tmp_path / "a.sqlite"), "--output", tmp_path / "out")
    (folder / "manifest.json").unlink()
    done = run(tmp_path, "load_json_to_postgresql", "--source", folder, "--target", target_url)
    assert (done.code, done.error) == (2, "NO_MANIFEST")


def test_a_dump_with_a_finding_is_loaded_once_a_choice_is_made(tmp_path: Path, target_url: str) -> None:
    path = make(tmp_path / "a.sqlite", "CREATE TABLE t (id INTEGER PRIMARY KEY, x TEXT)")
    make(path, "INSERT INTO t VALUES (1, 'a' || char(0)), (2, CAST(x'ff' AS TEXT))")
    folder = dump(tmp_path, path, "--output", tmp_path / "out")
    load = ("load_json_to_postgresql", "--source", folder, "--target", target_url, "--verify")
    done = run(tmp_path, *load)
    assert (done.code, done.error) == (2, "FINDINGS_WITHOUT_CHOICE") and everything_in(target_url) == []
    done = run(tmp_path, *load, "--choose", "NUL_IN_TEXT=bytea", "--choose", "INVALID_TEXT=bytea")
    assert done.code == 0, done.text
    assert [bytes(row[0]) for row in fetch(target_url, "SELECT x FROM t ORDER BY id")] == [b"a\0", b"\xff"]


def test_a_dump_into_a_folder_that_holds_other_files_is_refused(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("dear")
    path = shop(tmp_path / "a.sqlite")
    done = run(tmp_path, "dump_sqlite_to_json", "--source", path, "--output", tmp_path / "out")
    assert (done.code, done.error) == (2, "FOLDER_NOT_EMPTY")
    assert os.listdir(tmp_path / "out") == ["thesis.txt"]
