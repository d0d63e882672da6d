"""Mode existing by command: into the application's own tables, again, and after a death."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tests.migrations_app.engine.moves import Look
from tests.migrations_app.management.running import run

SCHEMA = """CREATE TABLE city (id integer PRIMARY KEY, name text NOT NULL);
            CREATE TABLE person (id serial PRIMARY KEY, name varchar(40), age integer CONSTRAINT grown CHECK (age > 17),
                                 city integer CONSTRAINT lives REFERENCES city);
            INSERT INTO city VALUES (1, 'seeded')"""
CHOICES = ("--choose", "TARGET_NOT_EMPTY=empty", "--choose", "CHECK_VIOLATED@person.age=not_valid")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "a.sqlite"
    with closing(sqlite3.connect(path)) as database:
        database.executescript(
            """CREATE TABLE city(id INTEGER PRIMARY KEY, name TEXT);
               CREATE TABLE person(id INTEGER PRIMARY KEY, name TEXT, age INT, city INT);
               INSERT INTO city VALUES(1, 'Zoug'), (2, 'Basel');
               INSERT INTO person VALUES(1, 'Ada', 36, 1), (2, 'Max', 7, 2), (9, 'Zoë', 90, NULL)"""
        )
    return path


@pytest.fixture
def application(target_url: str) -> Look:
    look = Look(target_url)
    look.run(SCHEMA)
    return look


def test_rows_that_the_target_refuses_are_named_before_anything_is_loaded(
    tmp_path: Path, target_url: str, source: Path, application: Look
) -> None:
    done = run(tmp_path, "move_database", "--source", source, "--target", target_url, "--schema-mode", "existing")
    assert done.code == 2, done.text
    waiting = {(f["code"], f["table"], f["column"], f["row_key"]) for f in done.report["findings"] if not f["choice"]}
    assert waiting == {("TARGET_NOT_EMPTY", "city", "", ""), ("CHECK_VIOLATED", "person", "age", '{"id": 2}')}
    assert application.rows("SELECT * FROM city") == [(1, "seeded")]
    assert application.schemas() == []


def test_the_same_command_again_changes_nothing_and_empties_nothing(
    tmp_path: Path, target_url: str, source: Path, application: Look
) -> None:
    move = ("move_database", "--source", source, "--target", target_url, "--schema-mode", "existing", *CHOICES)
    done = run(tmp_path, *move)
    assert done.code == 0 and done.report["outcome"] == "verified", done.text
    again = run(tmp_path, *move)
    assert again.code == 0 and again.report["plan_digest"] == done.report["plan_digest"], again.text
    assert application.rows("SELECT name FROM city ORDER BY id") == [("Zoug",), ("Basel",)]
    # The application has been at work since: with another state of the source nothing of that is emptied.
    application.run("INSERT INTO person (name, age) VALUES ('new', 20)")
    with closing(sqlite3.connect(source)) as database:
        database.execute("UPDATE person SET age = 8 WHERE id = 2")
        database.commit()
    later = run(tmp_path, *move)
    assert later.code == 2 and later.report["error"]["code"] == "TARGET_NOT_EMPTY", later.text
    assert application.value("SELECT count(*) FROM person") == 4
