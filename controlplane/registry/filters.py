"""Filters of the admin that name no application that the viewer doesn't know."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from controlplane.registry.models import Application


class OwnApplicationsFilter(admin.RelatedFieldListFilter):
    """By application, of the viewer's own: Django's filter would list the names of all."""

    def field_choices(self, field: Any, request: HttpRequest, model_admin: Any) -> list[tuple[Any, str]]:
        return [(row.pk, row.name) for row in Application.objects.visible_to(request.user).order_by("name")]
