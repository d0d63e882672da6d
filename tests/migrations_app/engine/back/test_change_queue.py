"""Rows changed since the switch: known exactly, whatever role and session changed them, and saved before a way back."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import psycopg2
import pytest

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.back import change_queue
from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.export.export import Export
from migrations_app.engine.load.load import load_export
from migrations_app.engine.plan import LOAD, TablePlan
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.engine.verify.compare import verify
from tests.migrations_app.engine.moves import RUN, Look, column, held, make_export, make_plan, make_source

PEOPLE = 50


@pytest.fixture(scope="session")
def source_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_source(tmp_path_factory.mktemp("fifty") / "fifty.db", PEOPLE)


@pytest.fixture(scope="session")
def export(source_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return make_export(source_file, make_plan(), tmp_path_factory.mktemp("export"))


@pytest.fixture
def armed(url: TargetUrl, export: Export) -> TargetUrl:
    with held(url) as mine:
        load_export(export, make_plan(), url, run_key=RUN, lease=mine)
    change_queue.arm(url, make_plan())
    return url


def counts(url: TargetUrl) -> dict[str, tuple[int, int, int, int, int]]:
    return {
        name: (c.rows, c.inserts, c.updates, c.deletes, c.truncates)
        for name, c in change_queue.count(url).by_table.items()
    }


def test_nothing_changed_is_known_as_zero(armed: TargetUrl) -> None:
    assert change_queue.count(armed) == change_queue.ChangeCount(0, {})


def test_without_triggers_the_number_is_unknown_not_zero(url: TargetUrl) -> None:
    with pytest.raises(Failed) as caught:
        change_queue.count(url)
    assert caught.value.code == "NOT_ARMED"


def test_every_operation_is_counted_and_rows_are_distinct(armed: TargetUrl, look: Look) -> None:
    look.run("INSERT INTO person (name) VALUES ('new')")
    look.run("UPDATE person SET name = 'a' WHERE id = 1")
    look.run("UPDATE person SET name = 'b' WHERE id IN (1, 2)")
    look.run("DELETE FROM person WHERE id = 3")
    assert counts(armed) == {"person": (4, 1, 3, 1, 0)}
    assert change_queue.count(armed).total == 4


def test_a_changed_key_touches_two_rows(armed: TargetUrl, look: Look) -> None:
    look.run("UPDATE person SET id = 9999 WHERE id = 4")
    assert counts(armed) == {"person": (2, 0, 1, 1, 0)}


def test_a_row_without_a_key_and_a_truncate_are_counted(armed: TargetUrl, look: Look) -> None:
    look.run("INSERT INTO note VALUES ('x'), ('y')")
    look.run("TRUNCATE person")
    assert counts(armed) == {"note": (2, 2, 0, 0, 0), "person": (PEOPLE, 0, 0, 0, 1)}


def test_a_change_that_was_rolled_back_is_none(armed: TargetUrl, look: Look) -> None:
    look.run("BEGIN; DELETE FROM person; ROLLBACK")
    assert change_queue.count(armed).total == 0


def test_the_applications_role_needs_no_right_and_its_settings_do_not_matter(
    armed: TargetUrl, look: Look, postgres: EmbeddedPostgres
) -> None:
    postgres.create_role("app_role", "app-pw")
    try:
        look.run(
            "GRANT ALL ON ALL TABLES IN SCHEMA public TO app_role;"
            "GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO app_role"
        )
        session = psycopg2.connect(postgres.url(armed.database, role="app_role", password="app-pw"))
        with session, session.cursor() as cursor:
            cursor.execute("SET DateStyle = 'German'; SET search_path = pg_temp; SET bytea_output = 'escape'")
            cursor.execute("UPDATE public.person SET name = 'by the application' WHERE id = 7")
            session.commit()
            with pytest.raises(psycopg2.errors.InsufficientPrivilege):
                cursor.execute("SELECT * FROM causeway.changes")
        session.close()
        assert ("person", '["7"]') in change_queue.changed_keys(armed)
    finally:
        look.run(
            "REVOKE ALL ON ALL TABLES IN SCHEMA public FROM app_role;"
            "REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM app_role"
        )
        postgres.drop_role("app_role")


def test_changed_rows_are_saved_with_a_digest_and_deletes_are_listed(
    armed: TargetUrl, look: Look, tmp_path: Path
) -> None:
    look.run("UPDATE person SET name = E'tab\\tnew\\nline', score = 0.1 WHERE id = 5")
    look.run("DELETE FROM person WHERE id = 6")
    look.run("INSERT INTO note VALUES ('kept')")
    saved = change_queue.save(armed, tmp_path / "delta.jsonl")
    raw = saved.path.read_bytes()
    assert (saved.sha256, saved.size) == (hashlib.sha256(raw).hexdigest(), len(raw))
    assert (saved.rows, saved.deletes) == (2, 1)
    lines = [json.loads(line) for line in raw.splitlines()]
    assert {(line["table"], line["op"]) for line in lines} == {
        ("note", "insert"),
        ("person", "upsert"),
        ("person", "delete"),
    }
    row = next(line for line in lines if line["op"] == "upsert")
    assert row["key"] == ["5"]
    assert (row["row"]["name"], row["row"]["score"]) == ("tab\tnew\nline", 0.1)
    assert not list(tmp_path.glob("*.part"))


def test_changed_rows_are_no_differences_for_the_verification(armed: TargetUrl, look: Look, source_file: Path) -> None:
    look.run("UPDATE person SET name = 'x' WHERE id = 5; INSERT INTO person (name) VALUES ('new'); DELETE FROM note")
    with open_source(source_file) as source:
        result = verify(source, make_plan(), armed, changed_keys=change_queue.changed_keys(armed))
    assert result.equal, result.differences
    assert result.changed == 1 + 1 + 4


def test_arming_again_keeps_what_was_recorded(armed: TargetUrl, look: Look) -> None:
    look.run("DELETE FROM person WHERE id = 1")
    change_queue.arm(armed, make_plan())
    assert change_queue.count(armed).total == 1


def test_disarming_leaves_no_trigger_and_no_function(armed: TargetUrl, look: Look, source_file: Path) -> None:
    change_queue.disarm(armed)
    change_queue.disarm(armed)
    assert look.value("SELECT count(*) FROM pg_trigger WHERE NOT tgisinternal") == 0
    assert look.value("SELECT count(*) FROM pg_proc WHERE pronamespace = 'causeway'::regnamespace") == 0
    look.run("UPDATE person SET name = 'free' WHERE id = 1")


KEYS = {"city": ("code",), "person": ("id",)}


def test_a_table_without_a_key_is_refused_where_rows_must_come_home(url: TargetUrl, export: Export) -> None:
    with held(url) as mine:
        load_export(export, make_plan(), url, run_key=RUN, lease=mine)
    with pytest.raises(Refused, match="note") as caught:
        change_queue.arm(url, make_plan(), keys=KEYS)
    assert caught.value.code == "ONLINE_NO_TARGET_KEY"
    with pytest.raises(Failed, match="doesn't record"):
        change_queue.count(url)


def test_a_key_must_be_unique_and_not_null_in_the_target(armed: TargetUrl, look: Look) -> None:
    keys = {**KEYS, "note": ("text",)}
    look.run("DELETE FROM note; CREATE UNIQUE INDEX note_text ON note (text)")
    with pytest.raises(Refused, match="note"):
        change_queue.arm(armed, make_plan(), keys=keys)
    look.run("ALTER TABLE note ALTER text SET NOT NULL")
    change_queue.arm(armed, make_plan(), keys=keys)
    look.run("INSERT INTO note VALUES ('x')")
    assert ("note", '["x"]') in change_queue.changed_keys(armed)


def test_the_applier_is_not_noted(armed: TargetUrl, look: Look) -> None:
    look.run("BEGIN; SET LOCAL causeway.applier = 'on'; DELETE FROM person; TRUNCATE note; COMMIT")
    assert change_queue.count(armed).total == 0
    look.run("DELETE FROM city WHERE code = 'c00'")
    assert change_queue.count(armed).total == 1


def test_a_key_of_another_spelling_is_another_key(url: TargetUrl, look: Look) -> None:
    look.run("CREATE TABLE price (amount numeric PRIMARY KEY)")
    plan = replace(
        make_plan(), tables=(TablePlan("price", "price", LOAD, (column("amount", "numeric", "numeric"),), ("amount",)),)
    )
    change_queue.arm(url, plan)
    look.run("INSERT INTO price VALUES (1.0); UPDATE price SET amount = 1.00")
    assert change_queue.changed_keys(url) == {("price", '["1.0"]'), ("price", '["1.00"]')}


def test_a_key_of_times_is_written_alike_whatever_the_sessions_style(url: TargetUrl, look: Look) -> None:
    look.run("CREATE TABLE day (at timestamptz PRIMARY KEY)")
    columns = (column("at", "timestamp with time zone", "timestamptz"),)
    plan = replace(make_plan(), tables=(TablePlan("day", "day", LOAD, columns, ("at",)),))
    change_queue.arm(url, plan)
    look.run("SET DateStyle = 'German'; SET TimeZone = 'Asia/Tokyo'; INSERT INTO day VALUES ('2024-01-02 03:04:05+00')")
    assert change_queue.changed_keys(url) == {("day", '["2024-01-02 03:04:05+00"]')}
