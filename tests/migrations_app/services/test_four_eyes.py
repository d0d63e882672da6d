"""What the database itself refuses, how long go counts, and what a lapse says."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from controlplane.registry.models import Membership
from migrations_app.models import Approval, Gate, MigrationRun, RunStep
from migrations_app.models.states import GateState, RunState, StepState
from migrations_app.services import gates
from migrations_app.services.checklist import record_result
from migrations_app.services.execution import claim_step
from migrations_app.services.permissions import offers
from migrations_app.services.price import price_of
from migrations_app.services.rollback import preview_rollback
from migrations_app.services.signature_record import signature_record
from migrations_app.services.signatures import lapse_expired
from tests.migrations_app.services.conftest import Stage

HOUR = timedelta(hours=1)


def behind_the_services(gate: Gate, user: Any, role: str, **fields: Any) -> Approval:
    """A signature written past the rules, as a fault of ours would."""
    now = timezone.now()
    described = {
        "gate_code": gate.code,
        "plan_author": gate.run.plan.author,
        "small_team": False,
        "user_name": user.get_username(),
        "reason": "x",
        "plan_digest": gate.run.plan.digest,
        "evidence_digest": "e" * 64,
        "signed_at": now,
        "expires_at": now + HOUR,
    }
    with transaction.atomic():
        return Approval.objects.create(gate=gate, user=user, role=role, **{**described, **fields})


def test_database_refuses_the_authors_own_approval(stage: Stage) -> None:
    gate = stage.at("plan")
    with pytest.raises(IntegrityError):
        behind_the_services(gate, stage.who.second_lead, "lead")


@pytest.mark.parametrize("code", ["go", "sign_off"])
def test_database_refuses_the_author_as_lead_of_a_small_team(stage: Stage, code: str) -> None:
    gate = stage.at(code)
    with pytest.raises(IntegrityError):
        behind_the_services(gate, stage.who.second_lead, "lead", small_team=True)


@pytest.mark.parametrize(
    ("one", "other", "small_team", "fits"),
    [
        ("qa", "ops", False, False),
        ("qa", "ops", True, True),
        ("lead", "ops", True, False),
        ("lead", "qa", True, False),
        ("lead", "ops", False, False),
    ],
)
def test_database_refuses_two_roles_of_one_person(
    stage: Stage, one: str, other: str, small_team: bool, fits: bool
) -> None:
    gate = stage.at("sign_off")
    behind_the_services(gate, stage.who.lead, one, small_team=small_team)
    if fits:
        behind_the_services(gate, stage.who.lead, other, small_team=small_team)
    else:
        with pytest.raises(IntegrityError):
            behind_the_services(gate, stage.who.lead, other, small_team=small_team)


def test_signature_keeps_what_it_was_made_of(stage: Stage) -> None:
    gate = stage.at("go")
    approval = stage.sign(gate, "lead", "lead")
    approval.refresh_from_db()
    assert (approval.gate_code, approval.plan_author_id) == ("go", stage.who.second_lead.pk)
    assert approval.seen["steps"]["backup"][1] == "succeeded"
    assert set(approval.seen["items"]) == set(gate.run.items.values_list("code", flat=True))


def test_lapse_names_the_item_and_what_became_of_it(stage: Stage) -> None:
    gate = stage.at("sign_off")
    approval = stage.sign(gate, "lead", "lead")
    item = gate.run.items.filter(prover="qa").first()
    assert item is not None
    record_result(actor=stage.who.qa, item=item, outcome="failed", note="the chart is empty")
    approval.refresh_from_db()
    assert approval.state == "lapsed"
    assert f"Item {item.code} “{item.title}” is failed, was passed." in approval.ended_reason


def test_same_result_recorded_anew_ends_the_signatures_on_the_old_one(stage: Stage) -> None:
    gate = stage.at("sign_off")
    approval = stage.sign(gate, "lead", "lead")
    item = gate.run.items.filter(prover="qa").first()
    assert item is not None
    record_result(actor=stage.who.qa, item=item, outcome="passed", note="looked once more")
    approval.refresh_from_db()
    assert (approval.state, "was proved anew" in approval.ended_reason) == ("lapsed", True)


def test_settings_and_window_of_the_plan_are_part_of_what_is_signed(stage: Stage, change: Callable[..., None]) -> None:
    gate = stage.at("go")
    approval = stage.sign(gate, "lead", "lead")
    now = timezone.now()
    change(stage.plan, settings={**stage.plan.settings, "small_team": True}, window_start=now, window_end=now + HOUR)
    stage.sign(gate, "ops", "ops")
    approval.refresh_from_db()
    assert approval.state == "lapsed"
    assert "The plan's settings changed. The plan's window changed." in approval.ended_reason
    assert Gate.objects.get(pk=gate.pk).state == GateState.OPEN


def test_signer_who_became_a_superuser_no_longer_counts(stage: Stage) -> None:
    gate = stage.at("go")
    approval = stage.sign(gate, "lead", "lead")
    type(stage.who.lead).objects.filter(pk=stage.who.lead.pk).update(is_superuser=True)
    lapse_expired(now=timezone.now())
    approval.refresh_from_db()
    assert "a superuser signs nothing" in approval.ended_reason


def test_go_counts_until_the_window_closes(stage: Stage, change: Callable[..., None]) -> None:
    now = timezone.now()
    change(stage.plan, window_start=now - HOUR, window_end=now + HOUR)
    gate = stage.at("go")
    approval = stage.sign(gate, "lead", "lead")
    assert approval.expires_at == stage.plan.window_end
    lapse_expired(now=now + HOUR / 2)
    approval.refresh_from_db()
    assert approval.state == "valid"
    lapse_expired(now=now + 2 * HOUR)
    approval.refresh_from_db()
    assert (approval.state, approval.ended_reason) == ("lapsed", "The plan's window closed before it was used.")


def _passed_go(stage: Stage) -> MigrationRun:
    gate = stage.at("go")
    stage.sign(gate, "lead", "lead")
    stage.sign(gate, "ops", "ops")
    return MigrationRun.objects.get(pk=gate.run_id)


def test_go_that_was_not_used_in_time_is_asked_again_instead_of_stopping_the_application(stage: Stage) -> None:
    """The workers were down, or the run was held, between the signatures and the stop."""
    run = _passed_go(stage)
    later = timezone.now() + timedelta(hours=73)
    assert claim_step(run_id=run.pk, holder="late", now=later) is None
    run.refresh_from_db()
    assert run.state == RunState.WAITING
    assert set(RunStep.objects.filter(run=run, name__in=["before_stop", "stop_application"]).values_list("state")) == {
        (StepState.PENDING,)
    }
    gate = stage.gate(run, "go")
    assert (gate.state, gate.step.state) == (GateState.OPEN, StepState.PENDING)
    assert set(gate.approvals.values_list("state", flat=True)) == {"lapsed"}
    assert AuditEvent.objects.filter(action="gate.lapsed").count() == 2
    stage.sign(gate, "lead", "lead")
    stage.sign(gate, "ops", "ops")
    assert claim_step(run_id=run.pk, holder="in time", now=timezone.now()) is not None


def _do(run: MigrationRun, name: str) -> None:
    """The step is claimed in time and succeeds."""
    step = claim_step(run_id=run.pk, holder="in time", now=timezone.now())
    assert step is not None and step.name == name
    RunStep.objects.filter(pk=step.pk).update(state=StepState.SUCCEEDED, finished_at=timezone.now())


def test_go_is_asked_again_when_only_the_maintenance_page_was_put_up_in_time(stage: Stage) -> None:
    """Held between the two over night: in the morning the application must not be stopped on yesterday's word."""
    run = _passed_go(stage)
    _do(run, "before_stop")
    assert claim_step(run_id=run.pk, holder="late", now=timezone.now() + timedelta(hours=73)) is None
    run.refresh_from_db()
    assert run.state == RunState.WAITING
    assert run.steps.get(name="stop_application").started_at is None
    gate = stage.gate(run, "go")
    assert all(
        "a maintenance page may be up" in ended for ended in gate.approvals.values_list("ended_reason", flat=True)
    )
    stage.sign(gate, "lead", "lead")
    stage.sign(gate, "ops", "ops")
    _do(run, "before_stop")  # once more: someone may have taken the page down
    _do(run, "stop_application")


def test_run_with_its_maintenance_page_up_is_rolled_back_and_not_just_given_up(stage: Stage) -> None:
    run = _passed_go(stage)
    _do(run, "before_stop")
    MigrationRun.objects.filter(pk=run.pk).update(state=RunState.HELD)
    run.refresh_from_db()
    assert not offers(stage.who.ops, run)["fail"].allowed
    assert preview_rollback(run) == ["After the start", "Clean the target"]
    assert price_of(run).price == "R0"


def test_go_that_was_used_is_not_asked_again(stage: Stage) -> None:
    run = _passed_go(stage)
    _do(run, "before_stop")
    assert claim_step(run_id=run.pk, holder="in time", now=timezone.now()) is not None
    # A stop that was cut short and is to be done again has touched the application: it is down, or half down.
    run.steps.filter(name="stop_application").update(state=StepState.PENDING)
    assert claim_step(run_id=run.pk, holder="later", now=timezone.now() + timedelta(hours=100)) is not None


def test_stop_that_was_cut_short_is_priced_and_undone_as_a_stop(stage: Stage) -> None:
    run = _passed_go(stage)
    _do(run, "before_stop")
    assert claim_step(run_id=run.pk, holder="in time", now=timezone.now()) is not None
    run.steps.filter(name="stop_application").update(state=StepState.PENDING)
    assert price_of(run).price == "R1"
    assert "Start the application on SQLite" in preview_rollback(run)


def test_refusal_ends_the_others_signatures_and_names_who_refused_and_why(stage: Stage) -> None:
    gate = stage.at("go")
    approval = stage.sign(gate, "lead", "lead")
    gates.refuse_gate(actor=stage.who.ops, gate=gate, role="ops", reason="The disk is slow tonight.")
    approval.refresh_from_db()
    assert approval.ended_reason == "ana refused the gate: The disk is slow tonight."
    assert AuditEvent.objects.filter(action="gate.lapsed").count() == 1


def test_record_tells_every_signature_lapse_and_shared_hand(stage: Stage) -> None:
    stage.small_team()
    Membership.objects.create(application=stage.application, user=stage.who.ops, role="qa")
    gate = stage.at("sign_off")
    first = stage.sign(gate, "lead", "lead", reason="too quick")
    gates.withdraw_approval(actor=stage.who.lead, approval=first, reason="I had not looked at the report")
    stage.sign(gate, "ops", "qa")
    stage.sign(gate, "ops", "ops")
    stage.sign(gate, "lead", "lead")
    told = signature_record(MigrationRun.objects.get(pk=gate.run_id))
    assert told["small_team"] is True
    assert told["shared_hands"] == [{"gate": "sign_off", "name": "ana", "roles": ["qa", "ops"]}]
    assert told["plan"]["author"] == "emi"
    last = told["gates"][-1]
    assert (last["code"], last["state"]) == ("sign_off", "passed")
    assert [(s["name"], s["role"], s["state"]) for s in last["signatures"]] == [
        ("ben", "lead", "withdrawn"),
        ("ana", "qa", "consumed"),
        ("ana", "ops", "consumed"),
        ("ben", "lead", "consumed"),
    ]
    assert last["signatures"][0]["ended_reason"] == "I had not looked at the report"
    json.dumps(told)  # plain data
