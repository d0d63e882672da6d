"""A file and a server, looked at: what is said of them, and that nothing of them changes."""

from __future__ import annotations

import hashlib
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import psycopg2
import pytest

from controlplane.embedded import EmbeddedPostgres
from migrations_app.applications.looks import look_at_rehearsal_server, look_at_source, look_at_target
from migrations_app.applications.operator_file import OperatorFile
from migrations_app.engine.errors import EngineError, Refused
from migrations_app.engine.target.target_url import parse_target_url

WRITE = """import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], timeout=0.2)
connection.execute("INSERT INTO t VALUES (2)")
connection.commit()"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "app.db"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE t (id INTEGER)")
        connection.execute(
            "CREATE VIEW endless AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i FROM n) SELECT i FROM n"
        )
        connection.execute("INSERT INTO t VALUES (1)")
        connection.commit()
    return path


def test_a_look_leaves_the_file_and_the_callers_lock_alone(file: Path) -> None:
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    with closing(sqlite3.connect(file, isolation_level=None)) as holder:
        holder.execute("BEGIN IMMEDIATE")
        facts = look_at_source(file)
        other = subprocess.run([sys.executable, "-c", WRITE, str(file)], capture_output=True, check=False)
        assert b"database is locked" in other.stderr
        holder.execute("ROLLBACK")
    assert (facts["table_count"], facts["journal_mode"], facts["bytes"]) == (1, "delete", file.stat().st_size)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before


@pytest.mark.parametrize(
    ("content", "code"),
    [(None, "NOT_FOUND"), (b"", "EMPTY_FILE"), (b"x" * 5000, "NOT_SQLITE"), ("folder", "NOT_A_FILE")],
)
def test_what_is_no_database_is_said_by_its_code(tmp_path: Path, content: object, code: str) -> None:
    path = tmp_path / "thing.db"
    if content == "folder":
        path.mkdir()
    elif isinstance(content, bytes):
        path.write_bytes(content)
    with pytest.raises(EngineError) as refused:
        look_at_source(path)
    assert refused.value.code == code


def test_a_target_says_its_version_and_which_tables_have_rows(target_url: str) -> None:
    with closing(psycopg2.connect(target_url)) as connection:
        connection.autocommit = True
        connection.cursor().execute('CREATE TABLE "odd % name" (id int); CREATE TABLE full_one (id int)')
        connection.cursor().execute("INSERT INTO full_one VALUES (1)")
    facts = look_at_target(parse_target_url(target_url), "public")
    assert facts["table_count"] == 2 and facts["filled"] == ["full_one"]
    assert int(facts["version"].split(".")[0]) >= 15
    assert facts["role"] == urlsplit(target_url).username
    assert str(urlsplit(target_url).password) not in str(facts)


def test_a_server_for_rehearsals_must_create_databases(target_url: str, postgres: EmbeddedPostgres) -> None:
    with pytest.raises(Refused, match="may not create databases") as refused:
        look_at_rehearsal_server(parse_target_url(target_url), "public")
    assert refused.value.code == "NO_CREATEDB" and "CREATEDB" in refused.value.hint
    assert look_at_rehearsal_server(parse_target_url(postgres.url()), "public")["creates_databases"]


OPERATOR = OperatorFile(Path("/etc/operator.toml"), (), ("db.internal",), {}, ("old.internal",))


@pytest.mark.parametrize(
    ("url", "code"),
    [
        ("postgresql://u:canary@db.elsewhere/d?sslmode=verify-full", "HOST_NOT_ALLOWED"),
        ("postgresql://u:canary@db.internal/d", "REMOTE_WITHOUT_TLS"),
        ("postgresql://u:canary@db.internal/d?sslmode=require", "REMOTE_WITHOUT_TLS"),
        ("postgresql://u:canary@db.internal/d?sslmode=verify-full&options=-c", "URL_PARAMETER"),
        ("postgresql://u:canary@db.internal/d?sslmode=verify-full&sslrootcert=/etc/passwd", "URL_PARAMETER"),
    ],
)
def test_a_target_of_the_web_lies_on_the_operators_hosts(url: str, code: str) -> None:
    with pytest.raises(Refused) as refused:
        OPERATOR.target(url)
    assert refused.value.code == code
    assert "canary" not in str(refused.value)


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://u:p@127.0.0.1/d",
        "postgresql://u:p@DB.internal/d?sslmode=verify-full&sslrootcert=system",
        "postgresql://u:p@old.internal/d",
    ],
)
def test_this_machine_the_list_and_the_recorded_exceptions_are_allowed(url: str) -> None:
    assert OPERATOR.target(url).user == "u"
