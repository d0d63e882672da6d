"""System checks of the trail: they run with `migrate` and with `check --database default`."""

import stat
from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register
from django.db import DatabaseError, connections
from django.db.migrations.recorder import MigrationRecorder

from controlplane.audit import append_only, guards, signing


@register(Tags.database)
def check_guards(
    app_configs: object = None, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[CheckMessage]:
    """E001: the tables are there, but a trigger that keeps them append-only is not. E002: the same of other tables."""
    messages: list[CheckMessage] = []
    for alias in databases or []:
        connection = connections[alias]
        try:
            # Between this app's two schema migrations there are tables without triggers, and that is right.
            applied = ("audit", "0002_append_only") in MigrationRecorder(connection).applied_migrations()
            absent = guards.missing(connection) if applied else []
            others = append_only.missing_now(connection)
        except DatabaseError:
            continue  # an unreachable database is reported by others
        if absent:
            text = f"The audit trail in database {alias!r} lacks the triggers {', '.join(absent)}."
            hint = "Find out who removed them (audit_verify); audit_guard puts them back."
            messages.append(Error(text, hint=hint, id="causeway.audit.E001"))
        if others:
            text = f"Records in database {alias!r} that nobody may change lack the triggers {', '.join(others)}."
            hint = "Find out who removed them; audit_guard puts them back."
            messages.append(Error(text, hint=hint, id="causeway.audit.E002"))
    return messages


@register(Tags.database)
def check_key(app_configs: object = None, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """W001, W002: in production the signing key must be there, and no one else may read it."""
    if not settings.PRODUCTION:
        return []
    path = signing.key_path()
    try:
        mode = path.stat().st_mode
    except OSError as error:
        text = f"The audit key {path} can't be read: {error.strerror}. Checkpoints will be unsigned, gates will refuse."
        return [Warning(text, hint="Run audit_public_key --create, or mount the key.", id="causeway.audit.W001")]
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        text = f"The audit key {path} is open to others than its owner."
        return [Warning(text, hint="Give it the mode 0400.", id="causeway.audit.W002")]
    return []
