"""Nothing that services rule can be changed through the admin: every model, every role, raw form posts."""

from __future__ import annotations

from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import User
from django.db import connection
from django.urls import NoReverseMatch, reverse

from controlplane.audit.models import AuditEvent
from migrations_app.models import MigrationRun
from tests import factories as make
from tests.migrations_app.admin_site.conftest import as_

ROLES = ("lead", "ops", "qa", "viewer", "stranger", "boss")
# Signing in and looking around leave rows of their own; what is asked of the others is that they stay as they are.
OF_SIGNING_IN = {"sessions.Session", "axes.AccessLog", "axes.AccessAttempt", "admin.LogEntry"}
LABELS = ("migrations_app", "monitoring_app", "registry", "audit", "people", "mail", "django_celery_results", "axes")


def _everything() -> dict[str, list[Any]]:
    """Every row of every model, as it is stored."""
    kept = {}
    for model in apps.get_models():
        if model._meta.label in OF_SIGNING_IN or model.__module__.startswith("tests."):
            continue
        columns = [field.column for field in model._meta.concrete_fields if field.column != "last_login"]
        names = ", ".join(connection.ops.quote_name(column) for column in columns)
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT {names} FROM {connection.ops.quote_name(model._meta.db_table)} ORDER BY 1")
            kept[model._meta.label] = cursor.fetchall()
    return kept


def _fields(model: Any) -> dict[str, str]:
    """A form that would change every field, were it taken."""
    names = [field.name for field in model._meta.fields]
    return {**{name: "1" for name in names}, "state": "completed", "_save": "Save", "_continue": "1"}


@pytest.mark.parametrize("role", ROLES)
def test_no_form_of_the_admin_changes_a_row_that_services_rule(who: make.People, run: MigrationRun, role: str) -> None:
    client = as_(getattr(who, role))
    before = _everything()
    tried = 0
    for model, ours in admin.site._registry.items():
        if model._meta.app_label not in LABELS:
            continue
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}"
        keys = list(model._base_manager.values_list("pk", flat=True)[:3])
        assert client.post(reverse(f"{name}_add"), _fields(model)).status_code == 403, model
        for key in keys:
            for view in ("change", "delete"):
                answer = client.post(reverse(f"{name}_{view}", args=[key]), {**_fields(model), "post": "yes"})
                assert answer.status_code in (302, 403), (model, view)
                tried += 1
        chosen = {"_selected_action": keys, "select_across": "1", "post": "yes", "index": "0"}
        for action in ("delete_selected", *_offered(ours)):
            client.post(reverse(f"{name}_changelist"), {**chosen, "action": action})
        client.post(reverse(f"{name}_changelist"), {"form-TOTAL_FORMS": "1", "form-0-state": "completed", "_save": "1"})
    assert tried > 20
    assert _everything() == before


def _offered(ours: Any) -> list[str]:
    """What a list offers, but the trail's export: that one stands in the trail itself."""
    names = [action if isinstance(action, str) else action.__name__ for action in ours.actions or ()]
    return [name for name in names if (ours.opts.model_name, name) != ("auditevent", "export_csv")]


@pytest.mark.parametrize("role", ROLES)
def test_no_form_is_offered_to_change_them(who: make.People, run: MigrationRun, role: str) -> None:
    client = as_(getattr(who, role))
    for model in admin.site._registry:
        if model._meta.app_label not in LABELS:
            continue
        for key in model._base_manager.values_list("pk", flat=True)[:1]:
            address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_change", args=[key])
            text = client.get(address).content.decode()
            assert 'name="_save"' not in text and "deletelink" not in text, model


def test_other_peoples_rows_are_not_there_for_staff(who: make.People, run: MigrationRun) -> None:
    client = as_(who.stranger)
    for address in (
        reverse("admin:migrations_app_migrationrun_change", args=[run.pk]),
        reverse("admin:migrations_app_migrationrun_history", args=[run.pk]),
    ):
        assert client.get(address).status_code == 302
    sent = {"action": "export_csv", "_selected_action": [run.pk], "select_across": "1"}
    answer = client.post("/admin/migrations_app/migrationrun/", sent)
    exported = b"".join(getattr(answer, "streaming_content", [])).decode()
    assert exported.count("\n") == 1 and "yukyu" not in exported  # the names of the columns alone


@pytest.mark.parametrize("role", ("lead", "ops", "qa", "viewer", "stranger"))
def test_staff_change_no_account_whatever_permission_they_hold(who: make.People, run: MigrationRun, role: str) -> None:
    person = getattr(who, role)
    client = as_(person)
    sent = {"username": person.username, "is_superuser": "on", "is_staff": "on", "is_active": "on", "_save": "Save"}
    for address in ("auth_user_add", "auth_group_add"):
        assert client.post(reverse(f"admin:{address}"), sent).status_code == 403
    assert client.post(reverse("admin:auth_user_change", args=[person.pk]), sent).status_code == 403
    password = {"password1": "another long one", "password2": "another long one"}
    assert client.post(reverse("admin:auth_user_password_change", args=[who.lead.pk]), password).status_code == 403
    assert not User.objects.get(pk=person.pk).is_superuser
    assert User.objects.get(pk=who.lead.pk).check_password(make.PASSWORD)


def test_an_account_is_made_inactive_and_never_deleted(who: make.People, run: MigrationRun) -> None:
    client = as_(who.boss)
    assert client.post(reverse("admin:auth_user_delete", args=[who.viewer.pk]), {"post": "yes"}).status_code == 403
    chosen = {"action": "delete_selected", "_selected_action": [who.viewer.pk], "post": "yes"}
    client.post(reverse("admin:auth_user_changelist"), chosen)
    assert User.objects.filter(pk=who.viewer.pk).exists()
    with pytest.raises(NoReverseMatch):
        reverse("admin:auth_permission_changelist")


def test_the_trail_says_which_fields_of_an_account_were_changed_and_not_what_was_typed(
    who: make.People, run: MigrationRun
) -> None:
    client = as_(who.boss)
    sent = {
        "username": "dora",
        "first_name": "Dora-canary",
        "is_active": "on",
        "date_joined_0": who.viewer.date_joined.strftime("%Y-%m-%d"),
        "date_joined_1": who.viewer.date_joined.strftime("%H:%M:%S"),
    }
    assert client.post(reverse("admin:auth_user_change", args=[who.viewer.pk]), sent).status_code == 302
    password = {"password1": "pass-canary-word", "password2": "pass-canary-word", "usable_password": "true"}
    changed = client.post(reverse("admin:auth_user_password_change", args=[who.viewer.pk]), password)
    assert changed.status_code == 302
    events = list(AuditEvent.objects.filter(action="person.changed", object="dora").order_by("sequence"))
    assert len(events) == 2 and all(event.actor == "boss" for event in events)
    assert "First name" in events[0].payload["fields"] and "canary" not in str([event.payload for event in events])
