"""The pages behind the links of alerts: opened by anyone who holds one, acting on a POST alone, ending in time."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from controlplane.mail.models import OutgoingMail
from controlplane.mail.sending import send_due
from monitoring_app.models import Alert, AlertState, Target
from monitoring_app.services import alerts, links
from monitoring_app.services.links import Purpose
from tests import factories as make
from tests.monitoring_app.arranged import live, on_call, recipient, watched
from tests.smtp import Postbox, postbox, text_of


@pytest.fixture
def box(db: None, settings: Any) -> Iterator[Postbox]:
    settings.CAUSEWAY_BASE_URL = "https://causeway.example.org"
    with postbox(settings) as made:
        yield made


@pytest.fixture
def target(db: None) -> Target:
    return watched()


@pytest.fixture
def ana(target: Target) -> User:
    return on_call(target)


@pytest.fixture
def burning(target: Target, ana: User) -> Alert:
    recipient(target, "night@example.org", name="Night watch")
    live(target, "pool_used", [95] * 6)
    return Alert.objects.get()


def path_for(box: Postbox, address: str) -> str:
    send_due()
    found = re.search(r"https://causeway.example.org/told/acknowledge/\S+/", text_of(box.to(address)[-1]))
    assert found is not None
    return urlsplit(found[0]).path


@pytest.mark.parametrize(("address", "owner"), [("ana@example.org", "ana"), ("night@example.org", "Night watch")])
def test_an_alert_is_taken_from_the_mail_without_signing_in(
    burning: Alert, box: Postbox, address: str, owner: str
) -> None:
    client = Client(enforce_csrf_checks=True)
    path = path_for(box, address)
    page = client.get(path)
    assert page.status_code == 200 and "I have it" in page.content.decode()
    burning.refresh_from_db()
    assert burning.state == AlertState.FIRING
    done = client.post(path, {"note": "restarting the pool"})
    assert "You have it" in done.content.decode()
    burning.refresh_from_db()
    assert (burning.state, burning.owner, burning.owner_note) == ("acknowledged", owner, "restarting the pool")
    assert AuditEvent.objects.filter(action="alert.acknowledged").count() == 1


def test_who_comes_second_sees_who_has_it(burning: Alert, box: Postbox, ana: User) -> None:
    path = path_for(box, "night@example.org")
    alerts.acknowledge(alert=burning, who=ana, now=timezone.now())
    page = Client().get(path)
    assert "ana has it" in page.content.decode() and "<form" not in page.content.decode()
    assert Client().post(path).status_code == 409


def test_an_alert_that_is_over_can_not_be_taken(burning: Alert, box: Postbox, target: Target) -> None:
    path = path_for(box, "ana@example.org")
    live(target, "pool_used", [10] * 6, start=90)
    assert "It is over" in Client().get(path).content.decode()
    answer = Client().post(path)
    assert answer.status_code == 409 and "ALERT_OVER" in answer.content.decode()


def test_a_link_ends_with_time_with_the_password_with_the_role_and_when_it_is_bent(
    burning: Alert, box: Postbox, ana: User, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = path_for(box, "ana@example.org")
    with monkeypatch.context() as later:
        real = links.signing.time.time
        later.setattr("django.core.signing.time.time", lambda: real() + 4 * 24 * 3600)
        answer = Client().post(path)
        assert answer.status_code == 410 and "LINK_EXPIRED" in answer.content.decode()
    assert Client().post(path[:-3] + "xx/").status_code == 404
    target.application.memberships.filter(user=ana).delete()
    assert Client().post(path).status_code == 404
    make.member(target.application, ana, "ops")
    assert Client().get(path).status_code == 200
    ana.set_password("another horse battery")
    ana.save()
    assert Client().post(path).status_code == 404
    burning.refresh_from_db()
    assert burning.state == AlertState.FIRING


def test_a_link_serves_its_own_purpose_only(burning: Alert, target: Target) -> None:
    night = target.application.alert_recipients.get()
    token = links.address_of(Purpose.UNSUBSCRIBE, night, burning).rsplit("/", 2)[1]
    assert Client().post(f"/told/acknowledge/{token}/").status_code == 404
    assert Client().post(f"/told/confirm/{token}/").status_code == 404


def test_a_link_lies_in_no_table_and_is_kept_by_no_browser(burning: Alert, box: Postbox) -> None:
    path = path_for(box, "night@example.org")
    stored = " ".join(str(row) for row in OutgoingMail.objects.values_list("context", "subject", "key"))
    assert path.split("/")[3] not in stored and "told/" not in stored
    answer = Client().get(path)
    assert "no-store" in answer["Cache-Control"] and answer["Referrer-Policy"] == "no-referrer"
