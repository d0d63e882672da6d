"""The outbox in the admin, to look at: what was sent, to whom, and what failed. Nobody edits it."""

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from controlplane.audit.admin import ReadOnlyAdmin
from controlplane.mail.models import OutgoingMail
from controlplane.registry.models import Application


@admin.register(OutgoingMail)
class OutgoingMailAdmin(ReadOnlyAdmin):
    list_display = ("created_at", "subject", "to_name", "kind", "application", "state", "attempts", "sent_at", "error")
    list_filter = ("state", "kind", "application")
    search_fields = ("subject", "to_name", "=about")

    def get_queryset(self, request: HttpRequest) -> QuerySet[OutgoingMail]:
        """Staff see the mails of their own applications, as on every page."""
        rows: QuerySet[OutgoingMail] = super().get_queryset(request)
        if request.user.is_superuser:
            return rows
        names = Application.objects.visible_to(request.user).values_list("name", flat=True)
        return rows.filter(application__in=list(names))

    def has_module_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_active and request.user.is_staff)

    def has_view_permission(self, request: HttpRequest, obj: OutgoingMail | None = None) -> bool:
        return self.has_module_permission(request)
