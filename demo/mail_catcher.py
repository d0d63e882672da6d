"""The demo's mailbox: takes every mail by SMTP, keeps it as a file, and shows it on a page of this machine.

Nothing leaves the machine. The HTML of a mail is shown in a sandboxed frame with a policy of its own: no script, no
form, nothing loaded from anywhere; its links open in a new tab.
"""

from __future__ import annotations

import email
import email.policy
import html
import logging
import threading
import time
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, Envelope, Session

HOST = "127.0.0.1"
LARGEST = 5_000_000  # bytes of a mail
SHOWN = 200
_SANDBOX = "allow-popups allow-popups-to-escape-sandbox"
_FRAME = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    f"sandbox {_SANDBOX}"
)
_PAGE = "default-src 'none'; style-src 'unsafe-inline'; frame-src 'self'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; }
body { margin: 0 auto; max-width: 60rem; padding: 1.5rem; font: 0.9375rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.375rem; }
table { width: 100%; border-collapse: collapse; }
th, td { padding: 0.5rem; text-align: left; vertical-align: baseline; border-top: 1px solid #8885; }
th { font-weight: 500; }
td.at { white-space: nowrap; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.25rem 1rem; }
dd { margin: 0; overflow-wrap: anywhere; }
pre { white-space: pre-wrap; overflow-wrap: anywhere; padding: 1rem; background: #8882; border-radius: 6px; }
iframe { width: 100%; height: 44rem; border: 1px solid #8885; border-radius: 6px; background: #fff; }
"""


class MailCatcher:
    """An SMTP server and a page, both on the loopback interface."""

    def __init__(self, folder: Path, *, smtp_port: int, page_port: int) -> None:
        # It tells of every connection; the demo's console is for what matters.
        logging.getLogger("mail.log").setLevel(logging.WARNING)
        self._smtp = Controller(_Taker(folder), hostname=HOST, port=smtp_port, data_size_limit=LARGEST)
        self._page = _Server((HOST, page_port), _Pages)
        self._page.folder = folder
        self.address = f"http://{HOST}:{page_port}"
        self.smtp_url = f"smtp://{HOST}:{smtp_port}"

    def start(self) -> MailCatcher:
        """Both serve when it returns. Raises OSError where a port is taken."""
        self._smtp.start()
        threading.Thread(target=self._page.serve_forever, daemon=True).start()
        return self

    def stop(self) -> None:
        self._page.shutdown()
        self._page.server_close()
        self._smtp.stop(no_assert=True)


class _Taker:
    """Keeps what arrives; the name of its file is its place in time."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        content = envelope.content
        assert isinstance(content, bytes)
        with self._lock:
            path = self._folder / f"{time.time_ns()}.eml"
            part = path.with_suffix(".part")
            part.write_bytes(content)
            part.rename(path)
        return "250 OK, kept for you to look at"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    folder: Path


class _Pages(BaseHTTPRequestHandler):
    """/ lists the mails, /N shows one, /N/html is its HTML alone."""

    server: _Server

    def do_GET(self) -> None:
        parts = [part for part in self.path.partition("?")[0].split("/") if part]
        if not parts:
            return self._send(_list(self.server.folder), _PAGE)
        mail = self._mail(parts[0])
        if mail is None:
            return self._send(_document("No such mail", "<p><a href='/'>All mails</a></p>"), _PAGE, 404)
        if parts[1:] == ["html"]:
            return self._send(_html_of(mail), _FRAME)
        return self._send(_one(parts[0], mail), _PAGE)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing: the demo's console is for what matters."""

    def _mail(self, name: str) -> EmailMessage | None:
        path = self.server.folder / f"{name}.eml"
        return _read(path) if name.isascii() and name.isdigit() and path.exists() else None

    def _send(self, page: str, policy: str, status: int = 200) -> None:
        body = page.encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Security-Policy", policy)
        self.send_header("X-Content-Type-Options", "nosniff")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)


def _read(path: Path) -> EmailMessage:
    mail = email.message_from_bytes(path.read_bytes(), policy=email.policy.default)
    assert isinstance(mail, EmailMessage)
    return mail


def _document(title: str, body: str, head: str = "") -> str:
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{html.escape(title)}</title>"
        f"<meta name='viewport' content='width=device-width, initial-scale=1'>{head}<style>{_STYLE}</style></head>"
        f"<body><h1>{html.escape(title)}</h1>{body}</body></html>"
    )


def _list(folder: Path) -> str:
    paths = sorted(folder.glob("*.eml"), key=lambda path: int(path.stem) if path.stem.isdigit() else 0, reverse=True)
    rows = []
    for path in paths[:SHOWN]:
        mail = _read(path)
        at = time.strftime("%H:%M:%S", time.gmtime(int(path.stem) / 1e9)) if path.stem.isdigit() else ""
        rows.append(
            f"<tr><th scope='row'><a href='/{html.escape(path.stem)}'>{html.escape(str(mail['Subject']))}</a></th>"
            f"<td>{html.escape(str(mail['To']))}</td><td class='at'>{at} UTC</td></tr>"
        )
    table = f"<table><tbody>{''.join(rows)}</tbody></table>" if rows else "<p>No mail yet.</p>"
    more = f"<p>{len(paths) - SHOWN} older ones are in {html.escape(str(folder))}.</p>" if len(paths) > SHOWN else ""
    # Looked at anew every few seconds: no script runs here.
    return _document("Mails of the demo", table + more, "<meta http-equiv='refresh' content='5'>")


def _one(name: str, mail: EmailMessage) -> str:
    named = ("From", "To", "Subject", "Date", "Message-ID", "List-Unsubscribe", "Auto-Submitted")
    fields = "".join(
        f"<dt>{field}</dt><dd>{html.escape(str(mail[field]))}</dd>" for field in named if mail[field] is not None
    )
    shown = f"<iframe src='/{name}/html' title='The mail' sandbox='{_SANDBOX}'></iframe>"
    body = f"<p><a href='/'>All mails</a></p><dl>{fields}</dl>{shown}<h2>As text</h2><pre>{_linked(mail)}</pre>"
    return _document(str(mail["Subject"]), body)


def _linked(mail: EmailMessage) -> str:
    """The plain text, its addresses as links."""
    lines = []
    for line in _content(mail, "plain").splitlines():
        words = [
            f"<a href='{html.escape(word)}'>{html.escape(word)}</a>"
            if word.startswith(("http://", "https://"))
            else html.escape(word)
            for word in line.split(" ")
        ]
        lines.append(" ".join(words))
    return "\n".join(lines)


def _html_of(mail: EmailMessage) -> str:
    content = _content(mail, "html") or f"<pre>{html.escape(_content(mail, 'plain'))}</pre>"
    # A link in the frame opens a tab of its own: the frame may not navigate the page around it.
    return f"<base target='_blank'>{content}"


def _content(mail: EmailMessage, kind: str) -> str:
    part = mail.get_body((kind,))
    return str(part.get_content()) if part is not None else ""
