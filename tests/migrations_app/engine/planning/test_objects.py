"""Findings about objects in mode create, each provoked; defaults that act alike; keys that SQLite reads otherwise."""

from __future__ import annotations

import datetime as dt
import re
import sqlite3
from pathlib import Path

import psycopg2
import pytest

from migrations_app.engine.plan import Finding, MovePlan, ObjectPlan
from migrations_app.engine.planning.findings import CATALOGUE
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine import twins
from tests.migrations_app.engine.moves import Look
from tests.migrations_app.engine.sqlite_files import build, plan_file
from tests.migrations_app.engine.whole_moves import again, move

ENGINE = Path(__file__).resolve().parents[4] / "migrations_app" / "engine" / "planning"
ROOMS = (
    "typemap",
    "counted_times",
    "plan_create",
    "plan_objects",
    "plan_checks",
    "plan_wide_rows",
    "plan_views",
    "plan_foreign_keys",
    "plan_tables",
    "plan_merged_keys",
)


def found(plan: MovePlan, code: str) -> Finding:
    return next(item for item in plan.findings if item.code == code)


def objects(plan: MovePlan, kind: str, table: str = "t") -> list[ObjectPlan]:
    return [item for item in plan.table(table).objects if item.kind == kind]


def test_every_finding_of_a_new_schema_is_named_by_a_test() -> None:
    made = {code for room in ROOMS for code in re.findall(r'"([A-Z][A-Z_]{5,})"', (ENGINE / f"{room}.py").read_text())}
    tests = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parents[1].rglob("test_*.py"))
    assert len(made & set(CATALOGUE)) > 20
    assert sorted(code for code in made & set(CATALOGUE) if not re.search(rf"\b{code}\b", tests)) == []


@pytest.mark.parametrize(
    ("script", "code", "severity", "where"),
    [
        ("CREATE TABLE t(a)", "ROWID_MAY_BE_DATA", "info", ("t", "")),
        ("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT COLLATE NOCASE)", "NOCASE_COLUMN", "info", ("t", "a")),
        ("CREATE TABLE t(id INTEGER PRIMARY KEY, a CHECK (quote(a) <> ''))", "CHECK_NOT_CARRIED", "info", ("t", "")),
        (
            "CREATE TABLE t(id INTEGER PRIMARY KEY, a); CREATE INDEX i ON t(hex(a))",
            "INDEX_NOT_CARRIED",
            "info",
            ("t", ""),
        ),
        (
            "CREATE TABLE t(id INTEGER PRIMARY KEY); CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END",
            "TRIGGER_NOT_CARRIED",
            "info",
            ("t", "r"),
        ),
        ("CREATE VIRTUAL TABLE t USING fts5(a)", "VIRTUAL_TABLE", "warn", ("t", "")),
        ("CREATE VIRTUAL TABLE t USING fts5(a)", "SHADOW_TABLE", "info", ("t_config", "")),
        ("CREATE VIRTUAL TABLE t USING fts5(a, content='')", "VIRTUAL_TABLE_UNREADABLE", "warn", ("t", "")),
        (
            "CREATE TABLE t(id INTEGER PRIMARY KEY, p REFERENCES gone(id))",
            "FOREIGN_KEY_PARENT",
            "warn",
            ("t", "p"),
        ),
        (
            "CREATE TABLE p(id TEXT PRIMARY KEY); CREATE TABLE t(id INTEGER PRIMARY KEY, p INTEGER REFERENCES p)",
            "FOREIGN_KEY_TYPES",
            "warn",
            ("t", "p"),
        ),
    ],
)
def test_what_isnt_kept_as_it_was_is_a_finding(
    tmp_path: Path, script: str, code: str, severity: str, where: tuple[str, str]
) -> None:
    finding = found(plan_file(build(tmp_path / "t.db", script)), code)
    assert (finding.severity, finding.table, finding.column) == (severity, *where)


def test_a_collation_of_the_applications_own_is_told(tmp_path: Path) -> None:
    path = tmp_path / "t.db"
    connection = sqlite3.connect(path)
    connection.create_collation("KLINGON", lambda one, two: (one > two) - (one < two))
    connection.executescript("CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT COLLATE KLINGON); CREATE INDEX i ON t(a)")
    connection.close()
    plan = plan_file(path)
    assert found(plan, "UNKNOWN_COLLATION").column == "a"
    (index,) = objects(plan, "index")
    assert not index.carried and "KLINGON" in index.why


def test_null_where_not_null_was_declared_is_a_choice(tmp_path: Path) -> None:
    path = build(tmp_path / "t.db", "CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT); INSERT INTO t VALUES(1, NULL)")
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA writable_schema=ON")
    connection.execute("UPDATE sqlite_schema SET sql = replace(sql, 'a TEXT', 'a TEXT NOT NULL')")
    connection.commit()
    connection.close()
    plan = plan_file(path)
    assert (found(plan, "NULLS_BREAK_NOT_NULL").count, plan.table("t").columns[1].not_null) == (1, False)
    skipping = plan_file(path, [("NULLS_BREAK_NOT_NULL@t.a", "skip_rows")]).table("t").columns[1]
    assert skipping.not_null and skipping.on_unfit == "skip_row"


LOGINS = """CREATE TABLE login(name TEXT PRIMARY KEY COLLATE NOCASE); INSERT INTO login VALUES('bob');
            CREATE TABLE t(id INTEGER PRIMARY KEY, author TEXT REFERENCES login(name));"""


def test_a_foreign_key_without_case_says_what_changes(tmp_path: Path) -> None:
    path = build(tmp_path / "t.db", LOGINS + "INSERT INTO t VALUES(1, 'BOB'), (2, 'bob')")
    plan = plan_file(path)
    finding = found(plan, "FOREIGN_KEY_NOCASE")
    assert (finding.count, finding.row_key, finding.choice) == (1, '{"id": 1}', "not_valid")
    assert objects(plan, "foreign_key")[0].sql.endswith("NOT VALID")
    (left_out,) = objects(plan_file(path, [("FOREIGN_KEY_NOCASE@t.author", "omit")]), "foreign_key")
    assert not left_out.carried
    fitting = plan_file(build(tmp_path / "u.db", LOGINS + "INSERT INTO t VALUES(2, 'bob')"))
    assert found(fitting, "FOREIGN_KEY_NOCASE").choice == "create"
    assert not objects(fitting, "foreign_key")[0].sql.endswith("NOT VALID")


CHECKED = """PRAGMA ignore_check_constraints = 1;
    CREATE TABLE t(id INTEGER PRIMARY KEY, n INT CHECK (n >= 0), a TEXT, b TEXT,
                   CONSTRAINT pair CHECK (a <> b -- never the same
                   ), CHECK (abs(n) < 100), CHECK (a IS NULL OR length(a) < 9));
    INSERT INTO t VALUES(1, 5, 'x', 'y'), (2, NULL, NULL, 'y'), (3, -1, 'x', 'x'), (4, -2, 'x', 'y');"""


def test_rows_that_break_a_check_arrive_and_the_check_holds_for_new_ones(
    tmp_path: Path, url: TargetUrl, look: Look
) -> None:
    path = build(tmp_path / "t.db", CHECKED)
    plan, result = move(path, url)
    told = [(f.column, f.row_key, f.count, f.choice) for f in plan.findings if f.code == "CHECK_VIOLATED"]
    assert told == [("n", '{"id": 3}', 2, "not_valid"), ("", '{"id": 3}', 1, "not_valid")]
    assert result.equal and look.value("SELECT count(*) FROM t") == 4
    checks = "SELECT conname::text, convalidated FROM pg_constraint WHERE contype = 'c' AND conrelid <> 0 ORDER BY 1"
    assert look.rows(checks) == [("pair", False), ("t_check1", False), ("t_check3", True), ("t_check4", True)]
    assert not [each for each in result.objects if each.kind == "check" and not each.carried]
    with pytest.raises(psycopg2.errors.CheckViolation):
        look.run("INSERT INTO t VALUES(9, 1, 'x', 'x')")
    look.run("ALTER TABLE t DROP CONSTRAINT pair")
    assert [each.kind for each in again(path, plan, url).differences] == ["check_missing"]


def test_a_check_that_rows_break_is_left_out_by_choice(tmp_path: Path) -> None:
    plan = plan_file(build(tmp_path / "t.db", CHECKED), [("CHECK_VIOLATED@t.n", "omit")])
    assert [(item.name, item.carried) for item in objects(plan, "check")][:2] == [("t_check1", False), ("pair", True)]


def test_a_check_that_can_not_be_computed_for_a_row_is_left_to_the_load(tmp_path: Path) -> None:
    script = f"""PRAGMA ignore_check_constraints = 1;
        CREATE TABLE t(id INTEGER PRIMARY KEY, n INT CHECK (abs(n) >= 0), m INT CHECK (m > 0));
        INSERT INTO t VALUES(1, {-(2**63)}, 5), (2, 1, 0)"""
    plan = plan_file(build(tmp_path / "t.db", script))
    assert [(f.column, f.row_key) for f in plan.findings if f.code == "CHECK_VIOLATED"] == [("m", '{"id": 2}')]
    assert [item.sql.endswith("NOT VALID") for item in objects(plan, "check")] == [False, True]


DEFAULTS = {
    "INTEGER DEFAULT (1 + 1)": 2,
    "TEXT DEFAULT 'it''s \\ %s'": "it's \\ %s",
    "REAL DEFAULT 1e3": 1000.0,
    "BOOLEAN DEFAULT TRUE": 1,
    "DECIMAL(6,2) DEFAULT -1.5": -1.5,
    "BLOB DEFAULT x'00ff'": b"\x00\xff",
    "DATE DEFAULT '2020-02-29'": "2020-02-29",
    "DATETIME DEFAULT '2000-01-01 00:00:00'": "2000-01-01 00:00:00",
    "TEXT DEFAULT NULL": None,
}
MOMENTS = {
    "TEXT DEFAULT CURRENT_TIMESTAMP": "%Y-%m-%d %H:%M:%S",
    "DATETIME DEFAULT CURRENT_TIMESTAMP": "%Y-%m-%d %H:%M:%S",
    "DATETIME DEFAULT (strftime('%Y-%m-%d %H:%M:%f', 'now'))": "%Y-%m-%d %H:%M:%S.%f",
    "TEXT DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))": "%Y-%m-%dT%H:%M:%S.%fZ",
    "DATE DEFAULT (date('now'))": "%Y-%m-%d",
    "DATETIME DEFAULT (datetime('now', '+7 days'))": "%Y-%m-%d %H:%M:%S",
    "TEXT DEFAULT (datetime('now', '-36 hours'))": "%Y-%m-%d %H:%M:%S",
}


def both(tmp_path: Path, look: Look, column: str, stored: str = "") -> tuple[object, object]:
    """What a row gets that names no value, in SQLite and in PostgreSQL."""
    path = build(tmp_path / "t.db", f"CREATE TABLE t(id INTEGER PRIMARY KEY, v {column}); {stored}")
    plan = plan_file(path)
    twins.fill(look, plan, path)
    twins.make(look, plan.table("t").objects)
    connection = sqlite3.connect(path)
    connection.execute("INSERT INTO t(id) VALUES (9)")
    (before,) = connection.execute("SELECT v FROM t WHERE id = 9").fetchone()
    connection.close()
    look.run(f"INSERT INTO {twins.SCHEMA}.t(id) VALUES (9)")
    return before, look.value(f"SELECT v FROM {twins.SCHEMA}.t WHERE id = 9")


@pytest.mark.parametrize("column", DEFAULTS)
def test_a_constant_default_gives_the_same_value(tmp_path: Path, look: Look, column: str) -> None:
    stored = "INSERT INTO t VALUES(1, x'01')" if column.startswith("BLOB") else ""
    before, after = both(tmp_path, look, column, stored)
    assert before == DEFAULTS[column]
    assert twins.plain(before) == twins.plain(after)


@pytest.mark.parametrize("column", MOMENTS)
def test_a_default_of_now_gives_the_same_moment_in_utc(tmp_path: Path, look: Look, column: str) -> None:
    look.run("SET timezone = 'Asia/Kathmandu'")
    before, after = both(tmp_path, look, column)
    shown = str(after)
    form = MOMENTS[column]
    if "%f" in form and "." not in shown:
        shown += ".000"
    apart = dt.datetime.strptime(shown, form) - dt.datetime.strptime(str(before), form)
    assert abs(apart) < dt.timedelta(minutes=2) or (form == "%Y-%m-%d" and abs(apart.days) <= 1)


@pytest.mark.parametrize(
    ("values", "default"),
    [("'2020-01-01T00:00:00Z'", "'2000-01-01 00:00:00+00:00'"), ("'2020-01-01 00:00:00'", "'2000-01-01T00:00:00'")],
)
def test_a_default_may_be_written_otherwise_than_the_columns_times(
    tmp_path: Path, look: Look, values: str, default: str
) -> None:
    _before, after = both(tmp_path, look, f"DATETIME DEFAULT {default}", f"INSERT INTO t VALUES(1, {values})")
    assert isinstance(after, dt.datetime)
    assert after.replace(tzinfo=after.tzinfo and dt.UTC) == dt.datetime(2000, 1, 1, tzinfo=after.tzinfo and dt.UTC)


@pytest.mark.parametrize("default", ["(random())", "(datetime('now', 'localtime'))", "(datetime('now', '+1 month'))"])
def test_a_default_that_has_no_twin_is_listed(tmp_path: Path, default: str) -> None:
    plan = plan_file(build(tmp_path / "t.db", f"CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT DEFAULT {default})"))
    assert found(plan, "DEFAULT_NOT_CARRIED").column == "v"
    assert plan.table("t").columns[1].default_sql is None


@pytest.mark.parametrize(
    ("table", "first", "second", "choice"),
    [
        ("t(a BLOB PRIMARY KEY)", "''", "x''", ("MIXED_STORAGE", "bytea")),
        ("t(a PRIMARY KEY)", "1", "'1'", ("MIXED_STORAGE", "text")),
        ("t(a, b UNIQUE)", "1, 1", "2, '1'", ("MIXED_STORAGE", "text")),
        ("t(a PRIMARY KEY, b) WITHOUT ROWID", "'x', 2", "x'78', 1", ("MIXED_STORAGE", "bytea")),
        ("t(a UUID PRIMARY KEY)", f"'{'a' * 32}'", f"'{'A' * 32}'", ("TYPE_FOLLOWS_VALUES", "any_spelling")),
    ],
)
def test_a_choice_that_would_make_two_keys_one_is_refused_before_anything_is_loaded(
    tmp_path: Path, table: str, first: str, second: str, choice: tuple[str, str]
) -> None:
    path = build(tmp_path / "a.db", f"CREATE TABLE {table}; INSERT INTO t VALUES ({first}), ({second})")
    finding = found(plan_file(path, [choice]), "DUPLICATE_KEYS")
    assert (finding.severity, finding.table, finding.count, finding.needs_choice) == ("refuse", "t", 1, True)
    assert finding.column in ("a", "b") and finding.row_key
    apart = plan_file(path, [(choice[0], "tagged_text")])
    assert not apart.open_findings


def test_keys_that_stay_apart_are_not_asked_about(tmp_path: Path) -> None:
    script = "CREATE TABLE t(a PRIMARY KEY); INSERT INTO t VALUES (1), ('2'), (NULL), (NULL)"
    plan = plan_file(build(tmp_path / "a.db", script), [("MIXED_STORAGE", "text")])
    assert not any(item.code == "DUPLICATE_KEYS" for item in plan.findings)
