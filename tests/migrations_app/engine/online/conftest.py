"""A stage with an application on it, on a fresh database whose role may be the applier."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from bench.crossing.application import Application, Load
from bench.crossing.database import make_database
from bench.crossing.stage import Stage
from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.target.target_url import parse_target_url

MakeStage = Callable[..., Stage]
QUICK = Load(threads=3, per_second=200, busy_timeout_ms=10_000, accounts=60)


@pytest.fixture
def applier_url(postgres: EmbeddedPostgres, target_url: str) -> Iterator[str]:
    """target_url, whose role has the right that the applier needs (PostgreSQL 15 and newer can grant it)."""
    role = parse_target_url(target_url).user
    postgres.execute(f'GRANT SET ON PARAMETER session_replication_role TO "{role}"')
    yield target_url
    postgres.execute(f'REVOKE SET ON PARAMETER session_replication_role FROM "{role}"')


@pytest.fixture
def make_stage(applier_url: str, tmp_path: Path) -> Iterator[MakeStage]:
    """make_stage(wal=…, load=…, megabytes=…, more_tables=…, target=…): the application runs on SQLite."""
    with ExitStack() as ending:

        def make(
            *,
            wal: bool = True,
            load: Load = QUICK,
            megabytes: float = 0.2,
            more_tables: int = 0,
            target: str = applier_url,
        ) -> Stage:
            source = make_database(
                tmp_path / "live.sqlite", megabytes, wal=wal, accounts=load.accounts, more_tables=more_tables
            )
            if not wal:  # a disk that is slow to sync would leave nobody but its writer any time
                load = replace(load, synchronous="OFF")
            application = ending.enter_context(Application(tmp_path / "application", load))
            stage = Stage(source, target, application, tmp_path / "stage")
            stage.open_application()
            return stage

        yield make
