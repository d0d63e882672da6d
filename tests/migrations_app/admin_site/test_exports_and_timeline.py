"""The admin shows a run's timeline and history, leads to the dialogs, and exports rows as CSV while it reads them."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.http import StreamingHttpResponse
from django.urls import reverse
from django.utils.html import escape

from controlplane.audit.models import AuditEvent
from controlplane.registry.models import Application
from migrations_app.models import MigrationRun, RunStep
from tests import factories as make
from tests.migrations_app.admin_site.conftest import as_

RUNS = "/admin/migrations_app/migrationrun/"


def _export(client: Any, address: str, **sent: Any) -> list[dict[str, str]]:
    answer = client.post(address, {"action": "export_csv", **sent})
    assert isinstance(answer, StreamingHttpResponse) and answer.headers["Content-Type"].startswith("text/csv")
    assert answer.headers["Content-Disposition"].startswith("attachment; ")
    text = b"".join(answer.streaming_content).decode("utf-8-sig")  # type: ignore[arg-type]
    return list(csv.DictReader(io.StringIO(text)))


def test_the_chosen_rows_are_exported_and_no_others(who: make.People, run: MigrationRun) -> None:
    other = make.run(run.plan, who.ops, kind="rehearsal")
    rows = _export(as_(who.ops), RUNS, _selected_action=[run.pk])
    assert [row["id"] for row in rows] == [str(run.pk)] != [str(other.pk)]
    assert (rows[0]["state"], rows[0]["requested_by"]) == ("waiting", "ana")


def test_select_all_exports_everything_that_the_filter_found(who: make.People, run: MigrationRun) -> None:
    for number in range(120):
        run.steps.get(name="load").log.create(at=run.created_at, text=f"有給 {number}", level="info")
    address = reverse("admin:migrations_app_steplogline_changelist")
    first = run.steps.get(name="load").log.first()
    assert first is not None
    rows = _export(as_(who.ops), f"{address}?q=有給", _selected_action=[first.pk], select_across="1")
    assert len(rows) == 120 and rows[0]["text"] == "有給 0"


def test_an_export_holds_nothing_of_other_peoples_applications(who: make.People, run: MigrationRun) -> None:
    theirs = make.application("zaiko")
    make.member(theirs, who.stranger, "ops")
    other = make.run(make.plan(theirs, who.stranger), who.stranger)
    rows = _export(as_(who.stranger), RUNS, _selected_action=[run.pk, other.pk], select_across="1")
    assert [row["id"] for row in rows] == [str(other.pk)]


def test_a_spreadsheet_takes_nothing_in_an_export_for_a_formula(who: make.People, run: MigrationRun) -> None:
    request = run.rollback_requests.get()
    rows = _export(
        as_(who.ops), reverse("admin:migrations_app_rollbackrequest_changelist"), _selected_action=[request.pk]
    )
    assert rows[0]["reason"] == "'=1+1"


@pytest.mark.parametrize("role", ["ops", "boss"])
def test_no_export_holds_a_secret(who: make.People, run: MigrationRun, role: str) -> None:
    client = as_(getattr(who, role))
    for model, ours in admin.site._registry.items():
        if "export_csv" not in (ours.actions or ()):
            continue
        keys = list(model._base_manager.values_list("pk", flat=True)[:50])
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        answer = client.post(address, {"action": "export_csv", "_selected_action": keys, "select_across": "1"})
        if isinstance(answer, StreamingHttpResponse):
            text = b"".join(answer.streaming_content).decode()  # type: ignore[arg-type]
            assert "secret-word" not in text and "target_url" not in text, model


def test_a_runs_page_shows_its_timeline_and_every_task(who: make.People, run: MigrationRun) -> None:
    text = as_(who.ops).get(f"{RUNS}{run.pk}/change/").content.decode()
    assert 'class="strip"' in text and "Pre-migration" in text
    for step in RunStep.objects.filter(run=run):
        assert escape(step.title) in text
    for address in (
        reverse("run", args=[run.pk]),
        reverse("run_sign", args=[run.pk, "go"]),
        reverse("run_rollback", args=[run.pk]),
    ):
        assert f'href="{address}"' in text


def test_a_finished_run_offers_no_way_back(who: make.People, run: MigrationRun) -> None:
    make.complete(run)
    text = as_(who.ops).get(f"{RUNS}{run.pk}/change/").content.decode()
    assert reverse("run_rollback", args=[run.pk]) not in text


def test_the_history_of_a_row_is_what_the_trail_says(who: make.People, run: MigrationRun) -> None:
    make.event("run.held", who.ops, run, reason="the disk is full")
    text = as_(who.ops).get(f"{RUNS}{run.pk}/history/").content.decode()
    assert "the disk is full" in text and "run.held" in text
    plan = reverse("admin:migrations_app_migrationplan_history", args=[run.plan_id])
    assert as_(who.ops).get(plan).status_code == 200


def test_approve_leads_to_gate_1_and_nowhere_else(who: make.People, run: MigrationRun) -> None:
    client = as_(who.lead)
    sent = {"action": "approve", "_selected_action": [run.pk]}
    assert "wait at Gate 1" in client.post(RUNS, sent, follow=True).content.decode()
    run.gates.filter(code="go").update(state="closed")
    run.gates.filter(code="plan").update(state="open")
    assert client.post(RUNS, sent).headers["Location"] == reverse("run_sign", args=[run.pk, "plan"])


def test_every_list_has_filters_or_a_search(who: make.People, run: MigrationRun) -> None:
    for model, ours in admin.site._registry.items():
        if model._meta.app_label in ("migrations_app", "registry", "audit"):
            assert ours.search_fields or ours.list_filter, model


def test_an_application_of_others_is_in_no_list_of_the_admin(who: make.People, run: MigrationRun) -> None:
    theirs: Application = make.application("himitsu")
    make.member(theirs, who.stranger, "ops")
    make.event("run.created", who.stranger, make.run(make.plan(theirs, who.stranger), who.stranger))
    client = as_(who.ops)
    for model in admin.site._registry:
        address = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
        text = client.get(address).content.decode()
        assert "himitsu" not in text, model


def test_the_trail_is_exported_by_who_has_the_permission_alone(who: make.People, run: MigrationRun) -> None:
    address = reverse("admin:audit_auditevent_changelist")
    newest = AuditEvent.objects.first()
    sent = {"action": "export_csv", "_selected_action": [newest.pk], "select_across": "1"}
    assert not isinstance(as_(who.ops).post(address, sent), StreamingHttpResponse)
    who.ops.user_permissions.add(Permission.objects.get(codename="export_auditevent"))
    rows = _export(as_(who.ops), address, _selected_action=[newest.pk], select_across="1")
    assert rows and {row["application"] for row in rows} == {"yukyu"}
    assert AuditEvent.objects.filter(action="audit.exported", actor="ana").count() == 1
