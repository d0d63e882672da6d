"""What is carried answers as it did in SQLite: views by their rows, checks and keys by what they refuse."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import psycopg2
import pytest

from migrations_app.engine.plan import MovePlan, ObjectPlan
from tests.migrations_app.engine import twins
from tests.migrations_app.engine.moves import Look
from tests.migrations_app.engine.sql.random_sql import TABLE, RandomSql
from tests.migrations_app.engine.sqlite_files import build, plan_file

SHOP = """
CREATE TABLE customer(id INTEGER PRIMARY KEY, name TEXT NOT NULL, login TEXT COLLATE NOCASE UNIQUE, active BOOLEAN,
                      joined DATE, "last seen" DATETIME);
CREATE TABLE sale(id INTEGER PRIMARY KEY, customer INTEGER REFERENCES customer, "Unit Price" DECIMAL(10,2), qty INT,
                  discount REAL, at DATETIME, note TEXT, customer_name TEXT);
INSERT INTO customer VALUES
  (1, 'Ada', 'ada', 1, '2020-01-02', '2021-01-01 00:00:00'), (2, 'Émile', 'EMILE', 0, '2019-12-31', NULL),
  (3, 'bob', 'Bob', NULL, NULL, '1997-12-31 00:00:00'), (4, 'Cy_%', NULL, 1, '2020-01-02', '1997-12-31 12:00:00');
INSERT INTO sale VALUES
  (1, 1, 14, 12, 0.0, '1997-01-01 00:00:00', 'first', 'Ada'), (2, 1, 9.8, 10, 0.15, '1997-12-31 00:00:00', NULL, 'bob'),
  (3, 2, 34.8, 5, 0.05, '1997-12-31 00:00:01', 'FIRST', NULL), (4, 3, 18.6, 9, 0.0, '1998-02-03 04:05:06', '', '5'),
  (5, NULL, 42.4, 40, 0.1, NULL, 'last', 'Ada');
"""
CARRIED = {
    "a join of several tables": "SELECT c.name, s.qty FROM customer c, sale AS s WHERE c.id = s.customer",
    "names in any case": "SELECT CUSTOMER.Name, [sale].QTY FROM Customer JOIN `SALE` ON sale.customer = customer.ID",
    "a left join": 'SELECT c.*, s."Unit Price" FROM customer c LEFT JOIN sale s ON s.customer = c.id AND s.qty > 9',
    "using, whose column stands once": "SELECT * FROM (SELECT id, name FROM customer) JOIN sale USING (id)",
    "sums of decimals and reals": 'SELECT customer, sum("Unit Price" * qty * (1 - discount) / 100) * 100 AS total'
    " FROM sale GROUP BY customer",
    "constants that SQLite computes": "SELECT id FROM sale WHERE at BETWEEN DATETIME('1997-01-01') AND"
    " DATETIME('1997-12-31')",
    "a day against times": "SELECT id, at > '1997-12-31' AS after, at <= '1997-12-31' AS before,"
    " at = '1997-12-31' AS same FROM sale",
    "parts of times": "SELECT strftime('%Y-%m', at) AS month, count(*) AS n, date(at), time(at) FROM sale"
    " GROUP BY strftime('%Y-%m', at), at",
    "booleans as numbers": "SELECT id, active + 1 AS more, active = 1 AS is_on, NOT active AS off FROM customer",
    "a column without case": "SELECT name FROM customer WHERE login = 'BOB' OR login LIKE 'Emil_'",
    "like, which folds A to Z only": "SELECT name, name LIKE 'é%' AS e, name LIKE 'CY!_!%' ESCAPE '!' AS c,"
    " name LIKE 'cy_\\%' AS b FROM customer",
    "glob": "SELECT name FROM customer WHERE name GLOB '[A-C]*'",
    "texts by bytes": "SELECT max(name) AS last, min(name) AS first FROM customer",
    "nulls first": "SELECT id, note FROM sale ORDER BY note DESC, id LIMIT 3",
    "distinct": "SELECT DISTINCT joined FROM customer ORDER BY joined DESC",
    "parts put together": "SELECT name FROM customer UNION SELECT customer_name FROM sale ORDER BY 1",
    "common table expressions": "WITH big(who, n) AS (SELECT customer, count(*) FROM sale GROUP BY 1)"
    " SELECT name, n FROM big JOIN customer ON who = id",
    "subqueries": "SELECT name, (SELECT max(qty) FROM sale WHERE customer = customer.id) AS most FROM customer"
    " WHERE EXISTS (SELECT 1 FROM sale s WHERE s.customer = customer.id) OR id IN (SELECT id FROM sale)",
    "having and filter": "SELECT customer, count(*) FILTER (WHERE qty > 9) AS big FROM sale GROUP BY customer"
    " HAVING count(*) > 1",
    "an alias in WHERE": "SELECT qty * 2 AS twice FROM sale WHERE twice > 20",
    "strings in double quotes": 'SELECT id, "no column" AS said FROM sale WHERE note = "first"',
    "whole division and its remainder": "SELECT id, qty / 4 AS q, qty % 4 AS r, qty / (id - 3) AS z, -7 / 2 AS m"
    " FROM sale",
    "the rowid": "SELECT rowid, _rowid_ AS other, name FROM customer",
    "unnamed columns": "SELECT count(*), max(qty) + 1, 'x' || id FROM sale GROUP BY id",
    "two columns of one name": "SELECT a.id, b.id FROM customer a JOIN sale b ON a.id = b.id",
    "a case": "SELECT id, CASE qty WHEN 5 THEN 'five' WHEN 9 THEN 'nine' ELSE note END AS w,"
    " iif(qty > 9, 1, 0) AS b FROM sale",
    "a number as text": "SELECT customer_name FROM sale WHERE customer_name = 5",
}
NOT_CARRIED = {
    "printf('%.2f', discount)": "PRINTF",
    "group_concat(note)": "no defined order",
    "note + 1": "isn't a number",
    "round(discount, 2)": "decimals",
    '"Unit Price" / qty': "divides otherwise",
    "customer_name = qty": "converts first",
    "note > qty": "converts first",
    "substr(note, -2)": "from the end",
    "datetime('now')": "depends on the time",
    "random()": "RANDOM",
    "CAST(note AS INTEGER)": "isn't a number",
    "discount || ''": "write otherwise",
    "date(note)": "isn't a column of times",
    "row_number() OVER (ORDER BY id)": "WINDOW",
    "(SELECT note FROM sale s)": "several rows",
    "replace(note, customer_name, at)": "empty text",
    "note GLOB '[]]'": "list of letters",
    "max(note, customer_name)": "texts",
    "at REGEXP 'x'": "SQLite itself",
}


def views(plan: MovePlan) -> dict[str, ObjectPlan]:
    return {item.detail["source_name"]: item for item in plan.objects if item.kind == "view"}


def assert_same_rows(look: Look, path: Path, plan: MovePlan) -> int:
    """Every carried view exists and answers alike; gives their number."""
    twins.fill(look, plan, path)
    refused = twins.make(look, [item for item in plan.objects if item.kind == "view"])
    carried = {name: item for name, item in views(plan).items() if item.carried}
    assert {name: why for name, why in refused.items() if why} == {}
    for name, item in carried.items():
        before = twins.rows_of_sqlite(path, f'SELECT * FROM "{name}"')
        after = twins.counted(look.rows(f'SELECT * FROM {twins.SCHEMA}."{item.name}"'))
        assert before == after, item.detail["source"]
    return len(carried)


def test_each_kind_of_view_that_is_carried_gives_the_same_rows(tmp_path: Path, look: Look) -> None:
    script = SHOP + "".join(f'CREATE VIEW "{name}" AS {sql};' for name, sql in CARRIED.items())
    path = build(tmp_path / "t.db", script)
    plan = plan_file(path)
    assert {name: item.why for name, item in views(plan).items() if not item.carried} == {}
    assert assert_same_rows(look, path, plan) == len(CARRIED)


def test_a_views_columns_keep_their_names(tmp_path: Path, look: Look) -> None:
    script = SHOP + "".join(f'CREATE VIEW "{name}" AS {sql};' for name, sql in CARRIED.items())
    path = build(tmp_path / "t.db", script)
    plan = plan_file(path)
    twins.fill(look, plan, path)
    twins.make(look, [item for item in plan.objects if item.kind == "view"])
    database = sqlite3.connect(path)
    for name, item in views(plan).items():
        names = [part[0] for part in database.execute(f'SELECT * FROM "{name}"').description]
        there = look.rows(
            "SELECT attname FROM pg_attribute WHERE attnum > 0 AND attrelid ="
            f" '{twins.SCHEMA}.\"{item.name}\"'::regclass ORDER BY attnum"
        )
        assert [row[0] for row in there] == names
    database.close()


def test_a_view_reads_views_that_are_carried_and_not_those_that_arent(tmp_path: Path, look: Look) -> None:
    script = SHOP + (
        "CREATE VIEW a_second AS SELECT day, n * 2 AS twice FROM z_first WHERE day < '1998';"
        "CREATE VIEW z_first(day, n) AS SELECT date(at), count(*) FROM sale GROUP BY 1;"
        "CREATE VIEW lost AS SELECT hex(note) AS h FROM sale; CREATE VIEW b_lost AS SELECT h FROM lost;"
    )
    path = build(tmp_path / "t.db", script)
    plan = plan_file(path)
    assert {name for name, item in views(plan).items() if item.carried} == {"a_second", "z_first"}
    assert assert_same_rows(look, path, plan) == 2


@pytest.mark.parametrize("written", NOT_CARRIED)
def test_what_means_something_else_or_isnt_sure_is_listed_with_why(tmp_path: Path, written: str) -> None:
    path = build(tmp_path / "t.db", SHOP + f"CREATE VIEW v AS SELECT {written} AS v FROM sale")
    plan = plan_file(path)
    (item,) = plan.objects
    assert not item.carried and NOT_CARRIED[written] in item.why
    assert ("VIEW_NOT_CARRIED", "v") in [(finding.code, finding.table) for finding in plan.findings]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM sale ORDER BY qty LIMIT 2",
        "SELECT DISTINCT login FROM customer",
        "SELECT login, count(*) FROM customer GROUP BY login",
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3) SELECT i FROM n",
        "VALUES (1)",
        "SELECT * FROM customer FULL JOIN sale USING (id)",
    ],
)
def test_a_query_that_isnt_sure_to_give_the_same_rows_is_listed(tmp_path: Path, sql: str) -> None:
    (item,) = plan_file(build(tmp_path / "t.db", f"{SHOP} CREATE VIEW v AS {sql}")).objects
    assert not item.carried and item.why


@pytest.mark.parametrize("seed", range(3))
def test_random_views_are_listed_or_give_the_same_rows(tmp_path: Path, look: Look, seed: int) -> None:
    source = RandomSql(seed)
    rows = source.rows(40)
    marks = ", ".join("?" * len(rows[0]))
    path = build(tmp_path / "t.db", TABLE, [(f"INSERT INTO t VALUES({marks})", row) for row in rows])
    database = sqlite3.connect(path, isolation_level=None)
    for place in range(160):
        try:
            database.execute(f"CREATE VIEW v{place} AS {source.query()}")
            database.execute(f"SELECT * FROM v{place}").fetchall()
        except sqlite3.Error:  # an overflow, or a name that isn't there: no view to move
            database.execute(f"DROP VIEW IF EXISTS v{place}")
    database.close()
    assert assert_same_rows(look, path, plan_file(path)) > 50


def test_a_file_in_utf16_has_no_order_of_texts_that_could_be_kept(tmp_path: Path) -> None:
    script = "PRAGMA encoding='UTF-16le'; CREATE TABLE t(a TEXT); INSERT INTO t VALUES('x');"
    script += "CREATE VIEW o AS SELECT a FROM t ORDER BY a; CREATE VIEW e AS SELECT a FROM t WHERE a = 'x'"
    found = views(plan_file(build(tmp_path / "t.db", script)))
    assert found["e"].carried and not found["o"].carried


# Checks, keys and generated columns

CHECKS = {
    "a > 0": [(1,), (0,), (None,), (-5,)],
    "b IN ('x', 'y')": [("x",), ("X",), (None,)],
    "b LIKE 'a%'": [("Ab",), ("b",), ("",)],
    "b GLOB '[A-Z]*'": [("Ab",), ("ab",), ("",)],
    "length(b) BETWEEN 2 AND 3": [("é",), ("éa",), ("abcd",), (None,)],
    "a IS NULL OR b IS NULL": [(1,)],
    "typeof(a) = 'integer'": [(1,), (None,)],
    "flag IN (0, 1)": [(1,), (0,), (None,)],
    "flag": [(1,), (0,), (None,)],
    "d < '2020-06-01'": [("2020-01-01",), ("2020-06-01",), ("2021-01-01",)],
    "b <> 'it''s' COLLATE NOCASE": [("IT'S",), ("it",)],
    "NOT (a > 5 AND a < 10)": [(7,), (5,), (11,)],
    "r <= 0.1 + 0.2": [(0.3,), (0.30000000000000004,), (0.4,)],
}


@pytest.mark.parametrize("check", CHECKS)
def test_a_check_lets_pass_and_refuses_what_it_did(tmp_path: Path, look: Look, check: str) -> None:
    column = next(name for name in ("flag", "b", "a", "d", "r") if re.search(rf"\b{name}\b", check))
    table = f"CREATE TABLE t(a INT, b TEXT, flag BOOLEAN, d DATE, r REAL, CHECK ({check}))"
    path = build(tmp_path / "t.db", table)
    plan = plan_file(path)
    twins.fill(look, plan, path)
    assert set(twins.make(look, plan.table("t").objects).values()) == {""}
    database = sqlite3.connect(path)
    for (value,) in CHECKS[check]:
        there = bool(value) if column == "flag" and value is not None else value
        assert _takes(database, column, value) == _takes(look.connection, column, there), value
    database.close()


def _takes(connection: sqlite3.Connection | psycopg2.extensions.connection, column: str, value: object) -> bool:
    where, mark = ("t", "?") if isinstance(connection, sqlite3.Connection) else (f"{twins.SCHEMA}.t", "%s")
    try:
        connection.cursor().execute(f"INSERT INTO {where}({column}) VALUES ({mark})", (value,))
    except (sqlite3.IntegrityError, psycopg2.IntegrityError):
        return False
    return True


@pytest.mark.parametrize(
    ("index", "rows"),
    [
        ("UNIQUE INDEX i ON t(b) WHERE a IS NULL", [(1, "x"), (2, "x"), (None, "x"), (None, "x")]),
        ("UNIQUE INDEX i ON t(lower(b))", [(1, "É"), (1, "é"), (1, "A"), (1, "a")]),
        ("UNIQUE INDEX i ON t(b COLLATE NOCASE)", [(1, "É"), (1, "é"), (1, "A"), (1, "a")]),
        ("UNIQUE INDEX i ON t(b COLLATE RTRIM)", [(1, "a"), (1, "a  "), (1, " a")]),
        ("UNIQUE INDEX i ON t(a + 1, substr(b, 1, 2)) WHERE b <> ''", [(1, "abc"), (1, "abd"), (2, "ab"), (1, "")]),
        ("UNIQUE INDEX i ON t(a DESC, b)", [(1, "a"), (1, "a"), (None, "a"), (None, "a")]),
    ],
)
def test_a_unique_index_refuses_what_it_did(
    tmp_path: Path, look: Look, index: str, rows: list[tuple[object, object]]
) -> None:
    path = build(tmp_path / "t.db", f"CREATE TABLE t(a INT, b TEXT); CREATE {index}")
    plan = plan_file(path)
    twins.fill(look, plan, path)
    assert twins.make(look, plan.table("t").objects) == {"i": ""}
    database = sqlite3.connect(path)
    for row in rows:
        taken = []
        for connection, mark in ((database, "?"), (look.connection, "%s")):
            where = "t" if mark == "?" else f"{twins.SCHEMA}.t"
            try:
                connection.cursor().execute(f"INSERT INTO {where}(a, b) VALUES ({mark}, {mark})", row)
                taken.append(True)
            except (sqlite3.IntegrityError, psycopg2.IntegrityError):
                taken.append(False)
        assert taken[0] == taken[1], row
    database.close()


GENERATED = """CREATE TABLE t(id INTEGER PRIMARY KEY, a INT, p REAL, b TEXT, d DATETIME,
  twice INT AS (a * 2) STORED, total REAL AS (p * a), low TEXT AS (lower(b)), big BOOLEAN AS (a > 5),
  said TEXT AS (coalesce(b, '') || '/' || a) STORED, day TEXT AS (date(d)), again INT AS (twice + 1),
  odd TEXT AS (printf('%d', a)), total2 AS (a + p));
INSERT INTO t(a, p, b, d) VALUES (1, 0.1, 'ÄB', '2020-01-02 03:04:05'), (7, 2.5, NULL, NULL), (NULL, 1.0, 'x', NULL)"""


def test_a_generated_column_is_generated_where_that_surely_gives_the_same(tmp_path: Path, look: Look) -> None:
    path = build(tmp_path / "t.db", GENERATED)
    plan = plan_file(path)
    made = {item.name for item in plan.table("t").columns if item.generated_sql}
    assert made == {"twice", "total", "low", "big", "said", "total2"}
    kept = {finding.column: finding.message for finding in plan.findings if finding.choices == ("values",)}
    assert kept.keys() == {"day", "again", "odd"}
    assert "reads a generated column" in kept["again"]
    twins.fill(look, plan, path)
    names = ", ".join(item.name for item in plan.table("t").columns)
    before = twins.rows_of_sqlite(path, f"SELECT {names} FROM t")
    assert twins.counted(look.rows(f"SELECT {names} FROM {twins.SCHEMA}.t")) == before
    look.run(f"INSERT INTO {twins.SCHEMA}.t(id, a, p) VALUES (9, 8, 0.5)")
    assert look.rows(f"SELECT twice, total, big, said FROM {twins.SCHEMA}.t WHERE id = 9") == [(16, 4.0, True, "/8")]


def test_the_values_of_a_generated_column_are_kept_by_choice(tmp_path: Path) -> None:
    plan = plan_file(build(tmp_path / "t.db", GENERATED), [("GENERATED_AS_VALUES@t.twice", "values")])
    column = next(item for item in plan.table("t").columns if item.name == "twice")
    assert column.load and not column.generated_sql and "by choice" in column.reason
