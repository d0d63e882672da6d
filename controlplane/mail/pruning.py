"""Takes old mails out of the outbox. Nothing depends on them: the trail and the certificates say what was decided."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from django.utils import timezone

from controlplane.mail.models import MailState, OutgoingMail

KEPT: Final = timedelta(days=400)  # a year, and a month to ask about it
_AT_ONCE: Final = 1000  # rows a statement: the control database may be SQLite, where a writer keeps the others waiting


def prune(now: datetime | None = None) -> int:
    """Delete the mails that were sent or given up and are older than KEPT; answers how many."""
    before = (now or timezone.now()) - KEPT
    old = OutgoingMail.objects.filter(state__in=[MailState.SENT, MailState.FAILED], created_at__lt=before)
    gone = 0
    while numbers := list(old.order_by("pk").values_list("pk", flat=True)[:_AT_ONCE]):
        gone += OutgoingMail.objects.filter(pk__in=numbers).delete()[0]
    return gone
