"""A run at a gate, and everyone of its people as staff with every permission that Django knows: the worst case."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Permission
from django.test import Client

from migrations_app.models import MigrationRun
from migrations_app.models.states import RunState
from tests import factories as make

STAFF = ("lead", "second_lead", "ops", "qa", "viewer", "stranger")


@pytest.fixture
def who(db: None) -> make.People:
    everyone = make.people(make.application())
    permissions = list(Permission.objects.exclude(codename="export_auditevent"))
    for name in STAFF:
        person = getattr(everyone, name)
        person.is_staff = True
        person.save()
        person.user_permissions.set(permissions)
    return everyone


@pytest.fixture
def run(who: make.People) -> MigrationRun:
    plan = make.plan(make.Application.objects.get(), who.second_lead, findings=1)
    made = make.run(plan, who.ops)
    make.reach(made, "gate_go", run_state=RunState.WAITING, signers={"lead": who.lead})
    item = made.items.filter(prover="qa").first()
    assert item is not None
    item.results.create(recorded_by=who.qa, outcome="passed", note="seen", recorded_at=made.created_at)
    made.rollback_requests.create(
        requested_by="ana", reason="=1+1", price="R0", state="refused", created_at=made.created_at
    )
    return made


def as_(person: object) -> Client:
    client = Client()
    client.force_login(person)  # type: ignore[arg-type]
    return client
