"""The queries page never shows what was seen before as what is so now."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from monitoring_app.models import Target
from tests import factories as make
from tests.monitoring_app.probes.measuring import measure

pytestmark = pytest.mark.django_db


@pytest.fixture
def target(target_url: str) -> Target:
    target = Target.objects.create(application=make.application(target_url=target_url))
    make.people(target.application)
    return target


def shown(target: Target, **seen: Any) -> str:
    target.seen = seen
    target.save()
    client = Client()
    client.force_login(User.objects.get(username="dora"))
    answer = client.get(reverse("target_queries", args=[target.application.name]))
    assert answer.status_code == 200
    return answer.content.decode()


def test_round_of_now_that_saw_nothing_says_so(target: Target, target_url: str) -> None:
    page = shown(target, **measure(target_url).seen)
    assert "Nobody waits" in page and "Nothing runs at this moment" in page


def test_what_was_seen_long_ago_is_not_known_now(target: Target, target_url: str) -> None:
    seen = measure(target_url).seen
    old = (timezone.now() - timedelta(minutes=5)).isoformat()
    page = shown(target, **{part: {**found, "at": old} for part, found in seen.items()})
    assert "What runs is unknown" in page
    assert "Nobody waits" not in page and "Nothing runs" not in page


def test_server_that_is_away_is_not_a_quiet_one(target: Target) -> None:
    page = shown(target, **measure("postgresql://shop:secret@127.0.0.1:1/shop").seen)
    assert "What runs is unknown" in page and "be reached" in page
    assert "Nobody waits" not in page
