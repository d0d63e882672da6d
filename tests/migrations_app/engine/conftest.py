"""Fixtures of the engine's tests against a real PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.target.target_url import TargetUrl, parse_target_url
from tests.migrations_app.engine.moves import Look, make_source
from tests.migrations_app.engine.round_trip import Target


@pytest.fixture
def url(target_url: str) -> TargetUrl:
    """A fresh empty database, as an ordinary role that owns it."""
    return parse_target_url(target_url)


@pytest.fixture
def look(target_url: str) -> Iterator[Look]:
    """SQL by hand in that database."""
    opened = Look(target_url)
    yield opened
    opened.connection.close()


@pytest.fixture(scope="session")
def people_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """make_source()'s file; no test writes to it."""
    return make_source(tmp_path_factory.mktemp("source") / "people.db")


@pytest.fixture(scope="module")
def target(postgres: EmbeddedPostgres) -> Iterator[Target]:
    """One database for all examples of a module: emptying it is quicker than making one."""
    postgres.create_role("property", "secret")
    postgres.create_database("property", owner="property")
    opened = Target(postgres.url("property", role="property", password="secret"))
    yield opened
    opened.connection.close()
    postgres.drop_database("property")
    postgres.drop_role("property")
