"""Databases in which the applier has its right, and applications that crossed into them."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from migrations_app.engine.plan import MODE_CREATE, MODE_EXISTING
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.moves import Look
from tests.migrations_app.engine.replay.following import follow
from tests.migrations_app.engine.replay.returning import Cross, Crossed, take_over
from tests.migrations_app.engine.whole_moves import Choices


@pytest.fixture
def applier_url(url: TargetUrl, target_superuser_url: str) -> Iterator[TargetUrl]:
    """A fresh empty database, whose owner may set session_replication_role."""
    look = Look(target_superuser_url)
    look.run(f'GRANT SET ON PARAMETER session_replication_role TO "{url.user}"')
    yield url
    look.run(f'REVOKE SET ON PARAMETER session_replication_role FROM "{url.user}"')
    look.connection.close()


@pytest.fixture
def cross(applier_url: TargetUrl, look: Look, tmp_path: Path) -> Cross:
    """cross(ddl, target=…, choices=…): a file of that DDL, crossed; `target`: tables that are there already."""

    def made(ddl: str, *, target: str = "", choices: Choices = ()) -> Crossed:
        path = tmp_path / "app.db"
        with contextlib.closing(sqlite3.connect(path)) as connection:
            connection.executescript(ddl)
        if target:
            look.run(target)
        pair = follow(path, applier_url, MODE_EXISTING if target else MODE_CREATE, choices)
        return Crossed(pair, take_over(pair), look)

    return made
