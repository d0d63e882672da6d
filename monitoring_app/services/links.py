"""Links of mails that act for whoever holds them: signed, for one purpose, for a while.

A link names a person and a secret word of theirs (a recipient's nonce, the stamp of a user's password), so that it
ends when the person is removed, unsubscribes or changes the password. Opening a link changes nothing, since mail
scanners open them: a page asks, and its POST acts.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from typing import Any, Final

from django.conf import settings
from django.contrib.auth.models import User
from django.core import signing
from django.urls import reverse

from controlplane.mail.delivery import message_id
from controlplane.mail.extras import Extras
from controlplane.mail.models import OutgoingMail
from controlplane.refusals import ServiceRefused
from monitoring_app.models import Alert, Recipient
from monitoring_app.services.permissions import may_change


class Purpose(StrEnum):
    ACKNOWLEDGE = "acknowledge"
    CONFIRM = "confirm"
    UNSUBSCRIBE = "unsubscribe"


LASTS: Final = {
    Purpose.ACKNOWLEDGE: timedelta(days=3),
    Purpose.CONFIRM: timedelta(days=7),
    # Who finds an old mail must be able to leave.
    Purpose.UNSUBSCRIBE: timedelta(days=365),
}
_SALT: Final = "causeway.monitoring."


@dataclass(frozen=True)
class Link:
    """What a link stands for: who holds it, and the alert that it is about."""

    purpose: Purpose
    person: User | Recipient
    alert: Alert | None = None


def address_of(purpose: Purpose, person: User | Recipient, alert: Alert | None = None) -> str:
    """The absolute address of a link."""
    kind = "user" if isinstance(person, User) else "recipient"
    named = [kind, person.pk, _word(person), alert.pk if alert is not None else 0]
    token = signing.dumps(named, salt=_SALT + purpose)
    return f"{settings.CAUSEWAY_BASE_URL.rstrip('/')}{reverse(f'told_{purpose}', args=[token])}"


def read(purpose: Purpose, token: str) -> Link:
    """Raises ServiceRefused LINK_EXPIRED, LINK_INVALID: forged, cut, or of somebody who left."""
    try:
        kind, pk, word, alert_id = signing.loads(token, salt=_SALT + purpose, max_age=LASTS[purpose])
    except signing.SignatureExpired:
        raise ServiceRefused(
            "LINK_EXPIRED",
            f"This link was good for {LASTS[purpose].days} days.",
            hint="A newer mail has a newer one.",
            status=410,
        ) from None
    except (signing.BadSignature, ValueError, TypeError):
        raise _invalid() from None
    person = _person(kind, pk)
    if person is None or _word(person) != word:
        raise _invalid()
    alert = None
    if alert_id:
        rows = Alert.objects.select_related("rule__target__application", "series")
        alert = rows.filter(pk=alert_id).first()
        if alert is None or not _belongs(person, alert):
            raise _invalid()
    return Link(purpose, person, alert)


def extras_of_alert(mail: OutgoingMail) -> Extras:
    """For an alert's mail: the link that takes charge, the way out, and which mail this one belongs to."""
    person = _receiver(mail)
    context: dict[str, Any] = {}
    headers: dict[str, str] = {}
    about = mail.context.get("alert")
    alert = Alert.objects.filter(pk=about).first() if about else None
    if person is not None and alert is not None and not mail.context.get("is_over"):
        context["acknowledge_url"] = address_of(Purpose.ACKNOWLEDGE, person, alert)
    first = OutgoingMail(key=f"alert:{about}:fired", recipient=mail.recipient)
    if mail.key != first.key:
        headers["In-Reply-To"] = headers["References"] = message_id(first)
    leaving = extras_of_recipient(mail)
    return Extras({**context, **leaving.context}, {**headers, **leaving.headers})


def extras_of_recipient(mail: OutgoingMail) -> Extras:
    """The way out for people without an account, as a link and as the header that mail programs make a button of."""
    person = _receiver(mail)
    if not isinstance(person, Recipient):
        return Extras()
    url = address_of(Purpose.UNSUBSCRIBE, person)
    # RFC 2369 and RFC 8058.
    headers = {"List-Unsubscribe": f"<{url}>", "List-Unsubscribe-Post": "List-Unsubscribe=One-Click"}
    return Extras({"unsubscribe_url": url}, headers)


def extras_of_confirmation(mail: OutgoingMail) -> Extras:
    person = _receiver(mail)
    return Extras({"confirm_url": address_of(Purpose.CONFIRM, person)} if isinstance(person, Recipient) else {})


def _receiver(mail: OutgoingMail) -> User | Recipient | None:
    """Who gets the mail, as they are now; None for somebody who left."""
    kind, _, pk = mail.recipient.partition(":")
    return _person(kind, int(pk)) if pk.isdigit() else None


def _person(kind: object, pk: Any) -> User | Recipient | None:
    if kind == "user":
        return User.objects.filter(pk=pk, is_active=True).first()
    if kind == "recipient":
        return Recipient.objects.select_related("application").filter(pk=pk).first()
    return None


def _word(person: User | Recipient) -> str:
    return person.nonce if isinstance(person, Recipient) else person.get_session_auth_hash()[:24]


def _belongs(person: User | Recipient, alert: Alert) -> bool:
    application = alert.rule.target.application
    if isinstance(person, User):
        return may_change(person, application)
    deliverable = person.confirmed_at is not None and person.unsubscribed_at is None
    return person.application_id == application.pk and deliverable


def _invalid() -> ServiceRefused:
    return ServiceRefused(
        "LINK_INVALID",
        "This link means nothing, or nothing any more.",
        hint="Copy it whole; or ask whoever added you for a new one.",
        status=404,
    )
