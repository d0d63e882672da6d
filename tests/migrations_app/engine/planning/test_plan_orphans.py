"""Rows that lost their parent after the plan was made are told before anything is loaded, with the rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from migrations_app.engine.control import Control
from migrations_app.engine.plan import Finding, MovePlan
from migrations_app.engine.planning.plan_orphans import new_orphans
from migrations_app.engine.planning.planning import check_plan, make_plan
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target.target_schema import TargetColumn, TargetForeignKey, TargetSchema, TargetTable
from tests.migrations_app.engine.sqlite_files import build, plan_file

SCHEMA = """CREATE TABLE team(id INTEGER PRIMARY KEY, name TEXT);
            CREATE TABLE leave(id INTEGER PRIMARY KEY, team INTEGER REFERENCES team, boss INTEGER REFERENCES team(id));
            INSERT INTO team VALUES (1, 'a'), (2, 'b');
            INSERT INTO leave VALUES (1, 1, 2), (2, 2, NULL)"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return build(tmp_path / "leave.db", SCHEMA)


def checked(path: Path, plan: MovePlan) -> list[Finding]:
    with open_source(path) as source:
        return list(check_plan(plan, source))


def test_rows_whose_parent_left_are_found_key_by_key(path: Path) -> None:
    plan = plan_file(path)
    assert checked(path, plan) == []
    build(path, "DELETE FROM team WHERE id = 2")
    found = checked(path, plan)
    assert [(f.code, f.table, f.column, f.row_key, f.count) for f in found] == [
        ("ORPHANS", "leave", "team", '{"id": 2}', 1),
        ("ORPHANS", "leave", "boss", '{"id": 1}', 1),
    ]
    assert all(finding.needs_choice for finding in found)
    assert 'refer by team to no row of team, and the foreign key would refuse them: {"id": 2}.' in found[0].message


def test_many_are_counted_and_the_first_named(path: Path) -> None:
    plan = plan_file(path)
    build(path, "".join(f"INSERT INTO leave VALUES ({n}, 99, NULL);" for n in range(10, 40)))
    (finding,) = checked(path, plan)
    assert finding.count == 30 and finding.message.count('{"id"') == 10 and finding.message.endswith(", ….")


def test_orphans_that_were_accepted_may_become_more(path: Path) -> None:
    """Their key is created NOT VALID, by choice: it refuses none of the rows that arrive."""
    build(path, "INSERT INTO leave VALUES (3, 99, 1)")
    plan = plan_file(path)
    build(path, "INSERT INTO leave VALUES (4, 98, NULL)")
    assert checked(path, plan) == []
    build(path, "INSERT INTO leave VALUES (5, NULL, 97)")
    assert [finding.column for finding in checked(path, plan)] == ["boss"]


def test_key_that_is_left_out_refuses_nothing(path: Path) -> None:
    build(path, "INSERT INTO leave VALUES (3, 99, 1)")
    plan = plan_file(path, [("ORPHANS@leave.team", "omit")])
    build(path, "INSERT INTO leave VALUES (4, 98, NULL)")
    assert checked(path, plan) == []


def test_in_the_applications_own_schema_its_keys_are_what_counts(path: Path) -> None:
    """The target knows one of the two keys, under other names; SQLite's other key holds there for nobody."""
    names = {"team": ("id", "name"), "leave": ("id", "team", "boss")}
    key = TargetForeignKey("leave_team_fkey", ("team",), "public", "team", ("id",), "FOREIGN KEY …")
    tables = tuple(
        TargetTable(
            table,
            tuple(TargetColumn(name, "text" if name == "name" else "bigint") for name in columns),
            ("id",),
            foreign_keys=(key,) if table == "leave" else (),
        )
        for table, columns in names.items()
    )
    target = TargetSchema("public", tables)
    with open_source(path) as source:
        plan = make_plan(source, mode="existing", target=target)
    build(path, "DELETE FROM team WHERE id = 2")
    with open_source(path) as source:
        assert [finding.column for finding in new_orphans(source, plan, Control(), target)] == ["team"]
        assert list(new_orphans(source, plan, Control())) == []
