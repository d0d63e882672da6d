"""Old mails go, and nothing that is still to be sent."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import settings
from django.utils import timezone

from controlplane.mail.models import MailState, OutgoingMail
from controlplane.mail.outbox import Recipient, put_mail
from controlplane.mail.tasks import prune_mails


def put(key: str, state: str, days: int) -> None:
    made = timezone.now() - timedelta(days=days)
    to = Recipient("user:1", "ana", "ana@example.org")
    put_mail(key=key, to=to, kind="run_held", subject="x", template="event", context={}, now=made)
    OutgoingMail.objects.filter(key=key).update(state=state)


@pytest.mark.django_db
def test_mails_that_are_over_go_after_400_days_and_those_to_be_sent_never() -> None:
    put("sent-old", MailState.SENT, 401)
    put("failed-old", MailState.FAILED, 401)
    put("sent-young", MailState.SENT, 399)
    put("waiting-old", MailState.WAITING, 500)
    prune_mails()
    assert set(OutgoingMail.objects.values_list("key", flat=True)) == {"sent-young", "waiting-old"}


def test_beat_prunes_every_day() -> None:
    entry = settings.CELERY_BEAT_SCHEDULE["mail-prune"]
    assert (entry["task"], entry["schedule"]) == (prune_mails.name, 86400.0)
