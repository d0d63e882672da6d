"""An item of the system's that could not be proved is proved once more, where to look again does no harm."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from migrations_app.models import ChecklistItem, Gate
from migrations_app.models.states import GateState, ItemState, RunState, StepState
from migrations_app.services.errors import ServiceRefused
from migrations_app.services.execution import claim_step
from migrations_app.services.gates import gate_view
from migrations_app.services.proving_again import prove_again, why_not_again
from migrations_app.services.recording import record_result
from migrations_app.steps.base import StepResult
from tests.migrations_app.services.conftest import Stage


def untried(gate: Gate, step: str) -> ChecklistItem:
    """The step's first item, inconclusive."""
    item = gate.run.items.select_related("run__application").filter(step_name=step, prover="system").first()
    assert item is not None
    ChecklistItem.objects.filter(pk=item.pk).update(state=ItemState.INCONCLUSIVE)
    item.refresh_from_db()
    return item


def test_item_is_proved_again_and_the_gate_is_asked_anew(stage: Stage) -> None:
    gate = stage.at("qa")
    item = untried(gate, "check_integrity")
    prove_again(actor=stage.who.qa, item=item, reason="The key is there now.")
    run = gate.run
    run.refresh_from_db()
    assert run.state == RunState.RUNNING
    view = gate_view(stage.gate(run, "qa"), stage.who.qa)
    assert not view.mine.allowed and "Data integrity" in view.missing[0]
    step = claim_step(run_id=run.pk, holder="here", now=timezone.now())
    assert step is not None and step.name == "check_integrity"
    item.refresh_from_db()
    assert item.state == ItemState.STALE
    evidence: dict[str, Any] = {"problems": [], "inconclusive": [], "decrypted": []}
    record_result(
        step=step, token=step.lease_token, result=StepResult("succeeded", "fine", evidence=evidence), now=timezone.now()
    )
    run.refresh_from_db()
    item.refresh_from_db()
    assert (run.state, item.state) != (RunState.RUNNING, ItemState.STALE)
    assert run.state == RunState.WAITING
    assert stage.gate(run, "qa").state == GateState.OPEN
    event = AuditEvent.objects.get(action="step.retried")
    assert (event.actor, event.role, event.payload["item"]) == ("chika", "qa", item.code)


def test_what_a_gate_was_passed_on_the_strength_of_is_not_proved_again(stage: Stage) -> None:
    gate = stage.at("sign_off")
    assert why_not_again(gate.run, untried(gate, "check_integrity")) == "A gate was passed on the strength of it."


def test_signature_given_before_does_not_outlive_the_new_proof(stage: Stage) -> None:
    go = stage.at("go")
    signed = stage.sign(go, "lead", "lead")
    item = untried(go, "baseline")
    prove_again(actor=stage.who.ops, item=item, reason="It was busy at noon.")
    step = claim_step(run_id=go.run_id, holder="here", now=timezone.now())
    assert step is not None and step.name == "baseline"
    made = StepResult("succeeded", "fine", evidence={"endpoints": []}, facts={"baseline": []})
    record_result(step=step, token=step.lease_token, result=made, now=timezone.now())
    signed.refresh_from_db()
    assert signed.state == "lapsed" and item.code in signed.ended_reason


@pytest.mark.parametrize("name", ["stop_application", "load", "verify", "switch_configuration", "start_application"])
def test_step_that_does_more_than_look_is_not_run_again(stage: Stage, name: str) -> None:
    gate = stage.at("qa")
    item = untried(gate, name)
    with pytest.raises(ServiceRefused) as refused:
        prove_again(actor=stage.who.ops, item=item, reason="Once more, please.")
    assert refused.value.code == "CANT_PROVE_AGAIN"
    assert gate.run.steps.get(name=name).state == StepState.SUCCEEDED


def test_nothing_is_proved_again_while_the_run_is_under_way_or_where_it_passed(stage: Stage) -> None:
    gate = stage.at("qa")
    item = untried(gate, "check_integrity")
    type(gate.run).objects.filter(pk=gate.run_id).update(state=RunState.HELD)
    with pytest.raises(ServiceRefused):
        prove_again(actor=stage.who.ops, item=item, reason="Once more, please.")
    type(gate.run).objects.filter(pk=gate.run_id).update(state=RunState.WAITING)
    ChecklistItem.objects.filter(pk=item.pk).update(state=ItemState.PASSED)
    with pytest.raises(ServiceRefused):
        prove_again(actor=stage.who.ops, item=item, reason="Once more, please.")
    with pytest.raises(ServiceRefused) as refused:
        prove_again(actor=stage.who.ops, item=item, reason=" ")
    assert refused.value.code == "REASON_MISSING"
