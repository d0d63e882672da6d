"""The checklist: templates and their versions, items, what changed them, what people recorded, and the files."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from controlplane.registry.filters import OwnApplicationsFilter
from controlplane.registry.models import Application
from migrations_app.admin.ruled import ServicesRule, state_column
from migrations_app.models import (
    ChecklistItem,
    ChecklistTemplate,
    ChecklistVersion,
    ChecklistVisit,
    ItemChange,
    ResultFile,
    TestResult,
)


class OfATemplate(ServicesRule):
    """Those that ship with the product belong to no application: everyone may look."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        rows = super(ServicesRule, self).get_queryset(request)
        if request.user.is_superuser:
            return rows
        mine = Application.objects.visible_to(request.user)
        return rows.filter(**{f"{self.of}__in": mine}) | rows.filter(**{f"{self.of}__isnull": True})


@admin.register(ChecklistTemplate)
class TemplateAdmin(OfATemplate):
    of = "application"
    list_display = ("title", "application", "created_at", "retired_at")
    list_filter = (("application", OwnApplicationsFilter),)
    search_fields = ("title",)
    list_select_related = ("application",)


@admin.register(ChecklistVersion)
class VersionAdmin(OfATemplate):
    of = "template__application"
    list_display = ("template", "number", "author_name", "note", "digest", "created_at")
    search_fields = ("template__title", "author_name", "=digest")
    list_select_related = ("template",)


@admin.register(ChecklistItem)
class ItemAdmin(ServicesRule):
    heavy = ("evidence", "parts", "run__facts", "run__reality")
    list_display = ("code", "title", "run", "prover", "level", "looks", "changed_at")
    list_filter = ("state", "prover", "level", "phase")
    search_fields = ("code", "title", "=run__pk")
    list_select_related = ("run__application",)
    ordering = ("-run_id", "position")  # by the item's own column, whose index gives the newest runs without a sort
    looks = state_column("item")


@admin.register(ItemChange)
class ItemChangeAdmin(ServicesRule):
    of = "item__run__application"
    list_display = ("item", "at", "was", "looks", "by", "said")
    list_filter = ("state",)
    search_fields = ("item__code", "by", "=item__run__pk")
    list_select_related = ("item",)
    looks = state_column("item")


@admin.register(TestResult)
class ResultAdmin(ServicesRule):
    of = "item__run__application"
    list_display = ("item", "outcome", "recorded_by", "recorded_at", "note")
    list_filter = ("outcome",)
    search_fields = ("item__code", "note", "recorded_by__username")
    list_select_related = ("item", "recorded_by")
    date_hierarchy = "recorded_at"


@admin.register(ResultFile)
class ResultFileAdmin(ServicesRule):
    of = "result__item__run__application"
    list_display = ("name", "result", "content_type", "size", "sha256")
    list_filter = ("content_type",)
    search_fields = ("name", "=sha256", "=result__item__run__pk")
    list_select_related = ("result__item",)


@admin.register(ChecklistVisit)
class VisitAdmin(ServicesRule):
    list_display = ("run", "user", "seen_at")
    search_fields = ("user__username", "=run__pk")
    list_select_related = ("run__application", "user")
