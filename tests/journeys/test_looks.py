"""Both themes, a phone, a keyboard, no script, a lost connection; nothing that the content policy refuses."""

from __future__ import annotations

import pytest
from playwright.sync_api import ConsoleMessage, Page, expect

from migrations_app.models import MigrationRun
from migrations_app.models.states import RunState
from migrations_app.services.transitions import touch_run
from tests import factories as make
from tests.journeys.conftest import SignIn

PAGES = ("", "plan/", "checklist/", "verification/", "evidence/", "audit/", "roll-back/", "sign/qa/")


def _background(page: Page) -> str:
    return str(page.evaluate("getComputedStyle(document.body).backgroundColor"))


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1440])
def test_no_page_is_wider_than_its_window(
    sign_in: SignIn, who: make.People, at_gate_3: MigrationRun, width: int, theme: str
) -> None:
    page = sign_in("ana", viewport={"width": width, "height": 800}, color_scheme=theme)
    addresses = ["/", "/applications/", "/applications/yukyu/", "/audit/", "/runs/new/"]
    for address in [*addresses, *(f"/runs/{at_gate_3.pk}/{part}" for part in PAGES)]:
        page.goto(address)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), address
    assert _background(page) == ("rgb(246, 247, 248)" if theme == "light" else "rgb(14, 16, 18)")


def test_the_theme_switch_stays_chosen(sign_in: SignIn, who: make.People) -> None:
    page = sign_in("ana", color_scheme="light")
    page.get_by_role("button", name="Theme").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")
    assert _background(page) == "rgb(14, 16, 18)"
    page.goto("/audit/")
    assert _background(page) == "rgb(14, 16, 18)"


def test_the_content_policy_has_nothing_to_refuse(sign_in: SignIn, who: make.People, at_gate_3: MigrationRun) -> None:
    page = sign_in("boss")
    refused: list[str] = []

    def note(message: ConsoleMessage) -> None:
        if message.type == "error":
            refused.append(message.text)

    page.on("console", note)
    runs = "/admin/migrations_app/migrationrun/"
    for address in ("/", "/admin/", runs, *(f"/runs/{at_gate_3.pk}/{part}" for part in PAGES)):
        page.goto(address)
    page.goto(f"/runs/{at_gate_3.pk}/")
    with page.expect_response(lambda answer: answer.url.endswith("/live/")):
        pass
    assert refused == []


def test_the_page_follows_the_run_without_a_reload(sign_in: SignIn, who: make.People, loading: MigrationRun) -> None:
    page = sign_in("ana", timezone_id="Asia/Tokyo")
    page.goto(f"/runs/{loading.pk}/")
    expect(page.locator(".page-clock")).to_contain_text("JST")
    page.locator("#do-hold").focus()
    MigrationRun.objects.filter(pk=loading.pk).update(state=RunState.HELD, held_reason="Load: the disk is full.")
    touch_run(loading.pk)
    expect(page.get_by_role("heading", level=1)).to_have_text("Held: a person must decide")
    expect(page.locator("#announcement")).to_have_text("Held: a person must decide")


def test_what_was_unfolded_stays_so_while_the_page_follows_the_run(
    sign_in: SignIn, who: make.People, loading: MigrationRun
) -> None:
    page = sign_in("ana")
    page.goto(f"/runs/{loading.pk}/")
    expect(page.locator("#timetable table")).to_be_hidden()
    page.locator("#timetable > summary").click()
    expect(page.locator("#timetable table")).to_be_visible()
    MigrationRun.objects.filter(pk=loading.pk).update(state=RunState.HELD, held_reason="Load: the disk is full.")
    touch_run(loading.pk)
    expect(page.get_by_role("heading", level=1)).to_have_text("Held: a person must decide")
    expect(page.locator("#timetable table")).to_be_visible()
    assert page.title().startswith("Held: a person must decide · Run ")


def test_a_digest_is_one_click_from_its_evidence(sign_in: SignIn, who: make.People, loading: MigrationRun) -> None:
    page = sign_in("dora")
    page.goto(f"/runs/{loading.pk}/")
    page.locator(".table-log .digest").first.click()
    expect(page.locator(".fold-row[open] pre").first).to_be_visible()


def test_a_lost_connection_says_so(sign_in: SignIn, who: make.People, loading: MigrationRun) -> None:
    page = sign_in("ana")
    page.goto(f"/runs/{loading.pk}/")
    expect(page.locator("#connection")).to_be_hidden()
    page.context.set_offline(True)
    expect(page.locator("#connection")).to_contain_text("No connection since", timeout=8_000)
    page.context.set_offline(False)
    expect(page.locator("#connection")).to_be_hidden(timeout=8_000)


def test_everything_works_without_a_script(sign_in: SignIn, who: make.People, at_gate_1: MigrationRun) -> None:
    page = sign_in("ben", java_script_enabled=False)
    page.goto(f"/runs/{at_gate_1.pk}/")
    expect(page.get_by_text("This page doesn’t refresh itself here.")).to_be_visible()
    page.get_by_role("link", name="Review and sign").click()
    page.get_by_label("Reason").first.fill("The mapping is right.")
    page.get_by_label("Your password").fill(make.PASSWORD)
    page.get_by_role("button", name="Approve the plan").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Approved, not yet started")
    page.get_by_role("button", name="Theme").click()
    expect(page.locator("html")).to_have_attribute("data-theme", "dark")


def test_a_gate_is_signed_by_the_keyboard_alone(sign_in: SignIn, who: make.People, at_gate_1: MigrationRun) -> None:
    page = sign_in("ben")
    page.goto(f"/runs/{at_gate_1.pk}/sign/plan/")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "reason":
            break
    page.keyboard.type("The mapping is right.")
    page.keyboard.press("Tab")
    page.keyboard.type(make.PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Approved, not yet started")
