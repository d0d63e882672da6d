"""The admin site: read-only where services rule, secrets in and never out, every change in the trail."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.test import Client
from django.urls import reverse

from controlplane.audit.models import AuditEvent
from controlplane.registry.models import Application, Membership, Role
from migrations_app.models import MigrationRun
from tests import factories as make

OURS = [
    model
    for label in ("migrations_app", "registry", "audit")
    for model in apps.get_app_config(label).get_models()
    if not model.__module__.startswith("tests.")  # made by another test for itself
]
RULED = list(apps.get_app_config("migrations_app").get_models())


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
    for model in RULED:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
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


def _description(**fields: Any) -> dict[str, Any]:
    application = Application.objects.get(name="yukyu")
    names = ("processes", "commands", "pointing", "rehearsal", "endpoints", "identity", "encrypted_columns")
    return {
        "title": "Paid leave",
        "host": "apphost",
        "source_path": "/srv/yukyu/yukyu.db",
        "busy_timeout_ms": "5000",
        "target_schema": "public",
        "schema_mode": "existing",
        "target_url": "",
        "rehearsal_target_url": "",
        **{name: json.dumps(getattr(application, name)) for name in names},
        # What the browser sends along, so that an unchanged description counts as unchanged.
        **{f"initial-{name}": json.dumps(getattr(application, name)) for name in names},
        **fields,
    }


def _change(person: Any, **fields: Any) -> Any:
    application = Application.objects.get(name="yukyu")
    return _as(person).post(reverse("admin:registry_application_change", args=[application.pk]), _description(**fields))


def test_ops_changes_a_description_and_the_trail_says_which_fields(who: make.People) -> None:
    assert _change(who.ops, title="Leave and holidays").status_code == 302
    assert Application.objects.get().title == "Leave and holidays"
    event = AuditEvent.objects.get(action="application.changed")
    assert (event.actor, event.application) == ("ana", "yukyu")
    assert event.payload["fields"] == ["Title"]


def test_a_secret_goes_in_and_never_comes_out(who: make.People) -> None:
    fresh = "postgresql://yukyu:new-canary@db.example/yukyu"
    assert _change(who.ops, target_url=fresh).status_code == 302
    application = Application.objects.get()
    assert application.target_url.reveal() == fresh
    page = _as(who.ops).get(reverse("admin:registry_application_change", args=[application.pk])).content.decode()
    history = _as(who.ops).get(reverse("admin:registry_application_history", args=[application.pk])).content.decode()
    assert "new-canary" not in page + history
    assert "new-canary" not in str(list(AuditEvent.objects.values_list("payload", flat=True)))


def test_an_empty_secret_keeps_what_is_there(who: make.People) -> None:
    before = Application.objects.get().target_url.reveal()
    assert _change(who.ops, title="Other").status_code == 302
    assert Application.objects.get().target_url.reveal() == before


@pytest.mark.parametrize("address", ["mysql://u:canary@h/d", "postgresql://u:canary@h/d\nx"])
def test_a_bad_address_is_refused_without_quoting_it(who: make.People, address: str) -> None:
    answer = _change(who.ops, target_url=address)
    assert answer.status_code == 200
    assert "canary" not in answer.content.decode()


@pytest.mark.parametrize("name", ["lead", "qa", "stranger"])
def test_only_ops_and_superusers_change_an_application(who: make.People, name: str) -> None:
    person = getattr(who, name)
    person.is_staff = True
    person.save()
    assert _change(person, title="Mine now").status_code in (302, 403)
    assert Application.objects.get().title == "Paid leave"


def test_nobody_deletes_an_application(who: make.People) -> None:
    address = reverse("admin:registry_application_delete", args=[Application.objects.get().pk])
    assert _as(who.boss).post(address, {"post": "yes"}).status_code == 403


def test_who_registers_an_application_becomes_its_ops(who: make.People) -> None:
    sent = _description(name="zaiko", target_url="postgresql://z:p@db.example/z")
    answer = _as(who.ops).post(reverse("admin:registry_application_add"), sent)
    assert answer.status_code == 302
    assert Membership.objects.filter(application__name="zaiko", user=who.ops, role=Role.OPS).exists()
    assert AuditEvent.objects.filter(action="application.registered", application="zaiko").exists()


def test_giving_and_taking_a_role_stands_in_the_trail(who: make.People) -> None:
    application = Application.objects.get()
    client = _as(who.boss)
    sent = {"application": application.pk, "user": who.stranger.pk, "role": "qa"}
    client.post(reverse("admin:registry_membership_add"), sent)
    given = Membership.objects.get(user=who.stranger)
    listing = reverse("admin:registry_membership_changelist")
    client.post(listing, {"action": "delete_selected", "_selected_action": [given.pk], "post": "yes"})
    assert not Membership.objects.filter(user=who.stranger).exists()
    actions = AuditEvent.objects.filter(action__startswith="membership.").order_by("sequence")
    assert [(event.action, event.payload["person"]) for event in actions] == [
        ("membership.granted", "eve"),
        ("membership.revoked", "eve"),
    ]


def test_ops_gives_no_roles(who: make.People) -> None:
    sent = {"application": Application.objects.get().pk, "user": who.ops.pk, "role": "lead"}
    assert _as(who.ops).post(reverse("admin:registry_membership_add"), sent).status_code == 403
