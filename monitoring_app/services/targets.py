"""What is watched: a target for each application, and how its server is reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from django.contrib.auth.models import User
from django.db import transaction

from controlplane.audit.trail import record
from controlplane.refusals import ServiceRefused
from controlplane.registry.models import Application
from controlplane.registry.secrets import SecretUnreadable
from monitoring_app.models import Target
from monitoring_app.services import rules
from monitoring_app.services.permissions import require_change


class TargetUnusable(ServiceRefused):
    """Its server can't be asked as things stand; the message says why, without any secret."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__("TARGET_UNUSABLE", message, hint=hint, status=400)


def watch(*, application: Application, actor: User | str) -> Target:
    """The application's target, made with the default rules where there is none yet. Raises Forbidden NOT_ALLOWED."""
    role = require_change(actor, application, "put an application under watch") if isinstance(actor, User) else ""
    with transaction.atomic():
        target, created = Target.objects.get_or_create(application=application)
        if created:
            rules.install_defaults(target)
            record(action="target.watched", actor=actor, role=role, obj=target, application=application.name)
    return target


def dsn_of(target: Target) -> dict[str, Any]:
    """libpq keywords: the application's server and database, with the monitor's role where one is given.

    Raises TargetUnusable.
    """
    try:
        own, monitor = target.application.target_url.reveal(), target.monitor_url.reveal()
    except SecretUnreadable as unreadable:
        raise TargetUnusable(str(unreadable), unreadable.hint) from None
    if not own:
        raise TargetUnusable(f"{target.application.name} has no target yet.", "Give it one on the application's page.")
    if monitor and _place(monitor) != _place(own):
        raise TargetUnusable(
            "The monitor's address names another server or database than the application's.",
            "Save the monitor's address anew, for the server where the application's data is.",
        )
    return _dsn(own, monitor or own)


def dsn_of_application(application: Application) -> dict[str, Any]:
    """The same for the application's own role, watched or not. Raises TargetUnusable."""
    return dsn_of(Target(application=application))


def _place(url: str) -> tuple[str, int, str]:
    parts = urlsplit(url)
    return (parts.hostname or "").lower(), parts.port or 5432, unquote(parts.path.lstrip("/"))


def _dsn(place: str, role: str) -> dict[str, Any]:
    """Keywords of a stored URL, which was checked when it was stored. How the server proves who it is belongs to
    them; a password file of this process's user doesn't."""
    parts, who = urlsplit(place), urlsplit(role)
    given = parse_qs(parts.query)
    tls: dict[str, Any] = {name: given[name][-1] for name in ("sslmode", "sslrootcert") if name in given}
    host, port, database = _place(place)
    return {
        **tls,
        "passfile": "/dev/null",
        "host": host,
        "port": port,
        "user": unquote(who.username or ""),
        "password": unquote(who.password or ""),
        "dbname": database,
    }


def keep_frozen_copy(*, application: Application, path: str) -> None:
    """The SQLite file that a run left at its cut-over, for the daily verification; "" when the application is on it
    again. Nothing happens where the application is not under watch."""
    Target.objects.filter(application=application).update(frozen_copy=path)


_CHANGEABLE = frozenset(
    {
        "enabled",
        "monitor_url",
        "replicas",
        "volumes",
        "access_log",
        "prometheus",
        "application_log",
        "application_pool",
        "frozen_copy",
    }
)


def change(*, target: Target, actor: User | str, values: Mapping[str, Any]) -> list[str]:
    """Set what the form checked; the names of what really changed. monitor_url: text, never recorded; absent: stays.

    Raises Forbidden NOT_ALLOWED, and TargetUnusable for a monitor's address that names another server.
    """
    unknown = set(values) - _CHANGEABLE
    if unknown:
        raise ValueError(f"a target has no setting {sorted(unknown)[0]!r}")
    application = target.application
    role = require_change(actor, application, "change what is watched") if isinstance(actor, User) else ""
    with transaction.atomic():
        row = Target.objects.select_for_update().get(pk=target.pk)
        changed = [name for name, value in values.items() if _differs(row, name, value)]
        for name in changed:
            setattr(row, name, values[name])
        if "monitor_url" in changed:
            dsn_of(row)
        if changed:
            row.save(update_fields=changed)
            record(
                action="target.changed",
                actor=actor,
                role=role,
                obj=row,
                application=application.name,
                payload={"changed": sorted(changed)},
            )
    target.refresh_from_db()
    return changed


def _differs(row: Target, name: str, value: Any) -> bool:
    if name == "monitor_url":
        return bool(row.monitor_url.reveal() != value)
    return bool(getattr(row, name) != value)
