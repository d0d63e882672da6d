"""What every page shares: who looks, in which time zone, at which run; and how a refusal is shown."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, cast

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import transaction
from django.db.models import Count, Max, Sum
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.cache import never_cache

from controlplane.audit.trail import record
from controlplane.registry.models import Membership, Role
from migrations_app.models import MigrationRun
from migrations_app.models.states import RUN_FINISHED, ItemState
from migrations_app.services.errors import ServiceRefused
from migrations_app.services.needs import needs_me

View = Callable[..., HttpResponseBase]
NEEDS_SECONDS = 20


def person_of(request: HttpRequest) -> User:
    """Who looks: a page is shown to nobody else than a person who is signed in."""
    return cast(User, request.user)


def page(view: View) -> View:
    """A page for people who are signed in; never kept by a browser or a proxy."""
    return never_cache(login_required(view))


def role_words(roles: list[str]) -> str:
    """'Team lead, QA': in the order of the roles."""
    return ", ".join(Role(role).label for role in Role.values if role in set(roles))


def render_page(
    request: HttpRequest,
    template: str,
    context: Mapping[str, Any],
    *,
    status: int = 200,
    needs: list[Any] | None = None,
) -> HttpResponse:
    """Render with what the frame shows: my roles, and how many runs need me."""
    run = context.get("run")
    memberships = Membership.objects.filter(user=person_of(request))
    if run is not None:
        memberships = memberships.filter(application=run.application)
    waiting = _count_needs(request.user) if needs is None else len(needs)
    roles = list(memberships.values_list("role", flat=True))
    frame = {
        "place": "runs",
        "my_roles": role_words(roles) or ("Superuser" if request.user.is_superuser else ""),
        "needs_count": waiting,
        "now": timezone.now(),
        "zone_name": timezone.localtime().tzname(),
    }
    return render(request, template, {**frame, **context}, status=status)


def _count_needs(user: Any) -> int:
    """How many runs need the user. Asked anew only when one of the unfinished runs has changed, or after a while."""
    runs = MigrationRun.objects.exclude(state__in=sorted(RUN_FINISHED)).visible_to(user)
    stamp = runs.aggregate(count=Count("pk", distinct=True), versions=Sum("version"), newest=Max("pk"))
    key = f"needs-{user.pk}-{stamp['count']}-{stamp['versions']}-{stamp['newest']}"
    count = cache.get(key)
    if count is None:
        count = len(needs_me(user))  # also where no run is unfinished: one may wait for a countersignature
        cache.set(key, count, NEEDS_SECONDS)
    return int(count)


def visible_run(request: HttpRequest, number: int) -> MigrationRun:
    """The run, where it belongs to one of the viewer's applications; 404 otherwise, as if it weren't there."""
    # A plan's document has every column of every table: who needs it asks for it.
    runs = MigrationRun.objects.visible_to(request.user).defer("plan__document", "rehearsal__reality")
    runs = runs.select_related(
        "application", "plan__author", "plan__application", "requested_by", "started_by", "rehearsal"
    )
    try:
        return runs.get(pk=number)
    except MigrationRun.DoesNotExist:
        raise Http404(f"There is no run {number} among your applications.") from None


def polled_run(request: HttpRequest, number: int) -> MigrationRun:
    """The run with what tells whether it has changed, and no more: a hundred viewers ask every two seconds."""
    rows = (
        MigrationRun.objects.visible_to(request.user).select_related("application").only("version", "application__name")
    )
    found = rows.filter(pk=number).first()
    if found is None:
        raise Http404(f"There is no run {number} among your applications.")
    return found


def run_frame(run: MigrationRun, tab: str) -> dict[str, Any]:
    """What every page of a run shows: its tabs and their counts."""
    unproved = [ItemState.OPEN, ItemState.FAILED, ItemState.STALE, ItemState.INCONCLUSIVE]
    return {
        "run": run,
        "tab": tab,
        "open_items": run.items.filter(state__in=unproved, level="mandatory").exclude(prover="system").count(),
        "open_findings": run.plan.findings.filter(severity="refuse", choice="").count(),
    }


def note_refusal(request: HttpRequest, refusal: ServiceRefused, *, about: Any, application: str, tried: str) -> None:
    """A refusal for want of a right stands in the trail; a missing field or a stale page doesn't."""
    if refusal.status != 403:
        return
    with transaction.atomic():
        record(
            action="permission.refused",
            actor=request.user,
            obj=about,
            application=application,
            payload={"tried": tried, "code": refusal.code},
        )
