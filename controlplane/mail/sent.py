"""What became of mails: a person's own, and those of one's applications that did not arrive."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from controlplane import doorbell
from controlplane.audit.trail import record
from controlplane.mail import outbox
from controlplane.mail.models import MailState, OutgoingMail
from controlplane.refusals import ServiceRefused
from controlplane.registry.models import Application, Membership, Role

SHOWN = 20


def latest_of(user: Any) -> list[OutgoingMail]:
    """The newest mails to this person."""
    return list(OutgoingMail.objects.filter(user=user)[:SHOWN])


def of_my_applications(user: Any, *, about: Iterable[str], before: int | None, limit: int) -> list[OutgoingMail]:
    """Mails of the user's applications about such things (`alert:`), the newest first, from a row on."""
    names = list(Application.objects.visible_to(user).values_list("name", flat=True))
    things = Q()
    for beginning in about:
        things |= Q(about__startswith=beginning)
    rows = OutgoingMail.objects.filter(things, application__in=names).defer("context")
    if before is not None:
        rows = rows.filter(pk__lt=before)
    return list(rows[:limit])


def may_send_again(user: Any, mails: Iterable[OutgoingMail]) -> set[int]:
    """The ids of those that failed and that this person can see to."""
    failed = [mail.pk for mail in mails if mail.state == MailState.FAILED]
    return set(_within_reach(user).filter(pk__in=failed).values_list("pk", flat=True)) if failed else set()


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
