"""One mail as a message, and what an error of the mail server means for it."""

from __future__ import annotations

import hashlib
import smtplib
from dataclasses import dataclass
from urllib.parse import urlsplit

from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.template.loader import render_to_string

from controlplane.mail import extras
from controlplane.mail.models import OutgoingMail


@dataclass(frozen=True)
class Trouble:
    """Why a mail was not taken. temporary: it is tried again. server: the server's fault, not this mail's."""

    code: str
    text: str
    temporary: bool
    server: bool = False


def message_of(mail: OutgoingMail) -> EmailMultiAlternatives:
    """The message with text and HTML. Its Message-ID depends on the row alone: a second copy can be told as one."""
    more = extras.of(mail)
    context = {
        **mail.context,
        **more.context,
        "subject": mail.subject,
        "to_name": mail.to_name,
        "base_url": settings.CAUSEWAY_BASE_URL.rstrip("/"),
    }
    message = EmailMultiAlternatives(
        subject=mail.subject,
        body=render_to_string(f"mails/{mail.template}.txt", context).strip() + "\n",
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[mail.to_address],
        headers={
            "Message-ID": message_id(mail),
            "Auto-Submitted": "auto-generated",  # RFC 3834: holiday notices don't answer
            "X-Causeway-Kind": mail.kind,
            **more.headers,
        },
    )
    message.attach_alternative(render_to_string(f"mails/{mail.template}.html", context), "text/html")
    return message


def message_id(mail: OutgoingMail) -> str:
    host = urlsplit(settings.CAUSEWAY_BASE_URL).hostname or "causeway.invalid"
    digest = hashlib.sha256(f"{mail.key}\n{mail.recipient}".encode()).hexdigest()[:40]
    return f"<{digest}@{host}>"


def trouble_of(error: Exception) -> Trouble:
    """What the error means. The server's own words are left out: they may quote addresses, and we show these pages."""
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code = max((reply[0] for reply in error.recipients.values()), default=550)
        text = f"The mail server refused the address ({code})."
        return Trouble(f"SMTP_{code}", text, temporary=code < 500)
    if isinstance(error, smtplib.SMTPDataError):
        text = f"The mail server refused the content ({error.smtp_code})."
        return Trouble(f"SMTP_{error.smtp_code}", text, temporary=error.smtp_code < 500)
    if isinstance(error, smtplib.SMTPResponseException):
        # Sign-in, greeting, sender: an operator's to mend, so it is worth another try whatever the code says.
        text = f"The mail server refused us ({error.smtp_code}): see EMAIL_URL and DEFAULT_FROM_EMAIL."
        return Trouble(f"SMTP_{error.smtp_code}", text, temporary=True, server=True)
    if isinstance(error, smtplib.SMTPException | OSError):
        text = f"The mail server could not be reached ({type(error).__name__})."
        return Trouble("SMTP_UNREACHABLE", text, temporary=True, server=True)
    text = f"The mail could not be written ({type(error).__name__}): a fault of Causeway itself."
    return Trouble("ERRORED", text, temporary=False)
