"""What is watched, in the admin: to look at. Services alone change these rows."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from controlplane.audit.admin import ReadOnlyAdmin
from controlplane.registry.models import Application
from monitoring_app import models


class WatchedAdmin(ReadOnlyAdmin):
    """Staff see the rows of their own applications, as on every page. of: the way from a row to its application."""

    of = "target__application"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows: QuerySet[Any] = super().get_queryset(request)
        if request.user.is_superuser:
            return rows
        return rows.filter(**{f"{self.of}__in": Application.objects.visible_to(request.user)})

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_staff)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)


@admin.register(models.Target)
class TargetAdmin(WatchedAdmin):
    of = "application"
    list_display = ("application", "enabled", "created_at")
    list_select_related = ("application",)
    # The monitor's address is never shown; memory and what was last seen are the probes' own.
    fields = ("application", "enabled", "replicas", "volumes", "access_log", "prometheus", "application_log")


@admin.register(models.AlertRule)
class AlertRuleAdmin(WatchedAdmin):
    list_display = ("title", "target", "severity", "threshold", "clear_threshold", "for_seconds", "enabled")
    list_filter = ("severity", "enabled")
    list_select_related = ("target__application",)
    search_fields = ("title", "code")


@admin.register(models.Alert)
class AlertAdmin(WatchedAdmin):
    of = "rule__target__application"
    list_display = ("rule", "state", "kind", "began_at", "fired_at", "resolved_at", "peak", "owner")
    list_filter = ("state", "kind")
    list_select_related = ("rule__target__application", "series")
    search_fields = ("rule__title", "owner")


@admin.register(models.AlertEvent)
class AlertEventAdmin(WatchedAdmin):
    of = "alert__rule__target__application"
    list_display = ("at", "alert", "what", "actor", "text")
    list_filter = ("what",)
    list_select_related = ("alert__rule__target__application",)


@admin.register(models.Silence)
class SilenceAdmin(WatchedAdmin):
    of = "application"
    list_display = ("application", "rule", "starts_at", "ends_at", "ended_at", "by", "reason")
    list_select_related = ("application", "rule__target__application")


@admin.register(models.Recipient)
class RecipientAdmin(WatchedAdmin):
    of = "application"
    list_display = ("address", "name", "application", "severity", "confirmed_at", "unsubscribed_at")
    list_select_related = ("application",)
    search_fields = ("address", "name")
    exclude = ("nonce",)  # part of what signed links say


@admin.register(models.Series)
class SeriesAdmin(WatchedAdmin):
    list_display = ("metric", "labels_key", "target", "last_value", "last_at", "view", "note")
    list_filter = ("metric", "view")
    list_select_related = ("target__application",)


@admin.register(models.Verification)
class VerificationAdmin(WatchedAdmin):
    list_display = ("day", "target", "outcome", "ended_at", "digest")
    list_filter = ("outcome",)
    list_select_related = ("target__application",)


@admin.register(models.Marker)
class MarkerAdmin(WatchedAdmin):
    of = "application"
    list_display = ("at", "application", "kind", "text", "about")
    list_filter = ("kind",)
    list_select_related = ("application",)


@admin.register(models.Maintenance)
class MaintenanceAdmin(WatchedAdmin):
    list_display = ("asked_at", "target", "state", "asked_by", "began_at", "ended_at", "done", "tables")
    list_filter = ("state",)
    list_select_related = ("target__application",)
