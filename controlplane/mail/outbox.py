"""Putting a mail into the outbox. Nothing is sent here: workers send what lies there (sending.py)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.utils import timezone

from controlplane.mail.models import MailState, OutgoingMail
from controlplane.redaction import redact

SEND = "controlplane.mail.send"  # the task that a bell may ring for; beat rings anyway
_CONTROLS = re.compile(r"[\x00-\x1f\x7f\u2028\u2029]+")
SUBJECT_LIMIT = 160


@dataclass(frozen=True)
class Recipient:
    """Who gets it. id is stable and names the person (`user:7`); address may be missing: that is then shown."""

    id: str
    name: str
    address: str
    user_id: int | None = None

    @classmethod
    def of_user(cls, user: AbstractBaseUser) -> Recipient:
        address = str(getattr(user, user.get_email_field_name(), "") or "")
        return cls(f"user:{user.pk}", user.get_username(), address, user.pk)


def put_mail(
    *,
    key: str,
    to: Recipient,
    kind: str,
    subject: str,
    template: str,
    context: Mapping[str, Any],
    application: str = "",
    about: str = "",
    now: datetime | None = None,
) -> bool:
    """One mail to one person about one event; False when it lies there already. Call in the event's transaction.

    template: `event` stands for templates/mails/event.txt and .html. context: plain JSON; credentials in its texts
    are masked. A person without a usable address gets a row that says so: who was not reached must be visible.
    """
    now = now or timezone.now()
    unusable = _unusable(to.address)
    _, created = OutgoingMail.objects.get_or_create(
        key=key,
        recipient=to.id,
        defaults={
            "user_id": to.user_id,
            "to_name": to.name[:150],
            "to_address": "" if unusable else to.address,
            "kind": kind,
            "application": application,
            "about": about,
            "subject": one_line(subject, SUBJECT_LIMIT),
            "template": template,
            "context": _masked(dict(context)),
            "state": MailState.FAILED if unusable else MailState.WAITING,
            "error_code": "NO_ADDRESS" if unusable else "",
            "error": unusable,
            "next_attempt_at": now,
            "created_at": now,
        },
    )
    return created


def send_again(mail: OutgoingMail, *, now: datetime) -> bool:
    """Put a mail that failed back in the queue; False when it hasn't failed or still has no address."""
    address = mail.to_address or (str(mail.user.email) if mail.user is not None else "")
    if _unusable(address):
        return False
    put_back = OutgoingMail.objects.filter(pk=mail.pk, state=MailState.FAILED).update(
        state=MailState.WAITING,
        attempts=0,
        next_attempt_at=now,
        created_at=now,
        error_code="",
        error="",
        to_address=address,
    )
    return put_back == 1


def withdraw(recipient_id: str, why: str) -> int:
    """Take back what waits for a person who left, in that transaction; how many mails. `why` is shown."""
    waiting = OutgoingMail.objects.filter(recipient=recipient_id, state=MailState.WAITING)
    return waiting.update(state=MailState.FAILED, error_code="WITHDRAWN", error=why)


def one_line(text: str, limit: int) -> str:
    """Text for a header: no line breaks or other controls (they would begin a header of their own), cut to `limit`."""
    flat = " ".join(_CONTROLS.sub(" ", redact(text)).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"


def _unusable(address: str) -> str:
    if not address:
        return "This person's account has no mail address."
    try:
        validate_email(address)
    except ValidationError:
        return "This person's mail address can't be used as it stands."
    return ""


def _masked(value: Any) -> Any:
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, Mapping):
        return {str(name): _masked(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_masked(inner) for inner in value]
    return value
