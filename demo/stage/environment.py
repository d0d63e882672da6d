"""The settings of the demo, as environment: secrets stand in files, so that no process list shows them."""

from __future__ import annotations

import os

from controlplane import environment as settings_environment
from demo.stage.home import Home
from demo.stage.keys import Keys
from migrations_app.applications import processes
from migrations_app.applications.commands import minimal_environment
from migrations_app.applications.supervisor import LIFELINE_VARIABLE


def settings(home: Home, keys: Keys, *, broker_url: str, address: str, smtp_url: str) -> dict[str, str]:
    """What every process of Causeway gets, this one included."""
    return {
        "DJANGO_SETTINGS_MODULE": "controlplane.settings",
        "CAUSEWAY_MODE": "development",
        "CAUSEWAY_READ_DOTENV": "0",
        "CAUSEWAY_STATE_DIR": str(home.path),
        "CAUSEWAY_BASE_URL": address,
        "CAUSEWAY_OPERATOR_FILE": str(home.operator_file),
        "CAUSEWAY_ARTIFACTS_DIR": str(home.folder("artifacts")),
        "CAUSEWAY_AUDIT_KEY_FILE": str(keys.path("audit.pem")),
        "SECRET_KEY_FILE": str(keys.secret_key()),
        "CAUSEWAY_FIELD_KEYS_FILE": str(keys.field_keys()),
        "REDIS_URL_FILE": str(keys.put("broker-url", broker_url)),
        "DATABASE_URL": f"sqlite:///{home.control_database}",
        "EMAIL_URL": smtp_url,
        LIFELINE_VARIABLE: lifeline(),
        "PYTHONUNBUFFERED": "1",
    }


def lifeline() -> str:
    """pid:create_time of this process; the applications' supervisors end when it is gone."""
    pid = os.getpid()
    return f"{pid}:{processes.create_time(pid)}"


def for_children(own: dict[str, str]) -> dict[str, str]:
    """The environment of web, worker and beat: nothing of the caller's but PATH and the like."""
    return minimal_environment(own)


def apply_here(own: dict[str, str]) -> None:
    """Make them this process's own, so that Django reads the same settings as the children."""
    for name in (*settings_environment.SECRETS, "ALLOWED_HOSTS", "CSRF_TRUSTED_ORIGINS"):
        os.environ.pop(name, None)  # a name would win over its file
    os.environ.update(own)
