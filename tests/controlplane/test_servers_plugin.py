"""The pytest plugin itself: what every other test stands on."""

import os
import subprocess
import sys
from pathlib import Path

import psycopg2
import pytest

from controlplane.embedded import EmbeddedPostgres

ROOT = Path(__file__).resolve().parents[2]


def test_a_target_is_an_empty_database_of_an_ordinary_role(target_url: str) -> None:
    connection = psycopg2.connect(target_url)
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT rolsuper, rolcreatedb FROM pg_roles WHERE rolname = current_user")
        assert cursor.fetchone() == (False, False)
        cursor.execute("SELECT count(*) FROM pg_class WHERE relnamespace = 'public'::regnamespace")
        assert cursor.fetchone() == (0,)
        cursor.execute("CREATE TABLE t (a int)")
    connection.close()


def test_the_servers_address_is_in_the_environment(postgres: EmbeddedPostgres, target_superuser_url: str) -> None:
    assert os.environ["CAUSEWAY_TEST_PG_URL"] == target_superuser_url == postgres.url()


@pytest.mark.parametrize(("no_skips", "status"), [("1", 1), ("", 0)])
def test_a_skipped_test_fails_the_session_where_it_is_told_to(tmp_path: Path, no_skips: str, status: int) -> None:
    (tmp_path / "test_it.py").write_text("import pytest\n\ndef test_it():\n    pytest.skip('not today')\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-c", str(ROOT / "pyproject.toml"), str(tmp_path / "test_it.py")],
        cwd=ROOT,
        env={**os.environ, "CAUSEWAY_NO_SKIPS": no_skips},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == status, run.stdout
    assert "1 skipped" in run.stdout
