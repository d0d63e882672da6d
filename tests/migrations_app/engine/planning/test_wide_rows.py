"""Rows that a page of PostgreSQL can't hold are found before the load and left out by choice; no others are."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest

from migrations_app.engine.conversions.conversions import row_converter
from migrations_app.engine.conversions.row_width import PAGE_ROOM, least_width
from migrations_app.engine.plan import LOAD, MODE_EXISTING, SKIP, TablePlan
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.moves import Look, column
from tests.migrations_app.engine.sqlite_files import build, plan_file
from tests.migrations_app.engine.whole_moves import again, move, planned

CHOSEN = [("ROW_TOO_WIDE", "skip_rows")]
WORDS = random.Random(7)


def noise(size: int) -> str:
    return "".join(WORDS.choice("abcdefghijklmnopqrstuvwxyz0123456789") for _ in range(size))


def wide_file(path: Path, columns: int, declared: str, rows: list[list[object]]) -> Path:
    names = ", ".join(f"c{i} {declared}" for i in range(columns))
    marks = ", ".join("?" * (columns + 1))
    statements = [(f"INSERT INTO t VALUES({marks})", (number, *row)) for number, row in enumerate(rows, start=1)]
    return build(path, f"CREATE TABLE t(id INTEGER PRIMARY KEY, {names})", statements)


def test_rows_too_wide_are_listed_and_left_out_by_choice(tmp_path: Path, url: TargetUrl, look: Look) -> None:
    rows: list[list[object]] = [["short"] * 500, [noise(40) for _ in range(500)], [None] * 500]
    path = wide_file(tmp_path / "t.db", 500, "TEXT", [*rows, [noise(3000) for _ in range(500)]])
    (found,) = plan_file(path).open_findings
    assert (found.code, found.table, found.row_key, found.count) == ("ROW_TOO_WIDE", "t", '{"id": 2}', 2)
    assert found.choices == ("skip_rows", "skip")
    plan, result = move(path, url, choices=CHOSEN)
    assert result.equal and [remark for remark in result.remarks if "too wide" in remark and " t." in remark]
    assert look.rows("SELECT id FROM t ORDER BY id") == [(1,), (3,)]
    look.run("UPDATE t SET c77 = 'changed' WHERE id = 3")
    assert [(each.row_key, each.column) for each in again(path, plan, url).differences] == [('{"id": 3}', "c77")]
    assert plan_file(path, [("ROW_TOO_WIDE", "skip")]).table("t").rule == SKIP


def test_the_applications_own_table_is_measured_by_its_own_types(tmp_path: Path, url: TargetUrl, look: Look) -> None:
    path = wide_file(tmp_path / "t.db", 1500, "INT", [[1] * 1500, [2**20] * 1500])
    look.run("CREATE SCHEMA wide")
    for table, type_sql in (("t", "integer"), ("wide.t", "bigint")):
        names = ", ".join(f"c{i} {type_sql}" for i in range(1500))
        look.run(f"CREATE TABLE {table}(id bigint PRIMARY KEY, {names})")
    _plan, result = move(path, url, MODE_EXISTING)
    assert result.equal and look.value("SELECT count(*) FROM t") == 2
    with open_source(path) as source:
        plan, _profile = planned(source, url, MODE_EXISTING, schema="wide")
    assert [(each.code, each.count) for each in plan.open_findings] == [("ROW_TOO_WIDE", 2)]


@pytest.mark.parametrize(
    ("columns", "declared", "cell"),
    [
        (1500, "BOOLEAN", lambda: 1),
        (1000, "BIGINT", lambda: 2**62),
        (1100, "DECIMAL(4,1)", lambda: 1.5),
        (480, "TEXT", lambda: "a" * 200),  # compressed to less than a pointer takes
        (330, "TEXT", lambda: noise(23)),
        (430, "TEXT", lambda: noise(500)),
    ],
)
def test_what_fits_is_moved_however_many_columns_there_are(
    tmp_path: Path, url: TargetUrl, columns: int, declared: str, cell: Callable[[], object]
) -> None:
    path = wide_file(tmp_path / "t.db", columns, declared, [[cell() for _ in range(columns)] for _ in range(2)])
    _plan, result = move(path, url)
    assert result.equal and sum(table.rows for table in result.tables) == 2


SHAPES: list[tuple[str, str, Callable[[], object]]] = [
    ("boolean", "boolean", lambda: 1),
    ("bigint", "bigint", lambda: 7),
    ("numeric", "numeric", lambda: WORDS.randint(0, 10**15)),
    ("text", "text", lambda: noise(WORDS.choice((1, 10, 22, 23, 24, 25, 31, 32, 40, 700)))),
    ("text", "text", lambda: "ab" * WORDS.choice((5, 15, 16, 20, 400))),
    ("text", "text", lambda: noise(WORDS.randint(1, 10)) * WORDS.randint(1, 40)),
    ("bytea", "bytea", lambda: WORDS.randbytes(WORDS.choice((0, 20, 24, 25, 90)))),
    ("timestamp without time zone", "timestamp", lambda: "2020-01-02 03:04:05"),
    ("uuid", "uuid", lambda: "0f0f0f0f-0000-4000-8000-000000000000"),
    ("text", "text", lambda: WORDS.choice((None, "x", noise(60)))),
]


def test_a_row_that_is_called_too_wide_is_too_wide(look: Look) -> None:
    """PostgreSQL is asked: a row is only ever left out when it can't be held. Rows of every shape, up to the limit."""
    refused = held = 0
    for number in range(60):
        shapes = [WORDS.choice(SHAPES) for _ in range(3)]
        count = WORDS.randint(340, 1100)
        cells = [(shapes[place % 3]) for place in range(count)]
        columns = tuple(column(f"c{place}", type_sql, way) for place, (type_sql, way, _) in enumerate(cells))
        texts = row_converter(TablePlan("t", "t", LOAD, columns, ()))(tuple(make() for _, _, make in cells))
        assert texts is not None
        too_wide = least_width(columns)(texts) > PAGE_ROOM
        look.run(f"CREATE TABLE w{number}({', '.join(f'{c.name} {c.target_type}' for c in columns)})")
        with look.connection.cursor() as cursor:
            try:
                cursor.execute(f"INSERT INTO w{number} VALUES({', '.join(['%s'] * count)})", texts)
                assert not too_wide
                held += 1
            except psycopg2.errors.ProgramLimitExceeded:
                refused += too_wide
        look.run(f"DROP TABLE w{number}")
    assert refused > 5 and held > 5
