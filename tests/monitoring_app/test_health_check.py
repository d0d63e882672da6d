"""health_check against a real PostgreSQL and a real endpoint: what it says, how it ends, what it never shows."""

from __future__ import annotations

import http.server
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import timedelta
from io import StringIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from controlplane.embedded import EmbeddedPostgres
from controlplane.registry.models import Application
from monitoring_app.models import Alert, Round, Series, Target
from monitoring_app.services import targets
from tests import factories as make
from tests.servers import STATE


class Endpoint(http.server.BaseHTTPRequestHandler):
    """/health answers what the server is told to answer."""

    def do_GET(self) -> None:
        status, content = self.server.answer  # type: ignore[attr-defined]
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def endpoint() -> Iterator[Any]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    server.answer = (200, {"db": {"kind": "postgresql"}})  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def application(transactional_db: None, target_url: str, endpoint: Any) -> Application:
    with closing(psycopg2.connect(target_url)) as target, target, target.cursor() as cursor:
        cursor.execute('CREATE TABLE items (id int); CREATE TABLE "odd % name" (id int)')
        cursor.execute("INSERT INTO items SELECT generate_series(1, 1234)")
    return make.application(
        target_url=target_url,
        processes=[{"name": "web", "command": "web", "order": 1, "port": endpoint.server_port}],
        identity={"process": "web", "path": "/health", "field": "db.kind"},
    )


def check(*arguments: str) -> tuple[int, str]:
    """Exit status and what it printed."""
    out = StringIO()
    try:
        call_command("health_check", *arguments, stdout=out)
    except SystemExit as ended:
        return int(ended.code or 0), out.getvalue()
    except CommandError as refused:
        return refused.returncode, str(refused)
    raise AssertionError("it ended without a status")


def spoiled(url: str, **changes: str) -> str:
    parts = urlsplit(url)
    user, password = changes.get("user", parts.username), changes.get("password", parts.password)
    place = f"{parts.hostname}:{changes.get('port', parts.port)}"
    return f"postgresql://{user}:{password}@{place}/{changes.get('database', parts.path[1:])}"


def test_all_well_ends_with_0_and_names_the_active_database(application: Application) -> None:
    status, said = check()
    assert status == 0, said
    assert "yukyu: fine, on postgresql" in said
    assert "client connections" in said and "pg_monitor" in said  # says how much it could see


def test_json_is_one_document_of_all_readings(application: Application) -> None:
    status, said = check("--json", "--detailed", "--application", "yukyu")
    assert status == 0, said
    (report,) = json.loads(said)
    assert (report["application"], report["health"], report["active_database"]) == ("yukyu", "fine", "postgresql")
    readings = {reading["name"]: reading for reading in report["readings"]}
    assert readings["rows of items"]["detail"] == {"rows": 1234, "exact": True}
    assert readings["rows of odd % name"]["detail"] == {"rows": 0, "exact": True}
    assert readings["size"]["detail"]["bytes"] > 0
    assert "causeway health" in readings["connections"]["detail"]["by_application"]


def test_application_on_sqlite_is_named_as_such(application: Application, endpoint: Any) -> None:
    endpoint.answer = (200, {"db": {"kind": "sqlite"}})
    status, said = check()
    assert status == 0 and "on sqlite" in said


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        ((500, {}), 2, "answers 500"),
        ((302, {}), 2, "answers 302"),
        ((200, {"db": "gone"}), 3, "has no field db.kind"),
        ((200, []), 3, "has no field db.kind"),
    ],
)
def test_endpoint_that_is_not_well_is_never_green(
    application: Application, endpoint: Any, answer: tuple[int, object], expected: int, words: str
) -> None:
    endpoint.answer = answer
    status, said = check()
    assert (status, words in said) == (expected, True), said
    assert "on unknown" in said


def test_endpoint_that_does_not_answer_is_critical_unless_only_postgresql_is_asked(
    application: Application, endpoint: Any
) -> None:
    endpoint.shutdown()
    endpoint.server_close()
    status, said = check()
    assert (status, "does not answer" in said) == (2, True)
    status, said = check("--postgres-only")
    assert status == 0 and "application" not in said.replace("yukyu", "")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"port": "1"}, "can't be reached"),
        ({"password": "word-not-to-be-seen"}, "password is refused"),
        ({"database": "no_such_db"}, "does not exist"),
        ({"user": "nobody_here", "password": "word-not-to-be-seen"}, "postgresql"),
    ],
)
def test_postgresql_that_can_not_be_used_is_critical_and_shows_no_secret(
    application: Application, changes: dict[str, str], words: str
) -> None:
    application.target_url = spoiled(application.target_url.reveal(), **changes)
    application.save()
    status, said = check()
    assert (status, words in said) == (2, True), said
    assert "word-not-to-be-seen" not in said


@pytest.mark.parametrize(("open_ones", "expected"), [(1, 0), (7, 1), (8, 2), (10, 2)])
def test_connections_near_the_limit_of_the_role_warn_and_then_alarm(
    application: Application, postgres: EmbeddedPostgres, open_ones: int, expected: int
) -> None:
    url = application.target_url.reveal()
    postgres.execute(f'ALTER ROLE "{urlsplit(url).username}" CONNECTION LIMIT 10')
    with ExitStack() as stack:
        for _ in range(open_ones):
            stack.enter_context(closing(psycopg2.connect(url)))
        status, said = check("--postgres-only")
    assert status == expected, said


def test_table_that_can_not_be_counted_in_time_is_an_estimate_and_says_so(application: Application) -> None:
    with closing(psycopg2.connect(application.target_url.reveal())) as other, other.cursor() as cursor:
        cursor.execute("LOCK TABLE items IN ACCESS EXCLUSIVE MODE")
        status, said = check("--detailed", "--postgres-only")
    assert status == 0
    assert "estimate" in said and "[partial]" in said


def test_frozen_server_is_no_answer_and_the_command_ends(application: Application, postgres: EmbeddedPostgres) -> None:
    os.kill(postgres.pid, signal.SIGSTOP)
    try:
        status, said = check("--postgres-only")
    finally:
        os.kill(postgres.pid, signal.SIGCONT)
    assert status in (2, 3), said


def test_unknown_name_or_no_application_is_unknown(application: Application) -> None:
    assert check("--application", "nobody") == (3, "There is no application nobody.")
    application.delete()
    assert check()[0] == 3


def test_application_without_a_word_of_its_own_is_unknown(application: Application) -> None:
    application.identity = {}
    application.save()
    status, said = check()
    assert status == 3 and "no endpoint is named" in said


def test_worst_of_several_applications_decides(application: Application) -> None:
    make.application("other", processes=[], identity={})
    status, said = check()
    assert status == 2
    assert "yukyu: fine" in said and "other: critical" in said


def run_alone(database_url: str) -> subprocess.CompletedProcess[str]:
    environment = {"DATABASE_URL": database_url, "CAUSEWAY_STATE_DIR": str(STATE), "CAUSEWAY_READ_DOTENV": "0"}
    return subprocess.run(
        [sys.executable, "manage.py", "health_check"],
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_exit_status_is_that_of_the_process(application: Application, endpoint: Any) -> None:
    name = str(connection.settings_dict["NAME"])
    if connection.vendor == "sqlite":
        url = f"sqlite:///{name}"
    else:
        url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{name}").geturl()
    done = run_alone(url)
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    endpoint.answer = (500, {})
    assert run_alone(url).returncode == 2


def test_control_database_that_can_not_be_asked_is_unknown_without_a_traceback(tmp_path: Path) -> None:
    done = run_alone(f"sqlite:///{tmp_path / 'empty.sqlite3'}")
    assert done.returncode == 3
    assert "Traceback" not in done.stderr and "own database" in done.stderr


def test_demand_that_the_server_proves_itself_is_kept(application: Application) -> None:
    """The test's server has no TLS: a check that forgot the URL's sslmode would be green."""
    application.target_url = application.target_url.reveal() + "?sslmode=verify-full&sslrootcert=system"
    application.save()
    status, said = check("--postgres-only")
    assert (status, "can't be reached" in said) == (2, True), said


def test_silent_monitor_is_a_warning_and_its_quiet_is_not_known(application: Application) -> None:
    targets.watch(application=application, actor="system")
    Target.objects.update(created_at=timezone.now() - timedelta(minutes=10))
    status, said = check()
    assert status == 3, said
    assert "server part was silent" in said and "? alerts" in said


def test_alert_that_fires_is_in_the_commands_answer(application: Application) -> None:
    target = targets.watch(application=application, actor="system")
    now = timezone.now()
    for part, of in (("server", target), ("host", target), ("evaluate", None)):
        Round.objects.create(target=of, part=part, ended_at=now)
    status, said = check()
    assert status == 0, said
    rule = target.rules.get(code="pool")
    series = Series.objects.create(target=target, metric="pool_used")
    Alert.objects.create(rule=rule, series=series, state="firing", began_at=now, threshold=80)
    status, said = check()
    assert status in (1, 2) and f"firing: {rule.title}" in said
    status, said = check("--postgres-only")
    assert status == 0, said
