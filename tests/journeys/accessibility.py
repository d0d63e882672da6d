"""axe-core over a page as it stands in the browser: what keeps people from reading or using it."""

from __future__ import annotations

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

SERIOUS = frozenset({"serious", "critical"})
# WCAG 2.2 AA; best practices are advice and not asked for.
RULES = {
    "resultTypes": ["violations"],
    "runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]},
}


def serious_faults(page: Page) -> list[str]:
    """What axe-core calls serious or critical: 'rule: help: the element', the first three elements of each rule."""
    found = Axe().run(page, options=RULES).response["violations"]
    return [
        f"{fault['id']}: {fault['help']}: {node['html'][:160]}"
        for fault in found
        if fault["impact"] in SERIOUS
        for node in fault["nodes"][:3]
    ]


def assert_accessible(page: Page, where: str = "") -> None:
    """Fails with everything serious that axe-core finds on the page as it stands."""
    faults = serious_faults(page)
    assert not faults, "\n".join([where or page.url, *faults])
