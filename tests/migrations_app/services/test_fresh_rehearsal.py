"""Which rehearsal allows a crossing: the last one, of the very same thing, young enough, and only if it succeeded."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from migrations_app.models import MigrationPlan, MigrationRun
from migrations_app.models.states import PlanState, RunState
from migrations_app.services.errors import ServiceRefused
from migrations_app.services.gate_conditions import fresh_rehearsal, missing_conditions
from migrations_app.services.permissions import offers
from migrations_app.services.runs import start_run
from migrations_app.steps.fresh_rehearsal import VERSION_FACT, look_for_rehearsal
from tests import factories as make
from tests.migrations_app.services.conftest import Stage


def change(run: MigrationRun, **fields: Any) -> None:
    MigrationRun.objects.filter(pk=run.pk).update(**fields)


def looked(plan: MigrationPlan, strategy: str = "offline") -> str:
    found = look_for_rehearsal(plan, strategy, timezone.now())
    assert (found.run is None) == bool(found.why)
    return found.why


def test_rehearsal_that_went_well_allows_it(stage: Stage) -> None:
    assert looked(stage.plan) == "No rehearsal of this plan has run: rehearse it first."
    rehearsal = make.rehearsed(stage.plan, stage.who.ops)
    assert looked(stage.plan) == "" and fresh_rehearsal(stage.plan, timezone.now()) == rehearsal


@pytest.mark.parametrize(
    ("state", "said"),
    [
        (RunState.FAILED, "is failed: rehearse again"),
        (RunState.ROLLED_BACK, "is rolled back: rehearse again"),
        (RunState.HELD, "is held: rehearse again"),
        (RunState.RUNNING, "is running: wait for it"),
    ],
)
def test_later_rehearsal_that_did_not_succeed_voids_an_earlier_that_did(stage: Stage, state: str, said: str) -> None:
    good = make.rehearsed(stage.plan, stage.who.ops)
    change(good, started_at=timezone.now() - timedelta(hours=3), finished_at=timezone.now() - timedelta(hours=2))
    bad = make.run(stage.plan, stage.who.ops, kind="rehearsal")
    assert looked(stage.plan) == "", "one that was drafted and never began says nothing"
    change(bad, state=state, started_at=timezone.now() - timedelta(hours=1))
    assert f"run {bad.pk}, {said}" in looked(stage.plan)
    change(bad, started_at=timezone.now() - timedelta(hours=4))
    assert looked(stage.plan) == "", "what failed before it went well is mended"


@pytest.mark.parametrize(
    ("of_plan", "of_run", "said"),
    [
        ({"source_schema_digest": "6" * 64}, {}, "another source’s schema"),
        ({"target_schema_digest": "7" * 64}, {}, "another target’s schema"),
        ({"application_version": "1.4.3"}, {}, "another application’s version"),
        ({}, {"facts": {VERSION_FACT: "1.5.0"}}, "ran another version of the application"),
        ({}, {"finished_at": timezone.now() - timedelta(days=7, minutes=1)}, "older than 7 days"),
    ],
)
def test_rehearsal_of_something_else_or_of_long_ago_is_stale(
    stage: Stage, of_plan: dict[str, Any], of_run: dict[str, Any], said: str
) -> None:
    rehearsal = make.rehearsed(stage.plan, stage.who.ops)
    change(rehearsal, **of_run)
    newer = make.plan(stage.application, stage.who.second_lead, state=PlanState.SUBMITTED)
    MigrationPlan.objects.filter(pk=newer.pk).update(**of_plan)
    newer.refresh_from_db()
    assert said in looked(newer)
    if of_plan:
        assert looked(stage.plan) == "", "the plan that was rehearsed is still rehearsed"


def test_new_revision_of_the_same_mapping_is_rehearsed_already(stage: Stage) -> None:
    make.rehearsed(stage.plan, stage.who.ops)
    assert looked(make.plan(stage.application, stage.who.second_lead, state=PlanState.SUBMITTED)) == ""


def test_strategy_that_was_not_rehearsed_is_not(stage: Stage) -> None:
    rehearsal = make.rehearsed(stage.plan, stage.who.ops)
    assert "No rehearsal of this plan with the strategy online has run" in looked(stage.plan, "online")
    change(rehearsal, strategy="online")
    assert looked(stage.plan, "online") == "" and looked(stage.plan).startswith("No rehearsal of this plan has run")


def test_production_run_does_not_start_on_a_stale_rehearsal_but_a_rehearsal_does(stage: Stage) -> None:
    rehearsal = make.rehearsed(stage.plan, stage.who.ops)
    run = make.run(stage.plan, stage.who.ops)
    change(run, state=RunState.APPROVED)
    change(rehearsal, state=RunState.FAILED)
    with pytest.raises(ServiceRefused) as refused:
        start_run(actor=stage.who.ops, run=MigrationRun.objects.get(pk=run.pk))
    offer = offers(stage.who.ops, MigrationRun.objects.get(pk=run.pk))["start"]
    assert not offer.allowed and offer.why == refused.value.message and "ana" in offer.who
    assert refused.value.code == "NO_FRESH_REHEARSAL" and f"run {rehearsal.pk}, is failed" in refused.value.message
    again = make.run(stage.plan, stage.who.ops, kind="rehearsal")
    start_run(actor=stage.who.ops, run=again)
    change(again, state=RunState.COMPLETED, finished_at=timezone.now())
    start_run(actor=stage.who.ops, run=MigrationRun.objects.get(pk=run.pk))
    assert MigrationRun.objects.get(pk=run.pk).state in (RunState.RUNNING, RunState.WAITING)


def test_gate_2_says_what_is_wrong_with_the_last_rehearsal(stage: Stage) -> None:
    gate = stage.at("go")
    assert missing_conditions(gate) == ()
    bad = make.run(stage.plan, stage.who.ops, kind="rehearsal")
    change(bad, state=RunState.HELD, started_at=timezone.now())
    assert missing_conditions(gate) == (f"The last rehearsal of this plan, run {bad.pk}, is held: rehearse again.",)
