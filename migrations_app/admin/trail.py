"""The trail's export as CSV: for who has the permission, and an event of the trail itself."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from controlplane.audit.admin import AuditEventAdmin
from controlplane.audit.models import AuditEvent
from controlplane.audit.trail import record
from migrations_app.admin.csv_export import csv_of

admin.site.unregister(AuditEvent)


@admin.register(AuditEvent)
class TrailAdmin(AuditEventAdmin):
    actions = ("export_csv",)

    def has_export_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.has_perm("audit.export_auditevent"))

    @admin.action(description="Export as CSV", permissions=["export"])
    def export_csv(self, request: HttpRequest, queryset: QuerySet[Any]) -> StreamingHttpResponse:
        """To read in a spreadsheet; what proves itself is the export of the audit page."""
        newest = queryset.order_by("-sequence").values_list("sequence", flat=True).first()
        with transaction.atomic():
            record(action="audit.exported", actor=request.user, payload={"format": "csv", "through": newest})
        return csv_of(queryset)
