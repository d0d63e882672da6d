"""A mail arrives, its link is followed, and what it asked for is done; the certificate at the end is read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from playwright.sync_api import expect

from controlplane.mail.models import MailState, OutgoingMail
from controlplane.mail.sending import send_due
from migrations_app.models import MigrationPlan, MigrationRun
from migrations_app.models.states import RunState
from migrations_app.services.certificate.issue import issue_certificate
from migrations_app.services.runs import submit_run
from tests import factories as make
from tests.journeys.conftest import SignIn
from tests.smtp import Postbox, postbox, text_of


@pytest.fixture
def box(settings: Any, live_server: Any) -> Iterator[Postbox]:
    settings.CAUSEWAY_BASE_URL = live_server.url
    with postbox(settings) as made:
        yield made


def test_a_lead_gets_the_mail_follows_its_link_and_signs(
    sign_in: SignIn, who: make.People, plan: MigrationPlan, box: Postbox
) -> None:
    User.objects.filter(pk=who.lead.pk).update(email="ben@example.org")
    run = make.run(plan, who.ops)
    submit_run(actor=who.ops, run=run)
    send_due()
    (letter,) = box.to("ben@example.org")
    link = re.search(r"https?://\S+/runs/\S+", text_of(letter))
    assert link is not None
    page = sign_in("ben")
    page.goto(urlsplit(link[0]).path)
    expect(page.get_by_role("heading", level=1)).to_contain_text("Gate 1")
    page.get_by_label("Reason").first.fill("The mapping is right.")
    password = page.get_by_label("Your password")
    if password.count():
        password.first.fill(make.PASSWORD)
    page.get_by_role("button", name="Approve the plan").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Approved, not yet started")
    assert MigrationRun.objects.get(pk=run.pk).state == RunState.APPROVED


@pytest.mark.parametrize("width", [1440, 390])
def test_a_person_chooses_mails_and_sends_one_again_that_failed(
    sign_in: SignIn, who: make.People, at_gate_1: MigrationRun, box: Postbox, width: int
) -> None:
    page = sign_in("ben", viewport={"width": width, "height": 900})
    page.goto("/settings/mails/")
    expect(page.get_by_text("Your account has no mail address")).to_be_visible()
    expect(page.get_by_label("A run is rolled back")).to_be_disabled()
    page.get_by_label("A run is held").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved")).to_be_visible()
    expect(page.get_by_label("A run is held")).not_to_be_checked()
    expect(page.get_by_label("A run is rolled back")).to_be_checked()
    User.objects.filter(pk=who.lead.pk).update(email="ben@example.org")
    page.get_by_role("button", name="Send again").first.click()
    expect(page.get_by_text("It is in the queue again")).to_be_visible()
    send_due()
    assert len(box.to("ben@example.org")) == 1
    assert OutgoingMail.objects.get(to_name="ben").state == MailState.SENT
    assert not page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")


@pytest.mark.parametrize("width", [1440, 390])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_certificate_is_read_and_kept(
    sign_in: SignIn, who: make.People, plan: MigrationPlan, width: int, scheme: str
) -> None:
    make.rehearsed(plan, who.ops)
    run = make.complete(make.run(plan, who.ops), minutes=140)
    make.verified(run)
    assert issue_certificate(run_id=run.pk, now=timezone.now())
    page = sign_in("chika", viewport={"width": width, "height": 900}, color_scheme=scheme)
    page.goto(f"/runs/{run.pk}/")
    page.get_by_role("link", name="Certificate").first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Paid leave runs on PostgreSQL")
    expect(page.get_by_role("heading", name="What was not compared")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("link", name="PDF").click()
    assert download.value.suggested_filename == f"certificate-yukyu-run-{run.pk}.pdf"
    assert not page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
