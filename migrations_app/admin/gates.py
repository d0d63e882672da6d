"""Gates, signatures, rollback requests and sign-offs."""

from __future__ import annotations

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html

from controlplane.registry.filters import OwnApplicationsFilter
from migrations_app.admin.ruled import ServicesRule, state_column
from migrations_app.models import Approval, Certificate, Gate, RollbackRequest, SignOff


@admin.register(Gate)
class GateAdmin(ServicesRule):
    list_display = ("__str__", "looks", "opened_at", "decided_at", "dialog")
    list_filter = ("code", "state", ("run__application", OwnApplicationsFilter))
    search_fields = ("=run__pk", "run__application__name")
    list_select_related = ("run",)
    looks = state_column("gate")

    @admin.display(description="")
    def dialog(self, gate: Gate) -> str:
        return format_html('<a href="{}">Look at it</a>', reverse("run_sign", args=[gate.run_id, gate.code]))


@admin.register(Approval)
class ApprovalAdmin(ServicesRule):
    of = "gate__run__application"
    list_display = ("gate", "role", "user_name", "looks", "signed_at", "expires_at", "ended_reason")
    list_filter = ("state", "role", "gate__code")
    search_fields = ("user_name", "=gate__run__pk")
    list_select_related = ("gate",)
    date_hierarchy = "signed_at"
    looks = state_column("signature")


@admin.register(RollbackRequest)
class RollbackRequestAdmin(ServicesRule):
    list_display = ("run", "requested_by", "price", "rows_confirmed", "looks", "agreed_by", "created_at")
    list_filter = ("state", "price")
    search_fields = ("requested_by", "=run__pk", "reason")
    list_select_related = ("run__application", "agreed_by")
    looks = state_column("rollback")


@admin.register(SignOff)
class SignOffAdmin(ServicesRule):
    list_display = ("run", "signed_at", "backup_kept_until", "plan_digest", "evidence_digest")
    search_fields = ("=run__pk",)
    list_select_related = ("run__application",)


@admin.register(Certificate)
class CertificateAdmin(ServicesRule):
    heavy = ("content", "html", "pdf")
    fields = ("run", "revision", "issued_at", "content_sha256", "html_sha256", "pdf_sha256")
    list_display = ("run", "revision", "issued_at", "content_sha256")
    search_fields = ("=run__pk", "run__application__name", "=content_sha256", "=pdf_sha256")
    list_select_related = ("run__application",)
    date_hierarchy = "issued_at"
