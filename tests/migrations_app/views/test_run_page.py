"""The run page: whether one can still go back, whether it is on plan, and every task with its owner and evidence."""

from __future__ import annotations

import html
import re
from collections.abc import Callable
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from migrations_app.models import MigrationPlan, MigrationRun
from migrations_app.models.states import Price, RunState, StepState
from migrations_app.services.price import PriceTag
from tests import factories as make

SignIn = Callable[[User], Client]


def _text(client: Client, run: MigrationRun) -> str:
    """What a person reads, without markup."""
    page = client.get(reverse("run", args=[run.pk])).content.decode()
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page)))


def _window_ends(run: MigrationRun, minutes: float) -> None:
    end = timezone.now() + timedelta(minutes=minutes)
    MigrationPlan.objects.filter(pk=run.plan_id).update(window_start=end - timedelta(hours=9), window_end=end)


def test_the_first_two_lines_say_where_we_are_and_whether_we_can_go_back(
    as_: SignIn, who: make.People, loading: MigrationRun
) -> None:
    page = as_(who.viewer).get(reverse("run", args=[loading.pk])).content.decode()
    head = page[page.index("<h1") : page.index('class="page-tabs"')]
    assert "Loading, 4 of 7 tables" in head
    assert '<p class="page-safe tone-live">You can still go back: nothing is lost. About 2 min 10 s.</p>' in head


@pytest.mark.parametrize(
    ("price", "rows", "said"),
    [
        (Price.R3, 1, "You can still go back, but 1 row leaves the application."),
        (Price.R3, 1214, "You can still go back, but 1,214 rows leave the application."),
        (Price.R3, None, "You can still go back, but what it costs is not known."),
    ],
)
def test_a_way_back_that_loses_rows_or_may_is_said_in_red(
    as_: SignIn,
    who: make.People,
    loading: MigrationRun,
    monkeypatch: pytest.MonkeyPatch,
    price: Price,
    rows: int | None,
    said: str,
) -> None:
    tag = PriceTag(price, rows, {}, None, "A sentence.", 2, timezone.now())
    monkeypatch.setattr("migrations_app.services.price.price_of", lambda run: tag)
    page = as_(who.viewer).get(reverse("run", args=[loading.pk])).content.decode()
    assert f'<p class="page-safe tone-alarm">{said}</p>' in page


def test_a_last_safe_moment_to_come_is_told_with_the_time_that_is_left(
    as_: SignIn, who: make.People, loading: MigrationRun
) -> None:
    _window_ends(loading, minutes=300)
    assert re.search(r"Last safe moment (\d+ \w+ )?[\d:]+ ?, in 4 h \d+ min", _text(as_(who.viewer), loading))


def test_a_last_safe_moment_that_has_passed_is_said_so(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    _window_ends(loading, minutes=1)  # a rollback took 2 min 10 s
    text = _text(as_(who.viewer), loading)
    assert "has passed: going back now would end after the window" in text


def test_a_run_that_would_be_verified_after_the_last_safe_moment_warns(
    as_: SignIn, who: make.People, loading: MigrationRun
) -> None:
    loading.steps.filter(name="verify").update(planned_seconds=3600)
    _window_ends(loading, minutes=30)
    assert "after the last safe moment" in _text(as_(who.viewer), loading)


def test_a_load_that_runs_tells_its_speed_and_what_is_left(
    as_: SignIn, who: make.People, loading: MigrationRun
) -> None:
    loading.steps.filter(name="load").update(attempts=1)
    text = _text(as_(who.viewer), loading)
    assert re.search(r"[\d,]+ rows/s", text) and re.search(r"about [\d\w ]+ left", text)


def test_every_task_is_there_with_owner_plan_and_evidence(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    page = as_(who.viewer).get(reverse("run", args=[loading.pk])).content.decode()
    table = page[page.index('id="timetable"') : page.index("</details>")]
    for step in loading.steps.all():
        assert html.escape(step.title) in table, step.title
        if step.evidence_digest:
            assert f"#e-{step.evidence_digest[:8]}" in table
    assert "Team lead, Ops" in table and "System" in table


def test_a_task_that_took_longer_says_by_how_much(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    step = loading.steps.get(name="export")
    assert step.started_at is not None
    step.planned_seconds, step.finished_at = 60, step.started_at + timedelta(minutes=5)
    step.save()
    assert "4 min longer" in _text(as_(who.viewer), loading)


def test_on_the_way_back_nobody_is_told_that_one_can_go_back(
    as_: SignIn, who: make.People, loading: MigrationRun
) -> None:
    MigrationRun.objects.filter(pk=loading.pk).update(state=RunState.ROLLING_BACK)
    text = _text(as_(who.viewer), loading)
    assert "Rolling back" in text and "You can still go back" not in text


def test_a_held_run_names_the_step_its_reason_and_what_to_do(
    as_: SignIn, who: make.People, loading: MigrationRun
) -> None:
    loading.steps.filter(name="load").update(
        state=StepState.FAILED, error_code="TARGET_GONE", error_message="PostgreSQL is gone.", error_hint="Start it."
    )
    MigrationRun.objects.filter(pk=loading.pk).update(state=RunState.HELD, held_reason="Load: PostgreSQL is gone.")
    text = _text(as_(who.ops), loading)
    for said in ("Held: a person must decide", "PostgreSQL is gone.", "Start it.", "TARGET_GONE", "Resume"):
        assert said in text
    refused = _text(as_(who.viewer), loading)
    assert "You don't have the role for it. Who can: ops (ana)" in refused
