"""The checklist of an online run: every item is proved by a step that the online way has, or by people."""

from __future__ import annotations

import pytest

from migrations_app.models import ChecklistItem, MigrationRun
from migrations_app.models.states import Phase, PlanState, RunKind, Strategy
from migrations_app.steps.sequence import rollback_sequence, sequence_of
from tests import factories as make


@pytest.fixture
def run(db: None) -> MigrationRun:
    of = make.application()
    who = make.people(of)
    plan = make.plan(of, who.second_lead, state=PlanState.SUBMITTED)
    make.rehearsed(plan, who.ops, strategy=Strategy.ONLINE)
    return make.run(plan, who.ops, strategy=Strategy.ONLINE)


def _names(kind: str, strategy: str = Strategy.ONLINE) -> set[str]:
    return {spec.name for spec in sequence_of(kind, strategy)}


def _way_back() -> set[str]:
    everything = _names(RunKind.PRODUCTION)
    return {spec.name for spec in rollback_sequence(RunKind.PRODUCTION, everything, Strategy.ONLINE)}


def test_no_item_waits_for_a_step_that_an_online_run_does_not_have(run: MigrationRun) -> None:
    proved = run.items.filter(prover="system").exclude(step_name="")
    steps = _names(RunKind.PRODUCTION) | _way_back()
    assert proved.exists()
    assert {item.code: item.step_name for item in proved if item.step_name not in steps} == {}


def test_what_people_record_is_voided_by_a_step_that_the_run_has(run: MigrationRun) -> None:
    steps = _names(RunKind.PRODUCTION) | _way_back()
    assert {item.after for item in run.items.exclude(after="")} <= steps


def test_what_the_rehearsal_proves_names_its_online_steps(run: MigrationRun) -> None:
    subjects = set(run.items.filter(proof="rehearsed").values_list("subject", flat=True))
    assert subjects and subjects <= _names(RunKind.REHEARSAL)


def test_an_online_run_asks_for_as_much_as_an_offline_one(run: MigrationRun) -> None:
    offline = make.run(run.plan, run.requested_by, kind=RunKind.PRODUCTION)
    codes = set(offline.items.values_list("code", flat=True))
    assert set(run.items.values_list("code", flat=True)) == codes


def test_gate_2_waits_for_the_comparison_of_every_cell(run: MigrationRun) -> None:
    compared = run.items.filter(step_name="full_check")
    assert compared.exists() and {item.phase for item in compared} == {Phase.PREPARE}


def test_nothing_of_the_words_says_that_the_application_stands_still(run: MigrationRun) -> None:
    said = " ".join(f"{item.title} {item.criterion}" for item in ChecklistItem.objects.filter(run=run)).lower()
    for wrong in ("after the stop", "final backup", "stays still", "load's verification"):
        assert wrong not in said, wrong
