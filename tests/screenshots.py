"""Pictures of every page, in both themes, at two widths: `make screenshots`. To be opened and looked at.

    python -m tests.screenshots [--output DIR] [--only PART_OF_A_NAME] [--theme dark] [--width 390]

A private installation with rows from tests/factories.py; the rows written since a switch are in a real PostgreSQL.
"""

from __future__ import annotations

import argparse
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import tests.servers  # noqa: F401  (first: it sets the environment that the settings are read from)

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "controlplane.settings")
os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"  # playwright's loop runs in this thread, Django's queries too

import django

django.setup()

from django.core.management import call_command  # noqa: E402
from django.core.servers.basehttp import ThreadedWSGIServer, WSGIRequestHandler  # noqa: E402
from django.core.wsgi import get_wsgi_application  # noqa: E402
from playwright.sync_api import Browser, sync_playwright  # noqa: E402

from tests import factories as make  # noqa: E402
from tests.journeys.browser import LAUNCH  # noqa: E402
from tests.scenes import Shot, make_scenes  # noqa: E402

WIDTHS = (1440, 390)
THEMES = ("light", "dark")
PASSWORD_FIELD = "input[name=password]"


class QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        """Says nothing: the pictures are the output."""


@contextmanager
def serving() -> Iterator[str]:
    """The product on a free port of this machine."""
    server = ThreadedWSGIServer(("127.0.0.1", 0), QuietHandler)
    server.set_app(get_wsgi_application())
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join(timeout=5)


def take(
    browser: Browser,
    address: str,
    shots: list[Shot],
    output: Path,
    widths: tuple[int, ...] = WIDTHS,
    themes: tuple[str, ...] = THEMES,
) -> list[str]:
    """Every shot in every theme and width; the names of those that are wider than the window."""
    too_wide = []
    for width in widths:
        for theme in themes:
            for name in sorted({shot.person for shot in shots}):
                mine = [shot for shot in shots if shot.person == name]
                too_wide += _as_person(browser, address, mine, output, width, theme)
    return too_wide


def _as_person(browser: Browser, address: str, shots: list[Shot], output: Path, width: int, theme: str) -> list[str]:
    context = browser.new_context(
        viewport={"width": width, "height": 900}, color_scheme=theme, timezone_id="Asia/Tokyo", base_url=address
    )
    context.set_default_timeout(60_000)  # a busy machine is no reason to begin anew
    page = context.new_page()
    too_wide = []
    page.goto("/sign-in/")
    if shots[0].person:
        page.fill("input[name=username]", shots[0].person)
        page.fill(PASSWORD_FIELD, shots[0].password)
        page.click("button[type=submit]")
    for shot in shots:
        if shot.fresh:
            shot.fresh()
        page.goto(shot.path)
        for selector in shot.open:
            page.click(selector)
        page.screenshot(path=output / f"{shot.name}-{theme}-{width}.png", full_page=True)
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            too_wide.append(f"{shot.name}-{theme}-{width}")
    context.close()
    return too_wide


def _readme(browser: Browser, address: str, path: Path) -> int:
    """The run page in the middle of a load, as much of it as fits a screen."""
    context = browser.new_context(viewport={"width": 1280, "height": 1010}, timezone_id="Asia/Tokyo", base_url=address)
    page = context.new_page()
    page.goto("/sign-in/")
    page.fill("input[name=username]", "ana")
    page.fill(PASSWORD_FIELD, make.PASSWORD)
    page.click("button[type=submit]")
    page.get_by_role("link", name="yukyu", exact=False).first.click()
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=path)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("test-results/screenshots"))
    parser.add_argument("--only", default="")
    parser.add_argument("--theme", choices=THEMES)
    parser.add_argument("--width", type=int, choices=WIDTHS)
    parser.add_argument("--readme", type=Path, help="take the README's picture instead, into this file")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.WARNING)  # sign-ins and the page that isn't there are expected
    call_command("migrate", verbosity=0)
    shots = [shot for shot in make_scenes() if options.only in shot.name]
    with serving() as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(**LAUNCH)
        if options.readme:
            return _readme(browser, address, options.readme)
        widths = (options.width,) if options.width else WIDTHS
        themes = (options.theme,) if options.theme else THEMES
        too_wide = take(browser, address, shots, options.output, widths, themes)
        browser.close()
    print(f"{len(shots) * len(widths) * len(themes)} pictures in {options.output}")
    for name in too_wide:
        print(f"wider than its window: {name}")
    return 1 if too_wide else 0


if __name__ == "__main__":
    raise SystemExit(main())
