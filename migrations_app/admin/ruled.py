"""What every admin page of ours shares: to look at, to search, to export; services alone change these rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString

from controlplane.audit.actions import ACTIONS
from controlplane.audit.admin import BoundedPaginator
from controlplane.audit.models import AuditEvent
from controlplane.pages.templatetags.causeway import status
from controlplane.registry.models import Application
from migrations_app.admin.csv_export import csv_of

HISTORY = 200


class ServicesRule(admin.ModelAdmin):  # type: ignore[type-arg]
    """Read-only for everyone, superusers included; staff see the rows of their own applications.

    of: the way from a row to its application; '' where rows belong to none, and superusers alone see them.
    heavy: fields that a list doesn't show and that may be large: a plan's document has every column of every table.
    """

    of = "run__application"
    heavy: tuple[str, ...] = ()
    actions = ("export_csv",)
    list_per_page = 30
    paginator = BoundedPaginator
    show_full_result_count = False
    object_history_template = "admin/trail_history.html"

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request).defer(*self.heavy)
        if request.user.is_superuser:
            return rows
        if not self.of:
            return rows.none()
        return rows.filter(**{f"{self.of}__in": Application.objects.visible_to(request.user)})

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

    @admin.action(description="Export as CSV")
    def export_csv(self, request: HttpRequest, queryset: QuerySet[Any]) -> StreamingHttpResponse:
        """The chosen rows, or with “select all” every row that the search and the filters found."""
        return csv_of(queryset, leave_out=self.heavy)

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """What the audit trail says about the row: nothing is changed in the admin, so its own log would be empty."""
        row = self.get_object(request, object_id)
        if row is None:
            redirect: HttpResponse = self._get_obj_does_not_exist_redirect(request, self.opts, object_id)  # type: ignore[attr-defined]
            return redirect
        events = self.events_of(row).before(None, HISTORY)
        context = {
            **self.admin_site.each_context(request),
            "title": f"What happened: {row}",
            "opts": self.opts,
            "object": row,
            "events": [{"row": event, "said": ACTIONS.get(event.action, event.action)} for event in events],
            **(extra_context or {}),
        }
        return TemplateResponse(request, self.object_history_template, context)

    def events_of(self, row: Any) -> Any:
        return AuditEvent.objects.filter(object_type=self.opts.label_lower, object_id=str(row.pk))


def state_column(kind: str) -> Callable[[Any, Any], SafeString]:
    """A column with the state as the pages show it: word, shape and colour."""

    @admin.display(description="state", ordering="state")
    def looks(_admin: Any, row: Any) -> SafeString:
        return status(kind, row.state)

    return looks
