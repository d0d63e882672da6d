"""What it costs to go back, and going back."""

from __future__ import annotations

from playwright.sync_api import expect

from migrations_app.models import MigrationRun
from migrations_app.models.states import RunState
from tests import factories as make
from tests.journeys.conftest import SignIn


def test_ops_sees_the_price_and_rolls_back_alone_when_nothing_is_lost(
    sign_in: SignIn, who: make.People, loading: MigrationRun
) -> None:
    page = sign_in("ana")
    page.goto(f"/runs/{loading.pk}/")
    expect(page.get_by_text("Yes. Nothing is lost. About 2 min 10 s")).to_be_visible()
    page.get_by_role("link", name="Roll back…").click()
    price = page.locator(".price")
    expect(price).to_contain_text("nothing")
    expect(price).to_contain_text("about 2 min 10 s")
    page.get_by_label("Reason").fill("The window is over.")
    page.get_by_label("Type yukyu to confirm").fill("yukyu")
    page.get_by_label("Your password").fill(make.PASSWORD)
    page.get_by_role("button", name="Roll back", exact=True).click()
    expect(page.get_by_role("heading", level=1)).to_contain_text("Rolling back")
    loading.refresh_from_db()
    assert loading.state == RunState.ROLLING_BACK


def test_what_is_not_known_is_priced_as_a_loss_and_needs_two(
    sign_in: SignIn, who: make.People, at_gate_3: MigrationRun
) -> None:
    page = sign_in("ana")
    page.goto(f"/runs/{at_gate_3.pk}/roll-back/")
    expect(page.locator(".price-loss")).to_contain_text("not known")
    expect(page.get_by_text("Two people decide this.")).to_be_visible()
    # Beside it stands the form that breaks the glass.
    form = page.locator("#rollback-form")
    form.get_by_label("Reason").fill("PostgreSQL is gone.")
    form.get_by_label("Type yukyu to confirm").fill("yukyu")
    form.get_by_label("Your password").fill(make.PASSWORD)
    page.get_by_role("button", name="Ask to roll back").click()
    expect(page.get_by_text("You asked for this.")).to_be_visible()
    lead = sign_in("ben")
    lead.get_by_role("link", name="Agree or refuse").click()
    lead.locator("#agree_password").fill(make.PASSWORD)
    lead.get_by_role("button", name="Agree, and roll back").click()
    expect(lead.get_by_text("Agreed. Rolling back.")).to_be_visible()


def test_a_viewer_sees_everything_and_can_touch_nothing(
    sign_in: SignIn, who: make.People, loading: MigrationRun
) -> None:
    page = sign_in("dora")
    page.goto(f"/runs/{loading.pk}/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Loading, 4 of 7 tables")
    for name in ("roll_back", "hold"):
        expect(page.locator(f"#do-{name}")).to_have_attribute("aria-disabled", "true")
    expect(page.locator("#why-roll_back")).to_contain_text("ops (ana)")
    page.goto(f"/runs/{loading.pk}/roll-back/")
    assert page.locator("input[name=password]").count() == 0


def test_who_is_of_another_application_finds_nothing(sign_in: SignIn, who: make.People, loading: MigrationRun) -> None:
    page = sign_in("eve")
    expect(page.get_by_role("heading", level=1)).to_have_text("No application yet")
    page.goto(f"/runs/{loading.pk}/")
    expect(page.get_by_role("heading", level=1)).to_have_text("Nothing here")
