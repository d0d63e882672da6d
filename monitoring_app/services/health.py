"""Is an application within limits now? Readings of its own endpoint, and of PostgreSQL."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from django.utils import timezone

from controlplane.registry.models import Application
from monitoring_app.models import Target
from monitoring_app.probes.application import probe_application
from monitoring_app.probes.postgresql.readings import probe_postgresql
from monitoring_app.probes.reading import Health, Reading, within, worst
from monitoring_app.services import burning
from monitoring_app.services.targets import TargetUnusable, dsn_of_application

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
    readings += _postgresql(application, detailed)
    if not postgres_only:
        readings += _watch(application)
    return HealthReport(application.name, worst(readings), active, tuple(readings))


def _postgresql(application: Application, detailed: bool) -> list[Reading]:
    schema = application.target_schema
    try:
        dsn = dsn_of_application(application)
    except TargetUnusable as why:
        return [Reading("postgresql", Health.UNKNOWN, why.message, "unknown")]
    return within(_DEADLINE, "postgresql", lambda: probe_postgresql(dsn, schema, detailed=detailed))


def _watch(application: Application) -> list[Reading]:
    """What the loop stored last: whether anybody looks between two calls of this command, and what burns."""
    if not Target.objects.filter(application=application, enabled=True).exists():
        return []
    seen = burning.look(application=application, now=timezone.now())
    monitor = Reading("monitor", Health.FINE, "every part of the loop ran lately")
    if seen.silent:
        monitor = Reading("monitor", Health.WARNING, "; ".join(seen.silent), "unknown")
    if not seen.firing:
        # From a loop that is silent, quiet is no news.
        quiet = Health.UNKNOWN if seen.silent else Health.FINE
        return [monitor, Reading("alerts", quiet, "none was firing at the last round")]
    health = Health.CRITICAL if seen.critical_alerts else Health.WARNING
    return [monitor, Reading("alerts", health, f"firing: {', '.join(seen.firing)}")]


def _own_word(application: Application) -> Reading:
    identity = application.identity
    process = next((p for p in application.processes if p["name"] == identity.get("process")), None)
    if process is None or not process.get("port"):
        return Reading("application", Health.UNKNOWN, "no endpoint is named that says which database is in use")
    return probe_application("127.0.0.1", process["port"], identity.get("path", "/health"), identity.get("field", ""))
