"""Runs with their timeline, steps, log and files. Approve, Sign and Roll back lead to the pages' own dialogs."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.db.models import QuerySet, prefetch_related_objects
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from controlplane.registry.filters import OwnApplicationsFilter
from migrations_app.admin.ruled import ServicesRule, state_column
from migrations_app.models import Artifact, MigrationRun, RunStep, StepLogLine
from migrations_app.models.states import GateCode, GateState, RunKind
from migrations_app.services import overview, schedule
from migrations_app.views import strip
from migrations_app.views.timetable import tasks_by_phase


@admin.register(MigrationRun)
class RunAdmin(ServicesRule):
    of = "application"
    actions = ("approve", "sign", "roll_back", "export_csv")
    change_form_template = "admin/run_change_form.html"
    list_display = ("pk", "application", "kind", "looks", "requested_by", "started_at", "finished_at")
    list_filter = ("state", "kind", "strategy", ("application", OwnApplicationsFilter))
    search_fields = ("=pk", "application__name", "requested_by__username")
    list_select_related = ("application", "requested_by")
    date_hierarchy = "created_at"
    looks = state_column("run")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        run = self.get_object(request, object_id)
        context = _timeline_of(run) if run is not None else {}
        return super().change_view(request, object_id, form_url, {**context, **(extra_context or {})})

    def events_of(self, row: MigrationRun) -> Any:
        return AuditEvent.objects.of_applications([row.application.name]).of_run(row.pk)

    @admin.action(description="Approve the plan…")
    def approve(self, request: HttpRequest, queryset: QuerySet[MigrationRun]) -> HttpResponse | None:
        return self._to_gate(request, queryset, GateCode.PLAN)

    @admin.action(description="Sign the open gate…")
    def sign(self, request: HttpRequest, queryset: QuerySet[MigrationRun]) -> HttpResponse | None:
        return self._to_gate(request, queryset)

    @admin.action(description="Roll back…")
    def roll_back(self, request: HttpRequest, queryset: QuerySet[MigrationRun]) -> HttpResponse | None:
        run = self._the_one(request, queryset)
        return HttpResponseRedirect(reverse("run_rollback", args=[run.pk])) if run else None

    def _to_gate(
        self, request: HttpRequest, queryset: QuerySet[MigrationRun], code: str | None = None
    ) -> HttpResponse | None:
        run = self._the_one(request, queryset)
        if run is None:
            return None
        gate = run.gates.filter(state=GateState.OPEN, **({"code": code} if code else {})).first()
        if gate is None:
            where = GateCode(code).label if code else "a gate"
            self.message_user(request, f"Run {run.pk} doesn't wait at {where}.", messages.WARNING)
            return None
        return HttpResponseRedirect(reverse("run_sign", args=[run.pk, gate.code]))

    def _the_one(self, request: HttpRequest, queryset: QuerySet[MigrationRun]) -> MigrationRun | None:
        chosen = list(queryset[:2])
        if len(chosen) == 1:
            return chosen[0]
        self.message_user(request, "Choose one run: each is decided by itself.", messages.WARNING)
        return None


def _timeline_of(run: MigrationRun) -> dict[str, Any]:
    """The run page's timeline, and the ways to its dialogs."""
    prefetch_related_objects([run], "steps")
    now = timezone.now()
    limit = None if run.is_finished or run.kind == RunKind.REHEARSAL else schedule.last_safe_moment(run)
    gate = run.gates.filter(state=GateState.OPEN).first()
    return {
        "run": run,
        "picture": strip.draw(
            overview.timeline(run), now=now, limit=limit, finished=run.is_finished, begin=run.started_at
        ),
        "timetable": tasks_by_phase(list(run.steps.all()), now),
        "sign_url": reverse("run_sign", args=[run.pk, gate.code]) if gate else "",
        "sign_label": f"{gate.get_code_display()}…" if gate else "",
    }


@admin.register(RunStep)
class StepAdmin(ServicesRule):
    list_display = ("title", "run", "looks", "attempts", "owner", "queue", "started_at", "finished_at", "error_code")
    list_filter = ("state", "phase", "queue")
    search_fields = ("name", "title", "=run__pk", "error_code")
    list_select_related = ("run__application",)
    ordering = ("-run_id", "position")  # "-run" would turn round the order of runs, which is the newest first
    looks = state_column("step")


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
