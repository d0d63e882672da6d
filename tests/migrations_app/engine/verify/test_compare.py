"""Verification finds each single thing that was changed by hand, and nothing where nothing was."""

from __future__ import annotations

import base64
import os
import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.control import Control, Progress
from migrations_app.engine.errors import Cancelled
from migrations_app.engine.export.export import Export
from migrations_app.engine.load import clean
from migrations_app.engine.load.load import load_export
from migrations_app.engine.plan import LOAD, MODE_CREATE, EncryptedColumn, MovePlan, ObjectPlan, TablePlan
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target.target_url import TargetUrl, parse_target_url
from migrations_app.engine.verify.compare import VerifyResult, verify
from tests.migrations_app.engine.load.test_load import assert_no_sessions
from tests.migrations_app.engine.moves import (
    RUN,
    Look,
    column,
    held,
    make_export,
    make_plan,
    make_source,
    primary_key,
)

PEOPLE = 500


@pytest.fixture(scope="session")
def source_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("few") / "few.db", PEOPLE)


@pytest.fixture(scope="session")
def template(postgres: EmbeddedPostgres, source_file: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A loaded database; each test gets a copy, which is quicker than a load."""
    postgres.create_database("loaded_template")
    url = parse_target_url(postgres.url("loaded_template"))
    export = make_export(source_file, make_plan(), tmp_path_factory.mktemp("export"))
    with held(url) as mine:
        load_export(export, make_plan(), url, run_key=RUN, lease=mine)
    return "loaded_template"


@pytest.fixture
def loaded(postgres: EmbeddedPostgres, template: str) -> Iterator[TargetUrl]:
    server = Look(postgres.url())
    server.run("DROP DATABASE IF EXISTS loaded_copy WITH (FORCE)")
    server.run(f"CREATE DATABASE loaded_copy TEMPLATE {template}")
    yield parse_target_url(postgres.url("loaded_copy"))
    server.run("DROP DATABASE loaded_copy WITH (FORCE)")
    server.connection.close()


@pytest.fixture
def hand(postgres: EmbeddedPostgres, loaded: TargetUrl) -> Iterator[Look]:
    opened = Look(postgres.url(loaded.database))
    yield opened
    opened.connection.close()


def check(source_file: Path, url: TargetUrl, plan: MovePlan | None = None, **options: object) -> VerifyResult:
    with open_source(source_file) as source:
        return verify(source, plan or make_plan(), url, **options)  # type: ignore[arg-type]


def found(result: VerifyResult) -> list[tuple[str, str, str, str]]:
    return [(d.table, d.row_key, d.column, d.kind) for d in result.differences]


def test_an_untouched_target_is_equal(source_file: Path, loaded: TargetUrl) -> None:
    result = check(source_file, loaded)
    assert result.equal
    assert [(t.name, t.rows, t.cells) for t in result.tables] == [
        ("city", 40, 80),
        ("note", 4, 4),
        ("person", PEOPLE, PEOPLE * 5),
    ]


def test_the_target_is_equal_to_the_export_too(source_file: Path, loaded: TargetUrl, tmp_path: Path) -> None:
    export: Export = make_export(source_file, make_plan(), tmp_path / "export")
    assert verify(export, make_plan(), loaded).equal


CELLS = [
    ("UPDATE person SET name = name || ' ' WHERE id = 250", [("person", '{"id": 250}', "name", "different")]),
    ("UPDATE person SET score = score + 1e-13 WHERE id = 8", [("person", '{"id": 8}', "score", "different")]),
    ("UPDATE person SET photo = NULL WHERE id = 1", [("person", '{"id": 1}', "photo", "different")]),
    ("UPDATE person SET photo = '' WHERE photo IS NULL", []),
    ("DELETE FROM person WHERE id = 1", [("person", '{"id": 1}', "", "missing_row")]),
    ("DELETE FROM person WHERE id = 500", [("person", '{"id": 500}', "", "missing_row")]),
    ("INSERT INTO city VALUES ('zz', 'more')", [("city", '{"code": "zz"}', "", "extra_row")]),
    ("INSERT INTO city VALUES ('', 'more')", [("city", '{"code": ""}', "", "extra_row")]),
    ("UPDATE city SET name = 'X' WHERE code = 'c39'", [("city", '{"code": "c39"}', "name", "different")]),
    ("INSERT INTO note VALUES ('same')", [("note", '{"text": "same"}', "", "extra_row")]),
    ("DELETE FROM note WHERE text IS NULL", [("note", '{"text": null}', "", "missing_row")]),
]


@pytest.mark.parametrize(("sql", "expected"), CELLS)
def test_each_changed_cell_and_row_is_found_and_named(
    source_file: Path, loaded: TargetUrl, hand: Look, sql: str, expected: list[tuple[str, str, str, str]]
) -> None:
    hand.run(sql)
    result = check(source_file, loaded)
    assert found(result) == expected
    assert result.equal is (not expected)


OBJECTS = [
    ("DROP INDEX city_name", ("city", "", "city_name", "index_missing")),
    ("DROP INDEX city_name; CREATE INDEX city_name ON city (name DESC)", ("city", "", "city_name", "index_changed")),
    ("CREATE UNIQUE INDEX more ON city (name)", ("city", "", "more", "index_extra")),
    ("ALTER TABLE city ALTER name SET DEFAULT 'x'", ("city", "", "name", "default_changed")),
    ("ALTER TABLE city ALTER name DROP NOT NULL", ("city", "", "name", "not_null_changed")),
    ("ALTER TABLE person ALTER score TYPE numeric", ("person", "", "score", "type_changed")),
    ("ALTER TABLE person ADD more int", ("person", "", "more", "column_extra")),
    ("ALTER TABLE person DROP CONSTRAINT person_city", ("person", "", "person_city", "foreign_key_missing")),
    ("ALTER TABLE person DROP CONSTRAINT score_known", ("person", "", "score_known", "check_missing")),
    ("ALTER TABLE person ALTER id DROP IDENTITY", ("person", "", "id", "identity_changed")),
    ("SELECT setval('person_id_seq', 600, false)", ("person", "", "id", "sequence_behind")),
    ("SELECT setval('person_id_seq', 700)", ("person", "", "id", "sequence_changed")),
    ("DROP VIEW two", ("", "", "two", "view_missing")),
    ("CREATE OR REPLACE VIEW one AS SELECT lower(name) AS name FROM person", ("", "", "one", "view_changed")),
    ("DROP TABLE note", ("note", "", "", "table_missing")),
]


@pytest.mark.parametrize(("sql", "expected"), OBJECTS)
def test_each_changed_object_is_found(
    source_file: Path, loaded: TargetUrl, hand: Look, sql: str, expected: tuple[str, str, str, str]
) -> None:
    hand.run(sql)
    result = check(source_file, loaded)
    assert expected in found(result)
    assert not result.equal


def test_orphans_behind_a_validated_key_are_found(source_file: Path, loaded: TargetUrl, hand: Look) -> None:
    hand.run("SET session_replication_role = replica; DELETE FROM city WHERE code = 'c00'")
    kinds = {(d.column, d.kind, d.target_value) for d in check(source_file, loaded).differences}
    assert ("person_city", "orphans", "13") in kinds


def test_without_any_trace_of_ours_what_the_rows_refuse_is_told_from_what_was_lost(
    source_file: Path, loaded: TargetUrl, hand: Look
) -> None:
    clean.remove_traces(loaded, RUN)
    result = check(source_file, loaded)
    assert result.equal
    left = {(each.kind, each.name): each.why for each in result.objects if not each.carried}
    assert left["check", "score_small"] == "rows of the table violate it (SQLSTATE 23514)"
    assert 'column "nosuch" does not exist' in left["view", "wrong"]
    assert hand.schemas() == []
    hand.run("ALTER TABLE person DROP CONSTRAINT score_known")
    assert found(check(source_file, loaded)) == [("person", "", "score_known", "check_missing")]


def test_an_object_counts_as_carried_only_when_it_is_there_as_planned(
    source_file: Path, loaded: TargetUrl, hand: Look
) -> None:
    hand.run("DROP INDEX city_name; ALTER TABLE city ALTER name DROP NOT NULL; DROP TABLE note; DROP VIEW two")
    left = {(each.kind, each.name) for each in check(source_file, loaded).objects if not each.carried}
    refused = {("check", "score_small"), ("view", "wrong"), ("trigger", "touch")}
    assert left == refused | {("index", "city_name"), ("not_null", "name"), ("view", "two")}


def test_all_differences_are_counted_though_few_are_listed(source_file: Path, loaded: TargetUrl, hand: Look) -> None:
    hand.run("UPDATE person SET name = 'x'")
    result = check(source_file, loaded, limit=3)
    assert result.difference_count == PEOPLE
    assert len(result.differences) == 3


def test_a_verification_changes_nothing_and_leaves_no_schema(source_file: Path, loaded: TargetUrl, hand: Look) -> None:
    check(source_file, loaded)
    assert hand.schemas() == ["causeway"]
    assert_no_sessions(hand)


def test_a_cancelled_verification_ends_its_session(source_file: Path, loaded: TargetUrl, hand: Look) -> None:
    control = Control()

    def stop(progress: Progress) -> None:
        control.stop.set()

    control.report = stop
    with pytest.raises(Cancelled):
        check(source_file, loaded, control=control)
    assert_no_sessions(hand)


def test_rows_known_to_have_changed_are_counted_apart(source_file: Path, loaded: TargetUrl, hand: Look) -> None:
    hand.run("UPDATE person SET name = 'new' WHERE id IN (5, 6); DELETE FROM person WHERE id = 7")
    keys = frozenset({("person", '["5"]'), ("person", '["7"]')})
    result = check(source_file, loaded, changed_keys=keys)
    assert found(result) == [("person", '{"id": 6}', "name", "different")]
    assert result.changed == 2


# Keys whose order differs between the two sides


def load_single(url: TargetUrl, folder: Path, ddl: str, rows: list[tuple[object, ...]], table: TablePlan) -> Path:
    source = folder / "single.db"
    connection = sqlite3.connect(source)
    connection.execute(ddl)
    connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(rows[0]))})", rows)
    connection.commit()
    connection.close()
    plan = MovePlan(MODE_CREATE, "public", "d", "UTF-8", (table,))
    export = make_export(source, plan, folder / "export")
    with held(url) as mine:
        load_export(export, plan, url, run_key=RUN, lease=mine)
    return source


def single(*columns: object, key: tuple[str, ...] = ("k",)) -> TablePlan:
    return TablePlan("t", "t", LOAD, columns, key, (primary_key("t", *key),) if key else ())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target_type", "conversion", "values"),
    [
        ("uuid", "uuid", ["A0000000-0000-0000-0000-000000000001", "b0000000-0000-0000-0000-000000000002"]),
        ("text", "text", ["Z", "a", "é", "\U0001f600", "\uffee", "", "a b", "a\tb"]),
        ("numeric", "numeric", [-5, 3, 10, 2.5, 100]),
        ("boolean", "boolean", [1, 0]),
        ("bytea", "bytea", [b"\x00", b"\xff", b"", b"\x7f\x80"]),
        ("double precision", "double", [-1.5, 1e300, 2.0, 10.0]),
    ],
)
def test_keys_of_every_type_are_merged_whatever_their_order(
    url: TargetUrl, tmp_path: Path, look: Look, target_type: str, conversion: str, values: list[object]
) -> None:
    table = single(column("k", target_type, conversion), column("n", "bigint", "bigint"))
    source = load_single(
        url, tmp_path, "CREATE TABLE t (k PRIMARY KEY, n)", [(value, i) for i, value in enumerate(values)], table
    )
    plan = MovePlan(MODE_CREATE, "public", "d", "UTF-8", (table,))
    assert check(source, url, plan).equal
    look.run("UPDATE t SET n = 77 WHERE n = 1")
    result = check(source, url, plan)
    assert [(d.column, d.kind, d.source_value, d.target_value) for d in result.differences] == [
        ("n", "different", "1", "77")
    ]


def test_a_key_that_got_another_type_is_found_and_its_rows_are_still_compared(
    url: TargetUrl, tmp_path: Path, look: Look
) -> None:
    table = single(column("k", "bigint", "bigint"), column("v", "text", "text"))
    source = load_single(url, tmp_path, "CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)", [(1, "a"), (2, "b")], table)
    plan = MovePlan(MODE_CREATE, "public", "d", "UTF-8", (table,))
    look.run("ALTER TABLE t ALTER k TYPE numeric(5,1); UPDATE t SET v = 'c' WHERE k = 2")
    kinds = {(d.column, d.kind) for d in check(source, url, plan).differences}
    assert kinds == {("k", "type_changed"), ("", "missing_row"), ("", "extra_row")}


def test_a_key_column_that_is_gone_is_found_and_the_other_columns_are_compared(
    url: TargetUrl, tmp_path: Path, look: Look
) -> None:
    table = single(column("k", "bigint", "bigint"), column("v", "text", "text"))
    source = load_single(url, tmp_path, "CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)", [(1, "a"), (2, "b")], table)
    plan = MovePlan(MODE_CREATE, "public", "d", "UTF-8", (table,))
    look.run("ALTER TABLE t DROP k; UPDATE t SET v = 'c' WHERE v = 'b'")
    result = check(source, url, plan)
    assert {("t", "", "k", "column_missing"), ("t", "", "t_pkey", "index_missing")} <= set(found(result))
    assert {('{"v": "b"}', "missing_row"), ('{"v": "c"}', "extra_row")} <= {
        (d.row_key, d.kind) for d in result.differences
    }


def test_a_tried_index_is_told_from_a_lost_one_without_a_ledger(url: TargetUrl, tmp_path: Path, look: Look) -> None:
    """The rows break a unique key of an expression: the load lists it as not carried."""
    lower = 'CREATE UNIQUE INDEX "by_lower" ON {schema}."t" (lower("v"))'
    upper = 'CREATE UNIQUE INDEX "by_upper" ON {schema}."t" (("v" || \'x\'))'
    objects = tuple(
        ObjectPlan("index", name, sql, detail={"try": True}) for name, sql in (("by_lower", lower), ("by_upper", upper))
    )
    table = single(column("k", "bigint", "bigint"), column("v", "text", "text"))
    table = replace(table, objects=(*table.objects, *objects))
    source = load_single(url, tmp_path, "CREATE TABLE t (k INTEGER PRIMARY KEY, v TEXT)", [(1, "a"), (2, "A")], table)
    plan = MovePlan(MODE_CREATE, "public", "d", "UTF-8", (table,))
    clean.remove_traces(url, RUN)
    assert check(source, url, plan).equal
    look.run("DROP INDEX by_upper")
    assert found(check(source, url, plan)) == [("t", "", "by_upper", "index_missing")]


# Encrypted columns


def seal(key: bytes, text: str) -> str:
    nonce = os.urandom(12)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, text.encode(), None)).decode()


@pytest.fixture
def encrypted(url: TargetUrl, tmp_path: Path) -> tuple[Path, MovePlan, dict[str, str]]:
    """A table with a column of each scheme; the plan, and the environment that holds both keys."""
    fernet_key, aes_key = Fernet.generate_key(), os.urandom(32)
    rows: list[tuple[object, ...]] = [
        (i, Fernet(fernet_key).encrypt(f"19{i:02d}-01-01".encode()).decode(), seal(aes_key, f"{i}")) for i in range(20)
    ]
    rows.append((20, None, None))
    table = single(column("k", "bigint", "bigint"), column("born", "text", "text"), column("wage", "text", "text"))
    source = load_single(url, tmp_path, "CREATE TABLE t (k INTEGER PRIMARY KEY, born TEXT, wage TEXT)", rows, table)
    plan = MovePlan(MODE_CREATE, "public", "d", "UTF-8", (table,))
    columns = (
        EncryptedColumn("t", "born", "fernet", "BORN_KEY", r"\d{4}-\d\d-\d\d"),
        EncryptedColumn("t", "wage", "aes-256-gcm", "WAGE_KEY", r"\d+"),
    )
    return source, replace(plan, encrypted=columns), {"BORN_KEY": fernet_key.decode(), "WAGE_KEY": aes_key.hex()}


def test_every_encrypted_cell_opens(url: TargetUrl, encrypted: tuple[Path, MovePlan, dict[str, str]]) -> None:
    source, plan, environment = encrypted
    result = check(source, url, plan, environment=environment)
    assert result.equal
    assert [(d.column, d.cells, d.opened, d.nulls) for d in result.decrypted] == [
        ("born", 20, 20, 1),
        ("wage", 20, 20, 1),
    ]


def test_a_missing_or_bad_key_is_inconclusive_and_never_equal(
    url: TargetUrl, encrypted: tuple[Path, MovePlan, dict[str, str]]
) -> None:
    source, plan, environment = encrypted
    for wrong in ({**environment, "WAGE_KEY": ""}, {**environment, "WAGE_KEY": "canary-not-hex"}):
        result = check(source, url, plan, environment=wrong)
        assert not result.equal
        assert result.difference_count == 0
        assert "t.wage" in result.inconclusive[0]
        assert "canary" not in repr(result)


def test_cells_that_do_not_open_are_counted_and_never_shown(
    url: TargetUrl, encrypted: tuple[Path, MovePlan, dict[str, str]], look: Look
) -> None:
    source, plan, environment = encrypted
    look.run("UPDATE t SET wage = 'canary' WHERE k = 3")
    result = check(source, url, plan, environment=environment)
    assert sorted((d.column, d.kind) for d in result.differences) == [
        ("wage", "different"),
        ("wage", "not_decryptable"),
    ]
    assert result.decrypted[1].opened == 19
    assert "canary" not in repr(result)


def test_cells_that_do_not_open_are_named_by_key_and_listed_up_to_the_limit(
    url: TargetUrl, encrypted: tuple[Path, MovePlan, dict[str, str]]
) -> None:
    source, plan, environment = encrypted
    environment = {**environment, "BORN_KEY": Fernet.generate_key().decode()}
    result = check(source, url, plan, environment=environment, limit=2)
    assert result.difference_count == 20
    assert {d.kind for d in result.differences} == {"not_decryptable"}
    assert [d.row_key for d in result.differences] == ['{"k": 0}', '{"k": 1}']


def test_an_encrypted_column_that_is_gone_is_inconclusive_too(
    url: TargetUrl, encrypted: tuple[Path, MovePlan, dict[str, str]], look: Look
) -> None:
    source, plan, environment = encrypted
    look.run("ALTER TABLE t DROP wage")
    result = check(source, url, plan, environment=environment)
    assert ("t", "", "wage", "column_missing") in found(result)
    assert result.inconclusive == ("t.wage: the target has no such column",)


def test_another_key_opens_nothing(url: TargetUrl, encrypted: tuple[Path, MovePlan, dict[str, str]]) -> None:
    source, plan, environment = encrypted
    result = check(source, url, plan, environment={**environment, "BORN_KEY": Fernet.generate_key().decode()})
    assert result.decrypted[0].opened == 0
    assert result.difference_count == 20


def test_a_plain_text_that_misses_the_pattern_does_not_count_as_open(
    url: TargetUrl, encrypted: tuple[Path, MovePlan, dict[str, str]]
) -> None:
    source, plan, environment = encrypted
    columns = (replace(plan.encrypted[0], pattern=r"20\d\d-.*"), plan.encrypted[1])
    result = check(source, url, replace(plan, encrypted=columns), environment=environment)
    assert result.decrypted[0].opened == 0
