"""Everything about plans and runs, to look at: services alone change these rows, superusers included.

The actions on a run lead to the same dialogs as the pages.
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.html import format_html

from controlplane.audit.admin import BoundedPaginator
from controlplane.registry.models import Application
from migrations_app.models import (
    Approval,
    Artifact,
    ChecklistItem,
    Finding,
    Gate,
    MigrationPlan,
    MigrationRun,
    RollbackRequest,
    RunStep,
    SignOff,
    StepLogLine,
    TestResult,
)
from migrations_app.models.states import GateState
from migrations_app.templatetags.causeway import status

admin.site.site_header = "Causeway"
admin.site.site_title = "Causeway admin"
admin.site.index_title = "Everything, to look at"


class ServicesRule(admin.ModelAdmin):  # type: ignore[type-arg]
    """Read-only for everyone; staff see the rows of their own applications. `of` is the way to the application."""

    of = "run__application"
    list_per_page = 50
    paginator = BoundedPaginator
    show_full_result_count = False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super().get_queryset(request)
        if request.user.is_superuser:
            return rows
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


@admin.register(MigrationPlan)
class PlanAdmin(ServicesRule):
    of = "application"
    list_display = ("__str__", "looks", "author", "short_digest", "window_start", "window_end", "created_at")
    list_filter = ("state", "application")
    search_fields = ("application__name", "=digest", "author__username")
    list_select_related = ("application", "author")

    @admin.display(description="state", ordering="state")
    def looks(self, plan: MigrationPlan) -> str:
        return status("plan", plan.state)


@admin.register(Finding)
class FindingAdmin(ServicesRule):
    of = "plan__application"
    list_display = ("code", "severity", "table", "column", "count", "choice", "plan")
    list_filter = ("severity", "code")
    search_fields = ("code", "table", "column")
    list_select_related = ("plan__application",)


@admin.register(MigrationRun)
class RunAdmin(ServicesRule):
    of = "application"
    actions = ("roll_back", "sign")
    list_display = ("pk", "application", "kind", "looks", "requested_by", "started_at", "finished_at")
    list_filter = ("state", "kind", "application")
    search_fields = ("=pk", "application__name", "requested_by__username")
    list_select_related = ("application", "requested_by")

    @admin.display(description="state", ordering="state")
    def looks(self, run: MigrationRun) -> str:
        return status("run", run.state)

    @admin.action(description="Roll back…")
    def roll_back(self, request: HttpRequest, queryset: QuerySet[MigrationRun]) -> HttpResponse | None:
        run = self._the_one(request, queryset)
        return HttpResponseRedirect(reverse("run_rollback", args=[run.pk])) if run else None

    @admin.action(description="Sign…")
    def sign(self, request: HttpRequest, queryset: QuerySet[MigrationRun]) -> HttpResponse | None:
        run = self._the_one(request, queryset)
        if run is None:
            return None
        gate = run.gates.filter(state=GateState.OPEN).first()
        if gate is None:
            self.message_user(request, f"Run {run.pk} waits at no gate.", messages.WARNING)
            return None
        return HttpResponseRedirect(reverse("run_sign", args=[run.pk, gate.code]))

    def _the_one(self, request: HttpRequest, queryset: QuerySet[MigrationRun]) -> MigrationRun | None:
        chosen = list(queryset[:2])
        if len(chosen) == 1:
            return chosen[0]
        self.message_user(request, "Choose one run: each is decided by itself.", messages.WARNING)
        return None


@admin.register(RunStep)
class StepAdmin(ServicesRule):
    list_display = ("title", "run", "looks", "attempts", "owner", "queue", "started_at", "finished_at", "error_code")
    list_filter = ("state", "phase", "queue")
    search_fields = ("name", "title", "=run__pk", "error_code")
    list_select_related = ("run__application",)
    ordering = ("-run", "position")

    @admin.display(description="state", ordering="state")
    def looks(self, step: RunStep) -> str:
        return status("step", step.state)


@admin.register(StepLogLine)
class LogLineAdmin(ServicesRule):
    of = "step__run__application"
    list_display = ("at", "step", "level", "text")
    list_filter = ("level",)
    search_fields = ("text",)
    list_select_related = ("step",)
    ordering = ("-id",)


@admin.register(Artifact)
class ArtifactAdmin(ServicesRule):
    list_display = ("kind", "run", "step", "size", "sha256", "created_at")
    list_filter = ("kind",)
    search_fields = ("=sha256", "=run__pk")
    list_select_related = ("run__application", "step")


@admin.register(Gate)
class GateAdmin(ServicesRule):
    list_display = ("__str__", "looks", "opened_at", "decided_at", "dialog")
    list_filter = ("code", "state")
    search_fields = ("=run__pk",)
    list_select_related = ("run",)

    @admin.display(description="state", ordering="state")
    def looks(self, gate: Gate) -> str:
        return status("gate", gate.state)

    @admin.display(description="")
    def dialog(self, gate: Gate) -> str:
        return format_html('<a href="{}">Look at it</a>', reverse("run_sign", args=[gate.run_id, gate.code]))


@admin.register(Approval)
class ApprovalAdmin(ServicesRule):
    of = "gate__run__application"
    list_display = ("gate", "role", "user_name", "looks", "signed_at", "expires_at", "ended_reason")
    list_filter = ("state", "role")
    search_fields = ("user_name", "=gate__run__pk")
    list_select_related = ("gate",)

    @admin.display(description="state", ordering="state")
    def looks(self, approval: Approval) -> str:
        return status("signature", approval.state)


@admin.register(ChecklistItem)
class ItemAdmin(ServicesRule):
    list_display = ("code", "title", "run", "prover", "level", "looks", "changed_at")
    list_filter = ("state", "prover", "level", "phase")
    search_fields = ("code", "title", "=run__pk")
    list_select_related = ("run__application",)

    @admin.display(description="state", ordering="state")
    def looks(self, item: ChecklistItem) -> str:
        return status("item", item.state)


@admin.register(TestResult)
class ResultAdmin(ServicesRule):
    of = "item__run__application"
    list_display = ("item", "outcome", "recorded_by", "recorded_at", "note")
    list_filter = ("outcome",)
    search_fields = ("item__code", "note", "recorded_by__username")
    list_select_related = ("item", "recorded_by")


@admin.register(RollbackRequest)
class RollbackRequestAdmin(ServicesRule):
    list_display = ("run", "requested_by", "price", "rows_confirmed", "looks", "agreed_by", "created_at")
    list_filter = ("state", "price")
    search_fields = ("requested_by", "=run__pk", "reason")
    list_select_related = ("run__application", "agreed_by")

    @admin.display(description="state", ordering="state")
    def looks(self, request: RollbackRequest) -> str:
        return status("rollback", request.state)


@admin.register(SignOff)
class SignOffAdmin(ServicesRule):
    list_display = ("run", "signed_at", "backup_kept_until", "plan_digest", "evidence_digest")
    search_fields = ("=run__pk",)
    list_select_related = ("run__application",)
