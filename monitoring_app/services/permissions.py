"""Who sees what is watched, and who may change what is told: members see, ops and team leads change."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import QuerySet

from controlplane.refusals import Forbidden
from controlplane.registry.models import Application, Membership, Role
from monitoring_app.models import Alert, Target

CHANGERS = (Role.OPS, Role.LEAD)


def visible_targets(user: Any) -> QuerySet[Target]:
    """What is watched of the user's applications; superusers see all."""
    applications = Application.objects.visible_to(user)
    return Target.objects.filter(application__in=applications).select_related("application")


def visible_alerts(user: Any) -> QuerySet[Alert]:
    """The alerts of those targets."""
    rows = Alert.objects.filter(rule__target__in=visible_targets(user))
    return rows.select_related("rule__target__application", "series")


def may_change(user: Any, application: Application) -> bool:
    """Whether the user acknowledges, silences, changes rules and recipients there. A superuser does none of it."""
    return bool(role_of(user, application))


def role_of(user: Any, application: Application) -> str:
    """The role in which the user may change things, '' where there is none."""
    if not user.is_authenticated or not user.is_active or user.is_superuser:
        return ""
    held = set(
        Membership.objects.filter(user=user, application=application, role__in=CHANGERS).values_list("role", flat=True)
    )
    return next((str(role) for role in CHANGERS if role in held), "")


def who_can_change(application: Application) -> str:
    """'ops (ana) or team lead (ben)': for the sentence beside a refused button."""
    return _who(people_who_change([application]).get(application.pk, []))


def changeable(user: Any, applications: Iterable[Application]) -> set[int]:
    """The ids of those on which the user may change things, with one query for all."""
    if not user.is_authenticated or not user.is_active or user.is_superuser:
        return set()
    ids = [application.pk for application in applications]
    rows = Membership.objects.filter(user=user, role__in=CHANGERS, application__in=ids)
    return set(rows.values_list("application_id", flat=True))


def people_who_change(applications: Iterable[Application]) -> dict[int, list[Membership]]:
    """Memberships of ops and leads by application, by name, with one query for all."""
    rows = Membership.objects.filter(
        application__in=[application.pk for application in applications],
        role__in=CHANGERS,
        user__is_active=True,
        user__is_superuser=False,
    )
    found: dict[int, list[Membership]] = {}
    for row in rows.select_related("user").order_by("user__username"):
        found.setdefault(row.application_id, []).append(row)
    return found


def who_can_change_each(applications: Iterable[Application]) -> dict[int, str]:
    """The sentence of `who_can_change` by application, with one query for all."""
    wanted = list(applications)
    people = people_who_change(wanted)
    return {one.pk: _who(people.get(one.pk, [])) for one in wanted}


def _who(rows: Iterable[Membership]) -> str:
    names: dict[str, list[str]] = {}
    for row in rows:
        names.setdefault(row.role, []).append(row.user.get_username())
    return " or ".join(f"{role.label.lower()} ({', '.join(names.get(role, [])) or 'nobody yet'})" for role in CHANGERS)


def require_change(user: Any, application: Application, doing: str) -> str:
    """The role in which the user acts. doing: 'silence alerts'. Raises Forbidden NOT_ALLOWED."""
    role = role_of(user, application)
    if role:
        return role
    if user.is_superuser:
        raise Forbidden(
            "SUPERUSER_DECIDES_NOTHING",
            f"A superuser can't {doing}: decisions belong to the application's people.",
            who=who_can_change(application),
        )
    raise Forbidden("NOT_ALLOWED", f"You can't {doing}.", who=who_can_change(application))
