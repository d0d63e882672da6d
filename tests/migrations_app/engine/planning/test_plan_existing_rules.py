"""Mode existing: what the target's own rules would refuse is a finding, with its row, before anything is loaded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest

from migrations_app.engine.plan import MODE_EXISTING, SKIP, Finding, MovePlan
from migrations_app.engine.planning.plan_existing_rules import RowRules
from migrations_app.engine.planning.planning import make_plan
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target.target import connect, transaction
from migrations_app.engine.target.target_catalog import read_schema
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.moves import Look
from tests.migrations_app.engine.sqlite_files import build

Planned = Callable[..., MovePlan]
MANY = 3000  # more combinations of values than are tried without their rows


@pytest.fixture
def planned(tmp_path: Path, url: TargetUrl, look: Look) -> Planned:
    """Plan a SQLite file, made by a script, into a schema made by another."""

    def work(source: str, target: str, *choices: tuple[str, str]) -> MovePlan:
        look.run(target)
        path = tmp_path / "t.db"
        path.unlink(missing_ok=True)
        connection = connect(url, application_name="causeway:test:0")
        try:
            with transaction(connection, "planning") as cursor, open_source(build(path, source)) as opened:
                schema, rules = read_schema(cursor, "public"), RowRules(cursor, "public")
                return make_plan(opened, mode=MODE_EXISTING, target=schema, choices=choices, rules=rules)
        finally:
            connection.close()

    return work


def the_only(plan: MovePlan) -> Finding:
    """Extensions aside, which are only named."""
    (found,) = [finding for finding in plan.findings if finding.code != "EXTENSION_USED"]
    return found


@pytest.mark.parametrize(
    ("column", "check", "good", "bad"),
    [
        ("n integer", "n >= 0", "7", "-1"),
        ("n integer", "n <= -5", "-5", "-4"),
        ("n bigint", "n <> 3 AND n % 2 = 0", "4", "3"),
        ("n text", "n IN ('a', 'b')", "'a'", "'c'"),
        ("n varchar(9)", "char_length(n) > 2", "'abc'", "'x'"),
        ("n boolean", "n", "1", "0"),
        ("n jsonb", "jsonb_typeof(n) = 'object'", "'{}'", "'[]'"),
        ("n timestamp", "n > '2000-01-01'", "'2020-01-01 00:00:00'", "'1999-12-31 00:00:00'"),
    ],
)
def test_a_check_that_a_row_breaks_names_the_row(
    planned: Planned, look: Look, column: str, check: str, good: str, bad: str
) -> None:
    source = f"CREATE TABLE t(id INTEGER PRIMARY KEY, n); INSERT INTO t VALUES(1, {good}), (2, NULL)"
    target = f"CREATE TABLE t(id bigint PRIMARY KEY, {column} CONSTRAINT rule CHECK ({check}))"
    assert planned(source, target).findings == ()
    look.run("DROP TABLE t")
    found = the_only(planned(f"{source}; INSERT INTO t VALUES(5, {bad}), (6, {bad})", target))
    assert (found.code, found.table, found.column, found.row_key, found.count) == (
        "CHECK_VIOLATED",
        "t",
        "n",
        '{"id": 5}',
        2,
    )
    assert "rule" in found.message and found.choices == ("not_valid", "skip") and found.needs_choice


def test_a_check_is_tried_on_every_row_of_a_large_table(planned: Planned) -> None:
    source = f"""CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b TEXT);
        WITH RECURSIVE s(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM s WHERE n < {MANY})
        INSERT INTO t SELECT n, 'tab' || char(9) || n, CASE WHEN n % 1000 = 999 THEN 'z' ELSE 'tab' || char(9) || n END
        FROM s"""
    found = the_only(planned(source, "CREATE TABLE t(id bigint PRIMARY KEY, a text, b text, CHECK (a = b))"))
    assert (found.code, found.row_key, found.count) == ("CHECK_VIOLATED", '{"id": 999}', 3)
    assert found.column == ""


def test_a_domain_is_tried_too_and_a_word_in_a_constant_is_no_column(planned: Planned) -> None:
    target = """CREATE DOMAIN word AS text CHECK (VALUE <> 'VALUE'); CREATE TABLE t(id bigint PRIMARY KEY, w word)"""
    source = "CREATE TABLE t(id INTEGER PRIMARY KEY, w TEXT); INSERT INTO t VALUES(1, 'w'), (2, 'VALUE')"
    found = the_only(planned(source, target))
    assert (found.code, found.row_key, found.choices) == ("CHECK_VIOLATED", '{"id": 2}', ("skip",))


def test_a_rule_that_can_not_be_computed_for_a_row_is_told(planned: Planned) -> None:
    source = "CREATE TABLE t(id INTEGER PRIMARY KEY, n INT); INSERT INTO t VALUES(1, 0)"
    found = the_only(planned(source, "CREATE TABLE t(id bigint PRIMARY KEY, n integer CHECK (1 / n < 5))"))
    assert (found.code, found.choices) == ("CHECK_VIOLATED", ("skip",))
    assert "22012" in found.message


@pytest.mark.parametrize(
    ("column", "index"),
    [
        ("v text", "CREATE UNIQUE INDEX one ON t (lower(v))"),
        ("v text", "CREATE UNIQUE INDEX one ON t (live, lower(v))"),
        ("v text", "CREATE UNIQUE INDEX one ON t (upper(v)) WHERE live"),
        ("v citext", "ALTER TABLE t ADD UNIQUE (v)"),
    ],
)
def test_what_a_unique_index_takes_for_the_same_is_found(planned: Planned, column: str, index: str) -> None:
    extension = "CREATE EXTENSION citext;" if "citext" in column else ""
    target = f"{extension} CREATE TABLE t(id bigint PRIMARY KEY, {column}, live boolean); {index}"
    source = (
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, live INT); INSERT INTO t VALUES(1,'a',1),(2,'b',1),(3,'A',1)"
    )
    found = the_only(planned(source, target))
    assert (found.code, found.count, found.row_key) == ("DUPLICATE_KEYS", 1, '{"id": 1}')


def test_a_partial_unique_index_lets_the_others_be_alike(planned: Planned) -> None:
    target = "CREATE TABLE t(id bigint PRIMARY KEY, v text, live boolean); CREATE UNIQUE INDEX one ON t (v) WHERE live"
    source = (
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, live INT); INSERT INTO t VALUES(1,'a',1),(2,'a',0),(3,'a',0)"
    )
    assert planned(source, target).findings == ()


def test_a_choice_restores_the_check_not_valid_or_leaves_the_table_out(planned: Planned, look: Look) -> None:
    source = "CREATE TABLE t(id INTEGER PRIMARY KEY, n INT); INSERT INTO t VALUES(1, -1)"
    target = "CREATE TABLE t(id bigint PRIMARY KEY, n integer CONSTRAINT rule CHECK (n >= 0))"
    loose = planned(source, target, ("CHECK_VIOLATED@t.n", "not_valid"))
    (kept,) = loose.table("t").objects
    assert (kept.kind, kept.name, kept.detail["not_valid"]) == ("check", "rule", True)
    look.run("DROP TABLE t")
    assert planned(source, target, ("CHECK_VIOLATED", "skip")).table("t").rule == SKIP


@pytest.mark.parametrize(
    ("type_sql", "good", "bad"),
    [
        ("inet", "10.0.0.1", "10.0.0.256"),
        ("inet", "::1", "0:0::1"),  # a value, but printed otherwise
        ("int4range", "[1,5)", "[5,1)"),
        ("point", "(1,2)", "1"),
    ],
)
def test_a_type_without_a_conversion_is_tried_text_by_text(
    planned: Planned, look: Look, type_sql: str, good: str, bad: str
) -> None:
    source = f"CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES(1, '{good}'), (2, NULL)"
    target = f"CREATE TABLE t(id bigint PRIMARY KEY, v {type_sql})"
    plan = planned(source, target)
    found = the_only(plan)
    assert (found.code, found.choice, plan.table("t").columns[1].conversion) == (
        "TARGET_TYPE_UNKNOWN",
        "verbatim",
        "verbatim",
    )
    look.run("DROP TABLE t")
    worse = f"{source}; INSERT INTO t VALUES(4, '{bad}')"
    (refused,) = planned(worse, target).open_findings
    assert (refused.code, refused.row_key, refused.count) == ("VALUE_DOES_NOT_FIT", '{"id": 4}', 1)
    look.run("DROP TABLE t")
    left_out = planned(worse, target, ("VALUE_DOES_NOT_FIT@t.v", "skip_column"))
    assert [column.name for column in left_out.table("t").loaded_columns] == ["id"]


def test_planning_leaves_nothing_in_the_target(planned: Planned, look: Look) -> None:
    planned(
        "CREATE TABLE t(v TEXT); INSERT INTO t VALUES('x')", "CREATE TABLE t(v text CONSTRAINT rule CHECK (v <> 'y'))"
    )
    assert look.rows("SELECT relname::text FROM pg_class WHERE relname LIKE 'causeway%'") == []
    assert look.value("SELECT count(*) FROM t") == 0


BOOKED = """CREATE TABLE t(id INTEGER PRIMARY KEY, room INT, since INT, until INT, live INT);
            INSERT INTO t VALUES(1,7,1,5,1), (2,7,5,9,1), (3,8,2,6,1), (4,7,2,4,0), (5,NULL,1,9,1)"""


@pytest.mark.parametrize("when", ["", " DEFERRABLE INITIALLY DEFERRED"])
def test_rows_that_an_exclusion_constraint_refuses_are_found(planned: Planned, look: Look, when: str) -> None:
    target = f"""CREATE EXTENSION IF NOT EXISTS btree_gist; DROP TABLE IF EXISTS t;
        CREATE TABLE t(id bigint PRIMARY KEY, room bigint, since integer, until integer, live boolean,
            CONSTRAINT booked EXCLUDE USING gist (room WITH =, int4range(since, until) WITH &&) WHERE (live){when})"""
    assert [finding.code for finding in planned(BOOKED, target).findings] == ["EXTENSION_USED"]
    worse = f"{BOOKED}; INSERT INTO t VALUES(6, 7, 4, 6, 1), (7, 8, 1, 3, 1), (8, 8, 1, 3, 0)"
    found = the_only(planned(worse, target))
    assert (found.code, found.count, found.row_key, found.choices) == ("CHECK_VIOLATED", 2, '{"id": 6}', ("skip",))
    assert "exclusion constraint booked" in found.message and found.needs_choice
    look.run(target)
    with pytest.raises(psycopg2.errors.ExclusionViolation):  # as it is said: row 6 is in the way of row 2
        look.run("INSERT INTO t VALUES(2, 7, 5, 9, true), (6, 7, 4, 6, true)")


def test_a_range_that_can_not_be_computed_is_told(planned: Planned) -> None:
    source = "CREATE TABLE t(id INTEGER PRIMARY KEY, a INT, b INT); INSERT INTO t VALUES(1, 5, 1)"
    target = "CREATE TABLE t(id bigint PRIMARY KEY, a int, b int, EXCLUDE USING gist (int4range(a, b) WITH &&))"
    found = the_only(planned(source, target))
    assert (found.code, found.choices) == ("CHECK_VIOLATED", ("skip",)) and "22000" in found.message


def test_nulls_that_are_alike_are_duplicates(planned: Planned) -> None:
    source = "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t VALUES(1, NULL), (2, 'a')"
    target = "DROP TABLE IF EXISTS t; CREATE TABLE t(id bigint PRIMARY KEY, v text UNIQUE NULLS NOT DISTINCT)"
    assert planned(source, target).findings == ()
    found = the_only(planned(f"{source}; INSERT INTO t VALUES(3, NULL)", target))
    assert (found.code, found.column, found.row_key) == ("DUPLICATE_KEYS", "v", '{"id": 1}')


@pytest.mark.parametrize(
    "rule",
    [
        "CHECK (n < most)",
        "CHECK (twice > 1)",
        "UNIQUE (twice)",
        "EXCLUDE USING btree (twice WITH =)",
    ],
)
def test_a_rule_on_columns_that_are_not_written_is_said_not_to_be_tried(planned: Planned, rule: str) -> None:
    source = "CREATE TABLE t(id INTEGER PRIMARY KEY, n INT); INSERT INTO t VALUES(1, 0), (2, 0)"
    target = f"""CREATE TABLE t(id bigint PRIMARY KEY, n integer, most integer DEFAULT 5 CHECK (most > 1),
                                twice integer GENERATED ALWAYS AS (n * 2) STORED, CONSTRAINT rule {rule})"""
    told = [finding for finding in planned(source, target).findings if finding.code == "RULE_NOT_TRIED"]
    assert [(found.table, "rule" in found.message) for found in told] == [("t", True)]


def test_a_rule_that_the_role_may_not_compute_is_said_not_to_be_tried(planned: Planned) -> None:
    source = "CREATE TABLE t(id INTEGER PRIMARY KEY, n INT); INSERT INTO t VALUES(1, 0)"
    target = """CREATE FUNCTION secret(integer) RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS 'BEGIN RETURN true; END';
        CREATE TABLE t(id bigint PRIMARY KEY, n integer CONSTRAINT rule CHECK (secret(n)));
        REVOKE ALL ON FUNCTION secret(integer) FROM PUBLIC, CURRENT_USER"""
    found = the_only(planned(source, target))
    assert (found.code, found.severity, found.table, found.column) == ("RULE_NOT_TRIED", "warn", "t", "n")
    assert "rule" in found.message and "42501" in found.message
