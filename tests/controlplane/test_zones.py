"""Times are shown in the viewer's zone, in the admin as well, and one viewer's zone is not the next one's."""

from __future__ import annotations

import re
from datetime import UTC, datetime

import pytest
from django.test import Client
from django.urls import reverse

from migrations_app.models import MigrationRun
from tests import factories as make


@pytest.fixture
def client_of_staff(db: None) -> Client:
    who = make.people(make.application())
    run = make.run(make.plan(make.Application.objects.get(), who.second_lead), who.ops)
    MigrationRun.objects.filter(pk=run.pk).update(started_at=datetime(2026, 3, 1, 20, 30, tzinfo=UTC))
    client = Client()
    client.force_login(who.ops)
    return client


@pytest.mark.parametrize(
    ("cookie", "shown"),
    [("Asia%2FTokyo", "2 Mar 2026 05:30"), ("", "1 Mar 2026 20:30"), ("../../etc/passwd", "1 Mar 2026 20:30")],
)
def test_the_admin_shows_times_in_the_viewers_zone(client_of_staff: Client, cookie: str, shown: str) -> None:
    client_of_staff.cookies["zone"] = cookie
    assert shown in client_of_staff.get(reverse("admin:migrations_app_migrationrun_changelist")).content.decode()


def test_a_viewers_zone_ends_with_the_answer(client_of_staff: Client) -> None:
    address = reverse("runs")
    client_of_staff.cookies["zone"] = "Asia%2FTokyo"
    assert re.search(r"\bJST\b", client_of_staff.get(address).content.decode())
    del client_of_staff.cookies["zone"]
    assert not re.search(r"\bJST\b", client_of_staff.get(address).content.decode())
