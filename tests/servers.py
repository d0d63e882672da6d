"""Starts the servers that tests need, before Django reads its settings (named in addopts).

One PostgreSQL and one broker a session, each started by the first test that wants it, so that a run without
need of them stays fast. Environment that a run may set:

    CAUSEWAY_TEST_PG=15                the target server is PostgreSQL 15 (CAUSEWAY_TEST_PG_BINDIR, or Debian's place)
    CAUSEWAY_TEST_CONTROL=postgresql   the control database is PostgreSQL instead of SQLite
    CAUSEWAY_NO_SKIPS=1                a skipped test fails the session: it proved nothing
"""

import atexit
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from controlplane.embedded import EmbeddedBroker, EmbeddedPostgres

STATE = Path(tempfile.mkdtemp(prefix="causeway-tests-"))
STATE.chmod(0o711)  # as root the servers run as another user, who must pass through
atexit.register(shutil.rmtree, STATE, ignore_errors=True)  # registered first, so it runs after the servers stopped

_started: dict[str, EmbeddedPostgres] = {}


def _bindir() -> Path | None:
    """The programs that CAUSEWAY_TEST_PG asks for; a version that isn't there is an error, not another version."""
    major = os.environ.get("CAUSEWAY_TEST_PG")
    if not major:
        return None
    return Path(os.environ.get("CAUSEWAY_TEST_PG_BINDIR") or f"/usr/lib/postgresql/{major}/bin")


def session_postgres() -> EmbeddedPostgres:
    """The session's server, started at the first call. CAUSEWAY_TEST_PG_URL then holds its superuser's URL."""
    if "postgres" not in _started:
        # The machine under the tests doesn't lose its power: no fsync. Crashes of the server itself are as real.
        server = EmbeddedPostgres(STATE / "postgres", bindir=_bindir(), options={"fsync": "off"})
        _started["postgres"] = server.start()
        atexit.register(server.stop)
        os.environ["CAUSEWAY_TEST_PG_URL"] = server.url()
    return _started["postgres"]


def _prepare_environment() -> None:
    """Settings of a test run: nothing of the developer's .env, state in a folder of its own."""
    os.environ.update(CAUSEWAY_READ_DOTENV="0", CAUSEWAY_STATE_DIR=str(STATE))
    for name in ("CAUSEWAY_MODE", "SECRET_KEY", "CAUSEWAY_FIELD_KEYS", "REDIS_URL", "EMAIL_URL", "TARGET_DATABASE_URL"):
        os.environ.pop(name, None)
    if os.environ.get("CAUSEWAY_TEST_CONTROL") == "postgresql":
        server = session_postgres()
        server.create_database("control")
        os.environ["DATABASE_URL"] = server.url("control")
    else:
        os.environ["DATABASE_URL"] = f"sqlite:///{STATE / 'control.sqlite3'}"


_prepare_environment()


@pytest.fixture(scope="session")
def postgres() -> EmbeddedPostgres:
    """The session's PostgreSQL. A test that stops it must start it again."""
    return session_postgres()


@pytest.fixture(scope="session")
def target_superuser_url(postgres: EmbeddedPostgres) -> str:
    """The superuser's URL of database postgres."""
    return postgres.url()


@pytest.fixture
def target_url(postgres: EmbeddedPostgres) -> Iterator[str]:
    """A fresh empty database, dropped afterwards; the URL is that of its owner, an ordinary role."""
    name = f"target_{secrets.token_hex(6)}"
    password = secrets.token_urlsafe(12)
    postgres.create_role(name, password)
    postgres.create_database(name, owner=name)
    yield postgres.url(name, role=name, password=password)
    postgres.drop_database(name)
    postgres.drop_role(name)


@pytest.fixture(scope="session")
def broker() -> Iterator[EmbeddedBroker]:
    """The session's broker. Settings were read before it started: pass its URL to processes as REDIS_URL."""
    with EmbeddedBroker(STATE / "broker") as server:
        yield server


@pytest.fixture
def servers_dir() -> Iterator[Path]:
    """A folder for a server of the test's own; unlike tmp_path the server's user can reach it."""
    folder = Path(tempfile.mkdtemp(dir=STATE))
    folder.chmod(0o711)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


_skipped: list[str] = []


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.skipped:
        _skipped.append(report.nodeid)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.skipped:
        _skipped.append(report.nodeid)


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """With CAUSEWAY_NO_SKIPS a skipped test fails the session."""
    if _skipped and os.environ.get("CAUSEWAY_NO_SKIPS") and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if _skipped and os.environ.get("CAUSEWAY_NO_SKIPS"):
        terminalreporter.write_line(f"FAILED: {len(_skipped)} skipped, which proves nothing: {', '.join(_skipped)}")
