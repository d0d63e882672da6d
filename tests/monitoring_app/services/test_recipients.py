"""People without an account: nothing goes to an address that nobody confirmed, and nothing to one that left."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from controlplane.mail.models import MailState, OutgoingMail
from controlplane.mail.sending import send_due
from controlplane.refusals import FieldsRefused, Forbidden, ServiceRefused
from controlplane.registry.models import Role
from monitoring_app.models import Recipient, Target
from monitoring_app.services import recipients
from tests.monitoring_app.arranged import live, on_call, person, recipient, watched
from tests.smtp import Postbox, postbox, text_of

NIGHT = "night@example.org"


@pytest.fixture
def box(db: None, settings: Any) -> Iterator[Postbox]:
    settings.CAUSEWAY_BASE_URL = "https://causeway.example.org"
    with postbox(settings) as made:
        yield made


@pytest.fixture
def target(db: None) -> Target:
    return watched()


@pytest.fixture
def ana(target: Target) -> User:
    return on_call(target)


def add(target: Target, actor: User, address: str = NIGHT, **fields: Any) -> Recipient:
    return recipients.add(application=target.application, actor=actor, address=address, **fields)


def link_in(letter: Any, purpose: str) -> str:
    found = re.search(rf"https://causeway.example.org(/told/{purpose}/\S+/)", text_of(letter))
    assert found is not None
    return urlsplit(found[0]).path


def test_an_address_is_asked_and_hears_of_alerts_once_it_said_yes(target: Target, ana: User, box: Postbox) -> None:
    one = add(target, ana, "Night@Example.ORG", name="Night watch", zone="Asia/Tokyo")
    assert one.address == "Night@example.org"
    next_round = live(target, "pool_used", [95] * 6)
    send_due()
    (asked,) = box.to("Night@example.org")
    assert "ana wants this address" in " ".join(text_of(asked).split())
    client = Client()
    page = client.get(link_in(asked, "confirm"))
    assert page.status_code == 200 and "Shall alerts reach you" in page.content.decode()
    one.refresh_from_db()
    assert one.confirmed_at is None  # a mail scanner opened it
    assert "Alerts reach you here" in client.post(link_in(asked, "confirm")).content.decode()
    live(target, "query_time", [900] * 12, start=next_round)
    send_due()
    assert [str(letter["Subject"]) for letter in box.to("Night@example.org")[1:]] == [
        "[WARNING] yukyu: Queries are slow"
    ]
    assert AuditEvent.objects.filter(action="recipient.confirmed", actor=f"recipient:{one.pk}").exists()


def test_an_address_is_there_once_however_it_is_written(target: Target, ana: User) -> None:
    add(target, ana)
    with pytest.raises(ServiceRefused) as refused:
        add(target, ana, " NIGHT@EXAMPLE.org")
    assert refused.value.code == "RECIPIENT_THERE"
    assert OutgoingMail.objects.count() == 1


@pytest.mark.parametrize("address", ["", "night", "a@b\nBcc: x@example.org", "night@", "x" * 250 + "@example.org"])
def test_what_is_no_address_is_refused(target: Target, ana: User, address: str) -> None:
    with pytest.raises(FieldsRefused):
        add(target, ana, address)
    assert not OutgoingMail.objects.exists()


def test_confirming_mails_are_few(target: Target, ana: User) -> None:
    one = add(target, ana)
    with pytest.raises(ServiceRefused) as refused:
        recipients.ask_again(recipient=one, actor=ana)
    assert (refused.value.code, refused.value.status) == ("TOO_MANY_CONFIRMATIONS", 429)
    recipients.remove(recipient=one, actor=ana)
    with pytest.raises(ServiceRefused):  # neither does removing it help
        add(target, ana)
    for number in range(recipients.MOST_IN_AN_HOUR - 1):
        add(target, ana, f"n{number}@example.org")
    with pytest.raises(ServiceRefused):
        add(target, ana, "one-more@example.org")
    add(target, ana, "one-more@example.org", now=timezone.now() + timedelta(hours=2))


def test_the_way_out_works_from_the_mail_and_from_a_mail_programs_button(
    target: Target, ana: User, box: Postbox
) -> None:
    one = recipient(target, NIGHT)
    next_round = live(target, "pool_used", [95] * 6)
    send_due()
    (letter,) = box.to(NIGHT)
    path = urlsplit(str(letter["List-Unsubscribe"]).strip().strip("<>")).path
    assert path == link_in(letter, "unsubscribe")
    assert Client().get(path).status_code == 200
    one.refresh_from_db()
    assert one.unsubscribed_at is None
    live(target, "query_time", [900] * 12, start=next_round)  # this mail waits
    strict = Client(enforce_csrf_checks=True)
    answer = strict.post(path, "List-Unsubscribe=One-Click", content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 200 and "You are told no more" in answer.content.decode()
    send_due()
    assert len(box.to(NIGHT)) == 1
    assert OutgoingMail.objects.get(recipient=f"recipient:{one.pk}", state=MailState.FAILED).error_code == "WITHDRAWN"


def test_who_is_removed_takes_the_links_along(target: Target, ana: User, box: Postbox) -> None:
    one = recipient(target, NIGHT)
    live(target, "pool_used", [95] * 6)
    send_due()
    (letter,) = box.to(NIGHT)
    recipients.remove(recipient=one, actor=ana)
    for purpose in ("acknowledge", "unsubscribe"):
        answer = Client().post(link_in(letter, purpose))
        assert answer.status_code == 404 and "LINK_INVALID" in answer.content.decode()


def test_who_left_comes_back_only_by_saying_yes_again(target: Target, ana: User, box: Postbox) -> None:
    one = recipient(target, NIGHT)
    recipients.unsubscribe(recipient=one, now=timezone.now())
    again = add(target, ana)
    assert again.pk == one.pk and again.confirmed_at is None
    live(target, "pool_used", [95] * 6)
    send_due()
    assert [str(letter["Subject"]) for letter in box.to(NIGHT)] == ["[yukyu] confirm your address"]


@pytest.mark.parametrize("role", [Role.QA, Role.VIEWER])
def test_who_only_looks_on_adds_nobody(target: Target, role: str) -> None:
    one = recipient(target, "there@example.org")
    chika = person(target, "chika", role)
    for tried in (
        lambda: add(target, chika),
        lambda: recipients.change(recipient=one, actor=chika, values={"digest": False}),
        lambda: recipients.remove(recipient=one, actor=chika),
        lambda: recipients.ask_again(recipient=one, actor=chika),
    ):
        with pytest.raises(Forbidden):
            tried()


def test_what_somebody_is_told_of_can_be_changed(target: Target, ana: User) -> None:
    one = recipient(target, NIGHT)
    recipients.change(recipient=one, actor=ana, values={"severity": "critical", "zone": "Asia/Tokyo"})
    one.refresh_from_db()
    assert (one.severity, one.zone, one.confirmed_at is None) == ("critical", "Asia/Tokyo", False)
    with pytest.raises(FieldsRefused):
        recipients.change(recipient=one, actor=ana, values={"zone": "Mars/Base"})
