"""When a failed check leads back by itself: where the plan says so, soon after the switch, once, without a loss."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from controlplane.mail.models import OutgoingMail
from migrations_app.models import MigrationPlan, MigrationRun, RollbackRequest
from migrations_app.models.states import Price, RunState, StepState
from migrations_app.services import automatic_rollback, sweep
from migrations_app.services.automatic_rollback import decide_automatic_rollback
from migrations_app.services.execution import work_on_run
from migrations_app.services.price import PriceTag
from migrations_app.services.runs import resume_run
from tests import factories as make
from tests.migrations_app.services.conftest import Stage

NOTHING = PriceTag(Price.R2, 0)
FLOWS_BACK = PriceTag(Price.R3, 0, flows_back=True, flowed=41, waiting=2)
ROWS = PriceTag(Price.R3, 1412, people=2)
UNKNOWN = PriceTag(Price.R3, None, people=2)
SetPrice = Callable[[PriceTag], None]


@pytest.fixture
def price(monkeypatch: pytest.MonkeyPatch) -> SetPrice:
    """What going back costs; the target itself is asked in the tests of whole runs."""

    def cost(tag: PriceTag) -> None:
        monkeypatch.setattr(automatic_rollback, "price_of", lambda run: tag)

    cost(NOTHING)
    return cost


def failed(
    stage: Stage,
    *,
    seconds: int = 600,
    after: float = 60,
    ago: float = 2,
    step: str = "check_performance",
    state: str = StepState.FAILED,
) -> MigrationRun:
    """A run that is held by a check that failed `after` seconds behind the switch, `ago` seconds before now."""
    plan = stage.plan
    MigrationPlan.objects.filter(pk=plan.pk).update(settings={**plan.settings, "auto_rollback_seconds": seconds})
    run = make.run(plan, stage.who.ops)
    row = make.reach(run, step, state=StepState.FAILED, run_state=RunState.HELD)
    moment = timezone.now() - timedelta(seconds=ago)
    run.steps.filter(pk=row.pk).update(
        state=state, finished_at=moment, error_code="TOO_SLOW", error_message="employees: p95 612 ms", lease_token=1
    )
    MigrationRun.objects.filter(pk=run.pk).update(
        switched_at=moment - timedelta(seconds=after), held_reason="Answers in time, pool holds: employees: p95 612 ms."
    )
    return MigrationRun.objects.get(pk=run.pk)


def decide(run: MigrationRun) -> str:
    return decide_automatic_rollback(run_id=run.pk, now=timezone.now())


def mails(kind: str) -> list[OutgoingMail]:
    return list(OutgoingMail.objects.filter(kind=kind))


@pytest.mark.parametrize("tag", [NOTHING, FLOWS_BACK])
def test_failed_check_leads_back_when_nothing_is_lost(stage: Stage, price: SetPrice, tag: PriceTag) -> None:
    price(tag)
    run = failed(stage)
    assert decide(run) == "started"
    run.refresh_from_db()
    assert run.state == RunState.ROLLING_BACK and run.steps.filter(phase="rollback").exists()
    request = RollbackRequest.objects.get()
    assert (request.requested_by, request.requester, request.state) == ("system", None, "agreed")
    assert "(TOO_SLOW) 60 s after the switch" in request.reason and "within 600 s" in request.reason
    event = AuditEvent.objects.get(action="rollback.requested")
    assert (event.actor, event.payload["automatic"], event.payload["step"]) == ("system", True, "check_performance")
    assert AuditEvent.objects.filter(action="rollback.started").count() == 1
    mail = mails("rollback_started")[0]
    assert "by itself, as its plan says" in mail.context["sentence"]
    assert "p95 612" not in str(mail.context), "what a step answered may name a value and stays out of mails"
    assert not mails("rollback_withheld")


@pytest.mark.parametrize(
    ("tag", "said"),
    [(ROWS, "1,412 rows written since the switch would leave"), (UNKNOWN, "PostgreSQL can't be asked")],
)
def test_it_holds_and_tells_everyone_where_rows_would_be_lost(
    stage: Stage, price: SetPrice, tag: PriceTag, said: str
) -> None:
    price(tag)
    run = failed(stage)
    assert decide(run) == "withheld"
    run.refresh_from_db()
    assert run.state == RunState.HELD and not run.steps.filter(phase="rollback").exists()
    assert "p95 612 ms" in run.held_reason and f"did not go back by itself: {said}" in run.held_reason
    assert not RollbackRequest.objects.exists()
    told = mails("rollback_withheld")
    assert {mail.to_name for mail in told} >= {"ben", "ana"}
    assert said in str(told[0].context["facts"])
    assert AuditEvent.objects.get(action="rollback.withheld").payload["reason"].startswith(said[:20])
    assert decide(run) == "", "a decision that was made is not made again"
    assert len(mails("rollback_withheld")) == len(told)


@pytest.mark.parametrize(
    "more",
    [
        {"seconds": 0},
        {"after": 601},
        {"state": StepState.ERRORED},
        {"state": StepState.IN_DOUBT},
        {"step": "verify"},
        {"step": "switch_configuration"},
        {"step": "complete"},
    ],
    ids=["not in the plan", "too late after the switch", "our fault", "in doubt", "before", "the switch", "the end"],
)
def test_nothing_is_decided_but_by_a_criterion_in_the_time_that_the_plan_gives(
    stage: Stage, price: SetPrice, more: dict[str, Any]
) -> None:
    run = failed(stage, **more)
    assert decide(run) == ""
    run.refresh_from_db()
    assert run.state == RunState.HELD and not RollbackRequest.objects.exists() and not mails("rollback_withheld")


@pytest.mark.parametrize("step", sorted(automatic_rollback.CRITERIA))
def test_each_criterion_leads_back(stage: Stage, price: SetPrice, step: str) -> None:
    assert decide(failed(stage, step=step)) == "started"


def test_failure_that_was_found_long_ago_is_left_to_people(stage: Stage, price: SetPrice) -> None:
    run = failed(stage, ago=121)
    assert decide(run) == "withheld"
    assert "could not be decided in time" in MigrationRun.objects.get(pk=run.pk).held_reason


def test_rehearsal_and_run_that_goes_on_are_left_alone(stage: Stage, price: SetPrice) -> None:
    run = failed(stage)
    MigrationRun.objects.filter(pk=run.pk).update(kind="rehearsal")
    assert decide(run) == ""
    MigrationRun.objects.filter(pk=run.pk).update(kind="production", state=RunState.RUNNING)
    assert decide(run) == ""


def test_person_who_resumes_while_the_target_is_asked_was_faster(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    run = failed(stage)

    def slow(asked: MigrationRun) -> PriceTag:
        resume_run(actor=stage.who.ops, run=MigrationRun.objects.get(pk=run.pk))
        return NOTHING

    monkeypatch.setattr(automatic_rollback, "price_of", slow)
    assert decide(run) == ""
    run.refresh_from_db()
    assert run.state == RunState.RUNNING and not RollbackRequest.objects.exists()


def test_check_that_fails_again_after_a_resume_is_decided_anew(stage: Stage, price: SetPrice) -> None:
    price(ROWS)
    run = failed(stage)
    assert decide(run) == "withheld"
    run.steps.filter(name="check_performance").update(lease_token=2)
    price(NOTHING)
    assert decide(run) == "started"


def test_request_that_waited_for_a_second_person_gives_way(stage: Stage, price: SetPrice) -> None:
    run = failed(stage)
    waiting = RollbackRequest.objects.create(
        run=run,
        requested_by="ana",
        requester=stage.who.ops,
        reason="x",
        price="R3",
        state="waiting",
        rows_confirmed=3,
        created_at=timezone.now(),
    )
    assert decide(run) == "started"
    waiting.refresh_from_db()
    assert waiting.state == "refused"


def test_sweep_rings_the_host_for_what_a_dead_worker_left_undecided(
    stage: Stage, price: SetPrice, monkeypatch: pytest.MonkeyPatch
) -> None:
    rung: list[tuple[Any, ...]] = []
    monkeypatch.setattr(sweep.doorbell, "ring", lambda *call: rung.append(call))
    run = failed(stage)
    sweep.sweep(now=timezone.now())
    assert (sweep.WORK, run.pk, "host.apphost") in rung
    assert not work_on_run(run_id=run.pk, queue="common"), "only the host knows what would be lost"
    assert MigrationRun.objects.get(pk=run.pk).state == RunState.HELD
    assert not work_on_run(run_id=run.pk, queue="host.apphost")
    assert MigrationRun.objects.get(pk=run.pk).state == RunState.ROLLING_BACK
    rung.clear()
    sweep.sweep(now=timezone.now())
    assert MigrationRun.objects.get(pk=run.pk).state == RunState.ROLLING_BACK


def test_workers_at_once_start_one_rollback(committed_stage: Stage, price: SetPrice) -> None:
    run = failed(committed_stage)
    together, decided = threading.Barrier(6), []

    def worker() -> None:
        try:
            together.wait(30)
            decided.append(decide(run))
        finally:
            connection.close()

    threads = [threading.Thread(target=worker) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert sorted(decided) == ["", "", "", "", "", "started"]
    assert RollbackRequest.objects.count() == 1
    assert AuditEvent.objects.filter(action="rollback.started").count() == 1
    names = list(MigrationRun.objects.get(pk=run.pk).steps.filter(phase="rollback").values_list("name", flat=True))
    assert len(names) == len(set(names)) and names[0] == "back_stop"
