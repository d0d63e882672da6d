"""A person's own account."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from controlplane.audit.trail import record
from controlplane.people import changes
from migrations_app.services.errors import Forbidden


def change_password(*, actor: Any, new: str, reauthenticated: bool = False) -> None:
    """The actor's own password, already found good enough. Raises Forbidden without the old one.

    While the account rests because somebody else had set the password, this shortens nothing (people/changes.py).
    """
    if not reauthenticated:
        raise Forbidden("PASSWORD_NEEDED", "Give your password again to change it.")
    with transaction.atomic(), changes.made_by(changes.OWN):
        actor.set_password(new)
        actor.save(update_fields=["password"])
        record(action="person.password_changed", actor=actor)
