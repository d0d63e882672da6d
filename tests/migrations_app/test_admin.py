"""The admin site: read-only where services rule, secrets in and never out, every change in the trail."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from controlplane.audit.models import AuditEvent
from controlplane.registry.models import Application
from migrations_app.models import ChecklistTemplate, ChecklistVersion, MigrationRun
from tests import factories as make

OURS = [
    model
    for label in ("migrations_app", "registry", "audit")
    for model in apps.get_app_config(label).get_models()
    if not model.__module__.startswith("tests.")  # made by another test for itself
]
RULED = [
    model
    for label in ("migrations_app", "registry")
    for model in apps.get_app_config(label).get_models()
    if not model.__module__.startswith("tests.")
]
# Those that ship with the product are everyone's to look at.
SHIPPED = {ChecklistTemplate, ChecklistVersion}
OF_AN_APPLICATION = list(apps.get_app_config("migrations_app").get_models())


@pytest.fixture
def who(db: None) -> make.People:
    return make.people(make.application())


@pytest.fixture
def run(who: make.People) -> MigrationRun:
    plan = make.plan(Application.objects.get(), who.second_lead, findings=1)
    run = make.run(plan, who.ops)
    make.reach(run, "gate_go", run_state="waiting", signers={"lead": who.lead})
    return run


def _as(person: Any) -> Client:
    client = Client()
    client.force_login(person)
    return client


@pytest.mark.parametrize("model", OURS, ids=lambda model: model.__name__)
def test_every_model_can_be_looked_at(who: make.People, run: MigrationRun, model: Any) -> None:
    assert model in admin.site._registry
    client = _as(who.boss)
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    assert client.get(reverse(f"{name}_changelist")).status_code == 200
    assert client.get(reverse(f"{name}_changelist"), {"q": "1"}).status_code == 200
    for row in model.objects.all()[:1]:
        assert client.get(reverse(f"{name}_change", args=[row.pk])).status_code == 200


@pytest.mark.parametrize("model", RULED, ids=lambda model: model.__name__)
def test_what_services_rule_nobody_changes_here(who: make.People, run: MigrationRun, model: Any) -> None:
    name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
    for person in (who.boss, who.ops):
        client = _as(person)
        assert client.post(reverse(f"{name}_add"), {}).status_code == 403
        for row in model.objects.all()[:1]:
            assert client.post(reverse(f"{name}_change", args=[row.pk]), {}).status_code == 403
            assert client.post(reverse(f"{name}_delete", args=[row.pk]), {"post": "yes"}).status_code == 403
        before = model.objects.count()
        keys = list(model.objects.values_list("pk", flat=True))
        client.post(
            reverse(f"{name}_changelist"), {"action": "delete_selected", "_selected_action": keys, "post": "yes"}
        )
        assert model.objects.count() == before


def test_staff_see_the_rows_of_their_own_applications_alone(who: make.People, run: MigrationRun) -> None:
    who.stranger.is_staff = True
    who.stranger.save()
    client = _as(who.stranger)
    for model in OF_AN_APPLICATION:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        if model in SHIPPED:
            continue
        for row in model.objects.all()[:1]:
            assert client.get(reverse(f"{name}_change", args=[row.pk])).status_code == 302, model
    assert "yukyu" not in client.get("/admin/registry/application/").content.decode()


def test_who_is_not_staff_stays_outside(who: make.People) -> None:
    answer = _as(who.lead).get("/admin/", follow=True)
    assert answer.status_code == 403
    assert "Not yours to do" in answer.content.decode()


def test_the_admin_is_entered_through_our_own_door(client: Client, who: make.People) -> None:
    answer = client.get("/admin/", follow=True)
    assert answer.redirect_chain[-1][0].startswith("/sign-in/?next=/admin/")
    client.post("/sign-in/", {"username": "ana", "password": make.PASSWORD, "next": "/admin/"})
    assert client.get("/admin/").status_code == 200
    client.post("/admin/logout/")
    assert list(AuditEvent.objects.values_list("action", flat=True)) == ["person.signed_out", "person.signed_in"]


@pytest.mark.parametrize(("action", "page"), [("roll_back", "run_rollback"), ("sign", "run_sign")])
def test_the_actions_of_a_run_lead_to_the_dialogs(who: make.People, run: MigrationRun, action: str, page: str) -> None:
    sent = {"action": action, "_selected_action": [run.pk]}
    answer = _as(who.ops).post("/admin/migrations_app/migrationrun/", sent)
    assert answer.headers["Location"] == reverse(page, args=[run.pk, *(["go"] if page == "run_sign" else [])])


def test_an_action_wants_exactly_one_run(who: make.People, run: MigrationRun) -> None:
    other = make.run(run.plan, who.ops, kind="rehearsal")
    sent = {"action": "roll_back", "_selected_action": [run.pk, other.pk]}
    answer = _as(who.ops).post("/admin/migrations_app/migrationrun/", sent, follow=True)
    assert "Choose one run" in answer.content.decode()


@pytest.mark.parametrize("model", ["runstep", "checklistitem"])
def test_what_belongs_to_the_newest_run_stands_first(who: make.People, run: MigrationRun, model: str) -> None:
    newest = make.run(run.plan, who.ops)
    page = _as(who.boss).get(reverse(f"admin:migrations_app_{model}_changelist"))
    rows = page.context["cl"].result_list
    assert {row.run_id for row in rows[:10]} == {newest.pk}
    assert [row.position for row in rows[:10]] == sorted(row.position for row in rows[:10])
