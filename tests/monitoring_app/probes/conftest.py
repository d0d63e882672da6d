"""Servers of the probes' tests. No connection stays behind between two tests."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from controlplane.embedded import EmbeddedPostgres
from monitoring_app.probes.postgresql.session import close_all
from tests.servers import STATE, _bindir


@pytest.fixture(autouse=True)
def nothing_is_kept() -> Iterator[None]:
    yield
    close_all()


@pytest.fixture
def watcher_url(postgres: EmbeddedPostgres, target_url: str) -> Iterator[str]:
    """A role with pg_monitor on the target's database, as the how-to asks for."""
    name = f"watch_{urlsplit(target_url).path[1:]}"
    postgres.create_role(name, "watching")
    postgres.execute(f"GRANT pg_monitor TO {name}")
    yield postgres.url(urlsplit(target_url).path[1:], role=name, password="watching")
    close_all()
    postgres.drop_role(name)


@pytest.fixture
def statistics(postgres: EmbeddedPostgres, target_url: str) -> None:
    postgres.execute("CREATE EXTENSION pg_stat_statements", database=urlsplit(target_url).path[1:])


@pytest.fixture(scope="module")
def small_server() -> Iterator[EmbeddedPostgres]:
    """A server of its own with few connections and no statistics of statements, whose processes may be stopped."""
    options = {
        "fsync": "off",
        "max_connections": "12",
        "superuser_reserved_connections": "3",
        "shared_preload_libraries": "",
        "autovacuum": "off",
    }
    with EmbeddedPostgres(STATE / "small", bindir=_bindir(), options=options) as server:
        server.create_role("shop", "shop")
        server.create_database("shop", owner="shop")
        server.create_role("watcher", "watcher")
        server.execute("GRANT pg_monitor TO watcher")
        yield server
    server.erase()
