"""The generator makes databases of any size, and the same rows from the same seed."""

from pathlib import Path

from tests.demo.running import DEMO, environment, generate, run
from tests.demo.tables import TABLES, count, query

SMALL = ("--employees", "60", "--requests", "100", "--details", "200")


def dump(path: Path) -> dict[str, list[object]]:
    return {table: query(path, f"SELECT * FROM {table} ORDER BY 1") for table in TABLES}


def test_the_same_seed_gives_the_same_cells(tmp_path: Path) -> None:
    first = generate(tmp_path / "a.db", *SMALL, "--seed", "7")
    second = generate(tmp_path / "b.db", *SMALL, "--seed", "7")
    other = generate(tmp_path / "c.db", *SMALL, "--seed", "8")
    assert dump(first) == dump(second)
    assert all(dump(first)[table] != dump(other)[table] for table in TABLES)


def test_sizes_are_what_was_asked_for(tmp_path: Path) -> None:
    path = generate(tmp_path / "a.db", "--employees", "41", "--requests", "77", "--details", "333")
    assert (count(path, "employees"), count(path, "leave_requests")) == (41, 77)
    assert count(path, "yukyu_usage_details") == 333
    assert sum(count(path, table) for table in ("genzai", "ukeoi", "staff")) == 21


def test_the_smallest_database_can_be_made(tmp_path: Path) -> None:
    path = generate(tmp_path / "a.db", "--employees", "1", "--requests", "0", "--details", "0")
    assert count(path, "employees") == 1


def test_the_rows_are_whole(generated: Path) -> None:
    assert query(generated, "PRAGMA integrity_check") == [("ok",)]
    assert query(generated, "PRAGMA foreign_key_check") == []
    wrong = """SELECT count(*) FROM employees e WHERE e.used <>
               (SELECT coalesce(sum(d.days_used), 0) FROM yukyu_usage_details d WHERE d.employee_id = e.id)
               OR e.balance <> e.granted - e.used"""
    assert query(generated, wrong) == [(0,)]


def test_the_texts_are_nasty_and_every_kind_of_nothing_is_there(generated: Path) -> None:
    notes = {
        text for (text,) in query(generated, "SELECT notes FROM employees UNION SELECT reason FROM leave_requests")
    }
    assert {None, "", " ", "NULL", "\\N", "\\.", "null", "'; DROP TABLE employees; --"} <= notes
    assert any("🎉" in text for text in notes if text)
    assert any("\r\n" in text for text in notes if text)
    assert any("\t" in text for text in notes if text)
    profiles = {text for (text,) in query(generated, "SELECT profile FROM employees")}
    assert {None, "null", "{}"} <= profiles


def test_a_password_is_not_stored(generated: Path) -> None:
    hashes = [text for (text,) in query(generated, "SELECT password_hash FROM users")]
    assert all(text.startswith("scrypt$") or text == "!" for text in hashes)
    assert len(set(hashes)) == len(hashes)


def test_a_file_that_is_there_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "a.db"
    path.write_bytes(b"mine")
    done = run(DEMO / "generate.py", path, env=environment("sqlite://"))
    assert done.returncode == 2
    assert "--force" in done.stderr
    assert path.read_bytes() == b"mine"
    assert [each.name for each in tmp_path.iterdir()] == ["a.db"]
