"""Whatever is changed in the target by the smallest step is found, and named to the cell or the object.

Cells are changed at random from fixed seeds; a failure prints the seed and the statements. Objects are changed one by
one. Everything that is expected is expected exactly, so nothing that was left alone may be reported.
"""

from __future__ import annotations

import json
import math
import random
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.load.load import load_export
from migrations_app.engine.plan import ColumnPlan, MovePlan, TablePlan
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target.pg_names import literal, quote
from migrations_app.engine.target.target_url import TargetUrl, parse_target_url
from migrations_app.engine.verify.compare import VerifyResult, verify
from tests.migrations_app.engine.moves import RUN, Look, held, make_export
from tests.migrations_app.engine.sqlite_files import plan_file
from tests.migrations_app.engine.verify.mutated_objects import OBJECTS, Kind
from tests.migrations_app.engine.verify.rich_source import CHOICES, make_rich_source

TEMPLATE, COPY = "mutations_template", "mutations_copy"
CONSEQUENCES = {"orphans", "sequence_behind", "sequence_changed"}  # of a changed row: true, and not what is asked here


@dataclass(frozen=True)
class Moved:
    source: Path
    plan: MovePlan


@pytest.fixture(scope="session")
def moved(postgres: EmbeddedPostgres, tmp_path_factory: pytest.TempPathFactory) -> Moved:
    """The rich source, loaded once into a database that each test gets a copy of."""
    folder = tmp_path_factory.mktemp("rich")
    source = make_rich_source(folder / "rich.db")
    plan = plan_file(source, CHOICES)
    assert not plan.open_findings
    postgres.create_database(TEMPLATE)
    url = parse_target_url(postgres.url(TEMPLATE))
    with held(url) as mine:
        load_export(make_export(source, plan, folder / "export"), plan, url, run_key=RUN, lease=mine)
    return Moved(source, plan)


@pytest.fixture
def copied(postgres: EmbeddedPostgres, moved: Moved) -> Iterator[TargetUrl]:
    server = Look(postgres.url())
    server.run(f"DROP DATABASE IF EXISTS {COPY} WITH (FORCE)")
    server.run(f"CREATE DATABASE {COPY} TEMPLATE {TEMPLATE} STRATEGY file_copy")
    yield parse_target_url(postgres.url(COPY))
    server.run(f"DROP DATABASE {COPY} WITH (FORCE)")
    server.connection.close()


@pytest.fixture
def hand(postgres: EmbeddedPostgres, copied: TargetUrl) -> Iterator[Look]:
    opened = Look(postgres.url(COPY))
    yield opened
    opened.connection.close()


def check(moved: Moved, url: TargetUrl) -> VerifyResult:
    with open_source(moved.source) as source:
        return verify(source, moved.plan, url)


Found = tuple[str, str, str, str]


def found(result: VerifyResult) -> set[Found]:
    return {(d.table, d.row_key, d.column, d.kind) for d in result.differences if d.kind not in CONSEQUENCES}


def test_nothing_is_found_where_nothing_was_changed(moved: Moved, copied: TargetUrl) -> None:
    result = check(moved, copied)
    assert result.equal, result.differences
    assert {each.name: each.cells for each in result.tables}["area"] == 19 * 4  # generated values, too


# Cells and rows

Row = dict[str, str | None]


class Hand:
    """Changes what a table holds, tells what must be found, and puts it back."""

    def __init__(self, look: Look, plan: MovePlan, rng: random.Random) -> None:
        self.look, self.rng, self.done = look, rng, list[str]()
        self.tables = [table for table in plan.tables if table.name != "empty"]
        look.run("SET search_path = public; SET session_replication_role = replica; CREATE SCHEMA kept")
        for table in self.tables:
            look.run(f"CREATE TABLE kept.{quote(table.name)} AS TABLE {quote(table.name)}")

    def change(self, table: TablePlan) -> set[Found]:
        """Change one thing of a table; what must be found is what its rows say, read by hand before and after."""
        before = rows = self._rows(table)
        ways = [self._cell] * (3 if _others(table) else 0) + [self._delete, self._insert]
        ways += [self._swap, self._new_key] if table.key else []
        while not (expected := _expected(table, before, rows)):
            self.done.append(self.rng.choice(ways)(table, rows))
            self.look.run(self.done[-1])
            rows = self._rows(table)  # also after a statement that changed nothing: it may have moved a row
        return expected

    def put_back(self, table: TablePlan) -> None:
        columns = ", ".join(quote(column.name) for column in table.loaded_columns)
        name = quote(table.name)
        self.look.run(f"DELETE FROM {name}")
        self.look.run(f"INSERT INTO {name} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM kept.{name}")

    def _rows(self, table: TablePlan) -> list[Row]:
        columns = [column.name for column in table.columns]
        selected = ", ".join(f"{quote(name)}::text" for name in columns)
        rows = self.look.rows(f"SELECT ctid::text, {selected} FROM {quote(table.name)} ORDER BY ctid")
        return [dict(zip(["ctid", *columns], row, strict=True)) for row in rows]

    # The ways: each gives a statement, which now and then changes nothing

    def _cell(self, table: TablePlan, rows: list[Row]) -> str:
        row, column = self.rng.choice(rows), self.rng.choice(_others(table))
        new = self._step(column, row[column.name])
        return f"UPDATE {quote(table.name)} SET {quote(column.name)} = {new} WHERE ctid = '{row['ctid']}'"

    def _swap(self, table: TablePlan, rows: list[Row]) -> str:
        """Two rows change places in one column: no count and no sum shows it."""
        columns = [quote(column.name) for column in _others(table) if column.name not in UNIQUE]
        if not columns:
            return "SELECT 1"
        name, (one, other) = self.rng.choice(columns), (row["ctid"] for row in self.rng.sample(rows, 2))
        return (
            f"UPDATE {quote(table.name)} t SET {name} = o.{name} FROM {quote(table.name)} o"
            f" WHERE (t.ctid, o.ctid) IN (('{one}', '{other}'), ('{other}', '{one}'))"
        )

    def _delete(self, table: TablePlan, rows: list[Row]) -> str:
        return f"DELETE FROM {quote(table.name)} WHERE ctid = '{self.rng.choice(rows)['ctid']}'"

    def _insert(self, table: TablePlan, rows: list[Row]) -> str:
        """A row once more: the very same where no key forbids it."""
        row = self.rng.choice(rows)
        row = {**row, **self._free_key(table, row, rows)} if table.key else row
        values = {c.name: literal(v) if (v := row[c.name]) is not None else "NULL" for c in table.loaded_columns}
        values |= {name: "NULL" for name in UNIQUE if name in values}
        names = ", ".join(map(quote, values))
        return (
            f"INSERT INTO {quote(table.name)} ({names}) OVERRIDING SYSTEM VALUE VALUES ({', '.join(values.values())})"
        )

    def _new_key(self, table: TablePlan, rows: list[Row]) -> str:
        """The same row under another key."""
        row = self.rng.choice(rows)
        assigned = [f"{quote(name)} = {literal(text)}" for name, text in self._free_key(table, row, rows).items()]
        return f"UPDATE {quote(table.name)} SET {', '.join(assigned)} WHERE ctid = '{row['ctid']}'"

    def _free_key(self, table: TablePlan, row: Row, rows: list[Row]) -> dict[str, str]:
        """Another value of one column of the key, as near to the old one as is free."""
        name = self.rng.choice(table.key)
        taken = {tuple(other[part] for part in table.key) for other in rows}
        value = row[name] or ""
        while tuple({**row, name: value}[part] for part in table.key) in taken:
            value = str(int(value) + 1) if value.isdigit() else value + " "
        return {name: value}

    def _step(self, column: ColumnPlan, text: str | None) -> str:
        """The SQL of a value that differs as little as may be."""
        kind = column.target_type
        if text is None:
            return _FIRST.get(kind, "'1'")
        if not column.not_null and self.rng.random() < 0.2:
            return "NULL"
        if kind == "text":
            return literal(self.rng.choice([text + " ", text.swapcase(), text[:-1], text + "\n", text + "\u0301"]))
        if kind == "bytea":
            data = bytearray.fromhex(text[2:]) or bytearray(b"\1")
            data[self.rng.randrange(len(data))] ^= 1 << self.rng.randrange(8)
            return literal(f"\\x{data.hex()}")
        if kind == "double precision":
            return repr(math.nextafter(float(text), math.inf))
        if kind == "json":
            return literal(self.rng.choice([text.replace(" ", "", 1), text + " ", text.replace("null", "0")]))
        if kind == "uuid":
            return literal(text[:-1] + ("1" if text[-1] == "0" else "0"))
        return f"{_SMALLEST[kind.split('(')[0].split()[0]]}".replace("?", f"{literal(text)}::{kind}")


_SMALLEST = {
    "bigint": "? + 1",
    "numeric": "? + 0.01",
    "boolean": "NOT ?",
    "date": "? + 1",
    "timestamp": "? + interval '1 microsecond'",
}
_FIRST = {
    "text": "''",
    "bytea": "''",
    "json": "'null'",
    "uuid": f"'{'0' * 32}'",
    "date": "'2000-01-01'",
    "timestamp without time zone": "'2000-01-01'",
}
UNIQUE = ("email", "isbn")


def _others(table: TablePlan) -> list[ColumnPlan]:
    """Columns that may be changed without another row of the same key."""
    return [column for column in table.loaded_columns if column.name not in table.key]


def _expected(table: TablePlan, before: list[Row], after: list[Row]) -> set[Found]:
    """What tells two states of a table apart, worked out with nothing of the product."""
    names = table.key or tuple(column.name for column in table.columns)
    numbers = {column.name for column in table.columns if column.target_type == "bigint"}

    def key(row: Row) -> str:
        shown = {name: int(text) if (text := row[name]) and name in numbers else text for name in names}
        return json.dumps(shown, ensure_ascii=False)

    old, new = Counter(map(key, before)), Counter(map(key, after))
    found = {(table.name, each, "", "missing_row") for each in old - new}
    found |= {(table.name, each, "", "extra_row") for each in new - old}
    changed = {key(row): row for row in after} if table.key else {}
    for row in before:
        for column in table.columns if key(row) in changed else ():
            if row[column.name] != changed[key(row)][column.name]:
                found.add((table.name, key(row), column.name, "different"))
    return found


@pytest.mark.parametrize("seed", range(5))
def test_changed_cells_and_rows_are_found_and_named(moved: Moved, copied: TargetUrl, hand: Look, seed: int) -> None:
    worker = Hand(hand, moved.plan, random.Random(seed))
    for _turn in range(12):
        worker.done.clear()
        tables = worker.rng.sample(worker.tables, worker.rng.choice([1, 1, len(worker.tables)]))
        expected = set().union(*(worker.change(table) for table in tables))
        result = check(moved, copied)
        assert expected and found(result) == expected, (seed, worker.done)
        assert not result.equal
        for table in tables:
            worker.put_back(table)
    assert check(moved, copied).equal


# Objects


def kinds(result: VerifyResult) -> set[Kind]:
    return {(d.table, d.column, d.kind) for d in result.differences}


@pytest.mark.parametrize("name", OBJECTS)
def test_a_changed_object_is_found_and_nothing_else(moved: Moved, copied: TargetUrl, hand: Look, name: str) -> None:
    sql, expected = OBJECTS[name]
    hand.run(sql)
    result = check(moved, copied)
    assert kinds(result) == expected
    assert not result.equal


def test_every_kind_of_difference_that_is_found_here_is_in_the_reference() -> None:
    page = (Path(__file__).resolve().parents[4] / "docs" / "reference" / "verification.md").read_text()
    seen = {kind for _, expected in OBJECTS.values() for _, _, kind in expected}
    assert not {kind for kind in seen if f"`{kind}`" not in page}
