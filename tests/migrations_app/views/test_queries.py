"""No page asks the database more often because there are more rows: counted for every page, at two sizes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from migrations_app.models import MigrationRun, RollbackRequest
from migrations_app.models.states import PlanState, RunState, StepState
from tests import factories as make
from tests.migrations_app.views import addresses

SignIn = Callable[[User], Client]


def _queries(client: Client, address: str) -> list[str]:
    """The statements of a second look: prices and counts are kept for seconds."""
    client.get(address)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        client.get(address)
    return [query["sql"] for query in captured]


def _more(run: MigrationRun, who: make.People, size: int) -> None:
    """More rows of every kind: of this run, of its application, and of others."""
    for number in range(size):
        _more_of_the_run(run, who, number)
        _more_of_the_application(run, who)
        _another_application(who, f"more-{run.pk}-{number}-{size}")


def _more_of_the_run(run: MigrationRun, who: make.People, number: int) -> None:
    make.finding(run.plan, choice="skip_rows", table=f"more_{number}")
    make.event("run.held", who.ops, run, reason="more")
    for step in run.steps.all()[:6]:
        step.log.create(at=run.created_at, text=f"line {number}")
        run.artifacts.create(step=step, kind="report", path=f"/srv/{number}", sha256=make.digest(number), size=1)
    for item in run.items.filter(prover="qa"):
        item.results.create(
            recorded_by=who.qa, outcome="passed", note="It does what it should.", recorded_at=run.created_at
        )
    RollbackRequest.objects.create(
        run=run, requested_by="ana", reason="more", price="R0", state="refused", created_at=timezone.now()
    )
    person = make.user(f"viewer-{run.pk}-{number}-{User.objects.count()}")
    make.member(run.application, person, "viewer", "qa", "ops", "lead")


def _more_of_the_application(run: MigrationRun, who: make.People) -> None:
    plan = make.plan(run.application, who.second_lead, state=PlanState.SUBMITTED)
    make.finding(plan, choice="skip_rows")
    make.event("run.held", who.ops, make.rehearsed(plan, who.ops), reason="more")


def _another_application(who: make.People, name: str) -> None:
    """Runs that need the viewers in every way: a gate to sign, checks to record, a start, a decision, a rollback."""
    of = make.application(name)
    for person, role in ((who.lead, "lead"), (who.ops, "ops"), (who.qa, "qa"), (who.viewer, "viewer")):
        make.member(of, person, role)
    plan = make.plan(of, who.second_lead, state=PlanState.SUBMITTED)
    held = make.rehearsed(plan, who.ops)
    MigrationRun.objects.filter(pk=held.pk).update(state=RunState.HELD, held_reason="more", finished_at=None)
    make.reach(make.run(plan, who.ops), "gate_qa", run_state=RunState.WAITING)
    waiting = make.run(plan, who.ops)
    MigrationRun.objects.filter(pk=waiting.pk).update(state=RunState.APPROVED)
    asked = make.run(plan, who.ops)
    MigrationRun.objects.filter(pk=asked.pk).update(state=RunState.AWAITING_APPROVAL)
    asked.gates.filter(code="plan").update(state="open", opened_at=timezone.now())
    RollbackRequest.objects.create(
        run=asked, requested_by="eve", reason="more", price="R3", state="waiting", created_at=timezone.now()
    )


def _same_at_both_sizes(
    client: Client, pages: list[str], grow: Callable[[int], None], *, steady: Callable[[], None]
) -> dict[str, str]:
    """What differs, page by page: empty where nothing grows."""
    small = {}
    grow(2)
    steady()
    for page in pages:
        small[page] = _queries(client, page)
    grow(5)
    steady()
    grown = {}
    for page in pages:
        large = _queries(client, page)
        if len(large) > len(small[page]):
            extra = max(large, key=lambda sql: large.count(sql[:60]))
            grown[page] = f"{len(small[page])} became {len(large)} queries, such as {extra[:300]}"
    return grown


@pytest.mark.parametrize("role", ["viewer", "ops", "lead", "qa", "boss"])
def test_no_page_asks_more_often_when_there_are_more_rows(
    as_: SignIn, who: make.People, loading: MigrationRun, role: str
) -> None:
    client = as_(getattr(who, role))
    pages = [*addresses.of_everyone(), *addresses.of_run(loading)]
    assert _same_at_both_sizes(client, pages, lambda size: _more(loading, who, size), steady=cache.clear) == {}


def _admin_pages(run: MigrationRun) -> list[str]:
    pages = [reverse("admin:index"), reverse("admin:migrations_app_migrationrun_change", args=[run.pk])]
    for model in admin.site._registry:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist"
        pages.append(reverse(name))
    return pages


@pytest.mark.parametrize("role", ["ops", "boss"])
def test_no_page_of_the_admin_asks_more_often_when_there_are_more_rows(
    as_: SignIn, who: make.People, loading: MigrationRun, role: str
) -> None:
    client = as_(getattr(who, role))
    pages = _admin_pages(loading)
    assert _same_at_both_sizes(client, pages, lambda size: _more(loading, who, size), steady=cache.clear) == {}


def test_a_poll_with_nothing_new_asks_for_the_run_alone(as_: SignIn, who: make.People, loading: MigrationRun) -> None:
    client = as_(who.ops)
    loading.steps.filter(name="load").update(state=StepState.RUNNING)
    address = reverse("run_live", args=[loading.pk])
    tag = client.get(address).headers["ETag"]
    with CaptureQueriesContext(connection) as captured:
        client.get(address, headers={"If-None-Match": tag})
    asked = " ".join(query["sql"] for query in captured)
    assert '"document"' not in asked and '"profile"' not in asked and '"facts"' not in asked
