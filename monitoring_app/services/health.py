"""Is an application within limits now? Readings of its own endpoint, and of PostgreSQL."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from controlplane.registry.models import Application
from monitoring_app.probes.application import probe_application
from monitoring_app.probes.postgresql.readings import probe_postgresql
from monitoring_app.probes.reading import Health, Reading, within, worst

_OWN_WORD_SECONDS = 4.0  # in all: an answer that drips in is none
_DEADLINE = 20.0  # seconds for all exact counts together


@dataclass(frozen=True)
class HealthReport:
    """active_database is the application's own word; 'unknown' when it gives none."""

    application: str
    health: Health
    active_database: str
    readings: tuple[Reading, ...]

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


def check_health(*, application: Application, detailed: bool = False, postgres_only: bool = False) -> HealthReport:
    """Probe now. While the application lives on SQLite, PostgreSQL is judged too: it is where it shall go."""
    readings: list[Reading] = []
    active = "unknown"
    if not postgres_only:
        readings += within(_OWN_WORD_SECONDS, "application", lambda: [_own_word(application)])
        active = str(readings[0].detail.get("database") or "unknown")
    schema = application.target_schema
    dsn = _dsn(application.target_url.reveal())
    readings += within(_DEADLINE, "postgresql", lambda: probe_postgresql(dsn, schema, detailed=detailed))
    return HealthReport(application.name, worst(readings), active, tuple(readings))


def _own_word(application: Application) -> Reading:
    identity = application.identity
    process = next((p for p in application.processes if p["name"] == identity.get("process")), None)
    if process is None or not process.get("port"):
        return Reading("application", Health.UNKNOWN, "no endpoint is named that says which database is in use")
    return probe_application("127.0.0.1", process["port"], identity.get("path", "/health"), identity.get("field", ""))


def _dsn(url: str) -> dict[str, Any]:
    """libpq keywords of a stored URL, which was checked when it was stored. How the server proves who it is belongs
    to them; a password file of this process's user doesn't."""
    parts = urlsplit(url)
    given = parse_qs(parts.query)
    tls: dict[str, Any] = {name: given[name][-1] for name in ("sslmode", "sslrootcert") if name in given}
    return {
        **tls,
        "passfile": "/dev/null",
        "host": parts.hostname,
        "port": parts.port or 5432,
        "user": unquote(parts.username or ""),
        "password": unquote(parts.password or ""),
        "dbname": unquote(parts.path.lstrip("/")),
    }
