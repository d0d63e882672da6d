"""The live part: cheap while nothing changes, new when something does, and gone with the session."""

from __future__ import annotations

from collections.abc import Callable

import time_machine
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from migrations_app.models import MigrationRun
from migrations_app.services.transitions import touch_run
from tests import factories as make

SignIn = Callable[[User], Client]


def test_nothing_new_costs_a_304(
    as_: SignIn, who: make.People, loading: MigrationRun, django_assert_num_queries: Callable[..., object]
) -> None:
    client = as_(who.ops)
    address = reverse("run_live", args=[loading.pk])
    with time_machine.travel(timezone.now(), tick=False):
        tag = client.get(address).headers["ETag"]
        with django_assert_num_queries(4):  # session, person, run, roles
            again = client.get(address, headers={"If-None-Match": tag})
    assert again.status_code == 304 and again.content == b""


def test_a_change_is_sent(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    client = as_(who.ops)
    address = reverse("run_live", args=[loading.pk])
    with time_machine.travel(timezone.now(), tick=False):
        tag = client.get(address).headers["ETag"]
        touch_run(loading.pk)
        answer = client.get(address, headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert "Loading, 4 of 7 tables" in answer.content.decode()


def test_what_one_person_saw_is_not_fresh_for_another(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    address = reverse("run_live", args=[loading.pk])
    with time_machine.travel(timezone.now(), tick=False):
        tag = as_(who.ops).get(address).headers["ETag"]
        assert as_(who.viewer).get(address, headers={"If-None-Match": tag}).status_code == 200


def test_the_page_asks_with_the_tag_of_what_it_shows(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    text = as_(who.ops).get(reverse("run", args=[loading.pk])).content.decode()
    assert 'hx-trigger="every 2s"' in text
    assert "If-None-Match" in text


def test_a_finished_run_is_not_asked_about_again(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    make.complete(loading)
    text = as_(who.ops).get(reverse("run", args=[loading.pk])).content.decode()
    assert "hx-get" not in text and "htmx" not in text
