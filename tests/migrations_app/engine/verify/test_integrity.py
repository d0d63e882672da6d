"""Integrity once the application works on PostgreSQL: what it, or a fault of the server, may have broken since."""

from __future__ import annotations

import sqlite3
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.control import Control
from migrations_app.engine.plan import LOAD, MODE_CREATE, MovePlan, TablePlan
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.engine.verify.date_columns import DateColumn, find_date_columns
from migrations_app.engine.verify.integrity import IntegrityReport, check_integrity
from tests.migrations_app.engine.moves import Look, column

PLAN = MovePlan(
    MODE_CREATE,
    "public",
    "digest",
    "UTF-8",
    (
        TablePlan("team", "team", LOAD, (column("id", "bigint", "bigint"), column("name", "text", "text")), ("id",)),
        TablePlan(
            "leave",
            "leave",
            LOAD,
            (
                column("id", "bigint", "bigint"),
                column("team", "bigint", "bigint"),
                column("day", "date", "date"),
                column("until", "text", "text"),
                column("note", "text", "text"),
                column("seen", "timestamp without time zone", "timestamp"),
                column("none", "text", "text"),
            ),
            ("id",),
        ),
    ),
)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "leave.db"
    connection = sqlite3.connect(path)
    connection.executescript(
        """CREATE TABLE team (id INTEGER PRIMARY KEY, name TEXT);
           CREATE TABLE leave (id INTEGER PRIMARY KEY, team INTEGER, day DATE, until TEXT, note TEXT, seen TEXT,
                              none TEXT);
           INSERT INTO team VALUES (1, 'a'), (2, 'b');
           INSERT INTO leave VALUES (1, 1, '2024-02-29', '2024-03-01', '2024-03-01', '2024-03-01', NULL),
                                    (2, 2, '2024-03-02', NULL, 'later', '2024-03-01', NULL);"""
    )
    connection.close()
    return path


@pytest.fixture
def dates(source: Path) -> tuple[DateColumn, ...]:
    with open_source(source) as opened:
        return find_date_columns(opened, PLAN, Control())


@pytest.fixture
def moved(look: Look) -> Look:
    look.run(
        """CREATE TABLE team (id bigint PRIMARY KEY, name text);
           CREATE UNIQUE INDEX team_name ON team (lower(name)) WHERE name <> '';
           CREATE TABLE leave (id bigint PRIMARY KEY, team bigint REFERENCES team, day date, until text, note text,
                               seen timestamp, none text, UNIQUE NULLS NOT DISTINCT (day, until));
           INSERT INTO team VALUES (1, 'a'), (2, 'b'), (3, NULL), (4, NULL), (5, ''), (6, '');
           INSERT INTO leave VALUES (1, 1, '2024-02-29', '2024-03-01', '2024-03-01'), (2, 2, '2024-03-02', NULL, 'x')"""
    )
    return look


def looked(url: TargetUrl, dates: tuple[DateColumn, ...] = (), plan: MovePlan = PLAN) -> IntegrityReport:
    return check_integrity(url, plan, environment={}, control=Control(), dates=dates)


def test_columns_that_held_dates_as_text_are_found_by_their_values(dates: tuple[DateColumn, ...]) -> None:
    """Not by their names: `note` holds a date among others, `seen` became a timestamp, `none` holds nothing."""
    assert [(each.table, each.column, each.target_type) for each in dates] == [
        ("leave", "day", "date"),
        ("leave", "until", "text"),
    ]


def test_sound_target_passes_and_says_what_was_looked_at(
    url: TargetUrl, moved: Look, dates: tuple[DateColumn, ...]
) -> None:
    report = looked(url, dates)
    assert (report.problems, report.inconclusive, report.uniques) == ((), (), 4)
    assert [(check.column, check.values, check.wrong) for check in report.dates] == [("day", 2, 0), ("until", 1, 0)]
    assert "4 unique keys hold" in report.sentence and "3 dates read as YYYY-MM-DD" in report.sentence


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("UPDATE leave SET until = '2024-03-01 00:00:00' WHERE id = 1", "leave.until: 1 values"),
        ("UPDATE leave SET until = '01.03.2024'", "leave.until: 2 values"),
        ("UPDATE leave SET until = '' WHERE id = 2", "leave.until: 1 values"),
        ("UPDATE leave SET day = 'infinity' WHERE id = 2", "leave.day: 1 values"),
        ("UPDATE leave SET day = '0044-03-15 BC' WHERE id = 2", "leave.day: 1 values"),
    ],
)
def test_date_that_no_longer_reads_as_one_is_told_without_its_value(
    url: TargetUrl, moved: Look, dates: tuple[DateColumn, ...], written: str, said: str
) -> None:
    moved.run(written)
    assert looked(url, dates).problems == (f"{said} don't read as YYYY-MM-DD",)


@pytest.mark.parametrize(
    ("index", "doubled", "said"),
    [
        ("team_pkey", "INSERT INTO team VALUES (2, 'c')", "team.team_pkey: not unique 1"),
        ("team_name", "INSERT INTO team VALUES (7, 'A'), (8, 'B')", "team.team_name: not unique 2"),
        (
            "leave_day_until_key",
            "INSERT INTO leave VALUES (3, 1, '2024-03-02', NULL)",
            "leave.leave_day_until_key: not",
        ),
    ],
)
def test_doubles_behind_a_unique_index_are_found_on_the_rows(
    url: TargetUrl, postgres: EmbeddedPostgres, moved: Look, index: str, doubled: str, said: str
) -> None:
    """As an index of another collation version, or a damaged one, lets them in: it stands there and vouches."""
    administrator = psycopg2.connect(postgres.url(url.database))
    administrator.autocommit = True
    try:
        for unique in ("false", "true"):
            with administrator.cursor() as cursor:
                statement = "UPDATE pg_index SET indisunique = %s WHERE indexrelid = %s::regclass"
                cursor.execute(statement, (unique, f"public.{index}"))
            if unique == "false":
                Look(postgres.url(url.database)).run(doubled)
    finally:
        administrator.close()
    assert any(problem.startswith(said) for problem in looked(url).problems), looked(url).problems


def test_orphan_behind_a_validated_key_is_found(url: TargetUrl, postgres: EmbeddedPostgres, moved: Look) -> None:
    Look(postgres.url(url.database)).run("SET session_replication_role = replica; DELETE FROM team WHERE id = 2")
    assert looked(url).problems == ("leave.leave_team_fkey: orphans 1",)


def test_sequence_behind_its_column_is_found(url: TargetUrl, moved: Look) -> None:
    moved.run("ALTER TABLE team ALTER id ADD GENERATED BY DEFAULT AS IDENTITY")
    assert looked(url).problems == ("team.id: sequence behind 1, not called",)


def test_tables_that_are_not_moved_are_not_looked_at(url: TargetUrl, moved: Look) -> None:
    kept = replace(PLAN, tables=tuple(replace(table, rule="skip") for table in PLAN.tables))
    assert looked(url, (), kept).uniques == 0
