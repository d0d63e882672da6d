"""The trail in the admin: to read only, for superusers too, and quick on millions of rows."""

from datetime import timedelta
from typing import Any, Final

from django.contrib import admin
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.functional import cached_property

from controlplane.audit.actions import families
from controlplane.audit.models import AuditCheckpoint, AuditEvent
from controlplane.registry.models import Application

# As far as anyone pages by hand; beyond it a search or a filter is the way.
REACH: Final = 10_000


class BoundedPaginator(Paginator):  # type: ignore[type-arg]
    """Counts no further than REACH rows: count(*) over the whole trail takes seconds."""

    @cached_property
    def count(self) -> int:
        rows: QuerySet[Any] = self.object_list  # type: ignore[assignment]
        # In no order: sorting thousands of rows to count them is the dearest part of a list's page.
        return rows.order_by()[:REACH].count()


class ReadOnlyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Nobody adds, changes or deletes here; the database would refuse it as well."""

    actions = None
    list_per_page = 50
    paginator = BoundedPaginator
    show_full_result_count = False
    sortable_by = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False


class FamilyFilter(admin.SimpleListFilter):
    """By the first word of the action; from the registry, not by a search for distinct values."""

    title = "kind of action"
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(family, family.replace("_", " ")) for family in families()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        return queryset.filter(action__startswith=f"{self.value()}.") if self.value() in families() else queryset


class SinceFilter(admin.SimpleListFilter):
    """By age, on the index of `at`."""

    title = "time"
    parameter_name = "since"
    spans: Final = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(days=7)}

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, f"the last {name}") for name in self.spans]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AuditEvent]) -> QuerySet[AuditEvent]:
        span = self.spans.get(self.value() or "")
        return queryset.filter(at__gte=timezone.now() - span) if span else queryset


@admin.register(AuditEvent)
class AuditEventAdmin(ReadOnlyAdmin):
    """Superusers read all of it, staff the events of their own applications."""

    list_display = ("sequence", "at", "actor", "role", "action", "object", "application")
    list_filter = (FamilyFilter, SinceFilter)
    ordering = ("-sequence",)
    search_fields = ("^actor", "^action", "=object_id", "^object", "=application")
    search_help_text = "Begins with: actor, action, object. Whole: object id, application."

    def get_queryset(self, request: HttpRequest) -> QuerySet[AuditEvent]:
        rows: QuerySet[AuditEvent] = super().get_queryset(request)
        if request.user.is_superuser:
            return rows
        return rows.filter(application__in=Application.objects.visible_to(request.user).values("name"))


@admin.register(AuditCheckpoint)
class AuditCheckpointAdmin(ReadOnlyAdmin):
    list_display = ("number", "sequence", "signed_at", "reason", "key_fingerprint")
    list_filter = ("reason",)
    ordering = ("-number",)
    search_fields = ("=sequence", "^key_fingerprint")
