"""The checklist: steps prove the system's items, people record the others, and nothing counts that proves nothing."""

from __future__ import annotations

import pytest
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from migrations_app.models import MigrationRun, RollbackRequest, TestResult
from migrations_app.services.checklist import record_result
from migrations_app.services.errors import Forbidden, ServiceRefused
from migrations_app.services.execution import claim_step
from migrations_app.services.gate_conditions import missing_conditions
from migrations_app.services.recording import record_result as record_step
from migrations_app.steps.base import StepResult
from tests import factories as make
from tests.migrations_app.services.conftest import Stage

EQUAL = {
    "equal": True,
    "difference_count": 0,
    "inconclusive": [],
    "tables": [{"name": "users", "rows": 3, "target_rows": 3, "cells": 12, "differences": 0}],
    "decrypted": [{"table": "genzai", "column": "birth_date", "cells": 3, "opened": 2, "nulls": 1}],
}


def due(stage: Stage, name: str) -> MigrationRun:
    run = make.run(stage.plan, stage.who.ops)
    make.reach(run, name, state="pending", run_state="running", signers={})
    return run


def finish(run: MigrationRun, result: StepResult) -> None:
    step = claim_step(run_id=run.pk, holder="worker", now=timezone.now())
    assert step is not None
    assert record_step(step=step, token=step.lease_token, result=result, now=timezone.now())


@pytest.mark.parametrize(
    ("result", "state"),
    [
        (StepResult("succeeded", "equal", evidence=EQUAL), "passed"),
        (StepResult("succeeded", "equal, it says"), "inconclusive"),
        (StepResult("succeeded", "partly", evidence={**EQUAL, "inconclusive": ["key missing"]}), "inconclusive"),
        (StepResult("succeeded", "equal", evidence={**EQUAL, "equal": "yes"}), "failed"),
        (StepResult("skipped", "nothing to do"), "inconclusive"),
        (StepResult("failed", "3 differ", code="DIFFERENT"), "failed"),
        (StepResult("failed", "a fault of ours", code="ERRORED"), "inconclusive"),
        (StepResult("in_doubt", "who knows", code="X"), "inconclusive"),
    ],
)
def test_item_of_the_system_is_what_its_step_proved(stage: Stage, result: StepResult, state: str) -> None:
    run = due(stage, "verify")
    finish(run, result)
    item = run.items.get(code="D08")
    assert (item.state, item.evidence["step"]) == (state, "verify")


def test_item_of_the_system_can_be_ticked_by_nobody(stage: Stage) -> None:
    run = due(stage, "verify")
    for person in ("qa", "ops", "lead", "boss"):
        with pytest.raises(ServiceRefused) as refused:
            record_result(
                actor=stage.person(person), item=run.items.get(code="D08"), outcome="passed", note="surely fine"
            )
        assert refused.value.code == "PROVED_BY_SYSTEM"


@pytest.mark.parametrize(
    ("person", "code"),
    [
        ("ops", "NOT_ALLOWED"),
        ("lead", "NOT_ALLOWED"),
        ("viewer", "NOT_ALLOWED"),
        ("stranger", "NOT_ALLOWED"),
        ("boss", "SUPERUSER_DECIDES_NOTHING"),
    ],
)
def test_item_of_qa_is_recorded_by_qa_alone(stage: Stage, person: str, code: str) -> None:
    run = due(stage, "soak")
    with pytest.raises(Forbidden) as refused:
        record_result(actor=stage.person(person), item=run.items.get(code="V02"), outcome="passed", note="I looked")
    assert (refused.value.code, "chika" in refused.value.who) == (code, True)
    record_result(actor=stage.who.qa, item=run.items.get(code="V02"), outcome="passed", note="compared by eye")
    assert run.items.get(code="V02").state == "passed"
    assert AuditEvent.objects.filter(action="result.recorded").count() == 1


@pytest.mark.parametrize(
    ("more", "code"),
    [
        ({"note": " ok "}, "NOTE_MISSING"),
        ({"outcome": "waived"}, "BAD_OUTCOME"),
        ({"outcome": "open"}, "BAD_OUTCOME"),
        ({"link": "javascript:alert(1)"}, "BAD_LINK"),
        ({"link": "file:///etc/passwd"}, "BAD_LINK"),
    ],
)
def test_result_that_proves_nothing_is_refused(stage: Stage, more: dict[str, str], code: str) -> None:
    run = due(stage, "soak")
    with pytest.raises(ServiceRefused) as refused:
        record_result(
            **{
                "actor": stage.who.qa,
                "item": run.items.get(code="V02"),
                "outcome": "passed",
                "note": "compared by eye",
                **more,
            }
        )
    assert refused.value.code == code
    assert not TestResult.objects.exists()


def test_result_is_not_recorded_after_the_end(stage: Stage) -> None:
    run = due(stage, "soak")
    MigrationRun.objects.filter(pk=run.pk).update(state="completed")
    with pytest.raises(ServiceRefused) as refused:
        record_result(actor=stage.who.qa, item=run.items.get(code="V02"), outcome="failed", note="too late")
    assert refused.value.code == "RUN_FINISHED"


def test_results_are_appended_and_the_last_one_counts(stage: Stage) -> None:
    run = due(stage, "soak")
    for outcome in ("failed", "passed"):
        record_result(actor=stage.who.qa, item=run.items.get(code="V02"), outcome=outcome, note=f"it {outcome}")
    item = run.items.get(code="V02")
    assert item.state == "passed"
    assert sorted(item.results.values_list("outcome", flat=True)) == ["failed", "passed"]


def test_result_from_before_the_switch_does_not_count_after_it(stage: Stage) -> None:
    """Whoever looked at the pages while they came from SQLite has not seen PostgreSQL's."""
    run = due(stage, "check_application")
    record_result(actor=stage.who.qa, item=run.items.get(code="V02"), outcome="passed", note="looked too early")
    finish(run, StepResult("succeeded", "says postgresql"))
    assert run.items.get(code="V02").state == "stale"
    assert run.items.get(code="V03").state == "open"
    gate = stage.gate(run, "qa")
    assert any("V02" in line and "stale" in line for line in missing_conditions(gate))
    record_result(actor=stage.who.qa, item=run.items.get(code="V02"), outcome="passed", note="looked again")
    assert not any("V02" in line for line in missing_conditions(gate))


def test_rehearsal_asks_nobody(stage: Stage) -> None:
    run = make.run(stage.plan, stage.who.ops, kind="rehearsal")
    assert run.items.exists()
    assert not run.items.exclude(prover="system").exists()


def test_request_for_a_rollback_that_nobody_agreed_to_ends_with_the_run(stage: Stage) -> None:
    run = due(stage, "complete")
    request = RollbackRequest.objects.create(
        run=run, requested_by="ana", reason="maybe", price="R3", state="waiting", created_at=timezone.now()
    )
    finish(run, StepResult("succeeded", "done"))
    run.refresh_from_db()
    request.refresh_from_db()
    assert (run.state, request.state) == ("completed", "refused")
