"""Scratch databases: made and dropped by a role that may do just that."""

import secrets
from contextlib import closing

import psycopg2
import pytest

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.errors import EngineError, Refused
from migrations_app.engine.target.scratch import create_database, drop_database
from migrations_app.engine.target.target_url import TargetUrl, parse_target_url


@pytest.fixture
def server(postgres: EmbeddedPostgres, target_url: str) -> TargetUrl:
    """An ordinary role with CREATEDB, as rehearsals are given one."""
    url = parse_target_url(target_url)
    postgres.execute(f'ALTER ROLE "{url.user}" CREATEDB')
    return url


@pytest.fixture
def name(postgres: EmbeddedPostgres, server: TargetUrl) -> str:
    return f"causeway_rehearsal_{secrets.randbelow(10**9)}"


def exists(postgres: EmbeddedPostgres, name: str) -> bool:
    return bool(postgres.execute("SELECT 1 FROM pg_database WHERE datname = %s", [name]))


def test_dropping_ends_the_sessions_of_our_own_role(postgres: EmbeddedPostgres, server: TargetUrl, name: str) -> None:
    create_database(server, name)
    with closing(psycopg2.connect(**server.with_database(name).connect_arguments())) as session:
        drop_database(server, name)
        with pytest.raises(psycopg2.OperationalError):
            session.cursor().execute("SELECT 1")
    assert not exists(postgres, name)
    drop_database(server, name)


def test_dropping_never_needs_rights_over_another_roles_process(
    postgres: EmbeddedPostgres, server: TargetUrl, name: str
) -> None:
    """Autovacuum is such a process: it is waited for, and the answer is not that CREATEDB is missing."""
    create_database(server, name)
    with closing(psycopg2.connect(postgres.url(name))):
        with pytest.raises(EngineError) as refused:
            drop_database(server, name)
        assert refused.value.code != "NO_RIGHTS"
    drop_database(server, name)
    assert not exists(postgres, name)


def test_a_role_without_createdb_is_told_the_grant(postgres: EmbeddedPostgres, server: TargetUrl, name: str) -> None:
    postgres.execute(f'ALTER ROLE "{server.user}" NOCREATEDB')
    with pytest.raises(Refused, match="CREATEDB") as refused:
        create_database(server, name)
    assert refused.value.code == "NO_RIGHTS"


def test_only_scratch_databases_are_ever_dropped(postgres: EmbeddedPostgres, server: TargetUrl) -> None:
    with pytest.raises(ValueError):
        drop_database(server, server.database)
    assert exists(postgres, server.database)
