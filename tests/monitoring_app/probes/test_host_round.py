"""The host's part against real HTTP servers, disks and commands: each with its own clock, none green by default."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from monitoring_app.probes.asking import NoAnswer, get
from monitoring_app.probes.disk import Volume, probe_disk
from monitoring_app.probes.endpoints import Endpoint
from monitoring_app.probes.host import HostPlan, HostRound, LogFile, OwnPool, OwnWord, Prometheus, measure_host

NOW = datetime(2026, 11, 23, 3, 0, tzinfo=UTC)
ROOT = Path(__file__).resolve().parents[3]


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        answer = self.server.answers.get(self.path, (404, b""))  # type: ignore[attr-defined]
        if callable(answer):
            answer(self)
            return
        status, body = answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *unheard: object) -> None:
        pass


class Site:
    """A real HTTP server that answers what a test says."""

    def __init__(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self.server.daemon_threads = True
        self.answers: dict[str, Any] = {}
        self.server.answers = self.answers  # type: ignore[attr-defined]
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def endpoint(self, name: str, path: str = "", **more: Any) -> Endpoint:
        return Endpoint(name, "127.0.0.1", self.port, path or f"/{name}", **more)


@pytest.fixture
def site() -> Iterator[Site]:
    one = Site()
    yield one
    one.server.shutdown()
    one.server.server_close()


def measured(
    plan: HostPlan, memory: dict[str, Any] | None = None, now: datetime = NOW
) -> tuple[HostRound, dict[str, Any]]:
    """The round, and its measurements by metric and first label."""
    found = measure_host(plan, memory or {}, now)
    return found, {f"{one.metric} {next(iter(one.labels.values()), '')}".strip(): one for one in found.measurements}


def test_endpoints_say_state_and_time_and_what_failed(site: Site) -> None:
    site.answers |= {"/good": (200, b"x" * 1000), "/bad": (500, b""), "/made": (201, b"")}
    endpoints = (site.endpoint("good"), site.endpoint("bad"), site.endpoint("made", status=201), site.endpoint("none"))
    _, found = measured(HostPlan("t", endpoints=endpoints))
    assert {name: found[f"endpoint_up {name}"].value for name in ("good", "bad", "made", "none")} == {
        "good": 1.0,
        "bad": 0.0,
        "made": 1.0,
        "none": 0.0,
    }
    assert found["endpoint_time good"].value > 0
    assert found["endpoint_time bad"].value is None  # how fast it fails is not how fast it works
    assert "answers 500 instead of 200" in found["endpoint_up bad"].note
    assert (found["error_rate endpoint checks"].value, found["error_rate endpoint checks"].count) == (50.0, 4)


def test_a_redirect_is_an_answer_and_nobody_follows_it(site: Site) -> None:
    def away(handler: Any) -> None:
        handler.send_response(302)
        handler.send_header("Location", f"http://127.0.0.1:{site.port}/good")
        handler.end_headers()

    site.answers |= {"/moved": away, "/good": (200, b"")}
    _, found = measured(HostPlan("t", endpoints=(site.endpoint("moved"),)))
    assert found["endpoint_up moved"].value == 0.0


def test_an_endpoint_that_drips_does_not_hold_up_the_others(site: Site) -> None:
    def drip(handler: Any) -> None:
        for _ in range(100):
            handler.wfile.write(b"H")
            time.sleep(0.1)

    site.answers |= {"/drip": drip, "/good": (200, b"")}
    _, found = measured(HostPlan("t", endpoints=(site.endpoint("drip", seconds=0.5), site.endpoint("good"))))
    assert "no answer within 0.5 s" in found["endpoint_up drip"].note
    assert found["endpoint_up good"].value == 1.0


def test_an_address_that_is_not_this_machine_nor_on_the_list_is_never_asked() -> None:
    with pytest.raises(NoAnswer, match="not on the operator's list"):
        get("192.0.2.1", 80, "/", seconds=1)


@pytest.mark.parametrize("path", ["no-slash", "/a b", "/x\r\nHost: other"])
def test_a_path_that_could_smuggle_a_header_is_never_sent(site: Site, path: str) -> None:
    with pytest.raises(NoAnswer):
        get("127.0.0.1", site.port, path)


COUNTER = """\
# HELP http_requests_total Requests.
# TYPE http_requests_total counter
http_requests_total{{method="GET",status="200"}} {ok}
http_requests_total{{method="POST",status="200"}} 0
http_requests_total{{method="GET",status="404"}} 7
http_requests_total{{method="GET",status="500"}} {bad}
"""


def test_prometheus_counters_give_the_rate_of_the_interval_through_a_restart(site: Site) -> None:
    plan = HostPlan("t", prometheus=Prometheus(f"http://127.0.0.1:{site.port}/m", "http_requests_total", "status"))

    def look(ok: int, bad: int, memory: dict[str, Any], seconds: int) -> tuple[HostRound, Any]:
        site.answers["/m"] = (200, COUNTER.format(ok=ok, bad=bad).encode())
        round_, found = measured(plan, memory, NOW + timedelta(seconds=seconds))
        return round_, found["error_rate Prometheus"]

    first, rate = look(1000, 100, {}, 0)
    assert rate.value is None  # counters since ever say nothing of now
    second, rate = look(1098, 102, first.memory, 15)
    assert (rate.value, rate.count) == (2.0, 100)
    _, rate = look(30, 10, second.memory, 30)  # restarted: 30 + 7 + 10 since then
    assert (rate.value, rate.count) == (pytest.approx(100 * 10 / 40), 40)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((200, b"<html>"), "not in Prometheus's text format"),
        ((200, b"other_total 3\n"), "has no counter"),
        ((503, b""), "answers 503"),
        ((200, b"\xff\xfe"), "not in Prometheus's text format"),
    ],
)
def test_an_endpoint_that_is_no_prometheus_is_unknown_with_its_reason(site: Site, answer: Any, said: str) -> None:
    site.answers["/m"] = answer
    plan = HostPlan("t", prometheus=Prometheus(f"http://127.0.0.1:{site.port}/m", "http_requests_total", "status"))
    _, found = measured(plan)
    assert found["error_rate Prometheus"].value is None and said in found["error_rate Prometheus"].note


def test_the_application_says_which_database_it_is_on_and_how_full_its_pool_is(site: Site) -> None:
    site.answers["/h"] = (200, b'{"db": {"kind": "pg"}, "pool": {"checked_out": 4, "size": 5}}')
    plan = HostPlan(
        "t",
        own_word=OwnWord("127.0.0.1", site.port, "/h", "db.kind", "pg"),
        own_pool=OwnPool("127.0.0.1", site.port, "/h", "pool.checked_out", "pool.size"),
    )
    _, found = measured(plan)
    assert found["application_on_postgresql"].value == 1.0
    assert found["application_pool_used"].value == 80.0
    site.answers["/h"] = (200, b'{"db": {"kind": "sqlite"}, "pool": {"checked_out": 4, "size": 0}}')
    _, found = measured(plan)
    assert found["application_on_postgresql"].value == 0.0
    assert found["application_pool_used"].value is None
    site.answers["/h"] = (200, b"not json")
    _, found = measured(plan)
    assert found["application_on_postgresql"].value is None and found["application_pool_used"].value is None


FILL = """
import sys; sys.path.insert(0, sys.argv[2])
from pathlib import Path
from monitoring_app.probes.disk import Volume, probe_disk
folder = Path(sys.argv[1])
before = probe_disk(Volume("v", path=folder))[0].value
with open(folder / "large", "wb") as file:
    try:
        file.write(b"x" * 4_000_000)
    except OSError:
        pass
used, free = probe_disk(Volume("v", path=folder))
print(before, used.value, free.value)
"""


def test_a_volume_that_is_really_full_is_100_percent(tmp_path: Path) -> None:
    """A file system of its own, of one megabyte, in a namespace that ends with the command."""
    shell = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" -c "$3" "$1" "$4"'
    done = subprocess.run(
        [
            "unshare",
            "--map-root-user",
            "--mount",
            "sh",
            "-c",
            shell,
            "sh",
            str(tmp_path),
            sys.executable,
            FILL,
            str(ROOT),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    before, used, free = map(float, done.stdout.split())
    assert before < 5 and used == 100.0 and free == 0.0


def command(text: str, seconds: float = 5.0) -> Volume:
    return Volume("wal", argv=("sh", "-c", text), cwd=Path("/"), seconds=seconds)


def test_a_volume_elsewhere_is_measured_by_the_operators_command() -> None:
    used, free = probe_disk(command("echo 1000 150"))
    assert (used.value, free.value, used.labels["volume"]) == (85.0, 150.0, "wal")


@pytest.mark.parametrize(
    ("volume", "said"),
    [
        (command("echo full"), "must print two numbers"),
        (command("echo 10 20"), "more is free than there is"),
        (command("exit 3"), "ended with 3"),
        (command("sleep 60 & sleep 60", 0.3), "no answer within 0.3 s"),
        (Volume("v", argv=("/nonexistent/df",)), "could not be run"),
        (Volume("v", path=Path("/nonexistent/path")), "can't be asked"),
        (Volume("v", problem="lies outside the allowed folders"), "outside the allowed folders"),
        (Volume("v"), "neither a path nor a command"),
    ],
)
def test_a_volume_that_can_not_be_measured_is_unknown_and_says_why(volume: Volume, said: str) -> None:
    used, free = probe_disk(volume)
    assert (used.value, free.value, used.view) == (None, None, "unknown")
    assert said in used.note


def test_a_probe_that_hangs_is_unknown_the_others_go_on_and_no_second_thread_waits_with_it(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release = threading.Event()
    started: list[int] = []

    def hang(volume: Volume) -> list[Any]:
        started.append(1)
        release.wait(60)
        return []

    monkeypatch.setattr("monitoring_app.probes.host.probe_disk", hang)
    monkeypatch.setattr("monitoring_app.probes.host.SECONDS", 1.5)
    site.answers["/good"] = (200, b"")
    plan = HostPlan(
        "t-hang",
        volumes=(Volume("data", path=tmp_path),),
        endpoints=(site.endpoint("good", seconds=0.3),),
        access_log=LogFile(tmp_path / "none"),
    )
    try:
        for said in ("no answer within 1.5 s", "still hangs since an earlier round"):
            _, found = measured(plan)
            assert found["disk_used data"].value is None and said in found["disk_used data"].note
            assert found["endpoint_up good"].value == 1.0
            assert "not there" in found["error_rate access log"].note
        assert len(started) == 1
    finally:
        release.set()


def test_a_probe_that_breaks_is_unknown_and_keeps_what_it_remembered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*unheard: object) -> None:
        raise RuntimeError("a bug")

    log = tmp_path / "access.log"
    log.touch()
    plan = HostPlan("t", access_log=LogFile(log, "combined"))
    first, _ = measured(plan)
    monkeypatch.setattr("monitoring_app.probes.host.probe_access_log", broken)
    second, found = measured(plan, first.memory)
    assert "broke" in found["error_rate access log"].note
    assert second.memory["access_log"] == first.memory["access_log"]
