"""People without an account who are told of alerts: added by ops or a team lead, told nothing until they confirm."""

from __future__ import annotations

import secrets
import zoneinfo
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import transaction
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.mail import outbox
from controlplane.mail.models import OutgoingMail
from controlplane.refusals import FieldsRefused, ServiceRefused
from controlplane.registry.models import Application
from monitoring_app.models import Recipient, Severity
from monitoring_app.services.permissions import require_change

CONFIRM = "recipient_confirm"
# So that nobody is flooded in our name: confirming mails to one address, and of one application in an hour.
PAUSE_FOR_ONE = timedelta(minutes=10)
MOST_IN_AN_HOUR = 20
_FIELDS = ("name", "severity", "digest", "escalation", "zone")


def add(
    *,
    application: Application,
    actor: User,
    address: str,
    name: str = "",
    severity: str = Severity.WARNING,
    digest: bool = True,
    escalation: bool = False,
    zone: str = "UTC",
    now: datetime | None = None,
) -> Recipient:
    """Add an address and send it the confirming mail. One that had unsubscribed must confirm anew.

    Raises Forbidden NOT_ALLOWED, FieldsRefused, ServiceRefused RECIPIENT_THERE, TOO_MANY_CONFIRMATIONS.
    """
    now = now or timezone.now()
    role = require_change(actor, application, "add recipients")
    values = _checked({"name": name, "severity": severity, "digest": digest, "escalation": escalation, "zone": zone})
    address = _address(address)
    with transaction.atomic():
        # One after the other: two people who add the same address at once must not make two rows of it.
        Application.objects.select_for_update().get(pk=application.pk)
        known = Recipient.objects.filter(application=application, address__iexact=address).first()
        if known is not None and known.unsubscribed_at is None:
            raise ServiceRefused(
                "RECIPIENT_THERE",
                f"{known.address} is among the recipients of {application.name} already.",
                hint="" if known.confirmed_at else "It has not been confirmed yet: send the confirming mail again.",
            )
        row = known or Recipient(application=application, address=address)
        for field, value in values.items():
            setattr(row, field, value)
        row.nonce, row.added_by, row.confirmed_at, row.unsubscribed_at = new_nonce(), actor, None, None
        row.save()
        _ask_to_confirm(row, actor, now)
        _record("recipient.added", actor, role, row, {"severity": row.severity, "digest": row.digest})
    return row


def change(*, recipient: Recipient, actor: User, values: Mapping[str, Any]) -> Recipient:
    """Change name, severity, digest, escalation or zone; another address is another recipient.

    Raises Forbidden NOT_ALLOWED, FieldsRefused.
    """
    role = require_change(actor, recipient.application, "change recipients")
    checked = _checked({name: values[name] for name in _FIELDS if name in values})
    with transaction.atomic():
        row = Recipient.objects.select_for_update(of=("self",)).select_related("application").get(pk=recipient.pk)
        changed = {name: value for name, value in checked.items() if getattr(row, name) != value}
        if not changed:
            return row
        for name, value in changed.items():
            setattr(row, name, value)
        row.save(update_fields=list(changed))
        _record("recipient.changed", actor, role, row, {"changed": sorted(changed)})
    return row


def remove(*, recipient: Recipient, actor: User) -> None:
    """Take an address away, with every link that was sent to it. Raises Forbidden NOT_ALLOWED."""
    role = require_change(actor, recipient.application, "remove recipients")
    with transaction.atomic():
        row = Recipient.objects.select_related("application").filter(pk=recipient.pk).first()
        if row is None:
            return
        outbox.withdraw(mail_id(row), "The recipient was removed before this mail was sent.")
        subject = row.pk
        row.delete()
        row.pk = subject
        _record("recipient.removed", actor, role, row, {})


def ask_again(*, recipient: Recipient, actor: User, now: datetime | None = None) -> None:
    """Send the confirming mail again; earlier ones lose their force.

    Raises Forbidden NOT_ALLOWED, ServiceRefused ADDRESS_CONFIRMED, TOO_MANY_CONFIRMATIONS.
    """
    require_change(actor, recipient.application, "add recipients")
    with transaction.atomic():
        row = Recipient.objects.select_for_update(of=("self",)).select_related("application").get(pk=recipient.pk)
        if row.confirmed_at is not None and row.unsubscribed_at is None:
            raise ServiceRefused("ADDRESS_CONFIRMED", f"{row.address} is confirmed already.")
        row.nonce = new_nonce()
        row.save(update_fields=["nonce"])
        _ask_to_confirm(row, actor, now or timezone.now())


def confirm(*, recipient: Recipient, now: datetime) -> None:
    """The person says that the address is theirs (links.py has checked the link)."""
    with transaction.atomic():
        row = Recipient.objects.select_for_update(of=("self",)).select_related("application").get(pk=recipient.pk)
        if row.confirmed_at is not None:
            return
        row.confirmed_at = now
        row.save(update_fields=["confirmed_at"])
        _record("recipient.confirmed", mail_id(row), "", row, {})


def unsubscribe(*, recipient: Recipient, now: datetime) -> None:
    """The person wants no more mails: none is sent from now on, not even what waits already."""
    with transaction.atomic():
        row = Recipient.objects.select_for_update(of=("self",)).select_related("application").get(pk=recipient.pk)
        if row.unsubscribed_at is not None:
            return
        row.unsubscribed_at = now
        row.save(update_fields=["unsubscribed_at"])
        outbox.withdraw(mail_id(row), "The recipient unsubscribed before this mail was sent.")
        _record("recipient.unsubscribed", mail_id(row), "", row, {})


def mail_id(recipient: Recipient) -> str:
    """How the outbox knows the person."""
    return f"recipient:{recipient.pk}"


def as_mail_recipient(recipient: Recipient) -> outbox.Recipient:
    return outbox.Recipient(mail_id(recipient), recipient.name or recipient.address, recipient.address)


def new_nonce() -> str:
    return secrets.token_hex(16)


def _ask_to_confirm(row: Recipient, actor: User, now: datetime) -> None:
    asked = OutgoingMail.objects.filter(kind=CONFIRM, created_at__lte=now)
    of_application = asked.filter(application=row.application.name, created_at__gt=now - timedelta(hours=1))
    to_address = asked.filter(to_address__iexact=row.address, created_at__gt=now - PAUSE_FOR_ONE)
    if to_address.exists() or of_application.count() >= MOST_IN_AN_HOUR:
        raise ServiceRefused(
            "TOO_MANY_CONFIRMATIONS",
            f"No confirming mail can be sent to {row.address} now: one every ten minutes to an address,"
            f" {MOST_IN_AN_HOUR} an hour for an application.",
            hint="Try again later.",
            status=429,
        )
    outbox.put_mail(
        key=f"{CONFIRM}:{row.pk}:{row.nonce[:16]}",
        to=as_mail_recipient(row),
        kind=CONFIRM,
        subject=f"[{row.application.name}] confirm your address",
        template="recipient_confirm",
        context={
            "application": row.application.title or row.application.name,
            "asked_by": actor.get_username(),
            "severity": row.severity,
            "digest": row.digest,
            "escalation": row.escalation,
            "recipient": row.pk,
        },
        application=row.application.name,
        about=mail_id(row),
        now=now,
    )


def _address(text: str) -> str:
    """The address as it is stored: as typed, its domain in lower case. Raises FieldsRefused."""
    text = text.strip()
    try:
        validate_email(text)
    except ValidationError:
        raise FieldsRefused({"address": "This is no mail address that can be used."}) from None
    if len(text) > 254:
        raise FieldsRefused({"address": "This address is too long."})
    local, _, domain = text.rpartition("@")
    return f"{local}@{domain.lower()}"


def _checked(values: Mapping[str, Any]) -> dict[str, Any]:
    found, wrong = dict(values), {}
    if "name" in found:
        found["name"] = outbox.one_line(str(found["name"]), 100)
    if "severity" in found and found["severity"] not in Severity.values:
        wrong["severity"] = "Choose warning or critical."
    if "zone" in found and found["zone"] not in zoneinfo.available_timezones():
        wrong["zone"] = "There is no such time zone."
    if wrong:
        raise FieldsRefused(wrong)
    return found


def _record(action: str, actor: Any, role: str, row: Recipient, payload: Mapping[str, Any]) -> None:
    record(
        action=action,
        actor=actor,
        role=role,
        obj=row,
        application=row.application.name,
        payload={"recipient": row.pk, "address": row.address, **payload},
    )
