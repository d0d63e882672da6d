"""The admin site: to look at, and a way into the same dialogs."""

from __future__ import annotations

from playwright.sync_api import expect

from migrations_app.models import MigrationRun
from tests import factories as make
from tests.journeys.conftest import SignIn


def test_a_superuser_reads_a_run_and_can_not_change_it(
    sign_in: SignIn, who: make.People, loading: MigrationRun
) -> None:
    page = sign_in("boss")
    page.goto(f"/admin/migrations_app/migrationrun/{loading.pk}/change/")
    expect(page.get_by_role("heading", name="View migration run")).to_be_visible()
    assert page.locator("input[name=_save], a.deletelink").count() == 0


def test_ops_goes_from_the_admin_to_the_rollback_dialog(
    sign_in: SignIn, who: make.People, loading: MigrationRun
) -> None:
    page = sign_in("ana")
    page.goto("/admin/migrations_app/migrationrun/")
    page.locator(f"input[name=_selected_action][value='{loading.pk}']").check()
    page.select_option("select[name=action]", "roll_back")
    page.get_by_role("button", name="Go").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Roll back run {loading.pk}?")
    expect(page.locator(".price")).to_contain_text("nothing")
