"""A team lead approves a plan, its author can't, QA accepts."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from migrations_app.models import ChecklistItem, MigrationRun
from migrations_app.models.states import ItemState, RunState
from tests import factories as make
from tests.journeys.conftest import SignIn


def test_a_lead_finds_what_waits_for_her_and_signs_it(
    sign_in: SignIn, who: make.People, at_gate_1: MigrationRun
) -> None:
    page = sign_in("ben")
    expect(page.get_by_role("heading", level=1)).to_have_text("One run needs you")
    page.get_by_role("link", name="Review and sign").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Gate 1")
    page.get_by_label("Reason").first.fill("The mapping is right and rehearsed.")
    page.get_by_label("Your password").fill(make.PASSWORD)
    page.get_by_role("button", name="Approve the plan").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Approved, not yet started")
    at_gate_1.refresh_from_db()
    assert at_gate_1.state == RunState.APPROVED


def test_the_author_is_refused_with_the_reason_and_told_who_can(
    sign_in: SignIn, who: make.People, at_gate_1: MigrationRun
) -> None:
    page = sign_in("emi")
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing needs you")
    page.goto(f"/runs/{at_gate_1.pk}/")
    button = page.locator("#do-sign")
    expect(button).to_have_attribute("aria-disabled", "true")
    expect(page.locator("#why-sign")).to_contain_text("You wrote this plan; another team lead must approve it.")
    expect(page.locator("#why-sign")).to_contain_text("ben")


def test_a_wrong_password_is_said_beside_its_field_and_nothing_typed_is_lost(
    sign_in: SignIn, who: make.People, at_gate_1: MigrationRun
) -> None:
    page = sign_in("ben")
    page.goto(f"/runs/{at_gate_1.pk}/sign/plan/")
    page.get_by_label("Reason").first.fill("The mapping is right.")
    page.get_by_label("Your password").fill("not hers")
    page.get_by_role("button", name="Approve the plan").click()
    expect(page.get_by_text("That is not your password")).to_be_visible()
    expect(page.get_by_label("Reason").first).to_have_value("The mapping is right.")
    expect(page.get_by_label("Your password")).to_have_value("")


def test_qa_records_what_she_saw(sign_in: SignIn, who: make.People, at_gate_3: MigrationRun) -> None:
    page = sign_in("chika")
    page.get_by_role("link", name="Open the checklist").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("8 items left for you")
    page.get_by_role("link", name="Passed…").first.click()
    expect(page.get_by_label(re.compile("Passed"))).to_be_checked()
    page.get_by_label("Note").fill("Opened in 0.8 s.")
    page.get_by_role("button", name="Record the result").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("7 items left for you")
    page.get_by_text("What was seen, by whom").click()
    expect(page.get_by_text("“Opened in 0.8 s.”")).to_be_visible()
    assert ChecklistItem.objects.get(run=at_gate_3, code="V01").state == ItemState.PASSED


def test_qa_accepts_once_every_item_has_passed(sign_in: SignIn, who: make.People, at_gate_3: MigrationRun) -> None:
    at_gate_3.items.filter(prover="qa").update(state=ItemState.PASSED)
    page = sign_in("chika")
    page.get_by_role("link", name="Review and sign").click()
    page.get_by_label("Reason").first.fill("Every page shows what it showed.")
    page.get_by_label("Your password").fill(make.PASSWORD)
    page.get_by_role("button", name="Accept").click()
    expect(page.get_by_text("is signed, by you as QA")).to_be_visible()
    at_gate_3.refresh_from_db()
    assert at_gate_3.state == RunState.RUNNING
