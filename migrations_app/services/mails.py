"""What became of mails: a person's own, and those of one's applications that did not arrive."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.mail import outbox
from controlplane.mail.models import MailState, OutgoingMail
from controlplane.registry.models import Membership, Role
from migrations_app import doorbell
from migrations_app.services.errors import ServiceRefused

SHOWN = 20


def latest_of(user: Any) -> list[OutgoingMail]:
    """The newest mails to this person."""
    return list(OutgoingMail.objects.filter(user=user)[:SHOWN])


def failed_for(user: Any) -> list[OutgoingMail]:
    """Mails that failed and that this person can see to: of the applications where the person is ops or lead."""
    return list(_within_reach(user).filter(state=MailState.FAILED).select_related("user")[:SHOWN])


def retry_mail(*, actor: Any, mail_id: int) -> None:
    """Send a mail again that failed. Raises ServiceRefused MAIL_NOT_FOUND, MAIL_NOT_FAILED, MAIL_NO_ADDRESS."""
    mail = _within_reach(actor).select_related("user").filter(pk=mail_id).first()
    if mail is None:
        raise ServiceRefused("MAIL_NOT_FOUND", "There is no such mail among your applications.", status=404)
    if mail.state != MailState.FAILED:
        raise ServiceRefused("MAIL_NOT_FAILED", f"That mail is {mail.get_state_display().lower()}.")
    with transaction.atomic():
        if not outbox.send_again(mail, now=timezone.now()):
            raise ServiceRefused(
                "MAIL_NO_ADDRESS",
                f"{mail.to_name}'s account has no usable mail address.",
                hint="Whoever runs this installation sets it, under Admin, Users.",
            )
        doorbell.ring(outbox.SEND, mail.pk, "common")
        record(
            action="mail.sent_again",
            actor=actor,
            obj=mail,
            application=mail.application,
            payload={"mail": mail.pk, "kind": mail.kind, "about": mail.about},
        )


def _within_reach(user: Any) -> QuerySet[OutgoingMail]:
    if user.is_superuser:
        return OutgoingMail.objects.all()
    deciding = Membership.objects.filter(user=user, role__in=[Role.OPS, Role.LEAD])
    names = list(deciding.values_list("application__name", flat=True).distinct())
    return OutgoingMail.objects.filter(Q(application__in=names))
