"""What every page shares: who looks, in which time zone, with which roles; and how a refusal is kept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from django.contrib.auth.decorators import login_required
from django.contrib.auth.models import User
from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.cache import never_cache

from controlplane.audit.trail import record
from controlplane.refusals import ServiceRefused
from controlplane.registry.models import Application, Membership, Role

View = Callable[..., HttpResponseBase]


def person_of(request: HttpRequest) -> User:
    """Who looks: a page is shown to nobody else than a person who is signed in."""
    return cast(User, request.user)


def page(view: View) -> View:
    """A page for people who are signed in; never kept by a browser or a proxy."""
    return never_cache(login_required(view))


def role_words(roles: list[str]) -> str:
    """'Team lead, QA': in the order of the roles."""
    return ", ".join(Role(role).label for role in Role.values if role in set(roles))


def frame_of(request: HttpRequest, application: Application | None = None) -> dict[str, Any]:
    """What the frame around a page shows: my roles (on the application, else all), and the viewer's clock."""
    memberships = Membership.objects.filter(user=person_of(request))
    if application is not None:
        memberships = memberships.filter(application=application)
    roles = list(memberships.values_list("role", flat=True))
    return {
        "my_roles": role_words(roles) or ("Superuser" if request.user.is_superuser else ""),
        "now": timezone.now(),
        "zone_name": timezone.localtime().tzname(),
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
