"""An application with its people, and a run at a point of its way."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from django.core.cache import cache
from django.test import Client

from controlplane.registry.models import Application
from migrations_app.models import MigrationPlan, MigrationRun
from migrations_app.models.states import PlanState
from tests import factories as make


@pytest.fixture(autouse=True)
def fresh_cache() -> None:
    """Prices and counts are cached for seconds; tests are quicker than that."""
    cache.clear()


@pytest.fixture
def application(db: None) -> Application:
    return make.application()


@pytest.fixture
def who(application: Application) -> make.People:
    return make.people(application)


@pytest.fixture
def plan(application: Application, who: make.People) -> MigrationPlan:
    return make.plan(application, who.second_lead, state=PlanState.SUBMITTED)


@pytest.fixture
def loading(plan: MigrationPlan, who: make.People) -> MigrationRun:
    """A production run in the middle of its load: the application is stopped, nothing is switched."""
    make.rehearsed(plan, who.ops)
    run = make.run(plan, who.ops)
    make.load_progress(make.reach(run, "load", signers={"lead": who.lead, "ops": who.ops, "qa": who.qa}))
    make.reality(run, up=False)
    return run


@pytest.fixture
def as_(client: Client) -> Callable[[User], Client]:
    """as_(who.lead).get(…)"""

    def sign_in(person: User) -> Client:
        client.force_login(person)
        return client

    return sign_in
