"""Settings: documented each, strict in production, and silent about secrets."""

import logging
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cryptography.fernet import Fernet
from django.conf import settings
from django.test import RequestFactory
from django.views.debug import ExceptionReporter

from controlplane.environment import REQUIRED_IN_PRODUCTION, SECRETS
from controlplane.logs import OneLineFormatter
from controlplane.proxies import client_address

ROOT = Path(__file__).resolve().parents[2]
CANARY = "c4nary/passw0rd"

PRODUCTION = {
    "CAUSEWAY_READ_DOTENV": "0",
    "CAUSEWAY_MODE": "production",
    "SECRET_KEY": "k" * 20 + "3" * 20 + "x" * 20,
    "CAUSEWAY_FIELD_KEYS": Fernet.generate_key().decode(),
    "DATABASE_URL": "postgresql://causeway:word@127.0.0.1:1/causeway",
    "REDIS_URL": "redis://127.0.0.1:1/0",
    "EMAIL_URL": "smtp://127.0.0.1:1",
    "ALLOWED_HOSTS": "causeway.example.org",
    "CAUSEWAY_BASE_URL": "https://causeway.example.org",
    "CAUSEWAY_METRICS_TOKEN": "t" * 40,
}


def start(**changes: str | None) -> subprocess.CompletedProcess[str]:
    """Import the settings in a fresh process, in production mode with these changes (None removes)."""
    environment: dict[str, str] = {"PATH": os.environ["PATH"]}
    environment |= {name: value for name, value in {**PRODUCTION, **changes}.items() if value is not None}
    script = "import controlplane.settings as s; print(s.SECRET_KEY, s.DATABASES['default'].get('HOST'))"
    script += "; print(s.CAUSEWAY_METRICS_TOKEN)"
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )


def variables_read() -> set[str]:
    return set(re.findall(r'\benv\.\w+\(\s*"([A-Z_]+)"', (ROOT / "controlplane" / "settings.py").read_text()))


def test_every_variable_is_in_the_example_and_in_the_reference() -> None:
    example = set(re.findall(r"(?m)^#?([A-Z][A-Z_]+)=", (ROOT / ".env.example").read_text()))
    reference = (ROOT / "docs" / "reference" / "settings.md").read_text().split("## Read elsewhere")[0]
    assert len(variables_read()) > 15
    assert example == variables_read()
    assert set(re.findall(r"(?m)^\| `([A-Z_]+)`", reference)) == variables_read()


def test_every_refusal_is_in_the_reference() -> None:
    codes = set(re.findall(r'"(settings\.\w+)"', (ROOT / "controlplane" / "environment.py").read_text()))
    reference = (ROOT / "docs" / "reference" / "settings.md").read_text().split("## Refusals at start")[1]
    assert codes == set(re.findall(r"`(settings\.\w+)`", reference))


def test_production_starts_when_all_is_set() -> None:
    assert start().returncode == 0, start().stderr


@pytest.mark.parametrize("name", REQUIRED_IN_PRODUCTION)
def test_production_refuses_without_a_required_variable_in_one_sentence(name: str) -> None:
    run = start(**{name: None})
    assert run.returncode == 1
    assert f"in production {name} must be set" in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"SECRET_KEY": "short"}, "settings.secret_key"),
        ({"SECRET_KEY": "development-only-" + "x" * 50}, "settings.secret_key"),
        ({"CAUSEWAY_FIELD_KEYS": "no key"}, "settings.field_keys"),
        ({"CAUSEWAY_FIELD_KEYS": "ZGV2ZWxvcG1lbnQtb25seS1rZXktbm90LXNlY3JldCE="}, "settings.field_keys"),
        ({"ALLOWED_HOSTS": "*"}, "settings.allowed_hosts"),
        ({"CAUSEWAY_BASE_URL": "http://causeway.example.org"}, "settings.base_url"),
        ({"DATABASE_URL": f"mysql://u:{CANARY}@h/d"}, "settings.database"),
        ({"DATABASE_URL": f"postgresql://u:{CANARY}@h:5432/d"}, "settings.bad_url"),
        ({"SECRET_KEY": None, "SECRET_KEY_FILE": "/nonexistent"}, "settings.secret_file"),
    ],
)
def test_production_refuses_what_is_unsafe_without_showing_it(changes: dict[str, str | None], code: str) -> None:
    run = start(**changes)
    assert run.returncode == 1
    assert f"[{code}]" in run.stderr
    assert len(run.stderr.strip().splitlines()) == 1
    assert "c4nary" not in run.stderr and "passw0rd" not in run.stderr


@pytest.mark.parametrize("name", SECRETS)
def test_a_secret_may_come_from_a_file(name: str, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text(PRODUCTION[name] + "\n")
    run = start(**{name: None, f"{name}_FILE": str(secret)})
    assert run.returncode == 0, run.stderr
    assert run.stdout == start().stdout


def test_an_error_report_shows_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "CELERY_BROKER_URL", f"redis://:{CANARY}@127.0.0.1/0")
    monkeypatch.setattr(settings, "HARMLESS_NAME", f"postgresql://u:{CANARY}@h/d", raising=False)
    request = RequestFactory().post("/", {"answer": CANARY}, HTTP_X_API_TOKEN=CANARY)
    for text in _reports(request):
        assert "ZeroDivisionError" in text
        assert CANARY not in text


def _reports(request: Any) -> list[str]:
    local = CANARY + "!"
    try:
        _ = len(local) / 0
    except ZeroDivisionError as error:
        reporter = ExceptionReporter(request, type(error), error, error.__traceback__)
        # The page quotes lines of source, this file's among them: none of them holds the secret itself.
        return [reporter.get_traceback_html(), reporter.get_traceback_text()]
    raise AssertionError


def test_the_log_masks_credentials_through_the_configured_handler() -> None:
    handler = logging.getLogger().handlers
    configured = settings.LOGGING["handlers"]["stderr"]
    assert configured["filters"] == ["redact"]
    assert any(isinstance(one.formatter, OneLineFormatter) and one.filters for one in handler)


def test_a_name_with_line_breaks_forges_no_line_of_the_log() -> None:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "signed in: %s", ("eve\n2026 INFO x root\r",), None)
    assert OneLineFormatter("%(message)s").format(record) == "signed in: eve\\n2026 INFO x root\\r"


@pytest.mark.parametrize(
    ("count", "forwarded", "expected"),
    [(0, "6.6.6.6", "10.0.0.1"), (1, "6.6.6.6, 203.0.113.9", "203.0.113.9"), (1, "", "10.0.0.1"), (2, "a", "10.0.0.1")],
)
def test_an_address_is_believed_only_from_our_own_proxies(
    monkeypatch: pytest.MonkeyPatch, count: int, forwarded: str, expected: str
) -> None:
    monkeypatch.setattr(settings, "CAUSEWAY_PROXY_COUNT", count)
    request = SimpleNamespace(META={"REMOTE_ADDR": "10.0.0.1", "HTTP_X_FORWARDED_FOR": forwarded})
    assert client_address(request) == expected  # type: ignore[arg-type]


def test_production_passes_djangos_deployment_checks() -> None:
    run = subprocess.run(
        [ROOT / ".ci" / "django-checks"],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHON": sys.executable},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stdout + run.stderr
