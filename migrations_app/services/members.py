"""Who holds which role on an application. Superusers give and take roles: they hold none themselves and sign nothing,
so nobody can make himself the second pair of eyes."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.registry.models import Application, Membership, Role
from migrations_app.models import Approval
from migrations_app.models.states import ApprovalState
from migrations_app.services import signatures
from migrations_app.services.errors import FieldsRefused, Forbidden, Stale


def may_manage(user: Any) -> bool:
    return bool(user.is_authenticated and user.is_active and user.is_superuser)


def who_manages() -> str:
    """Names of those who can, for the sentence beside a refused button."""
    names = User.objects.filter(is_superuser=True, is_active=True).order_by("username")
    return f"whoever runs Causeway ({', '.join(names.values_list('username', flat=True)[:5]) or 'nobody yet'})"


def grant_role(*, actor: Any, application: Application, person: str, role: str) -> Membership:
    """Give a person a role. Raises Forbidden NOT_ALLOWED, FieldsRefused."""
    _require_manager(actor)
    if role not in Role.values:
        raise FieldsRefused({"role": "Choose one of the roles."})
    user = User.objects.filter(username=person.strip(), is_active=True).first()
    if user is None:
        raise FieldsRefused({"person": f"There is no active account {person.strip()[:80]!r}."})
    if user.is_superuser:
        raise FieldsRefused({"person": f"{user.username} is a superuser: superusers decide nothing and hold no role."})
    try:
        with transaction.atomic():
            membership = Membership.objects.create(application=application, user=user, role=role)
            _record("membership.granted", actor, membership)
    except IntegrityError:
        raise FieldsRefused({"role": f"{user.username} is {Role(role).label} of it already."}) from None
    return membership


def revoke_role(*, actor: Any, application: Application, membership_id: int) -> None:
    """Take a role. Signatures given in it that haven't been used lapse at once, with the reason."""
    _require_manager(actor)
    with transaction.atomic():
        membership = Membership.objects.select_related("user", "application").filter(
            pk=membership_id, application=application
        )
        found = membership.first()
        if found is None:
            raise Stale("That role was taken already.")
        _record("membership.revoked", actor, found)
        found.delete()
        given = Approval.objects.filter(
            gate__run__application=application, user=found.user, role=found.role, state=ApprovalState.VALID
        )
        for approval in given.select_related("gate__run__application"):
            reason = f"{approval.user_name} no longer has the role."
            signatures.lapse(approval=approval, reason=reason, now=timezone.now())


def _require_manager(actor: Any) -> None:
    if not may_manage(actor):
        raise Forbidden("NOT_ALLOWED", "You can't give or take roles.", who=who_manages())


def _record(action: str, actor: Any, membership: Membership) -> None:
    record(
        action=action,
        actor=actor,
        role="superuser",
        obj=membership,
        application=membership.application.name,
        payload={"person": membership.user.get_username(), "role": membership.role},
    )
