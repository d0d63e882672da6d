"""axe-core finds nothing serious on any page, in both themes, on a desktop and on a phone."""

from __future__ import annotations

import pytest
from playwright.sync_api import Page

from tests.journeys.accessibility import serious_faults
from tests.journeys.conftest import SignIn
from tests.scenes import Shot, make_scenes

# Every page at both widths and in both themes; not each theme at each width, as neither depends on the other.
LOOKS = ((1440, "light"), (390, "dark"))


def _faults(page: Page, shot: Shot) -> dict[str, list[str]]:
    """By where: what is found at each width and in each theme."""
    if shot.fresh:
        shot.fresh()
    page.goto(shot.path)
    for selector in shot.open:
        page.click(selector)
    found = {}
    for width, theme in LOOKS:
        page.set_viewport_size({"width": width, "height": 900})
        page.emulate_media(color_scheme=theme, reduced_motion="reduce")
        faults = serious_faults(page)
        if faults:
            found[f"{shot.name} {theme} {width}"] = faults
    return found


@pytest.mark.usefixtures("transactional_db")
def test_axe_finds_nothing_serious_on_any_page(sign_in: SignIn) -> None:
    shots = make_scenes()
    found: dict[str, list[str]] = {}
    for person in sorted({shot.person for shot in shots if shot.person}):
        # Reduced motion: a colour on its way to another one is none that people read.
        page = sign_in(person, reduced_motion="reduce")
        for shot in (shot for shot in shots if shot.person == person):
            found |= _faults(page, shot)
    assert not found, "\n".join(f"{where}: {fault}" for where, faults in found.items() for fault in faults)
