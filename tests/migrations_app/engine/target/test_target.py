"""Connections and what the target must be: each trouble has its code, its sentence and a way out."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import closing
from dataclasses import replace

import pytest

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.control import Control
from migrations_app.engine.crew import run_threads
from migrations_app.engine.errors import Cancelled, EngineError, Refused
from migrations_app.engine.target.target import cancelling, connect, inspect_target, transaction
from migrations_app.engine.target.target_url import TargetUrl, parse_target_url
from tests.migrations_app.engine.moves import Look


def test_the_session_prints_values_as_the_conversions_predict(url: TargetUrl) -> None:
    connection = connect(url, application_name="causeway:test:0")
    try:
        with transaction(connection, "asking") as cursor:
            for setting, value in (
                ("TimeZone", "UTC"),
                ("DateStyle", "ISO, YMD"),
                ("extra_float_digits", "3"),
                ("bytea_output", "hex"),
                ("client_connection_check_interval", "1s"),
                ("client_encoding", "UTF8"),
                ("application_name", "causeway:test:0"),
            ):
                cursor.execute(f"SHOW {setting}")
                assert cursor.fetchone() == (value,)
    finally:
        connection.close()


def test_an_inspection_tells_what_is_there(url: TargetUrl) -> None:
    facts = inspect_target(url)
    assert facts.version >= 150000
    assert facts.encoding == "UTF8"
    assert facts.role == url.user
    assert facts.can_create_in_database
    assert facts.can_create_in_schema
    assert facts.identity == inspect_target(url).identity


def test_two_databases_of_one_server_have_two_identities(url: TargetUrl, target_superuser_url: str) -> None:
    other = inspect_target(parse_target_url(target_superuser_url))
    assert other.system_identifier == inspect_target(url).system_identifier
    assert other.identity != inspect_target(url).identity


def refused(url: TargetUrl, **options: str) -> Refused:
    with pytest.raises(Refused) as caught:
        inspect_target(url, **options)
    assert url.password not in str(caught.value)
    return caught.value


def test_a_connection_notices_by_itself_that_the_network_went_silent(url: TargetUrl) -> None:
    with (
        closing(connect(url, application_name="causeway:test")) as connection,
        socket.socket(fileno=os.dup(connection.fileno())) as own,
    ):
        assert own.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        idle = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE)
        between = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL)
        count = own.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPCNT)
    assert idle + between * count <= 60


def test_a_wrong_password_is_told_from_a_missing_database_and_a_dead_port(url: TargetUrl) -> None:
    assert refused(replace(url, password="not-that")).code == "WRONG_PASSWORD"
    missing = refused(replace(url, database="nosuch"))
    assert missing.code == "NO_SUCH_DATABASE"
    assert 'CREATE DATABASE "nosuch"' in missing.hint
    assert refused(replace(url, port=1)).code == "TARGET_UNREACHABLE"
    assert refused(replace(url, host="nosuch.invalid")).code == "TARGET_UNREACHABLE"


def test_missing_rights_are_printed_as_the_statements_that_give_them(
    url: TargetUrl, postgres: EmbeddedPostgres, look: Look
) -> None:
    look.run("CREATE SCHEMA app")
    postgres.create_role("stranger_role", "stranger-pw")
    try:
        look.run("GRANT CONNECT ON DATABASE " + f'"{url.database}" TO stranger_role')
        stranger = replace(url, user="stranger_role", password="stranger-pw")
        error = refused(stranger, schema="app")
        assert error.code == "NO_RIGHTS"
        grants = [
            f'GRANT CREATE ON DATABASE "{url.database}" TO "stranger_role";',
            'GRANT USAGE, CREATE ON SCHEMA "app" TO "stranger_role";',
        ]
        for grant in grants:
            assert grant in error.hint
            look.run(grant)
        assert inspect_target(stranger, schema="app").role == "stranger_role"
    finally:
        look.run(f'REVOKE ALL ON DATABASE "{url.database}" FROM stranger_role')
        look.run("REVOKE ALL ON SCHEMA app FROM stranger_role")
        postgres.drop_role("stranger_role")


def test_a_read_only_database_is_refused(url: TargetUrl, look: Look) -> None:
    look.run(f'ALTER DATABASE "{url.database}" SET default_transaction_read_only = on')
    assert refused(url).code == "READ_ONLY"


def test_a_database_that_is_not_utf8_is_refused_with_the_statement_that_makes_one(
    url: TargetUrl, postgres: EmbeddedPostgres, target_superuser_url: str
) -> None:
    server = Look(target_superuser_url)
    server.run(
        f'CREATE DATABASE latin_target OWNER "{url.user}" ENCODING LATIN1 TEMPLATE template0'
        " LOCALE_PROVIDER libc LOCALE 'C'"
    )
    try:
        error = refused(replace(url, database="latin_target"))
        assert error.code == "NOT_UTF8"
        assert "ENCODING 'UTF8'" in error.hint
    finally:
        server.run("DROP DATABASE latin_target")
        server.connection.close()


def test_a_stop_cancels_the_statement_that_runs(url: TargetUrl, look: Look) -> None:
    control = Control()
    connection = connect(url, application_name="causeway:test:1")
    threading.Timer(0.3, control.stop.set).start()
    try:
        with pytest.raises(Cancelled), cancelling(connection, control), transaction(connection, "sleeping") as cursor:
            cursor.execute("SELECT pg_sleep(60)")
    finally:
        connection.close()


def test_an_error_in_one_thread_stops_the_others_and_not_the_caller() -> None:
    control = Control()

    def fails(inner: Control) -> None:
        raise EngineError("BOOM", "it broke")

    def waits(inner: Control) -> None:
        assert inner.stop.wait(20)
        inner.checkpoint()

    with pytest.raises(EngineError, match="it broke"):
        run_threads([waits, fails], control)
    assert not control.stop.is_set()
