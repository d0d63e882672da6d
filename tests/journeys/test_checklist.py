"""QA at work: records with a file at a desk and on a phone, finds that a failed item blocks, without a script too."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from migrations_app.models import ChecklistItem, MigrationRun
from migrations_app.models.states import ItemState
from tests import factories as make
from tests.journeys.accessibility import assert_accessible
from tests.journeys.conftest import SignIn

DESK = {"width": 1440, "height": 900}
PHONE = {"width": 390, "height": 844}
PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64


@pytest.fixture(autouse=True)
def artifacts(settings: Any, tmp_path: Path) -> Path:
    settings.CAUSEWAY_ARTIFACTS_DIR = tmp_path / "artifacts"
    return tmp_path


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "画面.png"
    path.write_bytes(PNG)
    return path


def _record(page: Page, item: str, outcome: str, note: str, picture: Path | None = None) -> None:
    page.locator(f"#i-{item}").get_by_role("link", name=f"{outcome}…").click()
    expect(page.get_by_label(re.compile(f"^{outcome}"))).to_be_checked()
    page.get_by_label("Note").fill(note)
    if picture is not None:
        page.get_by_label("Files").set_input_files(picture)
    page.get_by_role("button", name="Record the result").click()


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_qa_records_with_a_file_and_finds_it_again(
    sign_in: SignIn, who: make.People, at_gate_3: MigrationRun, picture: Path, size: dict[str, int]
) -> None:
    page = sign_in("chika", viewport=size)
    page.goto(f"/runs/{at_gate_3.pk}/checklist/")
    left = ChecklistItem.objects.filter(run=at_gate_3, prover="qa", state="open").exclude(phase__in=["monitoring"])
    expect(page.get_by_role("heading", level=1)).to_have_text(f"{left.count()} items left for you")
    _record(page, "V01", "Passed", "As on SQLite.", picture)
    expect(page.get_by_text("V01 is recorded: passed.")).to_be_visible()
    page.get_by_text("What was seen, by whom").click()
    expect(page.get_by_text("“As on SQLite.”")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="画面.png").first.click()
    assert download.value.suggested_filename == "画面.png"
    assert Path(download.value.path()).read_bytes() == PNG
    page.goto(f"/runs/{at_gate_3.pk}/evidence/")
    expect(page.get_by_role("heading", name="Given by people")).to_be_visible()


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_failed_item_blocks_the_gate_until_it_passes(
    sign_in: SignIn, who: make.People, at_gate_3: MigrationRun, size: dict[str, int]
) -> None:
    at_gate_3.items.exclude(prover="system").exclude(code="V05").update(state=ItemState.PASSED)
    page = sign_in("chika", viewport=size)
    page.goto(f"/runs/{at_gate_3.pk}/checklist/")
    _record(page, "V05", "Failed", "The chart of ukeoi is empty.")
    expect(page.get_by_role("heading", level=1)).to_have_text("1 item left for you")
    page.goto(f"/runs/{at_gate_3.pk}/sign/qa/")
    expect(page.get_by_text(re.compile("V05 .*is failed")).first).to_be_visible()
    expect(page.get_by_role("button", name="Accept")).to_have_attribute("aria-disabled", "true")
    page.goto(f"/runs/{at_gate_3.pk}/checklist/")
    page.get_by_role("link", name="Test again… V05").click()
    page.get_by_label(re.compile("^Passed")).check()
    page.get_by_label("Note").fill("It was the browser's cache: the chart is there.")
    page.get_by_role("button", name="Record the result").click()
    page.goto(f"/runs/{at_gate_3.pk}/sign/qa/")
    expect(page.get_by_role("button", name="Accept")).not_to_have_attribute("aria-disabled", "true")


def test_everything_works_without_a_script(
    sign_in: SignIn, who: make.People, at_gate_3: MigrationRun, picture: Path
) -> None:
    page = sign_in("chika", java_script_enabled=False)
    page.goto(f"/runs/{at_gate_3.pk}/checklist/")
    _record(page, "V02", "Passed", "Three people compared.", picture)
    item = ChecklistItem.objects.get(run=at_gate_3, code="V02")
    assert item.state == ItemState.PASSED and item.results.get().files.get().name == "画面.png"
    page.goto(f"/runs/{at_gate_3.pk}/checklist/V02/")
    page.get_by_text("Open it again without a result").click()
    page.get_by_label("Reason").fill("The data was loaded anew.")
    page.get_by_role("button", name="Open again").click()
    expect(page.get_by_text("V02 is open again.")).to_be_visible()


def test_a_lead_sees_what_changed_and_waives_what_the_system_could_not_prove(
    sign_in: SignIn, who: make.People, at_gate_3: MigrationRun
) -> None:
    page = sign_in("ben")
    page.goto(f"/runs/{at_gate_3.pk}/checklist/V12/")
    at_gate_3.items.filter(code="V12").update(state=ItemState.INCONCLUSIVE)
    page.reload()
    page.get_by_text("Waive it: go on without").click()
    page.get_by_label("Reason").fill("Its format is checked by the application.")
    page.get_by_role("button", name="Waive V12").click()
    expect(page.get_by_text("V12 is waived.")).to_be_visible()
    qa = sign_in("chika")
    qa.goto(f"/runs/{at_gate_3.pk}/checklist/V12/")
    expect(qa.get_by_text("Its format is checked by the application.").first).to_be_visible()
    expect(qa.get_by_text("Waived").first).to_be_visible()


def test_a_team_makes_the_checklist_its_own(sign_in: SignIn, who: make.People) -> None:
    page = sign_in("chika")
    page.goto("/applications/yukyu/checklist/")
    page.get_by_text("Copy it to edit it…").click()
    page.get_by_label("Reason").fill("Our pages have other names.")
    page.get_by_role("button", name="Copy the checklist").click()
    page.get_by_role("link", name="Add an item…").click()
    page.get_by_label("Code").fill("Q01")
    page.get_by_label("What must hold").fill("Overtime of three people is right")
    page.get_by_label("Reason").fill("Payroll reads it.")
    page.get_by_role("button", name="Add the item").click()
    expect(page.get_by_text("Q01 “Overtime of three people is right” is added, mandatory.").first).to_be_visible()
    assert_accessible(page)


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_axe_finds_no_serious_fault(
    sign_in: SignIn, who: make.People, at_gate_3: MigrationRun, size: dict[str, int], theme: str
) -> None:
    at_gate_3.items.filter(code="V05").update(state=ItemState.FAILED)
    at_gate_3.items.filter(code="V08").update(state=ItemState.FAILED)
    page = sign_in("chika", viewport=size, color_scheme=theme, bypass_csp=True)
    run = f"/runs/{at_gate_3.pk}"
    for path in (
        f"{run}/checklist/",
        f"{run}/checklist/V05/",
        f"{run}/checklist/V08/",
        f"{run}/evidence/",
        "/applications/yukyu/checklist/",
    ):
        page.goto(path)
        page.evaluate("document.querySelectorAll('details').forEach(fold => { fold.open = true; })")
        assert_accessible(page, path)
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"), path
