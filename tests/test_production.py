"""What runs in production, as far as files can say: hardened containers, a worker's unit, a gunicorn that loads."""

import configparser
import http.server
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from controlplane.environment import REQUIRED_IN_PRODUCTION
from tests.controlplane.test_settings import PRODUCTION

ROOT = Path(__file__).resolve().parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"schema", "proxy-data-owner"}  # they end by themselves
APPLICATION = {"web", "worker", "beat", "schema"}
every_service = pytest.mark.parametrize("name", SERVICES)


def test_the_services_of_the_design_are_there() -> None:
    assert set(SERVICES) - ONE_SHOT == {"proxy", "web", "worker", "beat", "postgres", "redis"}


@every_service
def test_a_container_is_locked_down(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["pids_limit"] > 0
    assert not service.get("privileged")
    allowed = {"proxy": ["NET_BIND_SERVICE"], "proxy-data-owner": ["CHOWN"]}.get(name, [])
    assert service.get("cap_add", []) == allowed
    assert not any("docker.sock" in str(volume) for volume in service.get("volumes", []))


@every_service
def test_a_container_does_not_run_as_root(name: str) -> None:
    uid = int(SERVICES[name]["user"].partition(":")[0])
    # The one exception sets the owner of a new volume: only on request, without a network.
    assert uid != 0 or (SERVICES[name]["profiles"] == ["setup"] and SERVICES[name]["network_mode"] == "none")


@pytest.mark.parametrize("name", sorted(set(SERVICES) - ONE_SHOT))
def test_a_lasting_service_is_watched_and_restarted(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] in {"CMD", "CMD-SHELL"}
    assert SERVICES[name]["healthcheck"]["retries"] > 0
    assert SERVICES[name]["restart"] == "unless-stopped"


@every_service
def test_an_image_is_pinned(name: str) -> None:
    image, _, tag = SERVICES[name]["image"].partition(":")
    assert image and tag and "latest" not in tag


def test_only_the_proxy_is_published_and_the_servers_are_reachable_from_inside_alone() -> None:
    assert [name for name, service in SERVICES.items() if service.get("ports")] == ["proxy"]
    assert COMPOSE["networks"]["inside"]["internal"] is True
    assert SERVICES["postgres"]["networks"] == SERVICES["redis"]["networks"] == ["inside"]
    assert "inside" not in SERVICES["proxy"]["networks"]


@pytest.mark.parametrize("name", sorted(APPLICATION))
def test_the_application_gets_all_that_production_requires_and_no_secret_in_clear(name: str) -> None:
    environment: dict[str, str] = SERVICES[name]["environment"]
    example = (ROOT / "deploy" / "production.env.example").read_text()
    for variable in REQUIRED_IN_PRODUCTION:
        assert f"{variable}_FILE" in environment or f"{variable}=" in example, variable
    mounted = set(SERVICES[name]["secrets"])
    files = {value for variable, value in environment.items() if value.startswith("/run/secrets/") and variable}
    assert files == {f"/run/secrets/{secret}" for secret in mounted}
    assert environment["CAUSEWAY_MODE"] == "production"


def test_no_secret_stands_in_the_compose_file_and_none_can_be_committed() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    assert not re.search(r"://[^/\s]*:[^/\s]*@", text)
    for service in SERVICES.values():
        secret = re.compile(r"PASSWORD|SECRET|KEY|(DATABASE|REDIS|EMAIL)_URL")
        named = [variable for variable in service.get("environment", {}) if secret.search(variable)]
        assert all(variable.endswith("_FILE") for variable in named), named
    for secret in COMPOSE["secrets"].values():
        assert secret["file"].startswith("deploy/secrets/")
    for path in ("deploy/secrets/secret_key", "deploy/production.env", ".env"):
        assert subprocess.run(["git", "check-ignore", "-q", path], cwd=ROOT, timeout=30).returncode == 0


def test_each_volume_and_secret_that_a_service_names_is_declared() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            source = volume.split(":")[0]
            assert source.startswith("./") or source in COMPOSE["volumes"]
        assert set(service.get("secrets", [])) <= set(COMPOSE["secrets"])
        assert set(service.get("networks", [])) <= set(COMPOSE["networks"])
        assert set(service.get("depends_on", {})) <= set(SERVICES)


def test_the_common_queue_is_consumed_by_the_containers_worker_and_a_hosts_by_its_unit() -> None:
    command = SERVICES["worker"]["command"]
    assert command[command.index("--queues") + 1] == "common"
    assert "--queues host.%i" in unit()["Service"]["ExecStart"]


def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(ROOT / "deploy" / "causeway-host-worker@.service")
    return parser


def test_the_hosts_worker_is_no_root_and_leaves_the_application_alone_when_it_stops() -> None:
    service = unit()["Service"]
    assert service["User"] not in {"", "root"}
    assert service["KillMode"] == "process"
    assert service["NoNewPrivileges"] == "yes"
    assert service["CapabilityBoundingSet"] == ""
    assert service["Restart"] == "always"


def test_the_image_has_two_stages_and_ends_as_an_ordinary_user_with_a_health_check() -> None:
    lines = [line for line in (ROOT / "Dockerfile").read_text().splitlines() if re.match(r"[A-Z]+ ", line)]
    stages = [index for index, line in enumerate(lines) if line.startswith("FROM ")]
    assert len(stages) == 2 and "latest" not in lines[stages[1]]
    final = lines[stages[1] :]
    assert "USER 10001:10001" in final
    assert any(line.startswith("HEALTHCHECK ") for line in final)
    assert not any(line.startswith("ADD ") or "apt-get" in line for line in final)
    copied = [
        word for line in lines if line.startswith("COPY ") and "--from" not in line for word in line.split()[1:-1]
    ]
    admitted = (ROOT / ".dockerignore").read_text()
    for path in copied:
        assert (ROOT / path).exists(), path
        assert f"!{path.rstrip('/')}" in admitted, path


def test_gunicorn_loads_the_application_with_its_configuration_in_production_mode() -> None:
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "gunicorn",
            "--check-config",
            "--config",
            "deploy/gunicorn.conf.py",
            "controlplane.wsgi",
        ],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], **PRODUCTION},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert run.returncode == 0, run.stderr


class _Pages(http.server.BaseHTTPRequestHandler):
    """Answers /healthz as production does: to an allowed host, over https as the proxy says it."""

    def do_GET(self) -> None:
        right = self.path == "/healthz" and self.headers["Host"] == "causeway.example.org"
        self.send_response(200 if right and self.headers["X-Forwarded-Proto"] == "https" else 503)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def page_port() -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Pages) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server.server_port
        server.shutdown()


def healthcheck(kind: str, **environment: str) -> int:
    script = [sys.executable, ROOT / "deploy" / "healthcheck.py", kind]
    return subprocess.run(script, env={"PATH": os.environ["PATH"], **environment}, timeout=30).returncode


def test_the_webs_health_check_asks_as_the_proxy_does(page_port: int) -> None:
    port = str(page_port)
    assert healthcheck("web", PORT=port, ALLOWED_HOSTS="causeway.example.org,other.example.org") == 0
    assert healthcheck("web", PORT=port, ALLOWED_HOSTS="wrong.example.org") == 1


def test_the_beats_health_check_wants_a_schedule_that_was_written_lately(tmp_path: Path) -> None:
    assert healthcheck("beat", BEAT_SCHEDULE_DIR=str(tmp_path)) == 1
    schedule = tmp_path / "celerybeat-schedule"
    schedule.touch()
    assert healthcheck("beat", BEAT_SCHEDULE_DIR=str(tmp_path)) == 0
    os.utime(schedule, (1, 1))
    assert healthcheck("beat", BEAT_SCHEDULE_DIR=str(tmp_path)) == 1
