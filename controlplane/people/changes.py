"""What somebody else changed about how a person signs in: made visible, and useless for a while.

Whoever runs Causeway can set a person's password and sign in with it. So whatever is set by anybody but the person is
said in the trail and in a mail to the person, and what the account decides does not count until a day has passed: a
person has then read the mail. That the password was changed once more meanwhile shortens nothing: who knows the new
one can do that too.

Every way that goes through Django's accounts ends here (the admin's form, `manage.py changepassword`, a script), by
the hook that Django calls for changed passwords (`NoticePasswordChanges` in AUTH_PASSWORD_VALIDATORS). A hash that is
only renewed at the sign-in doesn't call it. What is written into the table by hand can't be seen from here.
"""

from __future__ import annotations

import getpass
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta
from typing import Any, Final

from django.conf import settings
from django.db import transaction
from django.db.models import OuterRef, Subquery
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.mail.outbox import Recipient, put_mail
from controlplane.people.models import AccountChange

OWN: Final = ""  # the person did it: with the old password
# An address that was changed this lately is told too: else who changes the address first is never found out.
_FORMER_ADDRESS: Final = timedelta(days=30)
_actor: ContextVar[str | None] = ContextVar("who_changes_accounts", default=None)


@contextmanager
def made_by(actor: str) -> Iterator[None]:
    """Names who makes the changes within: a user's name, or OWN."""
    token = _actor.set(actor)
    try:
        yield
    finally:
        _actor.reset(token)


class NoticePasswordChanges:
    """Validates nothing: Django calls `password_changed` of every validator once a password was set and saved."""

    def validate(self, password: str, user: Any = None) -> None:
        return None

    def get_help_text(self) -> str:
        hours = settings.CAUSEWAY_ACCOUNT_REST_HOURS
        return (
            "Whoever sets another person's password: that person is told by mail at once, and what the account decides "
            f"does not count for {hours} hours."
        )

    def password_changed(self, password: str, user: Any = None) -> None:
        actor = _actor.get()
        # Nobody signed in yet with a new account: its first password is handed over, not taken away.
        if user is not None and actor != OWN and user.last_login is not None:
            note(person=user, what=AccountChange.What.PASSWORD, by=actor)


def note(*, person: Any, what: str, by: str | None, address_before: str = "", now: datetime | None = None) -> None:
    """Write down, in the trail too, what was changed by somebody else, and tell the person. by None: at the machine."""
    now = now or timezone.now()
    by = by or f"cli:{getpass.getuser()}"
    with transaction.atomic():
        change = AccountChange.objects.create(
            user=person,
            what=what,
            by=by[:150],
            at=now,
            counts_again_at=now
            if what == AccountChange.What.ADDRESS
            else now + timedelta(hours=settings.CAUSEWAY_ACCOUNT_REST_HOURS),
            address_before=address_before,
        )
        _tell(change)
        record(
            action="person.changed_by_another",
            actor=by,
            obj=person,
            payload={"person": person.get_username(), "what": str(what), "counts_again_at": change.counts_again_at},
        )


def resting(person: Any, now: datetime | None = None) -> AccountChange | None:
    """The change for whose sake nothing that the account decides counts now; None where all is well."""
    changes = AccountChange.objects.filter(user=person, counts_again_at__gt=now or timezone.now())
    return changes.order_by("-counts_again_at").first()


def resting_among(people: Iterable[int], now: datetime | None = None) -> dict[int, AccountChange]:
    """The same for many, by the user's number."""
    changes = AccountChange.objects.filter(user__in=list(people), counts_again_at__gt=now or timezone.now())
    return {change.user_id: change for change in changes.order_by("counts_again_at")}


def rests_until(person_field: str, now: datetime | None = None) -> Subquery:
    """For a query's rows: until when the account in that field decides nothing; None where it decides."""
    changes = AccountChange.objects.filter(user=OuterRef(person_field), counts_again_at__gt=now or timezone.now())
    return Subquery(changes.order_by("-counts_again_at").values("counts_again_at")[:1])


def why_resting(person: Any, now: datetime | None = None) -> str:
    """The sentence for a refused button; '' where the account's decisions count."""
    change = resting(person, now)
    if change is None:
        return ""
    return (
        f"{change.by} {change.said} your account at {change.at:%Y-%m-%d %H:%M} UTC. So that nobody can decide in your "
        f"name, your decisions count again from {change.counts_again_at:%Y-%m-%d %H:%M} UTC."
    )


def _tell(change: AccountChange) -> None:
    person = change.user
    recipients = {person.email: Recipient.of_user(person)}
    since = change.at - _FORMER_ADDRESS
    former = AccountChange.objects.filter(user=person, what=AccountChange.What.ADDRESS, at__gte=since)
    for row in former.exclude(address_before=""):
        before = Recipient(f"user:{person.pk}:before:{row.pk}", person.get_username(), row.address_before, person.pk)
        recipients.setdefault(row.address_before, before)
    for recipient in recipients.values():
        put_mail(
            key=f"account-change:{change.pk}",
            to=recipient,
            kind="account_changed",
            subject=f"[Your account] {change.by} {change.said} your account",
            template="event",
            context=_context(change),
        )


def _context(change: AccountChange) -> dict[str, Any]:
    facts = [["When", f"{change.at:%Y-%m-%d %H:%M} UTC"], ["By", change.by]]
    sentence = "If you did not ask for that, tell the people you work with now: somebody may act in your name. "
    if change.counts_again_at > change.at:
        facts.append(["Your decisions count again from", f"{change.counts_again_at:%Y-%m-%d %H:%M} UTC"])
        sentence += "Until the time below nothing that is decided with your account counts. "
    return {
        "application": "Your account",
        "environment": change.user.get_username(),
        "headline": f"{change.by} {change.said} your account",
        "sentence": sentence + "If you did ask for it, choose a password that you alone know.",
        "facts": facts,
        "link_label": "Choose a password of your own",
        "path": "/settings/password/",
        "tone": "alarm",
        "why": "It is about your own account, so it can't be switched off.",
    }
