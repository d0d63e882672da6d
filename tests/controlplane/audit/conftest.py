"""A trail of its own for each test, once on SQLite and once on PostgreSQL, in real files and a real server."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import environ
import pytest
from django.db import connections, transaction
from django.db.migrations.executor import MigrationExecutor
from pytest_django import DjangoDbBlocker

from controlplane.audit.models import AuditEvent
from controlplane.audit.trail import record

ALIAS = "trail"


@pytest.fixture
def audit_key(settings: Any, tmp_path: Path) -> Path:
    """A signing key of the test's own, made on first need."""
    path = tmp_path / "keys" / "audit.pem"
    settings.CAUSEWAY_AUDIT_KEY_FILE = str(path)
    return path


@pytest.fixture(params=["sqlite", "postgresql"])
def trail(
    request: pytest.FixtureRequest, tmp_path: Path, audit_key: Path, django_db_blocker: DjangoDbBlocker
) -> Iterator[str]:
    """The alias of an empty, migrated control database of that kind, outside any transaction."""
    if request.param == "sqlite":
        config = environ.Env.db_url_config(f"sqlite:///{tmp_path / 'trail.sqlite3'}")
        config["OPTIONS"] = {
            "timeout": 20,
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON;",
        }
    else:
        config = environ.Env.db_url_config(request.getfixturevalue("target_url"))
    with django_db_blocker.unblock(), added_database(ALIAS, dict(config)):
        yield ALIAS


class added_database:
    """Adds a database to Django's connections for a while, with the audit app's tables and triggers."""

    def __init__(self, alias: str, config: dict[str, Any]) -> None:
        self.alias, self.config = alias, config

    def __enter__(self) -> None:
        filled = connections.configure_settings({"default": {}, self.alias: self.config})
        connections.settings[self.alias] = filled[self.alias]
        executor = MigrationExecutor(connections[self.alias])
        executor.migrate(executor.loader.graph.leaf_nodes("audit"))

    def __exit__(self, *exception: object) -> None:
        connections[self.alias].close()
        del connections[self.alias]
        del connections.settings[self.alias]


@pytest.fixture
def write(trail: str) -> Callable[..., AuditEvent]:
    """Records one event in a transaction of its own."""

    def _write(action: str = "run.created", **arguments: Any) -> AuditEvent:
        arguments.setdefault("actor", "system")
        with transaction.atomic(using=trail):
            return record(action=action, using=trail, **arguments)

    return _write
