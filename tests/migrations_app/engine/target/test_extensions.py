"""What an extension brings along is no part of the application's schema, whenever somebody installs it."""

from __future__ import annotations

from urllib.parse import urlsplit

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.target.compare_facts import read_facts
from migrations_app.engine.target.target import connect, transaction
from migrations_app.engine.target.target_digest import schema_digest
from migrations_app.engine.target.target_url import parse_target_url


def test_an_extension_that_the_schema_does_not_use_changes_neither_its_digest_nor_its_facts(
    postgres: EmbeddedPostgres, target_url: str
) -> None:
    url, database = parse_target_url(target_url), urlsplit(target_url).path[1:]
    connection = connect(url, application_name="causeway:test:0")
    try:
        with transaction(connection, "making") as cursor:
            cursor.execute(
                "CREATE TABLE public.t (id bigint PRIMARY KEY); CREATE VIEW public.v AS SELECT id FROM public.t"
            )
            facts = read_facts(cursor, "public")
        before = schema_digest(url, "public")
        postgres.execute("CREATE EXTENSION pg_stat_statements SCHEMA public", database=database)
        with transaction(connection, "looking") as cursor:
            assert read_facts(cursor, "public") == facts
        assert schema_digest(url, "public") == before
        with transaction(connection, "changing") as cursor:
            cursor.execute("CREATE VIEW public.w AS SELECT id FROM public.t")
            assert read_facts(cursor, "public") != facts
        assert schema_digest(url, "public") != before
    finally:
        connection.close()
