"""The loop end to end: a real server, a real web server, real files; who claims what, and what is kept of a round."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from controlplane import doorbell
from monitoring_app import tasks
from monitoring_app.models import Round, Series, Target
from monitoring_app.probes.postgresql.session import close_all
from monitoring_app.services import burning, collecting, judging, loop, markers, targets
from tests import factories as make

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)


class _Health(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = json.dumps({"database": "postgresql"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *unheard: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Health)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.fixture
def place(tmp_path: Path, settings: Any) -> Path:
    """A folder that the operator's file allows."""
    folder = tmp_path / "srv"
    folder.mkdir()
    operator = tmp_path / "operator.toml"
    operator.write_text(f'[roots]\nfiles = ["{folder}"]\nhosts = []\n')
    operator.chmod(0o600)
    settings.CAUSEWAY_OPERATOR_FILE = str(operator)
    return folder


@pytest.fixture
def target(transactional_db: None, target_url: str, port: int, place: Path) -> Iterator[Target]:
    (place / "access.log").touch()
    application = make.application(
        target_url=target_url,
        processes=[{"name": "web", "command": "web", "order": 1, "port": port}],
        endpoints=[{"name": "health", "process": "web", "path": "/health"}],
        identity={"process": "web", "path": "/health", "field": "database"},
    )
    made = targets.watch(application=application, actor="system")
    made.volumes = [{"name": "data", "path": str(place)}, {"name": "outside", "path": "/etc"}]
    made.access_log = {"path": str(place / "access.log"), "format": "common"}
    made.application_log = {"path": "/etc/passwd"}
    made.save()
    yield made
    close_all()


def series(target: Target, metric: str, **labels: str) -> Series:
    return Series.objects.get(target=target, metric=metric, labels=labels)


def line(status: int) -> str:
    return f'10.0.0.1 - - [23/Nov/2026:12:00:00 +0900] "GET / HTTP/1.1" {status} 5\n'


def test_both_parts_of_a_round_store_what_they_measured(target: Target, place: Path) -> None:
    assert collecting.measure(target_id=target.pk, part=loop.SERVER)
    assert collecting.measure(target_id=target.pk, part=loop.HOST, clock=lambda: NOW)
    with (place / "access.log").open("a") as log:
        log.write(line(200) * 3 + line(500))
    assert collecting.measure(target_id=target.pk, part=loop.HOST, clock=lambda: NOW + timedelta(seconds=15))
    assert series(target, "postgresql_up").last_value == 1.0
    assert series(target, "database_size").last_value > 0
    assert series(target, "endpoint_up", endpoint="health").last_value == 1.0
    assert series(target, "application_on_postgresql").last_value == 1.0
    assert 0 <= series(target, "disk_used", volume="data").last_value <= 100
    assert series(target, "error_rate", source="access log").last_value == 25.0
    assert {row.problem for row in target.rounds.all()} == {""}


def test_what_the_operators_file_does_not_allow_is_not_read_and_says_so(target: Target) -> None:
    collecting.measure(target_id=target.pk, part=loop.HOST)
    assert "outside the allowed folders" in series(target, "disk_used", volume="outside").note
    for level in ("WARNING", "ERROR", "CRITICAL"):
        row = series(target, "log_lines", level=level)
        assert row.last_value is None and "outside the allowed folders" in row.note


def test_without_an_operators_file_disks_and_logs_are_unknown_and_endpoints_are_measured(
    target: Target, settings: Any
) -> None:
    settings.CAUSEWAY_OPERATOR_FILE = "/nonexistent/operator.toml"
    collecting.measure(target_id=target.pk, part=loop.HOST)
    assert "operator's file" in series(target, "disk_used", volume="data").note
    assert series(target, "endpoint_up", endpoint="health").last_value == 1.0


def test_one_part_is_claimed_once_however_often_it_is_woken(target: Target) -> None:
    def claim(number: int) -> bool:
        try:
            return loop.claim(part=loop.HOST, target=target, now=NOW) is not None
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(claim, range(40))) == 1


def test_a_part_whose_worker_died_is_free_again_and_the_dead_ones_late_results_are_dropped(target: Target) -> None:
    dead = loop.claim(part=loop.HOST, target=target, now=NOW)
    assert dead is not None
    assert loop.claim(part=loop.HOST, target=target, now=NOW + timedelta(seconds=30)) is None
    later = loop.claim(part=loop.HOST, target=target, now=NOW + timedelta(seconds=61))
    assert later is not None
    assert not loop.finish(held=dead, now=NOW + timedelta(seconds=62))
    assert loop.finish(held=later, now=NOW + timedelta(seconds=63))


def test_an_application_without_a_target_is_unknown_and_never_up(target: Target) -> None:
    target.application.target_url = ""
    target.application.save()
    assert not collecting.measure(target_id=target.pk, part=loop.SERVER)
    row = series(target, "postgresql_up")
    assert (row.last_value, row.view) == (None, "unknown") and "no target yet" in row.note
    assert "no target yet" in target.rounds.get(part=loop.SERVER).problem


def test_a_round_that_breaks_makes_its_part_unknown_and_is_over(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    collecting.measure(target_id=target.pk, part=loop.HOST, clock=lambda: NOW)

    def broken(*unheard: object) -> None:
        raise RuntimeError("postgresql://yukyu:word-not-to-be-seen@host/db")

    monkeypatch.setattr(collecting, "measure_host", broken)
    assert not collecting.measure(target_id=target.pk, part=loop.HOST, clock=lambda: NOW + timedelta(seconds=15))
    row = series(target, "endpoint_up", endpoint="health")
    assert (row.view, row.last_at) == ("unknown", NOW)
    kept = target.rounds.get(part=loop.HOST)
    assert kept.claimed_until is None and "fault of Causeway" in kept.problem
    assert "word-not-to-be-seen" not in kept.problem + row.note


def test_errors_are_counted_from_the_cut_over_on_and_anew_after_the_next(target: Target, place: Path) -> None:
    log = place / "app.log"
    log.touch()
    Target.objects.filter(pk=target.pk).update(application_log={"path": str(log)})

    def look(seconds: int) -> Any:
        with log.open("a") as file:
            file.write("ERROR x\npsycopg2.errors.UniqueViolation: duplicate key (name)=(SECRET-NAME)\n")
        collecting.measure(target_id=target.pk, part=loop.HOST, clock=lambda: NOW + timedelta(seconds=seconds))
        target.refresh_from_db()
        return target.seen.get("errors", {}).get("counts", {})

    look(0)  # takes the place
    assert look(15) == {}  # still on SQLite
    markers.mark(application=target.application, kind="cut_over", at=NOW + timedelta(seconds=20), text="Run 1")
    assert look(30) == {"23505": 1}
    assert look(45) == {"23505": 2}
    markers.mark(application=target.application, kind="cut_over", at=NOW + timedelta(seconds=50), text="Run 2")
    assert look(60) == {"23505": 1}
    assert "SECRET-NAME" not in json.dumps([target.seen, target.memory])


def test_a_tick_wakes_each_part_on_its_queue_and_stores_how_old_the_rounds_are(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[Any] = []
    monkeypatch.setattr(doorbell, "send_all", lambda rings, **more: rung.append((list(rings), more)))
    now = timezone.now()
    Target.objects.filter(pk=target.pk).update(created_at=now - timedelta(seconds=100))
    Round.objects.create(target=target, part=loop.SERVER, ended_at=now - timedelta(seconds=20))
    assert loop.tick(now=now)
    assert not loop.tick(now=now + timedelta(seconds=1))  # the message came twice
    ((rings, more),) = rung
    assert rings == [
        ("monitoring_app.measure_server", target.pk, "common"),
        ("monitoring_app.measure_host", target.pk, "host.apphost"),
    ]
    assert more == {"expires": 15.0}
    assert series(target, "loop_age", part="server").last_value == pytest.approx(20, abs=1)
    assert series(target, "loop_age", part="host").last_value == pytest.approx(100, abs=1)  # never ended


def test_a_target_that_is_switched_off_is_left_alone(target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    Target.objects.update(enabled=False)
    rung: list[Any] = []
    monkeypatch.setattr(doorbell, "send_all", lambda rings, **more: rung.extend(rings))
    loop.tick(now=NOW)
    assert rung == []
    assert not collecting.measure(target_id=target.pk, part=loop.HOST)


def test_every_task_of_the_schedule_is_there_and_expires_before_the_next(settings: Any) -> None:
    ours = {name: entry for name, entry in settings.CELERY_BEAT_SCHEDULE.items() if name.startswith("monitoring")}
    names = {getattr(task, "name", "") for task in vars(tasks).values()}
    assert {entry["task"] for entry in ours.values()} <= names
    assert all(entry["options"]["expires"] <= entry["schedule"] for entry in ours.values())
    assert ours["monitoring-tick"]["schedule"] == 15.0


def test_a_watch_whose_loop_is_silent_is_no_quiet_watch(target: Target) -> None:
    now = timezone.now()
    Target.objects.filter(pk=target.pk).update(created_at=now - timedelta(minutes=10))
    seen = burning.look(application=target.application, now=now)
    assert seen.watched and len(seen.silent) == 3 and not seen.firing  # both parts, and nobody judged
    for part in loop.PARTS:
        Round.objects.create(target=target, part=part, ended_at=now)
    assert judging.judge(now=now)
    assert burning.look(application=target.application, now=timezone.now()).critical == ()


def test_a_monitors_role_is_never_sent_to_another_server(target: Target) -> None:
    target.monitor_url = "postgresql://watcher:word-not-to-be-seen@elsewhere:5432/yukyu"
    with pytest.raises(targets.TargetUnusable) as refused:
        targets.dsn_of(target)
    assert "word-not-to-be-seen" not in str(refused.value) + refused.value.hint
