"""A real browser on a real server with real rows."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from playwright.sync_api import Browser, BrowserContext, Page

from controlplane.registry.models import Application
from migrations_app.models import MigrationPlan, MigrationRun
from migrations_app.models.states import PlanState, RunState
from migrations_app.services.runs import submit_run
from tests import factories as make

# Playwright's loop lives in the test's thread, where the rows are made as well.
os.environ.setdefault("DJANGO_ALLOW_ASYNC_UNSAFE", "true")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "journeys" in item.path.parts:
            item.add_marker(pytest.mark.journey)


@pytest.fixture(autouse=True)
def fresh_cache() -> None:
    cache.clear()


@pytest.fixture
def application(transactional_db: None) -> Application:
    return make.application()


@pytest.fixture
def who(application: Application) -> make.People:
    return make.people(application)


@pytest.fixture
def plan(application: Application, who: make.People) -> MigrationPlan:
    return make.plan(application, who.second_lead, state=PlanState.SUBMITTED)


@pytest.fixture
def loading(plan: MigrationPlan, who: make.People) -> MigrationRun:
    make.rehearsed(plan, who.ops)
    run = make.run(plan, who.ops)
    make.load_progress(make.reach(run, "load", signers={"lead": who.lead, "ops": who.ops}))
    make.reality(run, up=False)
    return run


@pytest.fixture
def at_gate_1(plan: MigrationPlan, who: make.People) -> MigrationRun:
    run = make.run(plan, who.ops)
    submit_run(actor=who.ops, run=run)
    return MigrationRun.objects.get(pk=run.pk)


@pytest.fixture
def at_gate_3(plan: MigrationPlan, who: make.People) -> MigrationRun:
    """Waits for QA; its target can't be asked, so the price of a rollback is not known."""
    make.rehearsed(plan, who.ops)
    run = make.run(plan, who.ops)
    make.reach(run, "gate_qa", run_state=RunState.WAITING, signers={"lead": who.lead, "ops": who.ops})
    make.people_passed(run, "prepare", "restart")
    make.verified(run)
    make.reality(run, dialect="postgresql")
    return MigrationRun.objects.get(pk=run.pk)


SignIn = Callable[..., Page]


@pytest.fixture
def sign_in(browser: Browser, live_server: Any, browser_type: Any) -> Iterator[SignIn]:
    """sign_in("ana", color_scheme="dark") gives a page of a browser of her own, signed in through the form."""
    contexts: list[BrowserContext] = []

    def start(name: str, **options: Any) -> Page:
        context = browser.new_context(base_url=live_server.url, **options)
        context.set_default_timeout(15_000)
        contexts.append(context)
        page = context.new_page()
        page.goto("/sign-in/")
        page.get_by_label("Name").fill(name)
        page.get_by_label("Password").fill(make.PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        page.get_by_role("link", name="Runs").first.wait_for()
        return page

    yield start
    for context in contexts:
        context.close()
