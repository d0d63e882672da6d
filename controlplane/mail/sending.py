"""Sends what lies in the outbox: claim a row, hand it to the mail server, write down what became of it.

What SMTP can promise and what not: a row is claimed by one worker at a time, and a sent row is never sent again. A
worker that dies between the server's "250 taken" and the commit of "sent" leaves a claimed row; when its claim lapses,
another worker sends it once more, with the same Message-ID, since a mail too many is better than one too few.
"""

from __future__ import annotations

import logging
import smtplib
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.core.mail import get_connection
from django.core.mail.backends.base import BaseEmailBackend
from django.db.models import F
from django.utils import timezone

from controlplane.mail.delivery import Trouble, message_of, trouble_of
from controlplane.mail.models import MailState, OutgoingMail

logger = logging.getLogger("causeway.mail")
CLAIM_SECONDS = 300  # longer than any exchange with a server: each of its answers may take EMAIL_TIMEOUT
ROUND_SECONDS = 60
FIRST_PAUSE_SECONDS = 30
LONGEST_PAUSE_SECONDS = 3600
GIVE_UP_AFTER = timedelta(hours=24)


@dataclass
class Round:
    """What one round did."""

    sent: int = 0
    later: int = 0
    failed: int = 0


def send_due(*, clock: Callable[[], datetime] = timezone.now, seconds: float = ROUND_SECONDS) -> Round:
    """Send all that is due, the oldest first, over one connection. Safe beside another round. Never raises for SMTP.

    The round ends early when the server is at fault: the other mails wait for the next one, without losing an attempt.
    """
    done = Round()
    until = time.monotonic() + seconds
    connection = get_connection()
    try:
        while time.monotonic() < until:
            mail = _claim_next(clock())
            if mail is None:
                break
            trouble = _send(mail, connection)
            _record(mail, trouble, clock(), done)
            if trouble is not None and trouble.server:
                break
    finally:
        _close(connection)
    return done


def _claim_next(now: datetime) -> OutgoingMail | None:
    # A mail whose senders all died without a word must end too; _record can't see those.
    OutgoingMail.objects.due(now).filter(state=MailState.SENDING, created_at__lt=now - GIVE_UP_AFTER).update(
        state=MailState.FAILED, error_code="SENDER_LOST", error="Every worker that sent it fell silent. Given up."
    )
    for mail in OutgoingMail.objects.due(now).order_by("next_attempt_at", "pk")[:20]:
        claimed = OutgoingMail.objects.filter(pk=mail.pk, state=mail.state, attempts=mail.attempts).update(
            state=MailState.SENDING, attempts=F("attempts") + 1, claimed_until=now + timedelta(seconds=CLAIM_SECONDS)
        )
        if claimed == 1:
            mail.attempts += 1
            mail.state = MailState.SENDING
            return mail
    return None


def _send(mail: OutgoingMail, connection: BaseEmailBackend) -> Trouble | None:
    try:
        message = message_of(mail)
        message.connection = connection
        connection.open()
        message.send()
    except Exception as error:  # whatever it is, it must be written on the row, or the mail would vanish in a log
        trouble = trouble_of(error)
        if trouble.code == "ERRORED":
            logger.exception("mail %s errored", mail.pk)
        else:
            logger.warning("mail %s: %s", mail.pk, trouble.text)
        _close(connection)  # after a refusal its state is unknown: the next mail begins with a new one
        return trouble
    return None


def _record(mail: OutgoingMail, trouble: Trouble | None, now: datetime, done: Round) -> None:
    mine = OutgoingMail.objects.filter(pk=mail.pk, state=MailState.SENDING, attempts=mail.attempts)
    if trouble is None:
        mine.update(state=MailState.SENT, sent_at=now, claimed_until=None, error_code="", error="")
        done.sent += 1
        return
    due = now + timedelta(seconds=pause_after(mail.attempts))
    if trouble.temporary and due - mail.created_at < GIVE_UP_AFTER:
        mine.update(
            state=MailState.WAITING,
            next_attempt_at=due,
            claimed_until=None,
            error_code=trouble.code,
            error=trouble.text,
        )
        done.later += 1
        return
    text = f"{trouble.text} Given up after a day." if trouble.temporary else trouble.text
    mine.update(state=MailState.FAILED, claimed_until=None, error_code=trouble.code, error=text)
    done.failed += 1


def pause_after(attempts: int) -> int:
    """Seconds until the next try: 30 s, 1 min, 2 min, … an hour at most."""
    return int(min(FIRST_PAUSE_SECONDS * 2 ** min(attempts - 1, 20), LONGEST_PAUSE_SECONDS))


def _close(connection: BaseEmailBackend) -> None:
    try:
        connection.close()
    except (smtplib.SMTPException, OSError) as error:  # what was taken is written down already
        logger.info("the connection to the mail server was not closed cleanly (%s)", type(error).__name__)
