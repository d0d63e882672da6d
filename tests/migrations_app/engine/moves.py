"""What the tests of the target side share: a small source, its plan by hand, its export, and a look into the target."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg2

from migrations_app.engine.control import Control
from migrations_app.engine.export.export import Export, export_source, open_export
from migrations_app.engine.plan import LOAD, MODE_CREATE, ColumnPlan, MovePlan, ObjectPlan, TablePlan
from migrations_app.engine.source.fingerprint import fingerprint
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.target import lease
from migrations_app.engine.target.target_url import TargetUrl, parse_target_url

RUN = "run-1"
CITIES = 40
PEOPLE = 30_000  # three chunks of 10,000 rows


def make_source(path: Path, people: int = PEOPLE) -> Path:
    """Two tables with a foreign key, awkward text, doubles and blobs."""
    connection = sqlite3.connect(path)
    connection.executescript(
        """CREATE TABLE city (code TEXT PRIMARY KEY, name TEXT NOT NULL);
           CREATE TABLE person (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL,
                                city TEXT REFERENCES city(code), score REAL, photo BLOB);
           CREATE TABLE note (text TEXT);"""
    )
    connection.executemany("INSERT INTO city VALUES (?, ?)", [(f"c{i:02d}", f"Città {i}") for i in range(CITIES)])
    connection.executemany(
        "INSERT INTO person (name, city, score, photo) VALUES (?, ?, ?, ?)",
        ((f"n\t{i}\\\n日", f"c{i % CITIES:02d}", i / 7, bytes([i % 256]) * (i % 5)) for i in range(people)),
    )
    connection.executemany("INSERT INTO note VALUES (?)", [("same",), ("same",), (None,), ("other",)])
    connection.execute("INSERT INTO person VALUES (?, 'last', NULL, NULL, NULL)", (people + 100,))
    connection.execute("DELETE FROM person WHERE id = ?", (people + 100,))  # sqlite_sequence stays ahead of max(id)
    connection.commit()
    connection.close()
    return path


def column(name: str, target_type: str, conversion: str, **more: Any) -> ColumnPlan:
    return ColumnPlan(name, name, "", target_type, conversion, **more)


def make_plan(mode: str = MODE_CREATE, schema: str = "public", rule: str = LOAD) -> MovePlan:
    """The plan of make_source()'s file."""
    city = TablePlan(
        "city",
        "city",
        rule,
        (
            column("code", "text", "text", not_null=True, collation="C"),
            column("name", "text", "text", not_null=True, default_sql="'?'::text"),
        ),
        ("code",),
        (
            primary_key("city", "code"),
            ObjectPlan("index", "city_name", 'CREATE INDEX "city_name" ON {schema}."city" ("name")'),
        ),
    )
    person = TablePlan(
        "person",
        "person",
        LOAD,
        (
            column("id", "bigint", "bigint", not_null=True, identity=True),
            column("name", "text", "text", not_null=True),
            column("city", "text", "text"),
            column("score", "double precision", "double"),
            column("photo", "bytea", "bytea"),
        ),
        ("id",),
        (
            primary_key("person", "id"),
            ObjectPlan(
                "foreign_key",
                "person_city",
                'ALTER TABLE {schema}."person" ADD CONSTRAINT "person_city" FOREIGN KEY ("city")'
                ' REFERENCES {schema}."city" ("code")',
            ),
            ObjectPlan(
                "check", "score_small", 'ALTER TABLE {schema}."person" ADD CONSTRAINT "score_small" CHECK (score < 1)'
            ),
            ObjectPlan(
                "check", "score_known", 'ALTER TABLE {schema}."person" ADD CONSTRAINT "score_known" CHECK (score >= 0)'
            ),
        ),
    )
    note = TablePlan("note", "note", LOAD, (column("text", "text", "text"),), ())
    views = (
        ObjectPlan("view", "two", 'CREATE VIEW {schema}."two" AS SELECT * FROM {schema}."one"'),
        ObjectPlan("view", "one", 'CREATE VIEW {schema}."one" AS SELECT name FROM {schema}."person"'),
        ObjectPlan("view", "wrong", 'CREATE VIEW {schema}."wrong" AS SELECT nosuch FROM {schema}."person"'),
        ObjectPlan("trigger", "touch", "", False, "triggers are listed, not translated"),
    )
    plan = MovePlan(mode, schema, "digest", "UTF-8", (city, note, person), views)
    return plan if mode == MODE_CREATE else replace(plan, tables=tuple(_bare(t) for t in plan.tables), objects=())


def _bare(table: TablePlan) -> TablePlan:
    return replace(table, objects=())


def primary_key(table: str, *columns: str) -> ObjectPlan:
    names = ", ".join(f'"{name}"' for name in columns)
    sql = f'ALTER TABLE {{schema}}."{table}" ADD CONSTRAINT "{table}_pkey" PRIMARY KEY ({names})'
    return ObjectPlan("primary_key", f"{table}_pkey", sql)


def make_export(source: Path, plan: MovePlan, directory: Path) -> Export:
    with open_source(source) as opened:
        export_source(opened, plan, directory, Control(), fingerprint(source))
    return open_export(directory)


@contextmanager
def held(url: TargetUrl, run_key: str = RUN, holder: str = "test", seconds: float = 15) -> Iterator[lease.Lease]:
    claimed = lease.claim(url, run_key, holder, seconds)
    try:
        yield claimed
    finally:
        lease.release(url, claimed)


class Look:
    """SQL by hand against the target, on a session of its own."""

    def __init__(self, url: str) -> None:
        self.connection = psycopg2.connect(url)
        self.connection.autocommit = True

    def run(self, sql: str) -> None:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        with self.connection.cursor() as cursor:
            cursor.execute(sql)
            return list(cursor.fetchall())

    def value(self, sql: str) -> Any:
        return self.rows(sql)[0][0]

    def schemas(self) -> list[str]:
        return [r[0] for r in self.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'causeway%' ORDER BY 1")]


__all__ = ["RUN", "Look", "Source", "column", "held", "make_export", "make_plan", "make_source", "parse_target_url"]
