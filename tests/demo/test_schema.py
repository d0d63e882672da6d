"""The sample application's migrations make the schema that its models describe, on both databases, there and back."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.embedded.postgres import EmbeddedPostgres
from tests.demo.running import alembic, environment, run


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path / 'new.db'}"
        return
    server: EmbeddedPostgres = request.getfixturevalue("postgres")
    server.create_database("yukyu_schema")
    yield server.url("yukyu_schema")
    server.drop_database("yukyu_schema")


def test_migrations_make_what_the_models_describe_and_can_be_undone(empty_url: str) -> None:
    alembic(empty_url, "upgrade", "head")
    assert "No new upgrade operations detected" in alembic(empty_url, "check").stdout
    alembic(empty_url, "downgrade", "base")
    alembic(empty_url, "upgrade", "head")
    assert "0003_search_and_worker" in alembic(empty_url, "current").stdout


def test_there_is_one_head(tmp_path: Path) -> None:
    assert alembic(f"sqlite:///{tmp_path}/x.db", "heads").stdout.splitlines() == ["0003_search_and_worker (head)"]


def test_constraints_hold_on_both(empty_url: str) -> None:
    alembic(empty_url, "upgrade", "head")
    program = """
from datetime import datetime
from sqlalchemy.exc import IntegrityError
import database, models
now = datetime(2025, 1, 1)
def try_to_add(*rows):
    try:
        with database.writing() as session:
            session.add_all(rows)
        return "added"
    except IntegrityError:
        return "refused"
account = dict(employee_num="1", name="n", year=2025, created_at=now)
request = dict(employee_name="n", start_date="2025-01-02", end_date="2025-01-02", days_requested=1, leave_type="full",
               status="pending", year=2025, requested_at=now)
print(try_to_add(models.Employee(id="1_2025", **account)),
      try_to_add(models.Employee(id="again", **account)),
      try_to_add(models.Employee(id="old", **{**account, "year": 1900})),
      try_to_add(models.Employee(id="minus", **{**account, "year": 2024}, used=-1)),
      try_to_add(models.LeaveRequest(employee_id="1_2025", **request)),
      try_to_add(models.LeaveRequest(employee_id="nobody", **request)),
      try_to_add(models.LeaveRequest(employee_id="1_2025", **{**request, "status": "lost"})),
      try_to_add(models.LeaveRequest(employee_id="1_2025", **{**request, "end_date": "2025-01-01"})))
"""
    done = run("-c", program, env=environment(empty_url))
    assert done.stdout.split() == ["added", *["refused"] * 3, "added", *["refused"] * 3], done.stderr
