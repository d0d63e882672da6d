"""What a plan tells about the online strategy before anybody chooses it: the worker that makes it has looked."""

from __future__ import annotations

import sqlite3
import sys
from contextlib import closing
from pathlib import Path

from migrations_app.services.strategies import online_look, why_not_online
from tests.migrations_app.runs.conftest import World

SCHEMA = """
import os, psycopg2
connection = psycopg2.connect(os.environ["DATABASE_URL"])
connection.cursor().execute('''
    CREATE TABLE items (id bigint PRIMARY KEY, name text NOT NULL);
    CREATE TABLE beats (id bigint PRIMARY KEY, name text);
    CREATE TABLE shifts (id bigint PRIMARY KEY, day timestamp, begins timestamp NOT NULL UNIQUE);
''')
connection.commit()
"""


def execute(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        for statement in statements:
            connection.execute(statement)
        connection.commit()


def makes_its_own_tables(world: World) -> None:
    (world.folder / "schema.py").write_text(SCHEMA)
    operator = world.folder / "operator.toml"
    command = f'argv = ["{sys.executable}", "{world.folder / "schema.py"}"]'
    page = f'argv = ["touch", "{world.folder / "maintenance.html"}"]'
    operator.write_text(operator.read_text().replace(page, command))
    world.application.schema_mode = "existing"
    world.application.commands = {"schema": "page_up"}
    world.application.save()


def test_a_plan_tells_which_columns_have_no_way_back_and_which_come_back_in_another_spelling(world: World) -> None:
    makes_its_own_tables(world)
    execute(
        world.sqlite,
        "CREATE TABLE shifts (id INTEGER PRIMARY KEY, day DATETIME, begins DATETIME NOT NULL UNIQUE)",
        "INSERT INTO shifts VALUES (1, '2026-05-01 08:00:00', '2026-05-01 08:00:00')",
        "INSERT INTO shifts VALUES (2, '2026-05-02T08:00:00', '2026-05-02T08:00:00')",
        "INSERT INTO shifts VALUES (3, '2026-05-03 08:00:00', '2026-05-03 08:00:00')",
    )
    plan = world.plan()
    [obstacle] = why_not_online(plan)
    assert (obstacle.code, obstacle.place) == ("ONLINE_NO_INVERSE", "shifts.begins")
    assert "move offline" in obstacle.hint
    look = online_look(plan)
    [note] = look.notes
    assert note.place == "shifts.day" and "(1 are written otherwise, and stay)" in note.message
    [mend] = look.mend
    role = world.target.split("//")[1].split(":")[0]
    assert mend.code == "ONLINE_NO_APPLIER_RIGHT"
    assert "GRANT SET ON PARAMETER session_replication_role TO" in mend.line and role in mend.line


def test_a_plan_tells_what_could_be_mended_and_leaves_the_strategy_open(world: World) -> None:
    """The journal mode is no part of the plan, so that nobody must make another once it is set."""
    world.stop_everything()
    execute(world.sqlite, "PRAGMA journal_mode=DELETE", "CREATE TABLE heavy (id INTEGER PRIMARY KEY, it BLOB)")
    execute(world.sqlite, "INSERT INTO heavy VALUES (1, zeroblob(2000000))")
    world.application.busy_timeout_ms = 1
    world.application.save()
    plan = world.plan()
    look = online_look(plan)
    assert [one.code for one in look.mend] == ["ONLINE_JOURNAL_TOO_LARGE"]
    assert [one.code for one in look.notes] == ["ONLINE_NO_APPLIER_RIGHT"]
    assert look.forms and why_not_online(plan) == ()
