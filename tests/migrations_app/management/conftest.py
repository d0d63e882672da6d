"""Targets for the commands' tests."""

from __future__ import annotations

import secrets
from collections.abc import Iterator

import pytest

from controlplane.embedded import EmbeddedPostgres


@pytest.fixture
def second_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """Another empty database, of another owner."""
    name, password = f"second_{secrets.token_hex(6)}", secrets.token_urlsafe(12)
    postgres.create_role(name, password)
    postgres.create_database(name, owner=name)
    yield postgres.url(name, role=name, password=password)
    postgres.drop_database(name)
    postgres.drop_role(name)


@pytest.fixture
def powerless_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A database whose role may connect and nothing more."""
    name, password = f"powerless_{secrets.token_hex(6)}", secrets.token_urlsafe(12)
    postgres.create_role(name, password)
    postgres.create_database(name)
    yield postgres.url(name, role=name, password=password)
    postgres.drop_database(name)
    postgres.drop_role(name)
