"""Plans in mode create: types from declarations and values, findings and choices, keys, defaults, views."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from migrations_app.engine.errors import Refused
from migrations_app.engine.plan import SKIP, ColumnPlan, EncryptedColumn, MovePlan, ObjectPlan, plan_from_document
from migrations_app.engine.planning.findings import CATALOGUE
from migrations_app.engine.planning.planning import check_plan, make_plan
from migrations_app.engine.source.opening import open_source
from tests.migrations_app.engine.sqlite_files import build, plan_file


def column(plan: MovePlan, table: str, name: str) -> ColumnPlan:
    return next(item for item in plan.table(table).columns if item.name == name)


def types(plan: MovePlan, table: str = "t") -> dict[str, str]:
    return {item.name: item.target_type for item in plan.table(table).columns}


def codes(plan: MovePlan) -> list[tuple[str, str, str]]:
    return [(finding.code, finding.table, finding.column) for finding in plan.findings]


def objects(plan: MovePlan, table: str, kind: str) -> list[ObjectPlan]:
    return [item for item in plan.table(table).objects if item.kind == kind]


def test_a_declared_type_holds_while_all_values_fit(tmp_path: Path) -> None:
    script = """CREATE TABLE t(id INTEGER PRIMARY KEY, i INT, r REAL, b BOOLEAN, n DECIMAL(6,2), d DATE,
                               s DATETIME, c TIME, u UUID, j JSON, x BLOB, v VARCHAR(3), z DATETIME);
                INSERT INTO t VALUES(1, 9223372036854775807, 1, 1, 12.5, '2020-01-02',
                  '2020-01-02 03:04:05.000000', '03:04:05', '6ba7b810-9dad-11d1-80b4-00c04fd430c8', '{"a": 1}', x'00',
                  'longer than 3', '2020-01-02T03:04:05Z');"""
    plan = plan_file(build(tmp_path / "t.db", script))
    assert list(types(plan).values()) == [
        "bigint",
        "bigint",
        "double precision",
        "boolean",
        "numeric(6,2)",
        "date",
        "timestamp without time zone",
        "time without time zone",
        "uuid",
        "json",
        "bytea",
        "text",
        "timestamp with time zone",
    ]
    assert column(plan, "t", "s").conversion == "timestamp:space-6-"
    assert column(plan, "t", "id").identity
    assert all(item.reason for item in plan.table("t").columns)
    assert plan.findings == ()


@pytest.mark.parametrize(
    ("declared", "values", "expected"),
    [
        ("BOOLEAN", "(1),(2)", "bigint"),
        ("BOOLEAN", "(1),('yes')", "text"),
        ("INTEGER", "(1),(2.5)", "numeric"),
        ("DECIMAL(4,2)", "(1.5),(123.456)", "numeric"),
        ("DATE", "('2020-01-01'),('2020-02-30')", "text"),
        ("DATETIME", "('2020-01-01 00:00:00'),('2020-01-01T00:00:00')", "text"),
        ("DATETIME", "(1577934245)", "bigint"),
        ("TIME", "('24:00:00')", "text"),
        ("JSON", "('{')", "text"),
        ("TEXT", "(x'00')", "bytea"),
        ("", "(1.5)", "double precision"),
        ("", "(1),(1.5)", "numeric"),
    ],
)
def test_the_type_follows_values_that_the_declared_one_cant_hold(
    tmp_path: Path, declared: str, values: str, expected: str
) -> None:
    plan = plan_file(
        build(
            tmp_path / "t.db", f"CREATE TABLE t(id INTEGER PRIMARY KEY, v {declared}); INSERT INTO t(v) VALUES{values}"
        )
    )
    assert types(plan)["v"] == expected
    assert not plan.open_findings
    if declared:
        assert ("TYPE_FOLLOWS_VALUES", "t", "v") in codes(plan)


@pytest.mark.parametrize(
    ("declared", "values", "code", "row"),
    [
        ("TEXT", "('ok'),(CAST(x'610062' AS TEXT))", "NUL_IN_TEXT", '{"id": 2}'),
        ("TEXT", "(CAST(x'ff' AS TEXT)),('a')", "INVALID_TEXT", '{"id": 1}'),
        ("", "(1),('1')", "MIXED_STORAGE", '{"id": 2}'),
        ("TEXT", "('a'),(x'61')", "MIXED_STORAGE", '{"id": 2}'),
    ],
)
def test_what_has_no_lossless_form_needs_a_choice(
    tmp_path: Path, declared: str, values: str, code: str, row: str
) -> None:
    path = build(
        tmp_path / "t.db", f"CREATE TABLE t(id INTEGER PRIMARY KEY, v {declared}); INSERT INTO t(v) VALUES{values}"
    )
    (finding,) = plan_file(path).open_findings
    assert (finding.code, finding.table, finding.column, finding.row_key, finding.count) == (code, "t", "v", row, 1)
    for key in (code, f"{code}@t", f"{code}@t.v"):
        chosen = plan_file(path, [(key, "tagged_text")])
        assert not chosen.open_findings
        assert column(chosen, "t", "v").conversion == "tagged_text"


@pytest.mark.parametrize("odd", ["'x' || char(0)", "CAST(x'ff' AS TEXT)"])
def test_rows_are_not_left_out_where_the_others_could_not_be_told_apart(odd: str, tmp_path: Path) -> None:
    """A number 8 and a text '8' would both arrive as the text 8, and nobody would have agreed to that."""
    script = f"CREATE TABLE t(v BLOB, w BLOB); INSERT INTO t VALUES(8, 8), ('8', 'eight'), ({odd}, {odd})"
    first, second = plan_file(build(tmp_path / "t.db", script)).open_findings
    assert (first.column, first.choices) == ("v", ("tagged_text",))
    assert (second.column, second.choices) == ("w", ("tagged_text", "skip_rows"))


def test_skipped_rows_and_stored_bytes_are_in_the_plan(tmp_path: Path) -> None:
    path = build(
        tmp_path / "t.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, v TEXT); INSERT INTO t(v) VALUES(CAST(x'ff' AS TEXT))",
    )
    assert column(plan_file(path, [("INVALID_TEXT", "skip_rows")]), "t", "v").on_unfit == "skip_row"
    stored = column(plan_file(path, [("INVALID_TEXT@t.v", "bytea")]), "t", "v")
    assert (stored.target_type, stored.conversion) == ("bytea", "text_bytes:UTF-8")


@pytest.mark.parametrize(
    ("choice", "code"),
    [
        (("NO_SUCH_CODE", "skip"), "UNKNOWN_FINDING"),
        (("MIXED_STORAGE", "no_such_choice"), "UNKNOWN_CHOICE"),
        (("MIXED_STORAGE@nowhere.v", "tagged_text"), "UNKNOWN_PLACE"),
        (("MIXED_STORAGE@t.v", "bytea"), "UNKNOWN_CHOICE"),
    ],
)
def test_a_choice_that_isnt_there_is_refused(tmp_path: Path, choice: tuple[str, str], code: str) -> None:
    path = build(tmp_path / "t.db", "CREATE TABLE t(v); INSERT INTO t VALUES(1),('1')")
    with pytest.raises(Refused) as caught:
        plan_file(path, [choice])
    assert caught.value.code == code


def test_the_same_file_gives_the_same_plan_in_any_process(tmp_path: Path) -> None:
    script = """CREATE TABLE a(x TEXT UNIQUE COLLATE NOCASE, y DATETIME DEFAULT CURRENT_TIMESTAMP);
                CREATE INDEX i ON a(y, x); CREATE TABLE b(z REFERENCES a(x)); CREATE VIEW w AS SELECT * FROM a;
                INSERT INTO a(x) VALUES('q'),('r')"""
    path = build(tmp_path / "t.db", script)
    code = (
        "import sys; from pathlib import Path; from tests.migrations_app.engine.sqlite_files import plan_file;"
        "print(plan_file(Path(sys.argv[1])).digest)"
    )
    digests = {plan_file(path).digest}
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).resolve().parents[4])}
        done = subprocess.run(
            [sys.executable, "-c", code, str(path)], env=environment, capture_output=True, timeout=60, check=True
        )
        digests.add(done.stdout.decode().strip())
    assert len(digests) == 1


def test_a_plan_goes_through_json_and_an_edit_is_noticed(tmp_path: Path) -> None:
    path = build(
        tmp_path / "t.db", "CREATE TABLE t(a INT CHECK(a>0) DEFAULT 1, b TEXT UNIQUE); CREATE VIEW v AS SELECT a FROM t"
    )
    plan = plan_file(path, encrypted=[EncryptedColumn("t", "b", "fernet", "KEY")])
    document = json.loads(json.dumps(plan.to_document()))
    assert plan_from_document(document) == plan
    document["tables"][0]["columns"][0]["target_type"] = "text"
    with pytest.raises(ValueError, match="edited"):
        plan_from_document(document)


def test_rows_that_come_later_dont_change_the_digest_but_misfits_are_found(tmp_path: Path) -> None:
    path = build(
        tmp_path / "t.db",
        "CREATE TABLE t(id INTEGER PRIMARY KEY, d DATE NOT NULL); INSERT INTO t(d) VALUES('2020-01-01')",
    )
    plan = plan_file(path)
    build(path, "INSERT INTO t(d) VALUES('2021-01-01')")
    with open_source(path) as source:
        assert check_plan(plan, source) == ()
        assert make_plan(source, mode="create").digest == plan.digest
    build(path, "INSERT INTO t(d) VALUES('soon')")
    with open_source(path) as source:
        (finding,) = check_plan(plan, source)
    assert (finding.code, finding.column, finding.row_key) == ("VALUE_DOES_NOT_FIT", "d", '{"id": 3}')
    build(path, "ALTER TABLE t ADD COLUMN e")
    with open_source(path) as source:
        assert [item.code for item in check_plan(plan, source)] == ["SCHEMA_CHANGED"]


def test_orphans_arrive_and_their_key_is_not_valid(tmp_path: Path) -> None:
    script = """CREATE TABLE p(id INTEGER PRIMARY KEY, n TEXT); INSERT INTO p VALUES(1,'x');
                CREATE TABLE c(id INTEGER PRIMARY KEY,
                               p INTEGER REFERENCES p ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
                               n TEXT REFERENCES p(n), gone INTEGER REFERENCES nowhere(id));
                INSERT INTO c VALUES(1,1,'x',NULL),(2,99,NULL,NULL)"""
    path = build(tmp_path / "t.db", script)
    plan = plan_file(path)
    found = {item.code: item for item in plan.findings}
    assert (found["ORPHANS"].count, found["ORPHANS"].row_key, found["ORPHANS"].choice) == (1, '{"id": 2}', "not_valid")
    carried, unique, missing = objects(plan, "c", "foreign_key")
    assert carried.sql.endswith(
        'FOREIGN KEY ("p") REFERENCES {schema}."p" ("id") ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED NOT VALID'
    )
    assert not unique.carried and "no unique key" in unique.why
    assert not missing.carried and "nowhere" in missing.why
    (omitted, *_rest) = objects(plan_file(path, [("ORPHANS@c.p", "omit")]), "c", "foreign_key")
    assert not omitted.carried


def test_a_unique_key_without_case_keeps_its_rule(tmp_path: Path) -> None:
    plan = plan_file(
        build(tmp_path / "t.db", "CREATE TABLE t(login TEXT UNIQUE COLLATE NOCASE); INSERT INTO t VALUES('Bob')")
    )
    (index,) = objects(plan, "t", "index")
    assert 'lower("login" COLLATE "C")' in index.sql and index.sql.startswith("CREATE UNIQUE INDEX")
    assert ("NOCASE_COLUMN", "t", "login") in codes(plan)


def test_partial_and_expression_indexes_are_translated_or_listed(tmp_path: Path) -> None:
    script = """CREATE TABLE t(id INTEGER PRIMARY KEY, email TEXT, gone BOOLEAN); INSERT INTO t VALUES(1,'a',0);
                CREATE UNIQUE INDEX live ON t(EMAIL) WHERE gone = 0; CREATE INDEX low ON t(lower(email), gone DESC);
                CREATE INDEX odd ON t(quote(email))"""
    plan = plan_file(build(tmp_path / "t.db", script))
    found = {item.name: item for item in objects(plan, "t", "index")}
    assert found["live"].sql.endswith('("email" NULLS FIRST) WHERE "gone" = FALSE')
    assert found["low"].sql.endswith('((lower("email")) NULLS FIRST, "gone" DESC NULLS LAST)')
    assert not found["odd"].carried and "QUOTE" in found["odd"].why
    assert column(plan, "t", "email").collation == "C"


@pytest.mark.parametrize(
    ("declared", "default", "expected"),
    [
        ("TEXT", "'it''s'", "'it''s'::text"),
        ("TEXT", '"dq"', "'dq'::text"),
        ("TEXT", "'a\\b'", "E'a\\\\b'::text"),
        ("INTEGER", "(1+1)", "'2'::bigint"),
        ("INTEGER", "'5'", "'5'::bigint"),
        ("BOOLEAN", "TRUE", "'t'::boolean"),
        ("REAL", "+1.5", "'1.5'::double precision"),
        ("BLOB", "x'00ff'", None),
        ("DATETIME", "CURRENT_TIMESTAMP", "date_trunc('second', timezone('UTC', now()))"),
        ("DATE", "(date('now'))", "(timezone('UTC', now()))::date"),
        ("TEXT", "(datetime('now'))", "to_char(timezone('UTC', now()), 'YYYY-MM-DD HH24:MI:SS')"),
        ("INTEGER", "(strftime('%s', 'now'))", "floor(extract(epoch from now()))::bigint"),
        ("INTEGER", "NULL", None),
        ("INTEGER", "(random())", None),
        ("TEXT", "(zeroblob(900000000))", None),
    ],
)
def test_defaults_act_alike_or_are_listed(tmp_path: Path, declared: str, default: str, expected: str | None) -> None:
    plan = plan_file(
        build(tmp_path / "t.db", f"CREATE TABLE t(id INTEGER PRIMARY KEY, v {declared} DEFAULT {default})")
    )
    made = column(plan, "t", "v")
    assert made.default_sql == expected
    if expected is None and default not in ("NULL",):
        assert ("DEFAULT_NOT_CARRIED", "t", "v") in codes(plan)


def test_checks_views_and_triggers_are_carried_or_listed(tmp_path: Path) -> None:
    script = """CREATE TABLE "T"(a INT CONSTRAINT positive CHECK (A > 0), b TEXT CHECK (quote(b) <> 'x'), ok BOOLEAN);
                INSERT INTO T VALUES(1, 'x', 1);
                CREATE VIEW later AS SELECT * FROM first WHERE A > 1;
                CREATE VIEW first AS SELECT a, b AS "B b" FROM t WHERE ok = 1;
                CREATE VIEW broken AS SELECT * FROM nowhere;
                CREATE TRIGGER tr AFTER INSERT ON T BEGIN SELECT 1; END;"""
    plan = plan_file(build(tmp_path / "t.db", script))
    kept, lost = objects(plan, "T", "check")
    assert kept.name == "positive" and kept.sql.endswith('CHECK ("a" > 0)')
    assert not lost.carried and "QUOTE" in lost.why
    names = [(item.kind, item.name, item.carried) for item in plan.objects]
    assert names == [
        ("view", "broken", False),
        ("view", "first", True),
        ("view", "later", True),
        ("trigger", "tr", False),
    ]
    assert 'FROM {schema}."T"' in plan.objects[1].sql and '"ok" = TRUE' in plan.objects[1].sql


def test_names_are_kept_cut_and_made_distinct(tmp_path: Path) -> None:
    base, letters = "t_" + "x" * 61, "é" * 32
    script = f"""CREATE TABLE "{base}_one"("{letters}" TEXT, "{letters}b" TEXT);
                 CREATE TABLE "{base}_two"(xmin INT, "%s" INT);
                 CREATE TABLE "Order"("Group" TEXT)"""
    plan = plan_file(build(tmp_path / "t.db", script))
    tables = [table.target_name for table in plan.tables]
    columns = [item.target_name for table in plan.tables for item in table.columns]
    assert len(set(tables)) == 3 and all(len(name.encode()) <= 63 for name in tables + columns)
    assert "Order" in tables and "Group" in columns and "%s" in columns and "xmin" not in columns
    assert len(set(columns)) == len(columns)
    assert [code for code, _table, _column in codes(plan)].count("NAME_CHANGED") == 5


@pytest.mark.parametrize("script", ['CREATE TABLE ""(a)', 'CREATE TABLE t("" TEXT)'])
def test_the_empty_name_is_refused(tmp_path: Path, script: str) -> None:
    with pytest.raises(Refused) as caught:
        plan_file(build(tmp_path / "t.db", script))
    assert caught.value.code == "EMPTY_NAME"


def test_tables_that_postgresql_cant_hold_need_a_choice(tmp_path: Path) -> None:
    many = ", ".join(f"c{i}" for i in range(1700))
    wide = ", ".join(f"c{i} TEXT" for i in range(900))
    values = ", ".join(["'twelve bytes'"] * 900)
    script = (
        f"CREATE TABLE many({many}); CREATE TABLE wide({wide}); INSERT INTO wide VALUES({values}); CREATE TABLE ok(a)"
    )
    path = build(tmp_path / "t.db", script)
    assert [(f.code, f.table) for f in plan_file(path).open_findings] == [
        ("TOO_MANY_COLUMNS", "many"),
        ("ROW_TOO_WIDE", "wide"),
    ]
    plan = plan_file(path, [("TOO_MANY_COLUMNS", "skip"), ("ROW_TOO_WIDE", "skip")])
    assert [(table.name, table.rule == SKIP) for table in plan.tables] == [
        ("many", True),
        ("ok", False),
        ("wide", True),
    ]
    assert not plan.open_findings


def test_a_key_too_wide_for_an_index_needs_a_choice(tmp_path: Path) -> None:
    path = build(tmp_path / "t.db", "CREATE TABLE t(k TEXT UNIQUE)", [("INSERT INTO t VALUES(?)", ("k" * 3000,))])
    assert [finding.code for finding in plan_file(path).open_findings] == ["KEY_TOO_WIDE"]
    assert not objects(plan_file(path, [("KEY_TOO_WIDE@t.k", "omit")]), "t", "unique")[0].carried
    assert objects(plan_file(path, [("KEY_TOO_WIDE", "try")]), "t", "unique")[0].detail["try"]


def test_null_in_a_primary_key_makes_it_a_unique_key(tmp_path: Path) -> None:
    path = build(
        tmp_path / "t.db", "CREATE TABLE t(k TEXT PRIMARY KEY, n INT NOT NULL); INSERT INTO t VALUES(NULL,1),('a',2)"
    )
    plan = plan_file(path)
    assert plan.table("t").key == () and not column(plan, "t", "k").not_null and column(plan, "t", "n").not_null
    assert objects(plan, "t", "unique") and not objects(plan, "t", "primary_key")
    skipping = plan_file(path, [("NULL_IN_PRIMARY_KEY", "skip_rows")])
    assert objects(skipping, "t", "primary_key") and column(skipping, "t", "k").on_unfit == "skip_row"


def test_full_text_tables_are_moved_by_content_and_shadows_are_not(tmp_path: Path) -> None:
    script = """CREATE VIRTUAL TABLE docs USING fts5(title); INSERT INTO docs VALUES('found');
                CREATE TABLE art(id INTEGER PRIMARY KEY, body TEXT);
                CREATE VIRTUAL TABLE ext USING fts5(body, content='art');
                CREATE VIRTUAL TABLE less USING fts5(x, content='')"""
    plan = plan_file(build(tmp_path / "t.db", script))
    rules = {table.name: table.rule for table in plan.tables}
    assert rules["docs"] == "load" and rules["ext"] == rules["less"] == rules["docs_content"] == "skip"


def test_excluded_tables_are_recorded_and_unknown_ones_refused(tmp_path: Path) -> None:
    path = build(tmp_path / "t.db", "CREATE TABLE t(a); CREATE TABLE u(a)")
    plan = plan_file(path, excluded=["u"])
    assert plan.excluded == ("u",) and plan.table("u").rule == SKIP
    for bad in ({"excluded": ["v"]}, {"encrypted": [EncryptedColumn("t", "z", "fernet", "K")]}):
        with pytest.raises(Refused):
            plan_file(path, **bad)


def test_every_finding_that_is_made_is_in_the_catalogue(tmp_path: Path) -> None:
    sources = (Path(__file__).resolve().parents[4] / "migrations_app" / "engine").rglob("plan*.py")
    assert all(code in CATALOGUE for path in sources for code in _codes_in(path.read_text()))


def _codes_in(text: str) -> list[str]:
    return [part.split('"')[0] for part in text.replace("\n", "").replace(" ", "").split('Finding("')[1:]]
