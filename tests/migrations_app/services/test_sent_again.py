"""A mail that failed is sent again by those who decide on its application, and by nobody else."""

from __future__ import annotations

import pytest
from django.utils import timezone

from controlplane.mail.models import MailState, OutgoingMail
from controlplane.mail.outbox import Recipient, put_mail
from controlplane.mail.sent import retry_mail
from migrations_app.services.errors import ServiceRefused
from tests.migrations_app.services.conftest import Stage


def test_ops_and_leads_send_a_failed_mail_again_and_to_others_it_is_not_there(stage: Stage) -> None:
    put_mail(
        key="held",
        to=Recipient("user:1", "ana", "ana@example.org"),
        kind="run_held",
        subject="x",
        template="event",
        context={},
        application=stage.application.name,
        now=timezone.now(),
    )
    mail = OutgoingMail.objects.get()
    OutgoingMail.objects.update(state=MailState.FAILED)
    for name in ("viewer", "qa", "stranger"):
        with pytest.raises(ServiceRefused) as refused:
            retry_mail(actor=stage.person(name), mail_id=mail.pk)
        assert refused.value.status == 404
    for name in ("ops", "lead", "boss"):
        OutgoingMail.objects.update(state=MailState.FAILED)
        retry_mail(actor=stage.person(name), mail_id=mail.pk)
        mail.refresh_from_db()
        assert mail.state == MailState.WAITING
