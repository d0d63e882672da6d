"""Ops take charge of an alert, a lead tries a rule on the past and saves it, somebody new confirms by mail."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from controlplane.audit.models import AuditEvent
from controlplane.mail.sending import send_due
from controlplane.registry.models import Application
from monitoring_app.models import Alert, AlertRule, Recipient, Target
from tests import factories as make
from tests import scenes_monitoring as night
from tests.journeys.conftest import SignIn
from tests.smtp import postbox, text_of


@pytest.fixture
def target(application: Application, who: make.People) -> Target:
    return night.watched(application, replicas=[], volumes=[])


@pytest.fixture
def alert(target: Target) -> Alert:
    series = night.measured(target, "query_time", lambda ago: 612, hours=0.4, step=15)
    night.rounds(target)
    return night.burning(target, "query-time", series, minutes=5, value=612, peak=688)


def test_ops_take_charge_of_an_alert_and_give_it_back(sign_in: SignIn, alert: Alert) -> None:
    page = sign_in("ana")
    page.get_by_role("link", name=re.compile("Alerts")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("1 alert burns, nobody has it")
    page.get_by_role("link", name="Queries are slow, yukyu").click()
    page.get_by_label("What you do about it").fill("looking at the index")
    page.get_by_role("button", name="I have it").click()
    expect(page.get_by_text("You have it.")).to_be_visible()
    page.get_by_role("link", name=re.compile("Alerts")).first.click()
    expect(page.get_by_role("heading", level=1)).to_have_text("1 alert burns; ana has it")
    expect(page.get_by_text("“looking at the index”")).to_be_visible()
    page.get_by_role("button", name=re.compile("Give it back")).click()
    expect(page.get_by_role("heading", level=1)).to_have_text("1 alert burns, nobody has it")
    kept = AuditEvent.objects.filter(action__startswith="alert.").order_by("pk").values_list("action", flat=True)
    assert list(kept) == ["alert.acknowledged", "alert.given_back"]


def test_the_page_shows_by_itself_who_took_an_alert_from_a_mail(sign_in: SignIn, alert: Alert) -> None:
    page = sign_in("ben")
    page.goto("/alerts/")
    expect(page.get_by_role("heading", level=1)).to_have_text("1 alert burns, nobody has it")
    Alert.objects.filter(pk=alert.pk).update(
        state="acknowledged", owner="Night desk", acknowledged_until=timezone.now() + timedelta(hours=8)
    )
    expect(page.get_by_role("heading", level=1)).to_have_text("1 alert burns; Night desk has it", timeout=15_000)


def test_a_lead_sees_what_a_rule_would_have_done_before_saving_it(sign_in: SignIn, alert: Alert) -> None:
    page = sign_in("ben")
    page.goto("/health/yukyu/rules/")
    page.get_by_role("link", name="Queries are slow").click()
    panel = page.get_by_role("region", name="What it would have done")
    page.get_by_label("Fires over (ms)").fill("900")
    page.get_by_role("button", name="Try it on the past").click()
    expect(panel.get_by_text("It would not have fired")).to_be_visible()
    expect(panel.get_by_text("1 alert,")).to_be_visible()  # as it is now
    assert AlertRule.objects.get(pk=alert.rule_id).threshold == 500
    page.get_by_role("button", name="Save the rule").click()
    expect(page.get_by_text("Saved:")).to_be_visible()
    expect(page.get_by_role("row", name=re.compile("Queries are slow"))).to_contain_text("over 900 ms")


def test_somebody_without_an_account_confirms_by_the_mails_link(
    sign_in: SignIn, target: Target, settings: Any, live_server: Any, browser: Any
) -> None:
    settings.CAUSEWAY_BASE_URL = live_server.url
    page = sign_in("ana")
    page.goto("/alerts/recipients/")
    page.get_by_role("link", name=re.compile("Add, change, remove")).click()
    page.get_by_label("Mail address").fill("night@example.org")
    page.get_by_label("Name").fill("Night desk")
    page.get_by_role("button", name="Add and ask to confirm").click()
    expect(page.get_by_text("asks night@example.org to confirm")).to_be_visible()
    expect(page.get_by_text("Not confirmed yet")).to_be_visible()
    with postbox(settings) as box:
        send_due()
        (letter,) = box.to("night@example.org")
    link = re.search(rf"{re.escape(live_server.url)}/told/confirm/\S+", text_of(letter))
    assert link is not None
    stranger = browser.new_context()
    try:
        theirs = stranger.new_page()
        theirs.goto(link[0])
        assert Recipient.objects.get().confirmed_at is None  # a mail filter that follows the link confirms nothing
        theirs.get_by_role("button").click()
        theirs.wait_for_load_state()
    finally:
        stranger.close()
    page.reload()
    expect(page.get_by_text("Confirmed", exact=True)).to_be_visible()
