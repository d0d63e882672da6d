"""The outbox against a real mail server: what arrives, what waits, what is given up, and nothing twice."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from controlplane.mail import sending
from controlplane.mail.models import MailState, OutgoingMail
from controlplane.mail.outbox import Recipient, put_mail, send_again
from controlplane.mail.sending import GIVE_UP_AFTER, pause_after, send_due
from tests.smtp import Postbox, postbox, text_of

ANA = Recipient("person:ana", "ana", "ana@example.org")
BEN = Recipient("person:ben", "ben", "ben@example.org")
CONTEXT: dict[str, Any] = {
    "application": "有給休暇",
    "environment": "production",
    "headline": "Sign gate 2",
    "sentence": "Gate 2 waits for your signature.",
    "facts": [["Signed so far", "山田太郎"]],
    "link_label": "Review and sign",
    "path": "/runs/14/sign/go/",
    "why": "You are ops of yukyu.",
}


@pytest.fixture
def box(transactional_db: None, settings: Any) -> Iterator[Postbox]:
    with postbox(settings) as made:
        yield made


def put(to: Recipient = ANA, key: str = "event-1", **fields: Any) -> bool:
    described = {"kind": "gate_opened", "subject": "[yukyu · production] sign", "template": "event", "context": CONTEXT}
    with transaction.atomic():
        return put_mail(key=key, to=to, **{**described, **fields})


def the_mail() -> OutgoingMail:
    return OutgoingMail.objects.get()


def test_a_mail_arrives_as_text_and_html_with_its_link(box: Postbox, settings: Any) -> None:
    settings.CAUSEWAY_BASE_URL = "https://causeway.example.org"
    put()
    assert send_due().sent == 1
    (letter,) = box.to("ana@example.org")
    assert letter["Subject"] == "[yukyu · production] sign"
    assert letter["Auto-Submitted"] == "auto-generated"
    for kind in ("plain", "html"):
        said = text_of(letter, kind)
        assert "https://causeway.example.org/runs/14/sign/go/" in said
        assert "山田太郎" in said and "有給休暇" in said
        assert "https://causeway.example.org/settings/mails/" in said
    assert the_mail().state == MailState.SENT and the_mail().sent_at is not None


def test_nobody_hears_of_one_event_twice(box: Postbox) -> None:
    assert put() and not put()
    assert put(BEN)
    send_due()
    send_due()
    assert [len(box.to(f"{name}@example.org")) for name in ("ana", "ben")] == [1, 1]


def test_a_mail_of_an_event_that_was_rolled_back_does_not_exist(box: Postbox) -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        put_mail(key="k", to=ANA, kind="x", subject="s", template="event", context=CONTEXT)
        _ = 1 / 0
    assert send_due().sent == 0 and box.letters == []


def test_a_server_that_is_down_loses_nothing_and_doubles_nothing(transactional_db: None, settings: Any) -> None:
    with postbox(settings) as first:
        port = first.port
    put()
    put(BEN)
    now = timezone.now()
    for minute in range(10):  # nothing listens for ten minutes
        send_due(clock=lambda minute=minute: now + timedelta(minutes=minute))
    assert {mail.state for mail in OutgoingMail.objects.all()} == {MailState.WAITING}
    assert all("could not be reached" in mail.error for mail in OutgoingMail.objects.filter(attempts__gt=0))
    with postbox(settings, port) as again:
        for minute in range(11, 40):
            send_due(clock=lambda minute=minute: now + timedelta(minutes=minute))
        assert [len(again.to(f"{name}@example.org")) for name in ("ana", "ben")] == [1, 1]
    assert not OutgoingMail.objects.exclude(state=MailState.SENT, error="").exists()


def test_pauses_grow_to_an_hour_and_no_further() -> None:
    pauses = [pause_after(attempt) for attempt in range(1, 40)]
    assert pauses[:4] == [30, 60, 120, 240]
    assert pauses == sorted(pauses) and pauses[-1] == 3600


def test_a_refused_address_is_given_up_at_once_and_the_next_mail_goes(box: Postbox) -> None:
    box.refuse["ana@example.org"] = "550 no such user <ana@example.org>"
    put()
    put(BEN)
    done = send_due()
    assert (done.failed, done.sent) == (1, 1)
    failed = OutgoingMail.objects.get(state=MailState.FAILED)
    assert failed.error == "The mail server refused the address (550)." and failed.error_code == "SMTP_550"
    assert len(box.to("ben@example.org")) == 1


def test_a_server_that_asks_to_come_later_is_asked_later(box: Postbox) -> None:
    box.data_answer = "451 greylisted, come back"
    put()
    now = timezone.now()
    assert send_due(clock=lambda: now).later == 1
    box.data_answer = ""
    assert send_due(clock=lambda: now + timedelta(seconds=29)).sent == 0
    assert send_due(clock=lambda: now + timedelta(seconds=31)).sent == 1


def test_after_a_day_it_is_given_up_and_can_be_sent_again(box: Postbox) -> None:
    box.data_answer = "451 not now"
    put()
    late = timezone.now() + GIVE_UP_AFTER
    assert send_due(clock=lambda: late).failed == 1
    assert "Given up after a day." in the_mail().error
    box.data_answer = ""
    assert send_due(clock=lambda: late).sent == 0
    assert send_again(the_mail(), now=late)
    assert send_due(clock=lambda: late).sent == 1


def test_a_sender_that_dies_after_the_server_took_it_makes_one_copy_more_with_the_same_id(
    box: Postbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Died(BaseException):
        pass

    def die(*args: Any) -> None:
        raise Died

    put()
    now = timezone.now()
    with monkeypatch.context() as patched, pytest.raises(Died):
        patched.setattr(sending, "_record", die)
        send_due(clock=lambda: now)
    assert the_mail().state == MailState.SENDING
    assert send_due(clock=lambda: now + timedelta(seconds=60)).sent == 0  # its claim still holds
    later = now + timedelta(seconds=sending.CLAIM_SECONDS + 1)
    assert send_due(clock=lambda: later).sent == 1
    assert send_due(clock=lambda: later + timedelta(days=2)).sent == 0
    assert len(box.letters) == 2 and len({letter["Message-ID"] for letter in box.letters}) == 1


def test_a_mail_whose_every_sender_dies_is_given_up_visibly(box: Postbox) -> None:
    put()
    long_ago = timezone.now() - timedelta(hours=1)
    OutgoingMail.objects.update(state=MailState.SENDING, attempts=9, claimed_until=long_ago)
    send_due(clock=lambda: timezone.now() + GIVE_UP_AFTER)
    assert the_mail().error_code == "SENDER_LOST" and box.letters == []


def test_eight_senders_at_once_send_each_mail_once(box: Postbox) -> None:
    for number in range(12):
        put(key=f"event-{number}")
    barrier = threading.Barrier(8)

    def work() -> None:
        barrier.wait()
        try:
            send_due()
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(box.letters) == len({letter["Message-ID"] for letter in box.letters}) == 12
    assert OutgoingMail.objects.filter(state=MailState.SENT).count() == 12


def test_a_mail_that_cannot_be_written_fails_alone_and_is_said_to_be_our_fault(box: Postbox) -> None:
    put(template="there-is-none")
    put(BEN)
    done = send_due()
    assert (done.failed, done.sent) == (1, 1)
    assert OutgoingMail.objects.get(state=MailState.FAILED).error_code == "ERRORED"


def test_a_person_without_an_address_is_a_failure_that_can_be_seen(box: Postbox) -> None:
    put(Recipient("person:chika", "chika", ""))
    put(Recipient("person:dora", "dora", "dora@example.org, eve@example.org"))
    assert send_due().sent == 0
    codes = OutgoingMail.objects.values_list("to_address", "state", "error_code")
    assert set(codes) == {("", MailState.FAILED, "NO_ADDRESS")}


def test_a_line_break_in_a_subject_makes_no_header(box: Postbox) -> None:
    put(subject="run 14 is held\r\nBcc: eve@example.org\r\n\r\nhello \u2028 there")
    assert send_due().sent == 1
    (letter,) = box.letters
    assert letter["Bcc"] is None
    assert letter["Subject"] == "run 14 is held Bcc: eve@example.org hello there"


def test_a_credential_that_slips_into_a_reason_is_masked(box: Postbox) -> None:
    secret = "hunter2-is-long"
    said = f"see postgresql://yukyu:{secret}@db/yukyu and password={secret}"
    put(context={**CONTEXT, "facts": [["Reason", said]], "sentence": said}, subject=said)
    send_due()
    (letter,) = box.letters
    assert secret not in letter.as_string() and secret not in text_of(letter) and secret not in text_of(letter, "html")
    assert "***" in text_of(letter)


def test_what_people_wrote_is_text_in_the_html(box: Postbox) -> None:
    put(context={**CONTEXT, "facts": [["Reason", "<img src=x onerror=alert(1)>"]]})
    send_due()
    assert "<img" not in text_of(box.letters[0], "html")
    assert "<img src=x" in text_of(box.letters[0])
