"""Plans and their findings."""

from __future__ import annotations

from django.contrib import admin

from controlplane.registry.filters import OwnApplicationsFilter
from migrations_app.admin.ruled import ServicesRule, state_column
from migrations_app.models import Finding, MigrationPlan


@admin.register(MigrationPlan)
class PlanAdmin(ServicesRule):
    of = "application"
    heavy = ("document", "profile")
    list_display = ("__str__", "looks", "author", "short_digest", "window_start", "window_end", "created_at")
    list_filter = ("state", ("application", OwnApplicationsFilter))
    search_fields = ("application__name", "=digest", "author__username")
    list_select_related = ("application", "author")
    date_hierarchy = "created_at"
    looks = state_column("plan")


@admin.register(Finding)
class FindingAdmin(ServicesRule):
    of = "plan__application"
    heavy = ("plan__document", "plan__profile")
    list_display = ("code", "severity", "table", "column", "count", "choice", "plan")
    list_filter = ("severity", "code", ("plan__application", OwnApplicationsFilter))
    search_fields = ("code", "table", "column")
    list_select_related = ("plan__application",)
