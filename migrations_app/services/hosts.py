"""What the workers on hosts say of them: allowed folders and hosts, and the names of commands, for the pages."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from controlplane.registry.models import Application, Host
from migrations_app import doorbell
from migrations_app.applications.operator_file import read_operator_file
from migrations_app.engine.errors import EngineError

DESCRIBE_HOST = "migrations_app.describe_host"
_STALE = timedelta(seconds=60)


def expect(name: str) -> Host:
    """The host's row; asks its worker what it has. Call inside a transaction."""
    host, _ = Host.objects.get_or_create(name=name)
    doorbell.ring(DESCRIBE_HOST, host.pk, f"host.{name}")
    return host


def describe_host(*, host_id: int) -> None:
    """Read this host's own operator file into its row. Called on the host; done again it only refreshes."""
    found: dict[str, object] = {"problem": "", "seen_at": timezone.now()}
    try:
        operator = read_operator_file(Path(settings.CAUSEWAY_OPERATOR_FILE))
        found |= {
            "roots": [str(root) for root in operator.roots],
            "hosts": sorted({*operator.hosts, *operator.hosts_without_tls}),
            "commands": sorted(operator.commands),
            "units": sorted(operator.units),
        }
    except EngineError as error:
        found["problem"] = error.message
    Host.objects.filter(pk=host_id).update(**found)


def ring_for_stale(*, now: datetime) -> int:
    """Ask the workers of the hosts that have said nothing for a minute; part of the sweep. Applications that were
    registered before hosts were kept get theirs."""
    kept = Host.objects.values("name")
    nameless = Application.objects.exclude(host__in=kept).values_list("host", flat=True).distinct()
    Host.objects.bulk_create([Host(name=name) for name in nameless], ignore_conflicts=True)
    stale = Host.objects.filter(Q(seen_at__isnull=True) | Q(seen_at__lt=now - _STALE))
    for host in stale:
        with transaction.atomic():
            doorbell.ring(DESCRIBE_HOST, host.pk, f"host.{host.name}")
    return len(stale)
