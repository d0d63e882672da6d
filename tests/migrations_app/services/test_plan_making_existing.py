"""A plan for an application that makes its own schema: against what its command really makes, in a scratch database."""

from __future__ import annotations

from controlplane.embedded import EmbeddedPostgres
from tests.migrations_app.services.test_plan_making import Place, place

__all__ = ["place"]  # the fixture

# Seeds rows and notes when it was applied, as Django's migrate does; the CHECK is one that SQLite's table lacks.
SCHEMA = (
    "import os, psycopg2; c = psycopg2.connect(os.environ['DATABASE_URL']); k = c.cursor();"
    " k.execute('CREATE TABLE items (id bigint PRIMARY KEY, name text CHECK (length(name) > {least}));"
    " CREATE TABLE django_migrations (id bigint, app text, name text, applied timestamptz);"
    " INSERT INTO items VALUES (1, repeat(chr(97), 500));"
    " INSERT INTO django_migrations VALUES (1, chr(97), chr(98), clock_timestamp())'); c.commit()"
)


def test_seeds_are_emptied_by_a_rule_and_the_schema_is_the_same_each_time(
    place: Place, postgres: EmbeddedPostgres
) -> None:
    place.write_operator_file(SCHEMA.format(least=3))
    place.change(schema_mode="existing", commands={"schema": "schema"}, rehearsal_target_url=postgres.url())
    plan, again = place.plan(), place.plan()
    assert plan.state == "draft", plan.error_message
    (table,) = [each for each in plan.document["tables"] if each["name"] == "items"]
    assert table["rule"] == "empty_then_load"
    (finding,) = [each for each in plan.document["findings"] if each["code"] == "TARGET_NOT_EMPTY"]
    assert (finding["severity"], finding["choice"], finding["count"]) == ("warn", "empty", 1)
    assert plan.target_schema_digest == again.target_schema_digest != ""


def test_rows_that_the_schemas_check_would_refuse_are_findings(place: Place, postgres: EmbeddedPostgres) -> None:
    place.write_operator_file(SCHEMA.format(least=130))
    place.change(schema_mode="existing", commands={"schema": "schema"}, rehearsal_target_url=postgres.url())
    plan = place.plan()
    (finding,) = [each for each in plan.document["findings"] if each["code"] == "CHECK_VIOLATED"]
    # 'item 7', twenty times, is too short; 'item 77' isn't
    assert (finding["table"], finding["column"], finding["row_key"], finding["count"]) == (
        "items",
        "name",
        '{"id": 0}',
        10,
    )
    assert not postgres.execute("SELECT datname FROM pg_database WHERE datname LIKE 'causeway_plan%'")
