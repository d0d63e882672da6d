"""The target's disk fills up in the middle of a load: said as such, and nothing of ours is left visible.

No file system is filled: the server's processes are forbidden to write files over a size, which PostgreSQL meets as it
meets a full disk; and a load's sort may use no temporary space.
"""

from __future__ import annotations

import base64
import os
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from controlplane.embedded import EmbeddedPostgres
from migrations_app.engine.errors import Failed
from migrations_app.engine.export.export import Export
from migrations_app.engine.load.load import load_export
from migrations_app.engine.plan import MovePlan, ObjectPlan
from migrations_app.engine.target.target_url import TargetUrl
from tests.migrations_app.engine.fragile import database, own_server, text_of
from tests.migrations_app.engine.moves import RUN, Look, held, make_export, make_plan, make_source

PEOPLE = 2_000
# Over a segment of the write-ahead log (16 MiB), which must still be writable; not a whole number of pages.
MOST = (17 << 20) + 1000


@pytest.fixture(scope="module")
def limited() -> Iterator[EmbeddedPostgres]:
    """A server that can't write files over MOST bytes; it inherits the limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (MOST, hard))
    try:
        server = own_server().start()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with server:
        yield server


@pytest.fixture(scope="module")
def big(tmp_path_factory: pytest.TempPathFactory) -> Export:
    """Texts of 30 MB that can't be compressed."""
    path = make_source(tmp_path_factory.mktemp("big") / "big.db", PEOPLE)
    with closing(sqlite3.connect(path)) as connection:
        connection.executemany(
            "UPDATE person SET photo = NULL, name = ? WHERE id = ?",
            ((base64.b64encode(os.urandom(11_000)).decode(), i) for i in range(1, PEOPLE + 1)),
        )
        connection.commit()
    return make_export(path, make_plan(), path.parent / "export")


def assert_full(url: TargetUrl, export: Export, plan: MovePlan) -> str:
    with held(url) as mine, pytest.raises(Failed) as caught:
        load_export(export, plan, url, run_key=RUN, lease=mine)
    assert caught.value.code == "TARGET_FULL", caught.value
    with closing(Look(text_of(url)).connection) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'causeway%'")
        assert cursor.fetchall() == [("causeway",)]
        cursor.execute("SELECT count(*) FROM causeway.run")
        assert cursor.fetchone() == (0,)
        cursor.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        assert cursor.fetchone() == (0,)
    return caught.value.message


def test_a_disk_that_fills_up_while_rows_are_loaded_leaves_nothing(limited: EmbeddedPostgres, big: Export) -> None:
    with database(limited) as url:
        assert "person" in assert_full(url, big, make_plan())


def with_index(*columns: str) -> MovePlan:
    plan = make_plan()
    listed = ", ".join(f'"{column}"' for column in columns)
    index = ObjectPlan("index", "wide", f'CREATE INDEX "wide" ON {{schema}}."person" ({listed})')
    tables = tuple(
        replace(table, objects=(*table.objects, index)) if table.name == "person" else table for table in plan.tables
    )
    return replace(plan, tables=tables)


def test_a_disk_that_fills_up_while_an_index_is_made_leaves_nothing(postgres: EmbeddedPostgres, tmp_path: Path) -> None:
    path = make_source(tmp_path / "a.db", 20_000)
    export = make_export(path, make_plan(), tmp_path / "export")
    with database(postgres) as url:
        postgres.execute(f'ALTER ROLE "{url.user}" SET temp_file_limit = 0')
        postgres.execute(f"ALTER ROLE \"{url.user}\" SET maintenance_work_mem = '1MB'")
        postgres.execute(f'ALTER ROLE "{url.user}" SET max_parallel_maintenance_workers = 0')
        assert "of person" in assert_full(url, export, with_index("name", "city"))  # its key sorts, too
