"""Signatures that lapse and are taken back, a second factor, a rollback decided alone: each in its person's browser."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyotp
import pytest
from playwright.sync_api import Browser, Page, expect

from controlplane.people.models import SecondFactor
from migrations_app.models import Approval, MigrationPlan, MigrationRun, RollbackRequest
from migrations_app.models.states import ItemState, RunState, StepState
from migrations_app.services.checklist import record_result
from tests import factories as make
from tests.journeys.accessibility import assert_accessible
from tests.journeys.conftest import SignIn

PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 800}}


@pytest.fixture
def at_gate_4(plan: MigrationPlan, who: make.People) -> MigrationRun:
    """Waits for lead, QA and ops; every item is proved."""
    make.rehearsed(plan, who.ops)
    run = make.run(plan, who.ops)
    signers = {"lead": who.lead, "ops": who.ops, "qa": who.qa}
    make.reach(run, "gate_sign_off", state=StepState.PENDING, run_state=RunState.WAITING, signers=signers)
    make.verified(run)
    make.reality(run, dialect="postgresql")
    make.people_passed(run)
    return MigrationRun.objects.get(pk=run.pk)


def _sign(page: Page, run: MigrationRun, reason: str) -> None:
    page.goto(f"/runs/{run.pk}/sign/sign_off/")
    page.get_by_label("Reason").first.fill(reason)
    page.get_by_label("Your password").fill(make.PASSWORD)
    page.get_by_role("button", name="Sign off", exact=True).click()
    expect(page.get_by_text("is signed, by you as Team lead")).to_be_visible()


def test_a_signature_lapses_with_its_cause_and_is_given_again(
    sign_in: SignIn, who: make.People, at_gate_4: MigrationRun
) -> None:
    page = sign_in("ben", **PHONE)
    _sign(page, at_gate_4, "The report is clean.")
    item = at_gate_4.items.filter(prover="qa").order_by("position")[0]
    record_result(actor=who.qa, item=item, outcome=ItemState.FAILED, note="The chart of 2024 is empty.")
    record_result(actor=who.qa, item=item, outcome=ItemState.PASSED, note="Reloaded it: the chart is complete.")
    page.goto(f"/runs/{at_gate_4.pk}/sign/sign_off/")
    ended = page.locator(".notice", has_text="A signature has ended")
    expect(ended).to_contain_text(f"Item {item.code}")
    expect(page.get_by_text("Changed since you signed")).to_be_visible()
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.get_by_label("Reason").first.fill("Looked at the chart too.")
    expect(page.get_by_text("it holds until")).to_be_visible()  # the password of a moment ago
    page.get_by_role("button", name="Sign off", exact=True).click()
    expect(page.get_by_text("is signed, by you as Team lead")).to_be_visible()
    states = list(Approval.objects.filter(gate__code="sign_off").order_by("pk").values_list("state", flat=True))
    assert states == ["lapsed", "valid"]


def test_a_signature_is_taken_back_with_a_reason_of_its_own(
    sign_in: SignIn, who: make.People, at_gate_4: MigrationRun
) -> None:
    page = sign_in("ben")
    _sign(page, at_gate_4, "The report is clean.")
    page.goto(f"/runs/{at_gate_4.pk}/sign/sign_off/")
    page.get_by_text("Take my signature back…").click()
    page.get_by_label("Why you take it back").fill("An alert came in.")
    page.get_by_role("button", name="Withdraw my signature").click()
    expect(page.get_by_text("Your signature is withdrawn.")).to_be_visible()
    expect(page.locator(".notice", has_text="A signature has ended")).to_contain_text("An alert came in.")
    expect(page.get_by_role("button", name="Sign off", exact=True)).to_be_enabled()


def _code(name: str) -> str:
    secret = SecondFactor.objects.get(user__username=name).secret.reveal()
    return str(pyotp.TOTP(secret).at(datetime.now(UTC)))


def _next_code(name: str) -> str:
    """The coming half minute's code, which is taken already: no test waits for the clock."""
    secret = SecondFactor.objects.get(user__username=name).secret.reveal()
    return str(pyotp.TOTP(secret).at(datetime.now(UTC), counter_offset=1))


@pytest.mark.parametrize("options", [{}, PHONE], ids=["desktop", "phone"])
def test_an_authenticator_is_added_and_asked_at_the_sign_in_and_before_a_decision(
    sign_in: SignIn,
    browser: Browser,
    live_server: Any,
    who: make.People,
    loading: MigrationRun,
    options: dict[str, Any],
) -> None:
    page = sign_in("ana", **options)
    page.goto("/settings/second-factor/")
    page.get_by_role("button", name="Show me the picture").click()
    expect(page.locator("svg.qr")).to_be_visible()
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.get_by_label("The code that it shows now").fill(_code("ana"))
    page.get_by_label("Your password").fill(make.PASSWORD)
    page.get_by_role("button", name="Turn it on").click()
    expect(page.locator(".code-list li")).to_have_count(10)
    recovery = page.locator(".code-list code").all_inner_texts()
    assert_accessible(page)
    page.get_by_role("button", name="Sign out").click()

    page.get_by_label("Name").fill("ana")
    page.get_by_label("Password").fill(make.PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="One more step")).to_be_visible()
    assert_accessible(page)
    page.get_by_label("Code").fill("000000")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_text("That is not a code of now")).to_be_visible()
    page.get_by_label("Code").fill(_next_code("ana"))
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("link", name="Runs").first.wait_for()

    page.goto(f"/runs/{loading.pk}/roll-back/")
    page.get_by_label("Reason").fill("The window is over.")
    page.get_by_label("Type yukyu to confirm").fill("yukyu")
    page.get_by_label("Your password").fill(make.PASSWORD)
    page.get_by_label("Your authenticator’s code").fill(recovery[0])
    page.get_by_role("button", name="Roll back", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Rolling back")


@pytest.mark.parametrize("options", [{}, PHONE], ids=["desktop", "phone"])
def test_one_person_breaks_the_glass_and_another_countersigns(
    sign_in: SignIn, who: make.People, at_gate_3: MigrationRun, options: dict[str, Any]
) -> None:
    page = sign_in("ana", **options)
    page.goto(f"/runs/{at_gate_3.pk}/roll-back/")
    page.get_by_text("Nobody can be reached? Break the glass…").click()
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    form = page.locator("#break-glass")
    form.get_by_label("Why it can’t wait").fill("Called ben and emi three times; users see wrong leave.")
    form.get_by_label("Type yukyu to confirm").fill("yukyu")
    form.get_by_label("I decide this alone").check()
    form.get_by_label("Your password").fill(make.PASSWORD)
    form.get_by_role("button", name="Roll back alone, now").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Rolling back")
    expect(page.locator("#alone")).to_contain_text("ana decided this rollback alone")
    page.goto(f"/runs/{at_gate_3.pk}/roll-back/")
    expect(page.get_by_role("button", name="Countersign")).to_have_attribute("aria-disabled", "true")
    expect(page.locator("#why")).to_contain_text("team lead (ben, emi)")

    lead = sign_in("ben", **options)
    lead.get_by_role("link", name="Look and countersign").click()
    expect(lead.get_by_text("Called ben and emi three times")).to_be_visible()
    assert_accessible(lead)
    lead.get_by_label("What you looked at").fill("The delta file is complete.")
    lead.get_by_label("Your password").fill(make.PASSWORD)
    lead.get_by_role("button", name="Countersign").click()
    expect(lead.get_by_text("Countersigned.")).to_be_visible()
    expect(lead.locator("#alone")).to_have_count(0)
    assert RollbackRequest.objects.get().countersigned_by == who.lead


def test_without_a_script_the_glass_breaks_as_well(sign_in: SignIn, who: make.People, at_gate_3: MigrationRun) -> None:
    page = sign_in("ana", java_script_enabled=False)
    page.goto(f"/runs/{at_gate_3.pk}/roll-back/")
    page.get_by_text("Nobody can be reached? Break the glass…").click()
    form = page.locator("#break-glass")
    form.get_by_label("Why it can’t wait").fill("Nobody answers.")
    form.get_by_label("Type yukyu to confirm").fill("yukyu")
    form.get_by_label("Your password").fill(make.PASSWORD)
    form.get_by_label("I decide this alone").check()
    form.get_by_role("button", name="Roll back alone, now").click()
    expect(page.locator("#alone")).to_be_visible()
