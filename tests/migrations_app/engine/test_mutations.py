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
from migrations_app.engine.compare import VerifyResult, verify
from migrations_app.engine.load import load_export
from migrations_app.engine.pg_names import literal, quote
from migrations_app.engine.plan import ColumnPlan, MovePlan, TablePlan
from migrations_app.engine.sqlite_source import open_source
from migrations_app.engine.target_url import TargetUrl, parse_target_url
from tests.migrations_app.engine.moves import RUN, Look, held, make_export
from tests.migrations_app.engine.rich_source import CHOICES, make_rich_source
from tests.migrations_app.engine.sqlite_files import plan_file

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

Kind = tuple[str, str, str]  # table, object or column, kind


def kinds(result: VerifyResult) -> set[Kind]:
    return {(d.table, d.column, d.kind) for d in result.differences}


FOREIGN_KEY = (
    "ALTER TABLE book DROP CONSTRAINT book_author_id_fkey; ALTER TABLE book ADD CONSTRAINT book_author_id_fkey"
    " FOREIGN KEY (author_id) REFERENCES author (id)"
)
FOREIGN_KEY_CHANGED = {("book", "book_author_id_fkey", "foreign_key_changed")}
OBJECTS: dict[str, tuple[str, set[Kind]]] = {
    # Indexes
    "index dropped": ("DROP INDEX book_title", {("book", "book_title", "index_missing")}),
    "index renamed": (
        "ALTER INDEX book_title RENAME TO other",
        {("book", "book_title", "index_missing"), ("book", "other", "index_extra")},
    ),
    "index on another column": (
        "DROP INDEX book_title; CREATE INDEX book_title ON book (title)",
        {("book", "book_title", "index_changed")},
    ),
    "index in another order": (
        "DROP INDEX book_order; CREATE INDEX book_order ON book (author_id NULLS FIRST, pages NULLS FIRST)",
        {("book", "book_order", "index_changed")},
    ),
    "index with columns swapped": (
        "DROP INDEX book_sold; CREATE UNIQUE INDEX book_sold ON book (id NULLS FIRST, sold NULLS FIRST)",
        {("book", "book_sold", "index_changed")},
    ),
    "index no longer unique": (
        "DROP INDEX book_sold; CREATE INDEX book_sold ON book (sold NULLS FIRST, id NULLS FIRST)",
        {("book", "book_sold", "index_changed")},
    ),
    "index without its predicate": (
        "DROP INDEX book_isbn; CREATE UNIQUE INDEX book_isbn ON book (isbn NULLS FIRST)",
        {("book", "book_isbn", "index_changed")},
    ),
    "index with another predicate": (
        "DROP INDEX book_isbn; CREATE UNIQUE INDEX book_isbn ON book (isbn NULLS FIRST) WHERE isbn <> ''",
        {("book", "book_isbn", "index_changed")},
    ),
    "index that treats NULLs as equal": (
        "DROP INDEX book_sold; CREATE UNIQUE INDEX book_sold ON book (sold NULLS FIRST, id NULLS FIRST)"
        " NULLS NOT DISTINCT",
        {("book", "book_sold", "index_changed")},
    ),
    "index of another method": (
        "DROP INDEX book_title; CREATE INDEX book_title ON book USING hash (lower(title))",
        {("book", "book_title", "index_changed")},
    ),
    "index in another collation": (
        'DROP INDEX book_title; CREATE INDEX book_title ON book (lower(title) COLLATE "POSIX")',
        {("book", "book_title", "index_changed")},
    ),
    "index marked as invalid": (
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'book_title'::regclass",
        {("book", "book_title", "index_changed")},
    ),
    "index more": ("CREATE INDEX more ON tag (colour)", {("tag", "more", "index_extra")}),
    # Keys
    "primary key dropped": (
        "ALTER TABLE edition DROP CONSTRAINT edition_pkey",
        {("edition", "edition_pkey", "index_missing")},
    ),
    "primary key with columns swapped": (
        "ALTER TABLE edition DROP CONSTRAINT edition_pkey;"
        " ALTER TABLE edition ADD CONSTRAINT edition_pkey PRIMARY KEY (number, book_id)",
        {("edition", "edition_pkey", "index_changed")},
    ),
    "primary key replaced by a unique index": (
        "ALTER TABLE edition DROP CONSTRAINT edition_pkey;"
        " CREATE UNIQUE INDEX edition_pkey ON edition (book_id, number)",
        {("edition", "edition_pkey", "index_changed")},
    ),
    "primary key renamed": (
        "ALTER TABLE edition RENAME CONSTRAINT edition_pkey TO other",
        {("edition", "edition_pkey", "index_missing"), ("edition", "other", "index_extra")},
    ),
    "unique constraint dropped": (
        "ALTER TABLE author DROP CONSTRAINT author_email_key",
        {("author", "author_email_key", "index_missing")},
    ),
    "unique constraint replaced by a unique index": (
        "ALTER TABLE author DROP CONSTRAINT author_email_key; CREATE UNIQUE INDEX author_email_key ON author (email)",
        {("author", "author_email_key", "constraint_missing")},
    ),
    "unique constraint made deferrable": (
        "ALTER TABLE author DROP CONSTRAINT author_email_key;"
        " ALTER TABLE author ADD CONSTRAINT author_email_key UNIQUE (email) DEFERRABLE",
        {("author", "author_email_key", "constraint_changed")},
    ),
    "unique constraint more": (
        "ALTER TABLE tag ADD CONSTRAINT more UNIQUE (name)",
        {("tag", "more", "index_extra")},
    ),
    # Foreign keys
    "foreign key dropped": (
        "ALTER TABLE book DROP CONSTRAINT book_author_id_fkey",
        {("book", "book_author_id_fkey", "foreign_key_missing")},
    ),
    "foreign key with another action": (f"{FOREIGN_KEY} DEFERRABLE INITIALLY DEFERRED", FOREIGN_KEY_CHANGED),
    "foreign key with one more action": (
        f"{FOREIGN_KEY} ON UPDATE CASCADE ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
        FOREIGN_KEY_CHANGED,
    ),
    "foreign key no longer deferred": (f"{FOREIGN_KEY} ON DELETE CASCADE DEFERRABLE", FOREIGN_KEY_CHANGED),
    "foreign key no longer deferrable": (f"{FOREIGN_KEY} ON DELETE CASCADE", FOREIGN_KEY_CHANGED),
    "foreign key not valid": (
        f"{FOREIGN_KEY} ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED NOT VALID",
        FOREIGN_KEY_CHANGED,
    ),
    "foreign key that matches in full": (
        f"{FOREIGN_KEY} MATCH FULL ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED",
        FOREIGN_KEY_CHANGED,
    ),
    "foreign key to another table": (
        "ALTER TABLE node DROP CONSTRAINT node_parent_fkey;"
        " ALTER TABLE node ADD CONSTRAINT node_parent_fkey FOREIGN KEY (parent) REFERENCES book (id)",
        {("node", "node_parent_fkey", "foreign_key_changed")},
    ),
    "foreign key that nothing enforces": (
        "ALTER TABLE author DISABLE TRIGGER ALL",
        {("book", "book_author_id_fkey", "foreign_key_disabled")},
    ),
    "foreign key more": (
        "ALTER TABLE area ADD CONSTRAINT more FOREIGN KEY (id) REFERENCES book (id)",
        {("area", "more", "foreign_key_extra")},
    ),
    # Checks and NOT NULL
    "check dropped": ("ALTER TABLE author DROP CONSTRAINT rated", {("author", "rated", "check_missing")}),
    "check changed": (
        "ALTER TABLE author DROP CONSTRAINT rated; ALTER TABLE author ADD CONSTRAINT rated CHECK (rating > -1)",
        {("author", "rated", "check_changed")},
    ),
    "check not valid": (
        "ALTER TABLE author DROP CONSTRAINT rated;"
        " ALTER TABLE author ADD CONSTRAINT rated CHECK (rating >= 0) NOT VALID",
        {("author", "rated", "check_changed")},
    ),
    "check more": (
        "ALTER TABLE tag ADD CONSTRAINT more CHECK (name IS NOT NULL)",
        {("tag", "more", "check_extra")},
    ),
    "not null dropped": ("ALTER TABLE author ALTER name DROP NOT NULL", {("author", "name", "not_null_changed")}),
    "not null more": (
        "ALTER TABLE node ALTER id SET NOT NULL; ALTER TABLE area ALTER wide SET NOT NULL",
        {("area", "wide", "not_null_changed")},
    ),
    # Columns
    "default dropped": ("ALTER TABLE author ALTER nick DROP DEFAULT", {("author", "nick", "default_changed")}),
    "default changed": ("ALTER TABLE author ALTER nick SET DEFAULT 'None'", {("author", "nick", "default_changed")}),
    "default more": ("ALTER TABLE book ALTER isbn SET DEFAULT ''", {("book", "isbn", "default_changed")}),
    "type narrowed": ("ALTER TABLE line ALTER n TYPE integer", {("line", "n", "type_changed")}),
    "type limited": ("ALTER TABLE line ALTER words TYPE varchar(50)", {("line", "words", "type_changed")}),
    "type with more precision": (
        "ALTER TABLE author ALTER balance TYPE numeric(13,2)",
        {("author", "balance", "type_changed")},
    ),
    "type without time": (
        "ALTER TABLE author ALTER seen TYPE timestamptz",
        {("author", "seen", "type_changed"), ("author", "seen", "different")},
    ),
    "type jsonb": (
        "ALTER TABLE author ALTER profile TYPE jsonb",
        {("author", "profile", "type_changed")},
    ),
    "collation changed": (
        'ALTER TABLE line ALTER words TYPE text COLLATE "POSIX"',
        {("line", "words", "collation_changed")},
    ),
    "collation lost": (
        'ALTER TABLE tag ALTER colour TYPE text COLLATE "default"',
        {("tag", "colour", "collation_changed")},
    ),
    "column more": ("ALTER TABLE tag ADD more int", {("tag", "more", "column_extra")}),
    "column dropped": (
        "ALTER TABLE author DROP photo",
        {("author", "photo", "column_missing")},
    ),
    "column renamed": (
        "ALTER TABLE line RENAME words TO word",
        {("line", "words", "column_missing"), ("line", "word", "column_extra")},
    ),
    "column dropped and made again at the end": (
        "ALTER TABLE area ADD w bigint; UPDATE area SET w = wide; ALTER TABLE area DROP size;"
        " ALTER TABLE area DROP wide; ALTER TABLE area RENAME w TO wide;"
        " ALTER TABLE area ADD size bigint GENERATED ALWAYS AS (wide * high) STORED",
        {("area", "", "column_order_changed")},
    ),
    "generated column made plain": (
        "ALTER TABLE area ALTER size DROP EXPRESSION",
        {("area", "size", "generated_changed")},
    ),
    "generated column that computes otherwise": (
        "ALTER TABLE area DROP size; ALTER TABLE area ADD size bigint GENERATED ALWAYS AS (wide * high + 1) STORED",
        {("area", "size", "generated_changed"), ("area", "size", "different")},
    ),
    "identity dropped": ("ALTER TABLE book ALTER id DROP IDENTITY", {("book", "id", "identity_changed")}),
    "identity always": (
        "ALTER TABLE book ALTER id SET GENERATED ALWAYS",
        {("book", "id", "identity_changed")},
    ),
    # Sequences
    "sequence behind": ("SELECT setval('book_id_seq', 5)", {("book", "id", "sequence_behind")}),
    "sequence one behind": (
        "SELECT setval('book_id_seq', (SELECT max(id) FROM book), false)",
        {("book", "id", "sequence_behind")},
    ),
    "sequence behind what SQLite gave out": (
        "SELECT setval('author_id_seq', (SELECT max(id) FROM author))",
        {("author", "id", "sequence_behind")},
    ),
    "sequence ahead": ("SELECT setval('book_id_seq', 500)", {("book", "id", "sequence_changed")}),
    "sequence touched": ("SELECT nextval('empty_id_seq')", {("empty", "id", "sequence_changed")}),
    "sequence in steps": (
        "ALTER SEQUENCE book_id_seq INCREMENT BY 10",
        {("book", "id", "sequence_definition_changed")},
    ),
    "sequence that ends": (
        "ALTER SEQUENCE book_id_seq MAXVALUE 1000",
        {("book", "id", "sequence_definition_changed")},
    ),
    "sequence that turns round": (
        "ALTER SEQUENCE book_id_seq CYCLE",
        {("book", "id", "sequence_definition_changed")},
    ),
    "sequence renamed": (
        "ALTER SEQUENCE book_id_seq RENAME TO other",
        {("book", "id", "sequence_definition_changed")},
    ),
    # Views
    "view dropped": ("DROP VIEW long_titles", {("", "long_titles", "view_missing")}),
    "view that says something else": (
        "CREATE OR REPLACE VIEW names AS SELECT id, lower(name) AS name FROM author",
        {("", "names", "view_changed")},
    ),
    "view on fewer rows": (
        "CREATE OR REPLACE VIEW names AS SELECT id, name FROM author WHERE id > 1",
        {("", "names", "view_changed")},
    ),
    "view that is a snapshot": (
        "DROP VIEW long_titles; CREATE MATERIALIZED VIEW long_titles AS SELECT names.name, book.title FROM names"
        " JOIN book ON book.author_id = names.id WHERE book.pages > 100",
        {("", "long_titles", "view_changed")},
    ),
    "view renamed": (
        "ALTER VIEW long_titles RENAME TO other",
        {("", "long_titles", "view_missing"), ("", "other", "view_extra")},
    ),
    "view with a column renamed": (
        "ALTER VIEW long_titles RENAME COLUMN title TO book",
        {("", "long_titles", "view_changed")},
    ),
    "view with an option": (
        "ALTER VIEW names SET (security_barrier)",
        {("", "names", "view_changed")},
    ),
    "view more": ("CREATE VIEW more AS SELECT 1", {("", "more", "view_extra")}),
    # Tables
    "table dropped": (
        "DROP TABLE line",
        {("line", "", "table_missing")},
    ),
    "table renamed": (
        "ALTER TABLE line RENAME TO lines",
        {("line", "", "table_missing"), ("lines", "", "table_extra")},
    ),
    "table more": ("CREATE TABLE more (x int)", {("more", "", "table_extra")}),
    "table that a crash empties": ("ALTER TABLE line SET UNLOGGED", {("line", "", "persistence_changed")}),
    "trigger more": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        " CREATE TRIGGER more BEFORE INSERT ON tag FOR EACH ROW EXECUTE FUNCTION f()",
        {("tag", "more", "trigger_extra")},
    ),
    "trigger that calls itself ours": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        " CREATE TRIGGER causeway_changes BEFORE INSERT ON tag FOR EACH ROW EXECUTE FUNCTION f()",
        {("tag", "causeway_changes", "trigger_extra")},
    ),
    "trigger on a view": (
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        " CREATE TRIGGER more INSTEAD OF INSERT ON names FOR EACH ROW EXECUTE FUNCTION f()",
        {("names", "more", "view_trigger_extra")},
    ),
    "rule that swallows rows": (
        "CREATE RULE more AS ON INSERT TO tag DO INSTEAD NOTHING",
        {("tag", "more", "rule_extra")},
    ),
    "rows hidden by a policy": (
        "ALTER TABLE tag ENABLE ROW LEVEL SECURITY; CREATE POLICY more ON tag USING (name <> 'beta')",
        {("tag", "", "row_security_extra"), ("tag", "more", "policy_extra")},
    ),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_a_changed_object_is_found_and_nothing_else(moved: Moved, copied: TargetUrl, hand: Look, name: str) -> None:
    sql, expected = OBJECTS[name]
    hand.run(sql)
    result = check(moved, copied)
    assert kinds(result) == expected
    assert not result.equal


def test_every_kind_of_difference_that_is_found_here_is_in_the_reference() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "verification.md").read_text()
    seen = {kind for _, expected in OBJECTS.values() for _, _, kind in expected}
    assert not {kind for kind in seen if f"`{kind}`" not in page}
