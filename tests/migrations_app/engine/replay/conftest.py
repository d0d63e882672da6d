"""Databases in which the applier has its right."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.moves import Look


@pytest.fixture
def applier_url(url: TargetUrl, target_superuser_url: str) -> Iterator[TargetUrl]:
    """A fresh empty database, whose owner may set session_replication_role."""
    look = Look(target_superuser_url)
    look.run(f'GRANT SET ON PARAMETER session_replication_role TO "{url.user}"')
    yield url
    look.run(f'REVOKE SET ON PARAMETER session_replication_role FROM "{url.user}"')
    look.connection.close()
