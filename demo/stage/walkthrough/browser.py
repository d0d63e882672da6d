"""One person at the pages: signs in, reads, fills forms, as a browser without JavaScript would."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from html.parser import HTMLParser
from http.cookiejar import CookieJar
from urllib.parse import urlencode, urljoin

from demo.stage.errors import StageError

TIMEOUT_SECONDS = 30
SHOWN = 300  # characters of a page in a message


@dataclass(frozen=True)
class Form:
    """A form of a page: where it goes, and its fields with the values that they have."""

    action: str
    method: str
    fields: Mapping[str, str]


@dataclass(frozen=True)
class Page:
    """An answer. `text` is what a person reads; `notices` are the messages at its top."""

    url: str
    status: int
    text: str
    notices: tuple[str, ...]
    forms: tuple[Form, ...]
    seconds: float

    def form(self, *fields: str, action: str = "", **values: str) -> Form:
        """The form with these fields, these values and this end of its address. Raises StageError walkthrough.form."""
        for form in self.forms:
            if (
                set(fields) <= set(form.fields)
                and form.action.endswith(action)
                and all(form.fields.get(name) == value for name, value in values.items())
            ):
                return form
        wanted = ", ".join((*fields, *(f"{name}={value}" for name, value in values.items()))) or action
        raise StageError(
            "walkthrough.form",
            f"{self.url} ({self.status}) has no form with {wanted}: {self.text[:SHOWN]}",
            "A page or its rights changed.",
        )


class Browser:
    """A person's session."""

    def __init__(self, address: str, name: str, password: str) -> None:
        self.name = name
        self._address, self._password = address, password
        self._cookies = CookieJar()
        self._opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(self._cookies))

    def sign_in(self) -> None:
        """Through the sign-in page. Raises StageError walkthrough.sign_in."""
        form = self.get("/sign-in/").form("username", "password")
        page = self.submit(form, {"username": self.name, "password": self._password})
        if page.status != 200 or "/sign-in/" in page.url:
            raise StageError("walkthrough.sign_in", f"{self.name} can't sign in: {page.status}.", page.text[:SHOWN])

    def get(self, path: str) -> Page:
        """Open a page."""
        return self._ask(urllib.request.Request(urljoin(self._address, path)))

    def submit(self, form: Form, typed: Mapping[str, str]) -> Page:
        """Send a form with what was typed into it."""
        return self._post(form.action, {**form.fields, **typed})

    def confirm(self, form: Form, typed: Mapping[str, str]) -> Page:
        """Send a form that wants the password again."""
        return self.submit(form, {**typed, "password": self._password})

    def post_anyway(self, path: str, typed: Mapping[str, str]) -> Page:
        """Send what no form offers this person, with everything that a form would have carried."""
        token = next((cookie.value for cookie in self._cookies if cookie.name == "csrftoken"), "")
        fields = {"csrfmiddlewaretoken": token or "", "password": self._password, **typed}
        return self._post(urljoin(self._address, path), fields)

    def _post(self, url: str, fields: Mapping[str, str]) -> Page:
        request = urllib.request.Request(url, data=urlencode(fields).encode(), method="POST")
        request.add_header("Referer", url)
        return self._ask(request)

    def _ask(self, request: urllib.request.Request) -> Page:
        begun = time.monotonic()
        try:
            with self._opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
                status, url, body = answer.status, answer.url, answer.read()
        except urllib.error.HTTPError as refused:
            status, url, body = refused.code, refused.url or request.full_url, refused.read()
        seconds = time.monotonic() - begun
        parsed = _Parser(url)
        parsed.feed(body.decode(errors="replace"))
        if status >= 500:
            raise StageError(
                "walkthrough.page", f"{request.full_url} answers {status} to {self.name}.", "See the log of web."
            )
        return Page(url, status, parsed.text(), tuple(parsed.notices), tuple(parsed.forms), seconds)


class _Parser(HTMLParser):
    """Takes forms, notices and readable text out of a page."""

    _VOID = frozenset({"input", "img", "br", "hr", "meta", "link", "line", "rect", "path"})

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self.forms: list[Form] = []
        self.notices: list[str] = []
        self._words: list[str] = []
        self._form: tuple[str, str, dict[str, str]] | None = None
        self._area = ""
        self._select = ""
        self._hidden = 0
        self._notice_depth = 0

    def text(self) -> str:
        return " ".join(" ".join(self._words).split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag in ("script", "style"):
            self._hidden += 1
        if self._notice_depth and tag not in self._VOID:
            self._notice_depth += 1
        elif "hidden" not in given and given.get("role") in ("status", "alert") and "notice" in given.get("class", ""):
            self._notice_depth = 1
            self.notices.append("")
        if tag == "form":
            self._form = (urljoin(self._url, given.get("action") or self._url), given.get("method", "get").lower(), {})
        elif self._form is not None:
            self._field(tag, given, self._form[2])

    def _field(self, tag: str, given: Mapping[str, str], fields: dict[str, str]) -> None:
        name = given.get("name", "")
        if tag == "textarea":
            self._area = name
            fields[name] = ""
        elif tag == "select":
            self._select = name
            fields[name] = ""
        elif tag == "option" and self._select and ("selected" in given or not fields[self._select]):
            fields[self._select] = given.get("value", "")
        elif tag in ("input", "button") and name:
            if given.get("type") in ("radio", "checkbox") and "checked" not in given:
                fields.setdefault(name, "")
            else:
                fields[name] = given.get("value", "")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style"):
            self._hidden -= 1
        if self._notice_depth and tag not in self._VOID:
            self._notice_depth -= 1
        if tag == "form" and self._form is not None:
            self.forms.append(Form(*self._form))
            self._form = None
        elif tag == "textarea":
            self._area = ""
        elif tag == "select":
            self._select = ""

    def handle_data(self, data: str) -> None:
        if self._hidden:
            return
        if self._area and self._form is not None:
            self._form[2][self._area] += data.lstrip("\r\n")
        self._words.append(data)
        if self._notice_depth:
            self.notices[-1] = " ".join(f"{self.notices[-1]} {data}".split())
