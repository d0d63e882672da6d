"""Who sees what is watched, and who may change what is told: members see, ops and team leads change."""

from __future__ import annotations

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
    rows = Membership.objects.filter(
        application=application, role__in=CHANGERS, user__is_active=True, user__is_superuser=False
    )
    names: dict[str, list[str]] = {}
    for role, name in rows.order_by("user__username").values_list("role", "user__username"):
        names.setdefault(role, []).append(name)
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
