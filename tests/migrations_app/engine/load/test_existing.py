"""Mode existing: into the application's own tables, which afterwards are what they were, with the rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Cancelled, Failed, Refused
from migrations_app.engine.export.export import Export
from migrations_app.engine.load import clean
from migrations_app.engine.load.existing import snapshot
from migrations_app.engine.load.load import check_target, load_export
from migrations_app.engine.plan import EMPTY_THEN_LOAD, MODE_EXISTING, Finding, MovePlan, ObjectPlan
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.engine.verify.compare import verify
from tests.migrations_app.engine.load.test_load import kill_loader, run_loader, stop_at
from tests.migrations_app.engine.moves import PEOPLE, RUN, Look, held, make_export, make_plan, make_source

SCHEMA = """
CREATE TABLE city (code text PRIMARY KEY, name text NOT NULL DEFAULT '?',
                   seeded boolean GENERATED ALWAYS AS (code < 'c') STORED);
CREATE TABLE person (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, name text NOT NULL, city text,
                     score double precision, photo bytea,
                     CONSTRAINT person_city FOREIGN KEY (city) REFERENCES city ON DELETE CASCADE
                     DEFERRABLE INITIALLY DEFERRED);
CREATE TABLE note (text text);
CREATE TABLE theirs (city text CONSTRAINT theirs_city REFERENCES city);
COMMENT ON CONSTRAINT person_city ON person IS 'where it''s at';
CREATE INDEX person_name ON person (lower(name));
CREATE FUNCTION shout() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.name := upper(NEW.name); RETURN NEW; END $$;
CREATE TRIGGER shouts BEFORE INSERT ON person FOR EACH ROW EXECUTE FUNCTION shout();
CREATE TRIGGER silent BEFORE INSERT ON city FOR EACH ROW EXECUTE FUNCTION shout();
ALTER TABLE city DISABLE TRIGGER silent;
CREATE TRIGGER always AFTER UPDATE ON city FOR EACH ROW EXECUTE FUNCTION shout();
ALTER TABLE city ENABLE ALWAYS TRIGGER always;
CREATE MATERIALIZED VIEW counted AS SELECT count(*) AS people FROM person;
"""


@pytest.fixture
def application(look: Look) -> Look:
    """The application's own schema, empty."""
    look.run(SCHEMA)
    return look


@pytest.fixture(scope="session")
def export(people_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Export:
    return make_export(people_file, make_plan(MODE_EXISTING), tmp_path_factory.mktemp("existing"))


def seeded_plan() -> MovePlan:
    return make_plan(MODE_EXISTING, rule=EMPTY_THEN_LOAD)


def load(url: TargetUrl, export: Export, plan: MovePlan | None = None, control: Control | None = None) -> None:
    with held(url) as mine:
        load_export(export, plan or make_plan(MODE_EXISTING), url, run_key=RUN, lease=mine, control=control)


def definition(look: Look) -> object:
    look.connection.autocommit = True
    with look.connection.cursor() as cursor:
        return snapshot(cursor, "public")


def assert_exact(url: TargetUrl, people_file: Path, plan: MovePlan | None = None) -> None:
    with open_source(people_file) as source:
        result = verify(source, plan or make_plan(MODE_EXISTING), url)
    assert result.equal, result.differences


def test_rows_arrive_and_the_schema_is_what_it_was(
    url: TargetUrl, export: Export, application: Look, people_file: Path
) -> None:
    before = definition(application)
    load(url, export)
    assert definition(application) == before
    assert_exact(url, people_file)
    assert application.value("SELECT count(*) FROM person WHERE name = upper(name)") < PEOPLE  # the trigger slept
    assert application.value("SELECT people FROM counted") == PEOPLE
    assert application.value("SELECT bool_and(tgenabled = 'O') FROM pg_trigger WHERE tgname = 'shouts'")
    comment = "SELECT obj_description(oid, 'pg_constraint') FROM pg_constraint WHERE conname = 'person_city'"
    assert application.value(comment) == "where it's at"
    application.run("INSERT INTO person (name) VALUES ('next')")
    assert application.value("SELECT max(id) FROM person") == PEOPLE + 101


def test_a_table_that_holds_rows_is_refused_and_untouched(url: TargetUrl, export: Export, application: Look) -> None:
    application.run("INSERT INTO note VALUES ('theirs')")
    with pytest.raises(Refused) as caught:
        check_target(make_plan(MODE_EXISTING), url)
    assert caught.value.code == "TARGET_NOT_EMPTY"
    assert "note (1 rows)" in caught.value.message
    with pytest.raises(Refused):
        load(url, export)
    assert application.value("SELECT count(*) FROM pg_constraint WHERE contype = 'f'") == 2


def test_missing_tables_and_columns_are_named(url: TargetUrl, application: Look) -> None:
    application.run("ALTER TABLE person RENAME COLUMN score TO points")
    with pytest.raises(Refused) as caught:
        check_target(make_plan(MODE_EXISTING), url)
    assert (caught.value.code, "person has no writable column score" in caught.value.message) == (
        "TARGET_COLUMN_MISSING",
        True,
    )
    application.run("DROP TABLE note")
    with pytest.raises(Refused) as caught:
        check_target(make_plan(MODE_EXISTING), url)
    assert caught.value.code == "TARGET_TABLE_MISSING"


def test_tables_of_another_role_are_refused_with_the_grant(
    url: TargetUrl, application: Look, postgres: EmbeddedPostgres
) -> None:
    postgres.create_role("mover_role", "mover-pw")
    mover = replace(url, user="mover_role", password="mover-pw")
    try:
        with pytest.raises(Refused) as caught:
            check_target(make_plan(MODE_EXISTING), mover)
        assert caught.value.code == "NO_RIGHTS"
        assert f'GRANT "{url.user}" TO "mover_role";' in caught.value.hint
    finally:
        postgres.drop_role("mover_role")


def test_seeded_rows_are_emptied_by_the_plan_and_given_back_by_a_failure(
    url: TargetUrl, export: Export, application: Look, people_file: Path
) -> None:
    application.run("INSERT INTO city VALUES ('c00', 'seeded'), ('zz', 'seeded')")
    application.run("INSERT INTO theirs VALUES ('zz')")
    before = definition(application)
    with pytest.raises(Cancelled):
        load(url, export, seeded_plan(), stop_at("load", 20_000))
    assert application.rows("SELECT code, name, seeded FROM city ORDER BY 1") == [
        ("c00", "seeded", False),
        ("zz", "seeded", False),
    ]
    assert application.value("SELECT count(*) FROM person") == 0
    assert definition(application) == before
    application.run("DELETE FROM theirs")
    load(url, export, seeded_plan())
    assert_exact(url, people_file, seeded_plan())


def test_seeded_rows_come_back_also_when_a_finished_load_is_removed(
    url: TargetUrl, export: Export, application: Look
) -> None:
    application.run("INSERT INTO city VALUES ('zz', 'seeded')")
    load(url, export, seeded_plan())
    clean.remove_load(url, seeded_plan(), RUN)
    assert application.rows("SELECT code, name FROM city") == [("zz", "seeded")]
    load(url, export, seeded_plan())
    clean.remove_traces(url, RUN)
    assert application.schemas() == []


def test_a_foreign_key_that_rows_violate_fails_and_empties_again(
    url: TargetUrl, application: Look, tmp_path: Path
) -> None:
    export = orphaned(tmp_path)
    before = definition(application)
    with pytest.raises(Failed) as caught:
        load(url, export)
    assert caught.value.code == "FOREIGN_KEY_VIOLATED"
    assert "person_city" in caught.value.message
    assert application.value("SELECT count(*) FROM person") == 0
    assert definition(application) == before


def orphaned(folder: Path) -> Export:
    import sqlite3

    source = make_source(folder / "orphans.db", 100)
    connection = sqlite3.connect(source)
    connection.execute("DELETE FROM city WHERE code = 'c05'")
    connection.commit()
    connection.close()
    return make_export(source, make_plan(MODE_EXISTING), folder / "orphans")


def test_orphans_that_someone_accepted_leave_the_key_not_valid(
    url: TargetUrl, application: Look, tmp_path: Path
) -> None:
    plan = make_plan(MODE_EXISTING)
    accepted = ObjectPlan("foreign_key", "person_city", detail={"not_valid": True})
    tables = tuple(replace(t, objects=(accepted,)) if t.name == "person" else t for t in plan.tables)
    plan = replace(plan, tables=tables)
    load(url, orphaned(tmp_path), plan)
    assert application.value("SELECT convalidated FROM pg_constraint WHERE conname = 'person_city'") is False
    with open_source(tmp_path / "orphans.db") as source:
        assert verify(source, plan, url).equal


def test_a_check_that_someone_accepted_rows_against_comes_back_not_valid(
    url: TargetUrl, export: Export, application: Look, people_file: Path
) -> None:
    application.run("ALTER TABLE person ADD CONSTRAINT small CHECK (score < 5)")
    application.run("COMMENT ON CONSTRAINT small ON person IS 'low'")
    before = definition(application)
    plan = make_plan(MODE_EXISTING)
    accepted = ObjectPlan("check", "small", detail={"not_valid": True})
    plan = replace(
        plan, tables=tuple(replace(t, objects=(accepted,)) if t.name == "person" else t for t in plan.tables)
    )
    load(url, export, plan)
    found = application.rows(
        "SELECT convalidated, pg_get_constraintdef(oid), obj_description(oid, 'pg_constraint')"
        " FROM pg_constraint WHERE conname = 'small'"
    )
    assert found == [(False, "CHECK ((score < (5)::double precision)) NOT VALID", "low")]
    assert_exact(url, people_file, plan)
    clean.remove_load(url, plan, RUN)
    assert definition(application) == before


def test_a_sequence_follows_the_columns_that_were_chosen(
    url: TargetUrl, export: Export, application: Look, people_file: Path
) -> None:
    application.run("CREATE SEQUENCE free; CREATE SEQUENCE kept START 7; SELECT setval('kept', 9)")
    follows = ObjectPlan("sequence", "free", detail={"follows": [["person", "id"]]})
    plan = replace(make_plan(MODE_EXISTING), objects=(follows, ObjectPlan("sequence", "kept", detail={"follows": []})))
    load(url, export, plan)
    assert application.rows("SELECT last_value, is_called FROM free") == [(PEOPLE + 100, True)]
    assert application.rows("SELECT last_value, is_called FROM kept") == [(9, True)]
    assert_exact(url, people_file, plan)
    application.run("SELECT setval('free', 5)")
    with open_source(people_file) as source:
        assert not verify(source, plan, url).equal
    clean.remove_load(url, plan, RUN)
    assert application.rows("SELECT last_value, is_called FROM free") == [(1, False)]


def test_more_rows_than_were_planned_to_be_emptied_are_not(url: TargetUrl, application: Look) -> None:
    seen = Finding("TARGET_NOT_EMPTY", "warn", "", "city", count=1, choices=("empty",), choice="empty")
    plan = replace(seeded_plan(), findings=(seen,))
    application.run("INSERT INTO city VALUES ('c00', 'seeded')")
    application.run("TRUNCATE theirs")
    check_target(replace(plan, tables=tuple(t for t in plan.tables if t.name == "city")), url)
    application.run("INSERT INTO city VALUES ('zz', 'somebody')")
    with pytest.raises(Refused) as caught:
        check_target(plan, url)
    assert caught.value.code == "TARGET_NOT_EMPTY"
    assert "city (2 rows, 1 when it was planned)" in caught.value.message


@pytest.mark.parametrize(
    ("point", "count"),
    [("aside_before_commit", 1), ("chunk_before_commit", 2), ("chunk_after_commit", 3), ("back_before_commit", 1)],
)
def test_a_killed_load_resumes_and_restores(
    url: TargetUrl, export: Export, application: Look, people_file: Path, point: str, count: int
) -> None:
    before = definition(application)
    kill_loader(url, export, point, count, MODE_EXISTING)
    assert run_loader(url, export, "none", 0, MODE_EXISTING) == 0
    assert definition(application) == before
    assert_exact(url, people_file)


def test_a_load_that_is_removed_leaves_empty_tables_and_untouched_sequences(
    url: TargetUrl, export: Export, application: Look
) -> None:
    before = definition(application)
    load(url, export)
    clean.remove_load(url, make_plan(MODE_EXISTING), RUN)
    clean.remove_traces(url, RUN)
    assert definition(application) == before
    assert application.value("SELECT count(*) FROM person") == 0
    assert application.rows("SELECT last_value, is_called FROM person_id_seq") == [(1, False)]
    assert application.schemas() == []


def test_a_schema_that_someone_changed_during_the_load_fails_it(
    url: TargetUrl, export: Export, application: Look
) -> None:
    from migrations_app.engine.control import Progress

    def meddle(progress: Progress) -> None:
        if progress.phase == "load" and progress.table == "note":
            application.run("CREATE INDEX meddled ON city (name)")

    with pytest.raises(Failed) as caught:
        load(url, export, control=Control(report=meddle))
    assert caught.value.code == "SCHEMA_NOT_RESTORED"
    assert "city" in caught.value.message
