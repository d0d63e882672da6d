"""What stands on somebody's first page."""

from __future__ import annotations

from django.core.cache import cache
from django.db import connection
from django.test.utils import CaptureQueriesContext

from controlplane.registry.models import Application
from migrations_app.models import MigrationRun
from migrations_app.models.states import GateCode, ItemState, PlanState, RunState
from migrations_app.services.gate_conditions import missing_conditions
from migrations_app.services.needs import needs_me
from tests import factories as make


def _at(gate: str, who: make.People, application: Application) -> MigrationRun:
    plan = make.plan(application, who.second_lead, state=PlanState.SUBMITTED)
    make.rehearsed(plan, who.ops)
    run = make.run(plan, who.ops)
    make.reach(run, gate, run_state=RunState.WAITING, signers={"lead": who.lead, "ops": who.ops})
    return MigrationRun.objects.get(pk=run.pk)


def test_qa_is_told_of_her_items_before_gate_2_and_only_of_those(db: None) -> None:
    application = make.application()
    who = make.people(application)
    run = _at("gate_go", who, application)
    run.items.filter(prover="qa", phase="prepare").exclude(code="P14").update(state=ItemState.PASSED)
    (need,) = needs_me(who.qa)
    assert need.why == "One check is yours to record before Gate 2 · Go or no-go."
    assert need.url_name == "run_checklist"
    run.items.filter(code="P14").update(state=ItemState.PASSED)
    assert needs_me(who.qa) == []


def test_what_is_missing_names_who_can_supply_it(db: None) -> None:
    application = make.application()
    who = make.people(application)
    run = _at("gate_go", who, application)
    missing = missing_conditions(run.gates.get(code=GateCode.GO))
    assert "P14 “All changes of the code are reviewed and tested” is open; QA (chika) can record it." in missing


def test_gates_against_which_items_stand_cost_the_first_page_nothing_each(db: None) -> None:
    application = make.application()
    who = make.people(application)
    _at("gate_qa", who, application)

    def asked() -> int:
        cache.clear()
        with CaptureQueriesContext(connection) as captured:
            assert needs_me(who.qa)
        return len(captured)

    with_one = asked()
    for number in range(3):
        another = make.application(f"more-{number}")
        make.member(another, who.qa, "qa")
        make.member(another, who.ops, "ops")
        _at("gate_qa", who, another)
    assert len(needs_me(who.qa)) == 4 and asked() == with_one


def test_gate_is_to_be_signed_once_the_last_item_against_it_is_proved(db: None) -> None:
    application = make.application()
    who = make.people(application)
    run = _at("gate_qa", who, application)
    assert [need.url_name for need in needs_me(who.qa)] == ["run_checklist"]
    run.items.exclude(phase="rollback").update(state=ItemState.PASSED)
    assert [need.url_name for need in needs_me(who.qa)] == ["run_sign"]
    run.items.filter(code="V01").update(state=ItemState.FAILED)
    assert needs_me(who.qa) == []
