"""What may be changed when: runs that depend on a description, signatures and plans of an older one, two who save."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from controlplane.registry.models import Application, Membership, Role
from migrations_app.models import Approval, MigrationRun
from migrations_app.models.states import ApprovalState, PlanState, RunState
from migrations_app.services import members
from migrations_app.services.errors import FieldsRefused, Forbidden, ServiceRefused, Stale
from migrations_app.services.gate_conditions import fresh_rehearsal, missing_conditions
from migrations_app.services.plans import request_plan
from migrations_app.services.registration import change_section, register_application
from migrations_app.services.runs import create_run, start_run, submit_run
from tests import factories as make
from tests.migrations_app.services.conftest import Stage

IDENTITY = {"process": "web", "path": "/h", "field": "db", "values": {"sqlite": "s", "postgresql": "p"}}
PORTS = [{"name": "web", "command": "yukyu-web", "order": 1, "port": 8011, "rehearsal_port": 8111}]


def change(stage: Stage, section: str, by: str = "ops", **values: Any) -> Application:
    row = Application.objects.get(pk=stage.application.pk)
    version = values.pop("version", row.version)
    return change_section(actor=stage.person(by), application=row, section=section, values=values, version=version)


def processes(stage: Stage, **more: Any) -> Application:
    commands = Application.objects.get(pk=stage.application.pk).commands
    return change(stage, "processes", processes=PORTS, commands=commands, **more)


@pytest.mark.parametrize("state", [RunState.APPROVED, RunState.RUNNING, RunState.WAITING, RunState.HELD])
def test_what_a_run_depends_on_is_refused_with_its_number(stage: Stage, state: str) -> None:
    run = make.run(stage.plan, stage.who.ops)
    MigrationRun.objects.filter(pk=run.pk).update(state=state)
    with pytest.raises(ServiceRefused, match=rf"Run {run.pk} is ") as refused:
        processes(stage)
    assert refused.value.code == "RUN_DEPENDS_ON_IT"
    assert Application.objects.get().version == 0
    assert not AuditEvent.objects.filter(action="application.changed").exists()


def test_what_no_run_depends_on_may_be_changed_under_it(stage: Stage) -> None:
    run = make.run(stage.plan, stage.who.ops)
    MigrationRun.objects.filter(pk=run.pk).update(state=RunState.RUNNING)
    change(stage, "operations", recipients=["night@example.org"], change_window={})
    row = Application.objects.get()
    assert row.recipients == ["night@example.org"] and row.described_at is None


def test_a_signature_lapses_with_who_changed_what(stage: Stage) -> None:
    gate = stage.at("plan")
    make.member(stage.application, stage.who.ops, Role.LEAD)  # two leads are needed to leave the gate open
    approval = Approval.objects.create(
        gate=gate,
        role="lead",
        user=stage.who.lead,
        user_name="ben",
        reason="Looked at it.",
        plan_digest=gate.run.plan.digest,
        evidence_digest="0" * 64,
        signed_at=timezone.now(),
        expires_at=timezone.now() + timedelta(hours=72),
    )
    processes(stage)
    approval.refresh_from_db()
    assert approval.state == ApprovalState.LAPSED
    assert approval.ended_reason == "ana changed “Processes and commands” of the application after it was signed."
    assert any("description has changed" in line for line in missing_conditions(stage.gate(gate.run, "plan")))


def test_a_plan_and_a_rehearsal_of_an_older_description_do_not_count(stage: Stage) -> None:
    make.rehearsed(stage.plan, stage.who.ops)
    waiting = make.run(stage.plan, stage.who.ops, kind="rehearsal")
    assert fresh_rehearsal(stage.plan, timezone.now()) is not None
    processes(stage)
    stage.plan.refresh_from_db()
    stage.plan.application.refresh_from_db()
    assert fresh_rehearsal(stage.plan, timezone.now()) is None
    waiting = MigrationRun.objects.get(pk=waiting.pk)
    for late in (
        lambda: create_run(actor=stage.who.ops, plan=stage.plan, kind="rehearsal"),
        lambda: start_run(actor=stage.who.ops, run=waiting),
    ):
        with pytest.raises(ServiceRefused) as refused:
            late()
        assert refused.value.code == "PLAN_OUTDATED"
    newer = make.plan(Application.objects.get(), stage.who.second_lead, state=PlanState.SUBMITTED)
    assert create_run(actor=stage.who.ops, plan=newer, kind="rehearsal").pk


def test_a_draft_of_an_older_description_is_not_submitted(stage: Stage) -> None:
    run = make.run(stage.plan, stage.who.ops)
    processes(stage)
    with pytest.raises(ServiceRefused) as refused:
        submit_run(actor=stage.who.ops, run=MigrationRun.objects.get(pk=run.pk))
    assert refused.value.code == "PLAN_OUTDATED"


def test_what_is_not_described_is_neither_planned_nor_run(stage: Stage) -> None:
    draft = register_application(actor=stage.who.ops, name="zaiko", title="", host="apphost")
    with pytest.raises(ServiceRefused, match="can’t be planned yet: Where is its SQLite file") as refused:
        request_plan(actor=stage.who.ops, application=draft)
    assert refused.value.code == "DESCRIPTION_INCOMPLETE"
    Application.objects.filter(pk=stage.application.pk).update(processes=[])
    plan = make.plan(Application.objects.get(name="yukyu"), stage.who.second_lead)
    with pytest.raises(ServiceRefused, match="can’t be rehearsed yet"):
        create_run(actor=stage.who.ops, plan=plan, kind="rehearsal")


def test_an_event_says_what_was_and_what_is_and_names_what_is_kept_quiet(stage: Stage) -> None:
    processes(stage)
    change(stage, "rehearsal", environment={"MAIL_HOST": "quiet-canary"})
    events = AuditEvent.objects.filter(action="application.changed").order_by("sequence")
    ports = {entry["what"]: (entry["old"], entry["new"]) for entry in events[0].payload["changes"] if "old" in entry}
    assert ports["processes.web.port"] == (8010, 8011)
    assert events[1].payload["changes"] == [{"what": "rehearsal.environment.MAIL_HOST"}]
    assert "quiet-canary" not in str(events.values_list("payload", flat=True))


def test_saving_what_is_there_already_is_no_change(stage: Stage) -> None:
    processes(stage)
    before = AuditEvent.objects.count()
    processes(stage)
    assert (AuditEvent.objects.count(), Application.objects.get().version) == (before, 1)


def test_nobody_is_a_second_author_of_the_same_page(stage: Stage) -> None:
    processes(stage, version=0)
    with pytest.raises(Stale, match="was changed by ana at"):
        change(stage, "operations", version=0, recipients=["x@example.org"], change_window={})


def test_of_many_who_save_at_once_one_wins_and_all_others_are_told(committed_stage: Stage) -> None:
    stage, said = committed_stage, []

    def save(number: int) -> None:
        try:
            change(stage, "operations", version=0, recipients=[f"{number}@example.org"], change_window={})
            said.append("saved")
        except Stale:
            said.append("told")
        finally:
            connection.close()

    threads = [threading.Thread(target=save, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(said) == ["saved", *["told"] * 7]
    assert Application.objects.get().version == 1
    assert AuditEvent.objects.filter(action="application.changed").count() == 1


@pytest.mark.parametrize("by", ["lead", "qa", "viewer", "stranger"])
def test_only_ops_and_superusers_change_a_description(stage: Stage, by: str) -> None:
    with pytest.raises(Forbidden) as refused:
        change(stage, "operations", by=by, recipients=["x@example.org"], change_window={})
    assert refused.value.code == "NOT_ALLOWED" and "ana" in refused.value.who


def test_a_role_that_is_taken_ends_the_signatures_given_in_it(stage: Stage) -> None:
    gate = stage.at("go")
    approval = stage.sign(gate, "ops", "ops")
    role = Membership.objects.get(user=stage.who.ops, role=Role.OPS)
    members.revoke_role(actor=stage.who.boss, application=stage.application, membership_id=role.pk)
    approval.refresh_from_db()
    assert (approval.state, approval.ended_reason) == (ApprovalState.LAPSED, "ana no longer has the role.")


def test_nobody_but_a_superuser_makes_himself_a_second_pair_of_eyes(stage: Stage) -> None:
    for name in ("ops", "lead", "qa", "viewer", "stranger"):
        with pytest.raises(Forbidden):
            members.grant_role(
                actor=stage.person(name), application=stage.application, person=stage.person(name).username, role="qa"
            )
    with pytest.raises(FieldsRefused, match="superusers decide nothing"):
        members.grant_role(actor=stage.who.boss, application=stage.application, person="boss", role="lead")


@pytest.mark.parametrize(
    ("section", "values", "place"),
    [
        ("operations", {"recipients": ["a@example.org,b@example.org"], "change_window": {}}, "recipients"),
        ("operations", {"recipients": ["a@example.org\nBcc: b@example.org"], "change_window": {}}, "recipients"),
        (
            "operations",
            {"change_window": {"days": ["sat"], "opens": "25:00", "closes": "04:00", "zone": "UTC"}},
            "opens",
        ),
        ("operations", {"change_window": {"days": ["sat"], "opens": "22:00", "closes": "4", "zone": "UTC"}}, "closes"),
        (
            "operations",
            {"change_window": {"days": ["sat"], "opens": "22:00", "closes": "04:00", "zone": "/etc"}},
            "zone",
        ),
        ("rehearsal", {"environment": {"API_TOKEN": "canary"}}, "environment"),
        ("rehearsal", {"environment": {"A B": "1"}}, "environment"),
        ("processes", {"processes": [{"name": "web", "command": "rm -rf /\n", "order": 1}]}, "processes.0.command"),
        ("processes", {"processes": PORTS, "commands": {"evil": "x"}}, "commands.evil"),
        (
            "health",
            {"endpoints": [{"name": "a", "process": "web", "path": "http://evil/", "status": 200}]},
            "endpoints.0.path",
        ),
        (
            "health",
            {"identity": {"process": "web", "path": "/h", "field": "db", "values": {"sqlite": "x", "postgresql": "x"}}},
            "identity.postgresql",
        ),
        ("health", {"identity": {**IDENTITY, "pool": {"path": "/db"}}}, "pool.size"),
        ("health", {"identity": {**IDENTITY, "pool": {"size": "pool.size"}}}, "pool.path"),
        ("health", {"identity": {**IDENTITY, "pool": {"application_name": "x"}}}, "pool.most"),
        ("health", {"identity": {**IDENTITY, "pool": {"configured": 5, "most": 4}}}, "pool.most"),
        ("health", {"identity": {**IDENTITY, "pool": {"configured": True}}}, "pool.configured"),
        (
            "encrypted",
            {"encrypted_columns": [{"table": "t", "column": "c", "scheme": "rot13", "key_env": "K"}]},
            "encrypted_columns.0.scheme",
        ),
        (
            "encrypted",
            {"encrypted_columns": [{"table": "t", "column": "c", "scheme": "fernet", "key_env": "gAAA=="}]},
            "encrypted_columns.0.key_env",
        ),
        (
            "encrypted",
            {"encrypted_columns": [{"table": "t", "column": "c", "scheme": "fernet", "key_env": "K", "pattern": "("}]},
            "encrypted_columns.0.pattern",
        ),
        ("source", {"source_path": "/srv/a/../b", "busy_timeout_ms": 5000}, "source_path"),
        ("source", {"source_path": "/srv/a\0", "busy_timeout_ms": 5000}, "source_path"),
        ("source", {"source_path": "", "busy_timeout_ms": -1}, "busy_timeout_ms"),
        ("target", {"target_schema": "causeway", "schema_mode": "create"}, "target_schema"),
        ("target", {"target_schema": "public", "schema_mode": "drop"}, "schema_mode"),
        ("basics", {"title": "x", "host": "a;b"}, "host"),
    ],
)
def test_bad_values_are_refused_at_their_place_by_the_service_itself(
    stage: Stage, section: str, values: dict[str, Any], place: str
) -> None:
    with pytest.raises(FieldsRefused) as refused:
        change(stage, section, **values)
    assert place in refused.value.fields
    assert "canary" not in str(refused.value.fields)
    assert Application.objects.get().version == 0
