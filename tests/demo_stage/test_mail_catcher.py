"""The demo's mailbox: what is sent there can be read there, and can't do anything there."""

from __future__ import annotations

import smtplib
import urllib.error
import urllib.request
from collections.abc import Iterator
from email.message import EmailMessage
from pathlib import Path

import pytest

from controlplane.embedded.ports import free_port
from demo.mail_catcher import MailCatcher


@pytest.fixture
def catcher(tmp_path: Path) -> Iterator[MailCatcher]:
    found = MailCatcher(tmp_path, smtp_port=free_port(), page_port=free_port()).start()
    yield found
    found.stop()


def send(catcher: MailCatcher, subject: str = "[CRITICAL] yukyu: Disk nearly full") -> None:
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = "causeway@example.org", "ana@example.org", subject
    mail.set_content("82% now.\nTake charge of it: http://127.0.0.1:8000/told/acknowledge/abc/\n")
    mail.add_alternative("<p>82% now.</p><script>alert(1)</script>", subtype="html")
    with smtplib.SMTP("127.0.0.1", int(catcher.smtp_url.rpartition(":")[2])) as server:
        server.send_message(mail)


def get(address: str) -> tuple[str, str]:
    """The page and its policy."""
    with urllib.request.urlopen(address, timeout=5) as answer:
        return answer.read().decode(), answer.headers["Content-Security-Policy"]


def first(catcher: MailCatcher) -> str:
    page, _ = get(catcher.address)
    return page.partition("<a href='/")[2].partition("'")[0]


def test_a_mail_that_was_sent_is_listed_and_its_links_can_be_followed(catcher: MailCatcher) -> None:
    assert "No mail yet" in get(catcher.address)[0]
    send(catcher)
    page, _ = get(catcher.address)
    assert "[CRITICAL] yukyu: Disk nearly full" in page and "ana@example.org" in page
    shown, _ = get(f"{catcher.address}/{first(catcher)}")
    assert "href='http://127.0.0.1:8000/told/acknowledge/abc/'" in shown


def test_the_html_of_a_mail_runs_no_script_and_stays_in_its_frame(catcher: MailCatcher) -> None:
    send(catcher)
    number = first(catcher)
    _, policy = get(f"{catcher.address}/{number}/html")
    assert "default-src 'none'" in policy and "sandbox" in policy and "script-src" not in policy
    assert "allow-scripts" not in policy and "allow-same-origin" not in policy
    assert "sandbox='allow-popups allow-popups-to-escape-sandbox'" in get(f"{catcher.address}/{number}")[0]


def test_what_a_mail_says_is_text_on_the_page(catcher: MailCatcher) -> None:
    send(catcher, subject="<b>bold</b>")
    assert "&lt;b&gt;bold&lt;/b&gt;" in get(catcher.address)[0]


@pytest.mark.parametrize("path", ["/7", "/..%2f..%2fetc/passwd", "/x/html", "/1.part"])
def test_only_mails_are_shown(catcher: MailCatcher, path: str) -> None:
    with pytest.raises(urllib.error.HTTPError) as refused:
        get(catcher.address + path)
    assert refused.value.code == 404
