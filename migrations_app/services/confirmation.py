"""How long a password that was given again for a dangerous action holds: ten minutes, for the same person."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.conf import settings


def holds_until(confirmed_at: datetime) -> datetime:
    """The moment at which the proof is too old."""
    return confirmed_at + timedelta(seconds=settings.CAUSEWAY_REAUTH_SECONDS)


def still_holds(*, person: Any, confirmed_by: int | None, confirmed_at: datetime | None, now: datetime) -> bool:
    """Whether the proof is this person's and young enough; a moment in the future proves nothing."""
    if confirmed_at is None or confirmed_by != person.pk:
        return False
    return confirmed_at <= now < holds_until(confirmed_at)
