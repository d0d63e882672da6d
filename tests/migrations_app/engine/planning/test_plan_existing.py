"""Plans in mode existing: tables and columns matched with what the application has made in the target."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.errors import Refused
from migrations_app.engine.plan import EMPTY_THEN_LOAD, KEEP_TARGET, LOAD, MODE_EXISTING, SKIP, Finding, MovePlan
from migrations_app.engine.planning.findings import CATALOGUE
from migrations_app.engine.planning.planning import make_plan
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target.target import connect, read_target_schema
from migrations_app.engine.target.target_digest import digest_of_schema
from migrations_app.engine.target.target_schema import (
    TargetColumn,
    TargetForeignKey,
    TargetIndex,
    TargetSchema,
    TargetTable,
    TargetView,
)
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.moves import Look
from tests.migrations_app.engine.sqlite_files import build
from tests.migrations_app.engine.whole_moves import again, move, planned

STAMPTZ = "timestamp with time zone"


def plan_into(path: Path, *tables: TargetTable, choices: tuple[tuple[str, str], ...] = (), **more: object) -> MovePlan:
    target = TargetSchema("public", tables, **more)  # type: ignore[arg-type]
    with open_source(path) as source:
        return make_plan(source, mode=MODE_EXISTING, target=target, choices=choices)


def only(plan: MovePlan, code: str) -> Finding:
    (found,) = [finding for finding in plan.findings if finding.code == code]
    return found


def table(name: str, *columns: TargetColumn, rows: int = 0, **more: object) -> TargetTable:
    return TargetTable(name, columns, rows=rows, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("declared", "value", "type_sql", "conversion"),
    [
        ("INTEGER", "1", "boolean", "boolean"),
        ("INTEGER", "40000", "integer", "integer"),
        ("DECIMAL", "1.5", "numeric(5,2)", "numeric"),
        ("CHAR(32)", "'6ba7b8109dad11d180b400c04fd430c8'", "uuid", "uuid"),
        ("JSON", "5", "jsonb", "jsonb"),
        ("DATETIME", "'2020-01-01 00:00:00.000000'", "timestamp without time zone", "timestamp"),
        ("TEXT", "'[1,2]'", "integer[]", "array:integer"),
        ("TEXT", "'low'", "mood", 'enum:["high","low"]'),
        ("TEXT", "'x'", "citext", "text"),
    ],
)
def test_the_targets_type_decides(tmp_path: Path, declared: str, value: str, type_sql: str, conversion: str) -> None:
    path = build(tmp_path / "t.db", f"CREATE TABLE t(v {declared}); INSERT INTO t VALUES({value})")
    labels = ("low", "high") if type_sql == "mood" else ()
    plan = plan_into(path, table("t", TargetColumn("v", type_sql, enum_labels=labels)))
    (column,) = plan.table("t").columns
    assert (column.conversion, column.target_type, plan.open_findings) == (conversion, type_sql, ())


@pytest.mark.parametrize(
    ("value", "type_sql", "choice", "conversion"),
    [
        ("0.30000000000000004", "numeric(7,3)", "round", "numeric_rounded"),
        ("'true'", "boolean", "words", "boolean_words"),
        ("1577934245", STAMPTZ, "epoch_seconds", "epoch:s"),
        ("1577934245123", "timestamp without time zone", "epoch_milliseconds", "epoch:ms"),
        ("2459081.75", STAMPTZ, "julian_day", "julian"),
        ("2459081.5", "timestamp without time zone", "julian_day", "julian"),
        ("90061500000", "interval", "microseconds", "interval_microseconds"),
        ("'text'", "bytea", "stored_bytes", "text_bytes:UTF-8"),
    ],
)
def test_a_value_that_doesnt_fit_offers_ways_that_do(
    tmp_path: Path, value: str, type_sql: str, choice: str, conversion: str
) -> None:
    path = build(tmp_path / "t.db", f"CREATE TABLE t(id INTEGER PRIMARY KEY, v); INSERT INTO t(v) VALUES({value})")
    target = table("t", TargetColumn("id", "bigint", True), TargetColumn("v", type_sql))
    (finding,) = plan_into(path, target).open_findings
    assert (finding.code, finding.column, finding.row_key, finding.count) == ("VALUE_DOES_NOT_FIT", "v", '{"id": 1}', 1)
    assert choice in finding.choices and {"skip_rows", "skip_column"} <= set(finding.choices)
    plan = plan_into(path, target, choices=(("VALUE_DOES_NOT_FIT@t.v", choice),))
    assert plan.table("t").columns[1].conversion == conversion and not plan.open_findings
    left_out = plan_into(path, target, choices=(("VALUE_DOES_NOT_FIT", "skip_column"),))
    assert not left_out.table("t").columns[1].load


def test_a_way_that_not_every_value_fits_isnt_offered(tmp_path: Path) -> None:
    path = build(tmp_path / "t.db", "CREATE TABLE t(v); INSERT INTO t VALUES('true'),('perhaps')")
    (finding,) = plan_into(path, table("t", TargetColumn("v", "boolean", True))).open_findings
    assert finding.choices == ("skip_rows",)


def test_differences_of_tables_and_columns_are_findings(tmp_path: Path) -> None:
    script = """CREATE TABLE t(a INT, extra TEXT, void TEXT); INSERT INTO t VALUES(1, 'x', NULL);
                CREATE TABLE mine(a); INSERT INTO mine VALUES(1); CREATE TABLE bare(a); CREATE VIEW v AS SELECT 1"""
    target = table(
        "t",
        TargetColumn("a", "bigint"),
        TargetColumn("needed", "text", True),
        TargetColumn("filled", "text", True, "'x'::text"),
        TargetColumn("search", "tsvector", generated=True),
    )
    views = (TargetView("totals", "SELECT 1", materialized=True),)
    plan = plan_into(build(tmp_path / "t.db", script), target, table("theirs", rows=2), views=views)
    assert {(f.code, f.table, f.column) for f in plan.open_findings} == {
        ("TABLE_MISSING_IN_TARGET", "mine", ""),
        ("COLUMN_MISSING_IN_TARGET", "t", "extra"),
        ("COLUMN_WITHOUT_SOURCE", "t", "needed"),
    }
    told = {(f.code, f.table) for f in plan.findings}
    assert {
        ("TARGET_ONLY_TABLE", "theirs"),
        ("TARGET_ONLY_VIEW", "totals"),
        ("TABLE_MISSING_IN_TARGET", "bare"),
    } <= told
    assert plan.table("mine").rule == plan.table("bare").rule == SKIP
    assert [column.load for column in plan.table("t").columns] == [True, False, False]


@pytest.mark.parametrize(("choice", "rule"), [("empty", EMPTY_THEN_LOAD), ("keep", KEEP_TARGET), ("skip", SKIP)])
def test_rows_that_are_there_need_a_choice(tmp_path: Path, choice: str, rule: str) -> None:
    path = build(tmp_path / "t.db", "CREATE TABLE t(a INT)")
    target = table("t", TargetColumn("a", "bigint"), rows=3)
    assert only(plan_into(path, target), "TARGET_NOT_EMPTY").count == 3
    plan = plan_into(path, target, choices=(("TARGET_NOT_EMPTY@t", choice),))
    assert plan.table("t").rule == rule and not plan.open_findings


def test_the_schema_version_table_stays_and_its_heads_are_compared(tmp_path: Path) -> None:
    path = build(
        tmp_path / "t.db", "CREATE TABLE alembic_version(version_num TEXT); INSERT INTO alembic_version VALUES('a1')"
    )
    target = table("alembic_version", TargetColumn("version_num", "text"), rows=1, version_rows=(("a1",),))
    plan = plan_into(path, target)
    assert plan.table("alembic_version").rule == KEEP_TARGET and not plan.open_findings
    other = plan_into(path, replace(target, version_rows=(("b2",),)))
    assert "a1" in only(other, "VERSIONS_DIFFER").message and other.open_findings


def test_applied_migrations_are_compared_by_name_not_by_time(tmp_path: Path) -> None:
    script = """CREATE TABLE django_migrations(id INTEGER PRIMARY KEY, app TEXT, name TEXT, applied DATETIME);
                INSERT INTO django_migrations VALUES(7, 'auth', '0001_initial', '2020-01-01 00:00:00')"""
    columns = [TargetColumn(name, "text") for name in ("id", "app", "name", "applied")]
    rows = (("1", "auth", "0001_initial", "2024-01-01 00:00:00+00"),)
    plan = plan_into(build(tmp_path / "t.db", script), table("django_migrations", *columns, rows=1, version_rows=rows))
    assert [finding.code for finding in plan.findings] == ["VERSION_TABLE_KEPT"]


def test_a_seed_of_the_applications_own_is_emptied_by_a_rule_that_the_plan_shows(tmp_path: Path) -> None:
    path = build(tmp_path / "t.db", "CREATE TABLE t(a INT)")
    seeded, full = table("t", TargetColumn("a", "bigint"), rows=3), table("t", TargetColumn("a", "bigint"), rows=-1)
    plan = plan_into(path, seeded, fresh=True)
    found = only(plan, "TARGET_NOT_EMPTY")
    assert (found.severity, found.choice, plan.table("t").rule) == ("warn", "empty", EMPTY_THEN_LOAD)
    kept = plan_into(path, seeded, fresh=True, choices=(("TARGET_NOT_EMPTY@t", "keep"),))
    assert kept.table("t").rule == KEEP_TARGET
    assert plan_into(path, full, fresh=True).open_findings  # over 10,000 rows are nobody's seed


def test_names_that_differ_in_case_alone_are_one(tmp_path: Path) -> None:
    script = """CREATE TABLE Position("Lock" INT, x INT); CREATE TABLE two(n INT, N2 INT); CREATE TABLE Two2(a INT);
                INSERT INTO Position VALUES(1, 2); INSERT INTO Two2 VALUES(1)"""
    target = table("position", TargetColumn("lock", "boolean"), TargetColumn("x", "integer"))
    unclear = table("two2", TargetColumn("a", "bigint")), table("TWO2", TargetColumn("a", "bigint"))
    plan = plan_into(build(tmp_path / "t.db", script), target, *unclear)
    assert [(c.name, c.target_name, c.conversion) for c in plan.table("Position").columns] == [
        ("Lock", "lock", "boolean"),
        ("x", "x", "integer"),
    ]
    assert only(plan, "NAME_IN_OTHER_CASE").table == "Position" and plan.table("Position").target_name == "position"
    assert {(f.code, f.table) for f in plan.open_findings} == {("TABLE_MISSING_IN_TARGET", "Two2")}


def test_keys_are_checked_under_the_names_that_the_source_has(tmp_path: Path) -> None:
    script = """CREATE TABLE P("Id" INTEGER PRIMARY KEY); CREATE TABLE c(id INTEGER PRIMARY KEY, "Up" INT, "Tag" TEXT);
                INSERT INTO c VALUES(1, 9, 'twice'),(2, NULL, 'twice')"""
    key = TargetForeignKey("c_p", ("up",), "public", "p", ("id",), "FOREIGN KEY (up) REFERENCES p(id)")
    index = TargetIndex("c_tag", True, False, ("tag",), "CREATE UNIQUE INDEX …")
    columns = [TargetColumn("id", "bigint", True), TargetColumn("up", "bigint"), TargetColumn("tag", "text")]
    child = table("c", *columns, foreign_keys=(key,), indexes=(index,))
    plan = plan_into(build(tmp_path / "t.db", script), child, table("p", TargetColumn("id", "bigint", True)))
    assert (only(plan, "ORPHANS").column, only(plan, "DUPLICATE_KEYS").column) == ("Up", "Tag")


def test_a_parent_whose_own_rows_stay_is_told(tmp_path: Path) -> None:
    script = "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p INT REFERENCES p); INSERT INTO c VALUES(NULL)"
    key = TargetForeignKey("c_p", ("p",), "public", "p", ("id",), "FOREIGN KEY (p) REFERENCES p(id)")
    child = table("c", TargetColumn("p", "bigint"), foreign_keys=(key,))
    parent = table("p", TargetColumn("id", "bigint", True), rows=2)
    plan = plan_into(build(tmp_path / "t.db", script), child, parent, choices=(("TARGET_NOT_EMPTY", "keep"),))
    assert only(plan, "PARENT_NOT_MOVED").table == "c"


@pytest.mark.parametrize(("rows", "told"), [(0, 0), (2, 1), (-1, 1)])
def test_rows_that_stay_and_refer_to_what_is_loaded_are_told(tmp_path: Path, rows: int, told: int) -> None:
    key = TargetForeignKey("c_p", ("p",), "public", "p", ("id",), "FOREIGN KEY (p) REFERENCES p(id)")
    child = table("only_there", TargetColumn("p", "bigint"), foreign_keys=(key,), rows=rows)
    path = build(tmp_path / "t.db", "CREATE TABLE p(id INTEGER PRIMARY KEY)")
    plan = plan_into(path, child, table("p", TargetColumn("id", "bigint", True)))
    assert [f.table for f in plan.findings if f.code == "CHILD_NOT_MOVED"] == ["only_there"] * told


@pytest.mark.parametrize(("choice", "rule"), [("skip", SKIP), ("other_columns", LOAD)])
def test_a_search_index_is_one_question_about_its_table(tmp_path: Path, choice: str, rule: str) -> None:
    script = "CREATE TABLE entry(id INTEGER PRIMARY KEY, body TEXT); INSERT INTO entry VALUES(1, 'cheese')"
    path = build(tmp_path / "t.db", script)
    target = table("entry", TargetColumn("id", "bigint", True), TargetColumn("body", "tsvector"))
    (finding,) = plan_into(path, target).open_findings
    assert (finding.code, finding.table) == ("TARGET_SEARCH_INDEX", "entry")
    plan = plan_into(path, target, choices=(("TARGET_SEARCH_INDEX@entry", choice),))
    assert plan.table("entry").rule == rule and not plan.open_findings
    assert [column.name for column in plan.table("entry").loaded_columns] == (["id"] if rule == LOAD else [])


def test_a_digest_of_the_schema_doesnt_see_when_a_migration_was_applied() -> None:
    columns = [TargetColumn(name, "text") for name in ("id", "app", "name", "applied")]
    one = table("django_migrations", *columns, version_rows=(("1", "auth", "0001", "2024-01-01"),))
    same = replace(one, version_rows=(("7", "auth", "0001", "2025-05-05"),), rows=1)
    other = replace(one, version_rows=(("1", "auth", "0002", "2024-01-01"),))
    digests = [digest_of_schema(TargetSchema("public", (each,))) for each in (one, same, other)]
    assert digests[0] == digests[1] != digests[2]


def test_a_sequence_without_a_column_needs_somebody_who_knows_what_it_counts(tmp_path: Path) -> None:
    path = build(tmp_path / "t.db", "CREATE TABLE events(stream_ordering INT, note TEXT)")
    target = table("events", TargetColumn("stream_ordering", "bigint"), TargetColumn("note", "text"))
    more: dict[str, Any] = {"sequences": ("events_stream_seq", "other_seq")}
    first, second = plan_into(path, target, **more).open_findings
    assert (first.code, first.table) == ("SEQUENCE_WITHOUT_COLUMN", "events_stream_seq")
    assert (first.choices, second.choices) == (("keep", "follow:events.stream_ordering"), ("keep",))
    follow, keep = "SEQUENCE_WITHOUT_COLUMN@events_stream_seq", ("SEQUENCE_WITHOUT_COLUMN", "keep")
    plan = plan_into(path, target, choices=((follow, "follow:events.stream_ordering"), keep), **more)
    assert not plan.open_findings
    assert [(each.name, each.detail["follows"]) for each in plan.objects] == [
        ("events_stream_seq", [["events", "stream_ordering"]]),
        ("other_seq", []),
    ]
    for wrong, code in (
        ("follow:events.note", "UNKNOWN_COLUMN"),
        ("follow:", "UNKNOWN_CHOICE"),
        ("x", "UNKNOWN_CHOICE"),
    ):
        with pytest.raises(Refused) as caught:
            plan_into(path, target, choices=((follow, wrong), keep), **more)
        assert caught.value.code == code


def test_triggers_that_sleep_and_extensions_in_use_are_told(tmp_path: Path, url: TargetUrl, look: Look) -> None:
    look.run(
        """CREATE EXTENSION citext; CREATE EXTENSION hstore; CREATE SEQUENCE free; CREATE SEQUENCE used;
           CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
           CREATE TABLE t(id bigserial PRIMARY KEY, v citext, n bigint DEFAULT nextval('used'));
           CREATE TRIGGER "on insert" BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f();
           CREATE TRIGGER goes BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION f();
           CREATE TRIGGER off BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION f(); ALTER TABLE t DISABLE TRIGGER off"""
    )
    connection = connect(url, application_name="causeway:test:0")
    try:
        target = read_target_schema(connection, "public")
    finally:
        connection.close()
    path = build(tmp_path / "t.db", "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT, n INT)")
    with open_source(path) as source:
        plan = make_plan(source, mode=MODE_EXISTING, target=target)
    assert [(f.code, f.table, f.column) for f in plan.findings] == [
        ("TARGET_TRIGGER_SLEEPS", "t", "on insert"),
        ("EXTENSION_USED", "citext", ""),
        ("SEQUENCE_WITHOUT_COLUMN", "free", ""),
    ]


def test_naive_times_into_a_zone_and_nulls_into_not_null_are_told(tmp_path: Path) -> None:
    path = build(
        tmp_path / "t.db", "CREATE TABLE t(s DATETIME, n INT); INSERT INTO t VALUES('2020-01-01 00:00:00', NULL)"
    )
    target = table("t", TargetColumn("s", STAMPTZ), TargetColumn("n", "integer", True))
    plan = plan_into(path, target)
    assert only(plan, "NAIVE_AS_UTC").choice == "utc"
    assert [finding.code for finding in plan.open_findings] == ["NULL_IN_NOT_NULL"]
    skipping = plan_into(path, target, choices=(("NULL_IN_NOT_NULL", "skip_rows"),))
    assert skipping.table("t").columns[1].on_unfit == "skip_row"


def test_orphans_and_duplicates_that_the_targets_keys_would_refuse_are_found(tmp_path: Path) -> None:
    script = """CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(id INTEGER PRIMARY KEY, p INT, u TEXT);
                INSERT INTO c VALUES(1, 9, 'twice'),(2, NULL, 'twice')"""
    key = TargetForeignKey("c_p", ("p",), "public", "p", ("id",), "FOREIGN KEY (p) REFERENCES p(id)")
    index = TargetIndex("c_u", True, False, ("u",), "CREATE UNIQUE INDEX …")
    columns = [TargetColumn("id", "bigint", True), TargetColumn("p", "bigint"), TargetColumn("u", "text")]
    child = table("c", *columns, foreign_keys=(key,), indexes=(index,))
    path, parent = build(tmp_path / "t.db", script), table("p", TargetColumn("id", "bigint", True))
    plan = plan_into(path, child, parent)
    assert (only(plan, "ORPHANS").row_key, only(plan, "DUPLICATE_KEYS").row_key) == ('{"id": 1}', '{"u": "twice"}')
    chosen = plan_into(path, child, parent, choices=(("ORPHANS", "not_valid"),))
    assert chosen.table("c").objects[0].detail["not_valid"]


def test_a_real_schema_is_read_and_planned_against(tmp_path: Path, url: TargetUrl, look: Look) -> None:
    look.run(
        """CREATE TYPE mood AS ENUM ('low', 'high'); CREATE DOMAIN short AS varchar(5);
           CREATE TABLE t (id bigint GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY, m mood, s short NOT NULL DEFAULT '',
                           n numeric(7,3), tags text[], doc jsonb, at timestamptz(3))"""
    )
    script = """CREATE TABLE t(id INTEGER PRIMARY KEY, m TEXT, s TEXT, n NUMERIC, tags JSON, doc JSON, at DATETIME);
                INSERT INTO t VALUES(1,'low','abc',1.25,'["x"]','{"a":1}','2020-01-01 00:00:00.123000')"""
    connection = connect(url, application_name="causeway:test:0")
    try:
        target = read_target_schema(connection, "public")
    finally:
        connection.close()
    with open_source(build(tmp_path / "t.db", script)) as source:
        plan = make_plan(source, mode=MODE_EXISTING, target=target)
    assert plan.table("t").rule == LOAD and not plan.open_findings
    assert [column.conversion.partition(":")[0] for column in plan.table("t").columns] == [
        "bigint",
        "enum",
        "varchar",
        "numeric",
        "array",
        "jsonb",
        "timestamptz",
    ]


@pytest.mark.parametrize(
    "text",
    [
        '{"b": 1, "a": 2}',  # the order of keys
        '{"a":1}',  # spaces
        "1e2",
        "-0.0",
        '"\\u0041"',
    ],
)
def test_json_that_jsonb_spells_otherwise_is_told_and_compared_as_it_spells_it(
    tmp_path: Path, url: TargetUrl, look: Look, text: str
) -> None:
    rows = [("INSERT INTO t VALUES(?, ?)", (number, cell)) for number, cell in enumerate(('{"a": 1}', text, None), 1)]
    path = build(tmp_path / "t.db", "CREATE TABLE t(id INTEGER PRIMARY KEY, doc TEXT)", rows)
    look.run("CREATE TABLE t(id bigint PRIMARY KEY, doc jsonb)")
    plan, result = move(path, url, MODE_EXISTING)
    found = only(plan, "JSON_REWRITTEN")
    assert (found.table, found.column, found.row_key, found.count) == ("t", "doc", '{"id": 2}', 1)
    assert result.equal and any("t.doc" in remark and "jsonb" in remark for remark in result.remarks)
    look.run("""UPDATE t SET doc = '{"a": 2}' WHERE id = 1""")
    assert [(each.row_key, each.column) for each in again(path, plan, url).differences] == [('{"id": 1}', "doc")]


def test_json_that_stays_as_it_is_is_no_finding(tmp_path: Path, url: TargetUrl, look: Look) -> None:
    rows = [("INSERT INTO t VALUES(?)", (cell,)) for cell in ('{"a": [1, 2.50]}', "[]", "null", 5)]
    path = build(tmp_path / "t.db", "CREATE TABLE t(doc JSON)", rows)
    look.run("CREATE TABLE t(doc jsonb); CREATE SCHEMA kept; CREATE TABLE kept.t(doc json)")
    plan, result = move(path, url, MODE_EXISTING)
    assert result.equal and plan.findings == ()
    with open_source(build(tmp_path / "u.db", "CREATE TABLE t(doc JSON); INSERT INTO t VALUES('{\"a\":1}')")) as source:
        assert planned(source, url, MODE_EXISTING, schema="kept")[0].findings == ()


def test_every_finding_of_an_existing_schema_is_named_by_a_test() -> None:
    here = Path(__file__)
    planning = here.resolve().parents[4] / "migrations_app" / "engine" / "planning"
    rooms = [path.read_text() for path in (*planning.glob("plan_existing*.py"), planning / "planning.py")]
    made = {code for room in rooms for code in re.findall(r'"([A-Z][A-Z_]{5,})"', room)} & set(CATALOGUE)
    tests = "\n".join(path.read_text(encoding="utf-8") for path in here.parents[1].rglob("test_*.py"))
    assert len(made) > 25
    assert sorted(code for code in made if not re.search(rf"\b{code}\b", tests)) == []


def test_numbers_that_count_time_arrive_as_times_by_choice(tmp_path: Path, url: TargetUrl, look: Look) -> None:
    script = """CREATE TABLE t(id INTEGER PRIMARY KEY, day REAL, made INT, seen INT);
                INSERT INTO t VALUES(1, 2459081.75, 1577934245, 1577934245123), (2, NULL, 0, -1)"""
    path = build(tmp_path / "t.db", script)
    look.run("CREATE TABLE t(id bigint PRIMARY KEY, day timestamp, made timestamptz, seen timestamp)")
    ways = {"day": "julian_day", "made": "epoch_seconds", "seen": "epoch_milliseconds"}
    choices = [(f"VALUE_DOES_NOT_FIT@t.{name}", way) for name, way in ways.items()]
    plan, result = move(path, url, MODE_EXISTING, choices)
    assert result.equal
    assert look.rows("SELECT day::text, (made AT TIME ZONE 'UTC')::text, seen::text FROM t ORDER BY id") == [
        ("2020-08-20 06:00:00", "2020-01-02 03:04:05", "2020-01-02 03:04:05.123"),
        (None, "1970-01-01 00:00:00", "1969-12-31 23:59:59.999"),
    ]
    look.run("UPDATE t SET day = '2020-08-20 06:00:00.001' WHERE id = 1")
    assert [each.column for each in again(path, plan, url).differences] == ["day"]


def test_columns_that_only_the_target_fills_are_told(tmp_path: Path, url: TargetUrl, look: Look) -> None:
    path = build(tmp_path / "t.db", "CREATE TABLE t(id INTEGER PRIMARY KEY); INSERT INTO t VALUES(1)")
    look.run(
        """CREATE TABLE t(id bigint PRIMARY KEY, nothing text, state text NOT NULL DEFAULT 'new',
                          number bigint GENERATED ALWAYS AS IDENTITY,
                          twice bigint GENERATED ALWAYS AS (id * 2) STORED)"""
    )
    plan, result = move(path, url, MODE_EXISTING)
    told = [(f.code, f.table, f.column, f.severity) for f in plan.findings]
    names = ("nothing", "state", "number", "twice")
    assert told == [("TARGET_COLUMN_DEFAULTS", "t", name, "info") for name in names]
    assert result.equal and look.rows("SELECT * FROM t") == [(1, None, "new", 1, 2)]


def test_a_foreign_table_of_the_target_is_left_out_only_by_choice(
    postgres: EmbeddedPostgres, tmp_path: Path, url: TargetUrl
) -> None:
    superuser = Look(postgres.url(url.database))  # only one may make a wrapper
    superuser.run(
        f"""CREATE FOREIGN DATA WRAPPER elsewhere; CREATE SERVER far FOREIGN DATA WRAPPER elsewhere;
            CREATE FOREIGN TABLE t(id bigint) SERVER far; ALTER FOREIGN TABLE t OWNER TO "{url.user}";
            CREATE TABLE u(id bigint); ALTER TABLE u OWNER TO "{url.user}" """
    )
    superuser.connection.close()
    script = (
        "CREATE TABLE t(id INTEGER PRIMARY KEY); INSERT INTO t VALUES(1); CREATE TABLE u(id); INSERT INTO u VALUES(2)"
    )
    path = build(tmp_path / "t.db", script)
    with open_source(path) as source:
        (found,) = planned(source, url, MODE_EXISTING)[0].open_findings
    assert (found.code, found.table, found.choices) == ("TARGET_KIND", "t", ("skip",))
    plan, result = move(path, url, MODE_EXISTING, [("TARGET_KIND@t", "skip")])
    assert result.equal and (plan.table("t").rule, plan.table("u").rule) == (SKIP, LOAD)
    assert any("t (a foreign table" in remark for remark in result.remarks)


def test_a_choice_may_name_what_only_the_target_has(tmp_path: Path) -> None:
    script = "CREATE TABLE p(a INT, b INT); CREATE TABLE t(a INT, b INT); INSERT INTO t VALUES(1, 2)"
    path = build(tmp_path / "t.db", script)
    columns = (TargetColumn("a", "bigint"), TargetColumn("b", "bigint"))
    key = TargetForeignKey("t_p", ("a", "b"), "public", "p", ("a", "b"), "FOREIGN KEY …")
    needing = table("t", *columns, TargetColumn("needed", "text", True), foreign_keys=(key,))
    asked = plan_into(path, needing, table("p", *columns)).open_findings
    assert [(finding.code, finding.column) for finding in asked] == [
        ("COLUMN_WITHOUT_SOURCE", "needed"),
        ("ORPHANS", "a, b"),
    ]
    # As the plan page sends them: each names its finding's very place.
    choices = tuple((f"{finding.code}@{finding.table}.{finding.column}", finding.choices[0]) for finding in asked)
    # The second was made earlier, on a finding that isn't met any more once the table is left out.
    assert plan_into(path, needing, table("p", *columns), choices=choices).table("t").rule == SKIP
    kept = plan_into(path, table("t", *columns, foreign_keys=(key,)), table("p", *columns), choices=choices[1:])
    assert not kept.open_findings and kept.table("t").objects[0].detail["not_valid"]
    with pytest.raises(Refused) as refused:
        plan_into(path, needing, table("p", *columns), choices=(("ORPHANS@t.c", "not_valid"),))
    assert refused.value.code == "UNKNOWN_PLACE"


def test_a_table_of_which_no_column_is_there_is_left_out_by_choice(tmp_path: Path, url: TargetUrl, look: Look) -> None:
    script = """CREATE TABLE t(a INT); INSERT INTO t VALUES(NULL), (7); CREATE TABLE bare(a INT);
                CREATE TABLE u(x INT); INSERT INTO u VALUES(1)"""
    path = build(tmp_path / "t.db", script)
    look.run("CREATE TABLE t(other bigint); CREATE TABLE bare(other bigint); CREATE TABLE u(x bigint)")
    with open_source(path) as source:
        plan, _profile = planned(source, url, MODE_EXISTING, [("COLUMN_MISSING_IN_TARGET@t.a", "skip_column")])
    (found,) = plan.open_findings
    assert (found.code, found.table, found.count) == ("TABLE_MISSING_IN_TARGET", "t", 2)
    choices = [("COLUMN_MISSING_IN_TARGET@t.a", "skip_column"), ("TABLE_MISSING_IN_TARGET@t", "skip")]
    plan, result = move(path, url, MODE_EXISTING, choices)
    assert result.equal and {table.name: table.rule for table in plan.tables} == {"t": SKIP, "bare": SKIP, "u": LOAD}
