"""Live crossings, to look at: what each follower saw last."""

from __future__ import annotations

from typing import Any

from django.contrib import admin

from controlplane.audit.models import AuditEvent
from controlplane.registry.filters import OwnApplicationsFilter
from migrations_app.admin.ruled import ServicesRule, state_column
from migrations_app.models import Replication


@admin.register(Replication)
class ReplicationAdmin(ServicesRule):
    of = "application"
    heavy = ("inverse_forms", "trend")
    list_display = ("application", "looks", "direction", "lag_rows", "queue_rows", "window_open", "seen_at", "run")
    list_filter = ("state", "direction", "window_open", ("application", OwnApplicationsFilter))
    search_fields = ("application__name", "=identity", "error_code")
    list_select_related = ("application", "run__application")
    looks = state_column("replication")

    def events_of(self, row: Replication) -> Any:
        return AuditEvent.objects.of_applications([row.application.name]).filter(action__startswith="replication.")
