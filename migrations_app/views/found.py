"""Applications and plans that the viewer may see; anything else isn't there."""

from __future__ import annotations

from django.http import Http404, HttpRequest

from controlplane.registry.models import Application
from migrations_app.models import MigrationPlan


def visible_application(request: HttpRequest, name: str) -> Application:
    """Raises Http404 where the viewer is no member."""
    try:
        return Application.objects.visible_to(request.user).get(name=name)
    except Application.DoesNotExist:
        raise Http404(f"There is no application {name} among yours.") from None


def visible_plan(request: HttpRequest, number: int) -> MigrationPlan:
    """Raises Http404 where the plan is of an application of others."""
    mine = Application.objects.visible_to(request.user)
    try:
        return MigrationPlan.objects.select_related("application", "author").get(pk=number, application__in=mine)
    except MigrationPlan.DoesNotExist:
        raise Http404(f"There is no plan {number} among your applications.") from None
