"""Applications, roles, hosts and looks: to look at. They are changed on the application's own pages, by its services.

A form of the admin would go past them: past the allowed folders and hosts, the test of the target, a run that depends
on what is changed, and the sentence in the trail that says what it was before.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from controlplane.registry.filters import OwnApplicationsFilter
from controlplane.registry.models import Application, Host, Look, Membership


class LookedAt(admin.ModelAdmin):  # type: ignore[type-arg]
    """Read-only for everyone; staff see the rows of their own applications. `of` is the way to the application."""

    of = ""
    list_per_page = 50  # a row costs a millisecond

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        if request.user.is_superuser or not self.of:
            return rows
        mine = Application.objects.visible_to(request.user).values("pk")
        return rows.filter(**{f"{self.of}__in": mine})

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_staff)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Application)
class ApplicationAdmin(LookedAt):
    of = "pk"
    list_display = ("name", "title", "host", "schema_mode", "target_schema", "created_at", "page")
    list_filter = ("schema_mode", "host")
    search_fields = ("name", "title", "host")
    readonly_fields = ("page", "seen", "version", "described_at", "created_at")
    fieldsets = (
        (None, {"fields": ("page", "name", "title", "host", "source_path", "busy_timeout_ms")}),
        ("Target", {"fields": ("target_schema", "schema_mode")}),
        ("How it runs", {"fields": ("processes", "driver", "commands", "pointing", "rehearsal")}),
        ("How it proves that it is well", {"fields": ("endpoints", "identity", "encrypted_columns")}),
        ("When, and who is told", {"fields": ("change_window", "recipients")}),
        ("Kept by Causeway", {"fields": ("seen", "version", "described_at", "created_at")}),
    )

    @admin.display(description="change it")
    def page(self, application: Application) -> str:
        return format_html('<a href="{}">on its page</a>', reverse("application", args=[application.name]))


@admin.register(Membership)
class MembershipAdmin(LookedAt):
    of = "application"
    list_display = ("application", "user", "role", "created_at", "page")
    list_filter = ("role", ("application", OwnApplicationsFilter))
    search_fields = ("user__username", "application__name")
    list_select_related = ("application", "user")

    @admin.display(description="change it")
    def page(self, membership: Membership) -> str:
        address = reverse("application_people", args=[membership.application.name])
        return format_html('<a href="{}">on its page</a>', address)


@admin.register(Host)
class HostAdmin(LookedAt):
    list_display = ("name", "seen_at", "problem")
    search_fields = ("name",)

    def has_module_permission(self, request: HttpRequest) -> bool:
        # Folders and commands of hosts belong to no application.
        return bool(request.user.is_active and request.user.is_superuser)


@admin.register(Look)
class LookAdmin(LookedAt):
    of = "application"
    list_display = ("kind", "application", "state", "asked_by", "asked_at", "answered_at")
    list_filter = ("kind", "state")
    search_fields = ("application__name", "asked_by__username")
    list_select_related = ("application", "asked_by")
