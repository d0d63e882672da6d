"""Who is told of an application's alerts: its members as they chose, and confirmed recipients without an account."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import QuerySet

from controlplane.mail.models import MailTopic
from controlplane.mail.outbox import Recipient as MailRecipient
from controlplane.mail.preferences import chosen_by, wants
from controlplane.registry.models import Application, Membership, Role
from monitoring_app.models import Recipient, Severity
from monitoring_app.services.recipients import as_mail_recipient


@dataclass(frozen=True)
class Person:
    """Somebody who is told. zone: '' where only the installation's is known. why: the mail's last line says it."""

    mail: MailRecipient
    why: str
    zone: str = ""
    recipient_id: int | None = None

    @property
    def name(self) -> str:
        return self.mail.name


def told_of_alerts(application: Application, severity: str) -> list[Person]:
    """Members who want alerts, and recipients of this severity; one mail to an address."""
    members = [
        _member(user, roles, application)
        for user, roles, chosen in _members(application, MailTopic.ALERT)
        if wants(MailTopic.ALERT, roles, chosen)
    ]
    rows = _recipients(application).filter(escalation=False)
    others = [_outsider(row) for row in rows if _hears(row, severity)]
    return _once([*members, *others])


def told_of_escalation(application: Application, severity: str) -> list[Person]:
    """Team leads, whatever they chose, and recipients who hear only of what nobody has taken."""
    members = [
        _member(user, roles, application)
        for user, roles, _ in _members(application, MailTopic.ALERT)
        if Role.LEAD in roles
    ]
    rows = _recipients(application).filter(escalation=True)
    return _once([*members, *[_outsider(row) for row in rows if _hears(row, severity)]])


def told_of_digest(application: Application) -> list[Person]:
    members = [
        _member(user, roles, application)
        for user, roles, chosen in _members(application, MailTopic.DIGEST)
        if wants(MailTopic.DIGEST, roles, chosen)
    ]
    return _once([*members, *[_outsider(row) for row in _recipients(application).filter(digest=True)]])


def those_of(application: Application, mail_ids: Iterable[str]) -> list[Person]:
    """Of these people (ids of the outbox) those who still belong to the application."""
    wanted = set(mail_ids)
    members = [_member(user, roles, application) for user, roles, _ in _members(application, MailTopic.ALERT)]
    found = [*members, *[_outsider(row) for row in _recipients(application)]]
    return [person for person in found if person.mail.id in wanted]


def _members(application: Application, topic: str) -> list[tuple[User, frozenset[str], bool | None]]:
    """Each active member with roles and word on the topic, in the order of names."""
    held: dict[int, set[str]] = {}
    people: dict[int, User] = {}
    rows = Membership.objects.filter(application=application, user__is_active=True).select_related("user")
    for row in rows.order_by("user__username"):
        held.setdefault(row.user_id, set()).add(row.role)
        people[row.user_id] = row.user
    chosen = chosen_by(people, topic)
    return [(user, frozenset(held[pk]), chosen.get(pk)) for pk, user in people.items()]


def _recipients(application: Application) -> QuerySet[Recipient]:
    return Recipient.objects.filter(application=application, confirmed_at__isnull=False, unsubscribed_at=None)


def _hears(row: Recipient, severity: str) -> bool:
    return row.severity == Severity.WARNING or severity == Severity.CRITICAL


def _member(user: User, roles: frozenset[str], application: Application) -> Person:
    held = ", ".join(role.label.lower() if role != Role.QA else "QA" for role in Role if role in roles)
    return Person(MailRecipient.of_user(user), f"You are {held} of {application.name}.")


def _outsider(row: Recipient) -> Person:
    return Person(as_mail_recipient(row), "You asked to be told of its alerts.", row.zone, row.pk)


def _once(people: Iterable[Person]) -> list[Person]:
    """One of those who share an address: members come first. Who has none stays, so that it is seen."""
    found: dict[str, Person] = {}
    for person in people:
        found.setdefault(person.mail.address.lower() or person.mail.id, person)
    return list(found.values())
