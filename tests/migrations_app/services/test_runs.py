"""A run's life as people steer it: what can be done when, by whom, and what the tables of transitions forbid."""

from __future__ import annotations

from typing import Any

import pytest
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from migrations_app.models import MigrationRun, RunStep
from migrations_app.models.states import RUN_TRANSITIONS, STEP_TRANSITIONS, RunState, StepState
from migrations_app.services import runs
from migrations_app.services.errors import Forbidden, ServiceRefused, Stale
from migrations_app.services.permissions import offers
from migrations_app.services.transitions import change_run, change_step
from tests import factories as make
from tests.migrations_app.services.conftest import Stage

STATES = [state.value for state in RunState]
ACTS: dict[str, Any] = {
    "submit": runs.submit_run,
    "start": runs.start_run,
    "hold": runs.hold_run,
    "resume": runs.resume_run,
    "cancel": runs.cancel_run,
    "fail": runs.fail_run,
}
ALLOWED = {
    "submit": {"draft"},
    "start": {"approved"},
    "hold": {"running"},
    "resume": {"held"},
    "cancel": {"draft", "awaiting_approval", "approved"},
    "fail": {"held"},
}
WITH_REASON = {"hold", "cancel", "fail"}


def act(name: str, actor: Any, run: MigrationRun, reason: str = "because") -> None:
    ACTS[name](actor=actor, run=run, **({"reason": reason} if name in WITH_REASON else {}))


def in_state(stage: Stage, state: str, kind: str = "production") -> MigrationRun:
    run = make.run(stage.plan, stage.who.ops, kind=kind)
    MigrationRun.objects.filter(pk=run.pk).update(state=state)
    run.refresh_from_db()
    return run


@pytest.mark.parametrize("before", STATES)
def test_run_changes_only_as_the_table_of_transitions_says(stage: Stage, before: str) -> None:
    run = in_state(stage, before)
    for after in STATES:
        MigrationRun.objects.filter(pk=run.pk).update(state=before, finished_at=None)
        run.refresh_from_db()
        if after in RUN_TRANSITIONS[before]:
            change_run(run, after, at=timezone.now())
            assert run.state == after
            assert (run.finished_at is not None) == (not RUN_TRANSITIONS[after])
        else:
            with pytest.raises(Stale):
                change_run(run, after, at=timezone.now())
            assert MigrationRun.objects.get(pk=run.pk).state == before


@pytest.mark.parametrize("before", [state.value for state in StepState])
def test_step_changes_only_as_the_table_of_transitions_says(stage: Stage, before: str) -> None:
    run = in_state(stage, "running")
    row = run.steps.get(name="load")
    for after in StepState:
        RunStep.objects.filter(pk=row.pk).update(state=before)
        row.refresh_from_db()
        assert change_step(row, after) == (after in STEP_TRANSITIONS[before])


def test_change_on_a_row_that_someone_else_changed_is_stale(stage: Stage) -> None:
    run = in_state(stage, "running")
    MigrationRun.objects.filter(pk=run.pk).update(state="held")
    with pytest.raises(Stale):
        change_run(run, "completed", at=timezone.now())
    old = in_state(stage, "running", kind="rehearsal")
    MigrationRun.objects.filter(pk=old.pk).update(state="rolling_back")
    with pytest.raises(Stale):
        runs.hold_run(actor=stage.who.ops, run=old, reason="lunch")
    assert not AuditEvent.objects.filter(action="run.held").exists()


@pytest.mark.parametrize("state", STATES)
@pytest.mark.parametrize("name", ACTS)
def test_action_is_possible_only_in_its_states(stage: Stage, name: str, state: str) -> None:
    make.rehearsed(stage.plan, stage.who.ops)
    run = in_state(stage, state)
    allowed = state in ALLOWED[name]
    assert offers(stage.who.ops, run)[name].allowed == allowed
    if allowed:
        act(name, stage.who.ops, run)
        assert MigrationRun.objects.get(pk=run.pk).state != state
    else:
        with pytest.raises(ServiceRefused) as refused:
            act(name, stage.who.ops, run)
        assert refused.value.code == "WRONG_STATE"
        assert MigrationRun.objects.get(pk=run.pk).state == state


@pytest.mark.parametrize("person", ["qa", "viewer", "boss", "stranger"])
@pytest.mark.parametrize("name", ACTS)
def test_action_is_refused_to_everyone_who_may_not(stage: Stage, name: str, person: str) -> None:
    state = sorted(ALLOWED[name])[0]
    run = in_state(stage, state)
    with pytest.raises(Forbidden) as refused:
        act(name, stage.person(person), run)
    assert refused.value.who
    assert not offers(stage.person(person), run)[name].allowed
    assert MigrationRun.objects.get(pk=run.pk).state == state


@pytest.mark.parametrize("name", ["start", "resume"])
def test_team_lead_alone_neither_starts_nor_resumes(stage: Stage, name: str) -> None:
    run = in_state(stage, sorted(ALLOWED[name])[0])
    with pytest.raises(Forbidden):
        act(name, stage.who.lead, run)


@pytest.mark.parametrize("name", ["cancel", "fail"])
def test_end_needs_a_reason(stage: Stage, name: str) -> None:
    run = in_state(stage, sorted(ALLOWED[name])[0])
    with pytest.raises(ServiceRefused) as refused:
        act(name, stage.who.ops, run, reason=" ")
    assert refused.value.code == "REASON_MISSING"


def test_run_is_not_given_up_once_the_application_was_stopped(stage: Stage) -> None:
    run = in_state(stage, "held")
    run.steps.filter(name="stop_application").update(state="failed")
    with pytest.raises(ServiceRefused) as refused:
        runs.fail_run(actor=stage.who.lead, run=run, reason="enough")
    assert refused.value.code == "WRONG_STATE"
    offer = offers(stage.who.lead, run)["fail"]
    assert not offer.allowed and "roll it back" in offer.why.lower()
    assert offers(stage.who.lead, run)["roll_back"].allowed


def test_rehearsal_that_began_is_taken_down_and_not_just_given_up(stage: Stage) -> None:
    """Given up, its scratch database and second instance would stay behind."""
    run = in_state(stage, "held", kind="rehearsal")
    assert offers(stage.who.lead, run)["fail"].allowed
    run.steps.filter(name="create_scratch").update(state="failed")
    with pytest.raises(ServiceRefused) as refused:
        runs.fail_run(actor=stage.who.lead, run=run, reason="enough")
    assert refused.value.code == "WRONG_STATE"


def test_second_run_of_an_application_does_not_start(stage: Stage) -> None:
    make.rehearsed(stage.plan, stage.who.ops)
    in_state(stage, "running")
    second = in_state(stage, "approved")
    with pytest.raises(ServiceRefused) as refused:
        runs.start_run(actor=stage.who.ops, run=second)
    assert refused.value.code == "ANOTHER_RUN_IS_ACTIVE"
    assert MigrationRun.objects.get(pk=second.pk).state == "approved"


@pytest.mark.parametrize("name", ["submit", "start"])
def test_plan_with_an_open_finding_goes_nowhere(stage: Stage, name: str) -> None:
    plan = make.plan(stage.application, stage.who.ops, findings=2)
    run = make.run(plan, stage.who.ops, kind="production" if name == "submit" else "rehearsal")
    with pytest.raises(ServiceRefused) as refused:
        act(name, stage.who.ops, run)
    assert refused.value.code == "FINDINGS_WITHOUT_CHOICE"
    assert MigrationRun.objects.get(pk=run.pk).state == "draft"


@pytest.mark.parametrize("state", ["making", "superseded", "refused"])
def test_run_is_not_drafted_of_a_plan_that_is_not_ready(stage: Stage, state: str) -> None:
    plan = make.plan(stage.application, stage.who.ops, state=state)
    with pytest.raises(ServiceRefused) as refused:
        runs.create_run(actor=stage.who.ops, plan=plan, kind="production")
    assert refused.value.code == "PLAN_NOT_READY"
