"""The sample application's data, and the application running on each kind of database."""

import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.embedded.postgres import EmbeddedPostgres
from tests.demo import running
from tests.demo.tables import copy_tables


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small database, not to be changed."""
    return running.generate(
        tmp_path_factory.mktemp("generated") / "yukyu.db", "--employees", "120", "--requests", "300", "--details", "900"
    )


@pytest.fixture
def sqlite_file(generated: Path, tmp_path: Path) -> Path:
    """A copy for one test."""
    return Path(shutil.copy(generated, tmp_path / "yukyu.db"))


@pytest.fixture(scope="package")
def yukyu_url(postgres: EmbeddedPostgres, generated: Path) -> Iterator[str]:
    """A PostgreSQL database with the application's own schema and the same rows."""
    name = f"yukyu_{uuid.uuid4().hex[:12]}"
    postgres.create_database(name)
    url = postgres.url(name)
    running.alembic(url, "upgrade", "head")
    copy_tables(generated, url)
    yield url
    postgres.drop_database(name)


@pytest.fixture(scope="package", params=["sqlite", "postgresql"])
def dialect(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="package")
def app(
    dialect: str, generated: Path, tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest
) -> Iterator[running.Running]:
    """The application, running on one kind of database, with its own copy of the same rows."""
    folder = tmp_path_factory.mktemp("app")
    if dialect == "sqlite":
        url = f"sqlite:///{shutil.copy(generated, folder / 'yukyu.db')}"
    else:
        url = request.getfixturevalue("yukyu_url")
    with running.web(running.environment(url, DB_POOL_SIZE="3", DB_MAX_OVERFLOW="4"), folder) as started:
        yield started
