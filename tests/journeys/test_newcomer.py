"""A newcomer's first crossing: from a plan to a certificate by what the pages say, each person in their own browser.

Between the people's clicks the test does what the workers would; the application, its processes, PostgreSQL and every
step are real. At the end an auditor checks the bundle with nothing but Python and the public key.
"""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import Page, expect

from controlplane.audit import signing
from migrations_app.models import MigrationPlan, MigrationRun
from migrations_app.services.certificate.issue import issue_due
from migrations_app.services.plan_making import work_on_plan
from tests import factories as make
from tests.journeys.conftest import SignIn
from tests.migrations_app.runs.conftest import World, world  # noqa: F401  (the fixture)

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 64


@pytest.fixture
def team(world: World, settings: Any, tmp_path: Path) -> World:  # noqa: F811
    settings.CAUSEWAY_AUDIT_KEY_FILE = str(tmp_path / "keys" / "audit.pem")
    for person in User.objects.all():
        person.set_password(make.PASSWORD)
        person.save()
    return world


def _heading(page: Page, text: str | re.Pattern[str]) -> None:
    expect(page.get_by_role("heading", level=1)).to_contain_text(text, timeout=20_000)


def _sign(page: Page, button: str, reason: str, typed: str = "") -> None:
    """From the first page: what needs me, then the dialog."""
    page.goto("/")
    page.get_by_role("link", name="Review and sign").click()
    page.get_by_label("Reason").first.fill(reason)
    if typed:
        page.get_by_label(f"Type {typed}").fill(typed)
    if page.get_by_label("Your password").count():
        page.get_by_label("Your password").fill(make.PASSWORD)
    page.get_by_role("button", name=button).click()
    expect(page.get_by_text("is signed, by you as")).to_be_visible()


def _record_all(page: Page, picture: Path) -> None:
    """Everything that the checklist calls mine; the first with a file."""
    page.goto("/")
    page.get_by_role("link", name="Open the checklist").click()
    left = re.compile(r"\d items? left for you")
    _heading(page, left)
    first = True
    while page.get_by_role("link", name="Passed…").count():
        page.get_by_role("link", name="Passed…").first.click()
        page.get_by_label("Note").fill("Tried in the browser, as on SQLite.")
        if first:
            page.get_by_label("Files").set_input_files(picture)
        page.get_by_role("button", name="Record the result").click()
        expect(page.get_by_text("is recorded: passed.")).to_be_visible()
        first = False
    expect(page.get_by_role("heading", level=1)).not_to_contain_text(left)


def _plan_and_rehearse(ops: Page, team: World) -> MigrationRun:
    ops.get_by_role("link", name="Applications", exact=True).click()
    ops.get_by_role("link", name="tiny").first.click()
    ops.get_by_role("link", name="Make a plan…").click()
    ops.get_by_label("Watched after the switch").fill("0")
    ops.get_by_role("button", name="Make the plan").click()
    _heading(ops, "The plan is being made")
    assert work_on_plan(plan_id=MigrationPlan.objects.get().pk)
    _heading(ops, "2 tables will be moved")  # by itself
    ops.get_by_role("link", name="Draft a rehearsal…").click()
    expect(ops.get_by_role("radio", name=re.compile("^Rehearsal"))).to_be_checked()
    ops.get_by_role("button", name="Draft the run").click()
    ops.get_by_role("button", name="Start the run").click()
    expect(ops.get_by_text("A rehearsal: production is not touched.")).to_be_visible()
    team.drive(MigrationRun.objects.get())
    _heading(ops, "Rehearsed, and every cell equal")
    ops.get_by_role("link", name="Draft the production run…").click()
    expect(ops.locator("[value=production]")).to_be_checked()
    ops.get_by_role("button", name="Draft the run").click()
    ops.get_by_role("button", name="Submit for approval").click()
    _heading(ops, "Gate 1 · Plan: 0 of 1 signed")
    run = MigrationRun.objects.get(kind="production")
    team.runs.append(run)
    return run


def _audit(bundle: Path, key: Path) -> subprocess.CompletedProcess[str]:
    """As the bundle's README says, in an environment that has nothing of ours."""
    command = [sys.executable, "-I", "-S", str(bundle / "verify.py"), str(bundle), "--public-key", str(key)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, env={}, cwd=bundle, check=False)


def test_a_newcomer_goes_from_a_draft_to_a_certificate_that_an_auditor_can_check(
    sign_in: SignIn, team: World, tmp_path: Path
) -> None:
    picture = tmp_path / "画面.png"
    picture.write_bytes(PNG)
    ops, lead, qa, viewer = (sign_in(name) for name in ("ana", "ben", "chika", "dana"))
    run = _plan_and_rehearse(ops, team)
    _sign(lead, "Approve the plan", "Rehearsed, and every cell was equal.")
    ops.goto("/")
    ops.get_by_role("link", name="Start the run").click()
    ops.get_by_role("button", name="Start the run").click()
    team.drive(run)
    _heading(ops, "Gate 2")
    expect(ops.get_by_text("QA (chika) can record it").first).to_be_visible()
    _record_all(qa, picture)
    _record_all(ops, picture)
    _sign(lead, "Sign: go", "Rehearsed and backed up: go.", "tiny")
    _sign(ops, "Sign: go", "The window is ours: go.", "tiny")
    team.drive(run)
    _heading(ops, "Gate 3")
    assert team.items_in_target() == team.items_in_sqlite()
    _record_all(qa, picture)
    _sign(qa, "Accept", "Every page shows what it showed.")
    team.drive(run)
    for page in (qa, lead, ops):
        _sign(page, "Sign off", "It stays on PostgreSQL.")
    team.drive(run)
    _heading(ops, "tiny runs on PostgreSQL")
    assert issue_due(now=timezone.now()) == 1
    viewer.goto(f"/runs/{run.pk}/")
    viewer.get_by_role("link", name="Certificate").click()
    _heading(viewer, "runs on PostgreSQL")
    expect(viewer.get_by_role("button", name="Evidence bundle")).to_have_attribute("aria-disabled", "true")
    lead.goto(f"/runs/{run.pk}/certificate/")
    with lead.expect_download() as download:
        lead.get_by_role("button", name="Evidence bundle").click()
    bundle, key = tmp_path / "bundle", tmp_path / "public.pem"
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(bundle)
    key.write_text(signing.public_pem())
    whole = _audit(bundle, key)
    assert whole.returncode == 0 and f"files of run {run.pk} of tiny" in whole.stdout, whole.stdout + whole.stderr
    pdf = bundle / "certificate" / "certificate.pdf"
    changed = bytearray(pdf.read_bytes())
    changed[len(changed) // 2] ^= 1
    pdf.write_bytes(changed)
    broken = _audit(bundle, key)
    assert broken.returncode == 1 and "certificate/certificate.pdf is not the file" in broken.stdout
