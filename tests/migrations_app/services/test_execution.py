"""Claims, leases and results: one executor a step, whatever the broker delivers and whoever dies."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.utils import timezone

from controlplane.audit.models import AuditEvent
from migrations_app import doorbell
from migrations_app.models import MigrationRun, RunStep, StepLogLine
from migrations_app.models.states import Phase, StepState
from migrations_app.services import execution, recording
from migrations_app.services.execution import claim_step, work_on_run
from migrations_app.services.recording import record_result
from migrations_app.services.runs import hold_run, resume_run, start_run
from migrations_app.services.sweep import reclaim_step, sweep
from migrations_app.services.transitions import change_step
from migrations_app.steps import sequence
from migrations_app.steps.base import Step, StepContext, StepResult
from tests import factories as make
from tests.migrations_app.services.conftest import Stage

DONE = StepResult("succeeded", "done")
AFTER_LEASE = timedelta(seconds=16)


class Played(Step):
    """A step that does what a test says."""

    name = "load"
    title = "Load"
    phase = Phase.DATA

    def __init__(self, act: Callable[[StepContext], StepResult]) -> None:
        self._act = act

    def run(self, context: StepContext) -> StepResult:
        return self._act(context)


@pytest.fixture
def rings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, int, str]]:
    """What would have been sent to the broker, after its commit."""
    sent: list[tuple[str, int, str]] = []
    monkeypatch.setattr(doorbell, "_send", lambda *ring: sent.append(ring))
    return sent


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def install(act: Callable[[StepContext], StepResult], name: str = "load") -> None:
        monkeypatch.setitem(sequence._STEPS, name, Played(act))

    return install


def due(stage: Stage, name: str = "load") -> MigrationRun:
    """A running production run whose next step is `name`."""
    run = make.run(stage.plan, stage.who.ops)
    make.reach(run, name, state=StepState.PENDING, run_state="running", signers={})
    RunStep.objects.filter(run=run, name=name).update(attempts=0, started_at=None)
    return run


def step_of(run: MigrationRun, name: str = "load") -> RunStep:
    return RunStep.objects.get(run=run, name=name)


def claim(run: MigrationRun, holder: str = "worker:1") -> RunStep:
    step = claim_step(run_id=run.pk, holder=holder, now=timezone.now())
    assert step is not None
    return step


def in_threads(count: int, act: Callable[[], None]) -> None:
    start = threading.Barrier(count)

    def body() -> None:
        try:
            start.wait(30)
            act()
        finally:
            connection.close()

    threads = [threading.Thread(target=body) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert not any(thread.is_alive() for thread in threads)


def test_a_thousand_deliveries_to_eight_workers_are_one_claim(committed_stage: Stage, rings: list[Any]) -> None:
    run = due(committed_stage)
    claims: list[RunStep] = []

    def deliver() -> None:
        for _ in range(125):
            step = claim_step(run_id=run.pk, holder=threading.current_thread().name, now=timezone.now())
            if step is not None:
                claims.append(step)

    in_threads(8, deliver)
    assert len(claims) == 1
    step = step_of(run)
    assert (step.attempts, step.lease_token, step.lease_holder) == (1, 1, claims[0].lease_holder)
    assert AuditEvent.objects.filter(action="step.started").count() == 1


@pytest.mark.parametrize("conditional", [True, False])
def test_claim_that_comes_between_another_ones_look_and_its_claim_wins(
    stage: Stage, rings: list[Any], monkeypatch: pytest.MonkeyPatch, conditional: bool
) -> None:
    """Without the condition in the claim's update both would have the step: that is what it is for."""
    if not conditional:
        monkeypatch.setattr(execution, "_still_free", lambda step: RunStep.objects.filter(pk=step.pk))
    run = due(stage)
    look = execution.next_step
    claims: list[RunStep | None] = []

    def looked_at_and_taken(of: MigrationRun) -> RunStep | None:
        step = look(of)
        monkeypatch.setattr(execution, "next_step", look)
        claims.append(claim_step(run_id=run.pk, holder="faster", now=timezone.now()))
        return step

    monkeypatch.setattr(execution, "next_step", looked_at_and_taken)
    claims.append(claim_step(run_id=run.pk, holder="slower", now=timezone.now()))
    assert claims[0] is not None and claims[0].lease_holder == "faster"
    doubled = claims[1] is not None
    assert doubled is not conditional
    assert (step_of(run).attempts == 2) is doubled


def test_results_of_a_step_are_recorded_once_however_often_they_come(committed_stage: Stage, rings: list[Any]) -> None:
    run = due(committed_stage)
    step = claim(run)
    recorded: list[bool] = []
    in_threads(
        8,
        lambda: recorded.append(record_result(step=step, token=step.lease_token, result=DONE, now=timezone.now())),
    )
    assert recorded.count(True) == 1
    assert AuditEvent.objects.filter(action="step.succeeded").count() == 1


def _without_token_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """The product as it would be without its fence."""
    monkeypatch.setattr(recording, "_still_holds", lambda step, token: True)

    def change(step: RunStep, to: str, *, token: int | None = None, **fields: Any) -> bool:
        return change_step(step, to, **fields)

    monkeypatch.setattr(recording, "change_step", change)


@pytest.mark.parametrize("fenced", [True, False])
def test_result_of_a_worker_whose_lease_went_to_another_is_dropped(
    stage: Stage, rings: list[Any], monkeypatch: pytest.MonkeyPatch, fenced: bool
) -> None:
    """With the fence taken out the zombie's result stands: that is what the fence is for."""
    if not fenced:
        _without_token_check(monkeypatch)
    run = due(stage)
    frozen = claim(run, "frozen:1")
    assert sweep(now=timezone.now() + AFTER_LEASE)["reclaimed"] == 1
    second = claim(run, "second:2")
    late = StepResult("succeeded", "written by a zombie", facts={"rows": "zombie's"})
    record_result(step=frozen, token=frozen.lease_token, result=late, now=timezone.now())
    zombie_won = step_of(run).message == "written by a zombie"
    assert zombie_won is not fenced
    run.refresh_from_db()
    assert (run.facts.get("rows") == "zombie's") is not fenced
    if fenced:
        assert record_result(step=second, token=second.lease_token, result=DONE, now=timezone.now())
        assert step_of(run).message == "done"


def test_zombie_that_wakes_before_anyone_took_over_is_dropped_too(stage: Stage, rings: list[Any]) -> None:
    run = due(stage)
    frozen = claim(run)
    sweep(now=timezone.now() + AFTER_LEASE)
    assert not record_result(step=frozen, token=frozen.lease_token, result=DONE, now=timezone.now())
    assert step_of(run).state == "pending"


@pytest.mark.parametrize("on_lapse", ["redo", "continue"])
def test_lapsed_step_is_taken_up_again(stage: Stage, rings: list[Any], on_lapse: str) -> None:
    run = due(stage)
    RunStep.objects.filter(run=run).update(on_lapse=on_lapse)
    first = claim(run)
    now = timezone.now()
    assert sweep(now=now)["reclaimed"] == 0  # it is alive
    assert sweep(now=now + AFTER_LEASE)["reclaimed"] == 1
    assert sweep(now=now + AFTER_LEASE)["reclaimed"] == 0
    again = claim(run, "worker:2")
    assert (again.attempts, again.lease_holder) == (2, "worker:2")
    assert again.lease_token > first.lease_token
    run.refresh_from_db()
    assert run.state == "running"
    assert AuditEvent.objects.filter(action="step.reclaimed").count() == 1


def test_lapsed_step_that_must_ask_is_put_before_a_person(stage: Stage, rings: list[Any]) -> None:
    run = due(stage)
    RunStep.objects.filter(run=run).update(on_lapse="ask")
    claim(run)
    sweep(now=timezone.now() + AFTER_LEASE)
    run.refresh_from_db()
    step = step_of(run)
    assert (step.state, step.error_code, run.state) == ("in_doubt", "WORKER_LOST", "held")
    assert "Load" in run.held_reason
    assert claim_step(run_id=run.pk, holder="x", now=timezone.now()) is None
    resume_run(actor=stage.who.ops, run=run)
    assert claim(run).attempts == 1


def test_step_that_kills_its_workers_is_parked_after_three(stage: Stage, rings: list[Any]) -> None:
    run = due(stage)
    now = timezone.now()
    for attempt in (1, 2, 3):
        step = claim_step(run_id=run.pk, holder="mortal", now=now)
        assert step is not None and step.attempts == attempt
        now += AFTER_LEASE
        sweep(now=now)
    run.refresh_from_db()
    step = step_of(run)
    assert (step.state, step.error_code, run.state) == ("failed", "ATTEMPTS_EXHAUSTED", "held")
    rings.clear()
    for _ in range(3):
        sweep(now=now)
        assert claim_step(run_id=run.pk, holder="mortal", now=now) is None
    assert AuditEvent.objects.filter(action="run.held").count() == 1
    resume_run(actor=stage.who.ops, run=run)
    assert claim(run).attempts == 1


def test_reclaim_of_two_sweeps_at_once_happens_once(committed_stage: Stage, rings: list[Any]) -> None:
    run = due(committed_stage)
    step = claim(run)
    later = timezone.now() + AFTER_LEASE
    reclaimed: list[bool] = []
    in_threads(6, lambda: reclaimed.append(reclaim_step(step_id=step.pk, now=later)))
    assert reclaimed.count(True) == 1
    assert step_of(run).lease_token == step.lease_token + 1


def test_sweep_goes_on_when_one_run_is_in_a_strange_state(stage: Stage, rings: list[Any]) -> None:
    """A held run with a step that runs can't be held once more; the others must not wait for that."""
    strange = due(stage)
    claim(strange)
    MigrationRun.objects.filter(pk=strange.pk).update(state="held")
    RunStep.objects.filter(run=strange).update(on_lapse="ask")
    assert sweep(now=timezone.now() + AFTER_LEASE)["reclaimed"] == 1
    assert step_of(strange).state == "in_doubt"


def test_fault_of_ours_is_recorded_as_one_and_shows_no_traceback(
    committed_stage: Stage, rings: list[Any], play: Callable[..., None]
) -> None:
    def poison(context: StepContext) -> StepResult:
        raise ZeroDivisionError("postgresql://yukyu:secret-word@db/yukyu")

    play(poison)
    run = due(committed_stage)
    assert work_on_run(run_id=run.pk)
    run.refresh_from_db()
    step = step_of(run)
    assert (step.state, step.error_code, run.state) == ("errored", "ERRORED", "held")
    shown = " ".join([step.error_message, step.error_hint, run.held_reason])
    shown += " ".join(StepLogLine.objects.values_list("text", flat=True))
    shown += " ".join(str(payload) for payload in AuditEvent.objects.values_list("payload", flat=True))
    assert "secret-word" not in shown
    assert "Traceback" not in shown and "File " not in shown
    assert not work_on_run(run_id=run.pk)  # not tried again until a person says so
    assert AuditEvent.objects.filter(action="step.errored").count() == 1
    resume_run(actor=committed_stage.who.ops, run=run)
    play(lambda context: DONE)
    assert work_on_run(run_id=run.pk)
    assert step_of(run).state == "succeeded"


def test_worker_that_lost_its_lease_is_told_to_stop(
    committed_stage: Stage, rings: list[Any], play: Callable[..., None]
) -> None:
    run = due(committed_stage)
    told: list[str] = []

    def slow(context: StepContext) -> StepResult:
        assert reclaim_step(step_id=context.step.pk, now=timezone.now() + AFTER_LEASE)
        assert context.control.stop.wait(20), "nobody stopped it"
        told.append(context.control.stop_reason)
        context.control.checkpoint()
        return DONE

    play(slow)
    assert work_on_run(run_id=run.pk)
    assert told == ["Another worker has taken this step over."]
    assert step_of(run).state == "pending"


def test_lease_and_progress_are_kept_alive_while_a_step_works(
    committed_stage: Stage, rings: list[Any], play: Callable[..., None]
) -> None:
    run = due(committed_stage)
    beaten = threading.Event()
    original = execution.renew

    def slow(context: StepContext) -> StepResult:
        before = RunStep.objects.get(pk=context.step.pk).lease_expires_at
        context.control.progress("load", "employees", 10, 100)
        assert beaten.wait(20)
        row = RunStep.objects.get(pk=context.step.pk)
        assert row.lease_expires_at is not None and before is not None and row.lease_expires_at > before
        assert row.progress["tables"] == {"employees": [10, 100]}
        return DONE

    def renew(step: RunStep, progress: dict[str, Any]) -> str:
        answer = original(step, progress)
        if progress["tables"]:
            beaten.set()
        return answer

    play(slow)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, "renew", renew)
        assert work_on_run(run_id=run.pk)
    assert step_of(run).state == "succeeded"


def test_hold_takes_effect_after_the_step_that_runs(stage: Stage, rings: list[Any]) -> None:
    run = due(stage)
    step = claim(run)
    hold_run(actor=stage.who.lead, run=run, reason="lunch")
    run.refresh_from_db()
    assert run.state == "running" and run.hold_requested
    record_result(step=step, token=step.lease_token, result=DONE, now=timezone.now())
    run.refresh_from_db()
    assert (run.state, run.hold_requested) == ("held", False)
    assert "lunch" in run.held_reason
    assert claim_step(run_id=run.pk, holder="x", now=timezone.now()) is None
    resume_run(actor=stage.who.ops, run=run)
    assert claim(run).name == "verify"


def test_hold_takes_effect_at_once_between_steps(stage: Stage, rings: list[Any]) -> None:
    run = due(stage)
    hold_run(actor=stage.who.lead, run=run, reason="")
    assert run.state == "held"
    assert claim_step(run_id=run.pk, holder="x", now=timezone.now()) is None


def test_hold_takes_effect_between_two_looks_of_the_soak(stage: Stage, rings: list[Any]) -> None:
    run = due(stage, "soak")
    step = claim(run)
    hold_run(actor=stage.who.ops, run=run, reason="look closer")
    again = StepResult("again", "3 samples", evidence={"samples": 3}, again_after=60)
    record_result(step=step, token=step.lease_token, result=again, now=timezone.now())
    run.refresh_from_db()
    assert run.state == "held"
    resume_run(actor=stage.who.ops, run=run)
    assert step_of(run, "soak").evidence == {"samples": 3}


def test_step_that_asks_for_later_waits_until_then(stage: Stage, rings: list[Any]) -> None:
    run = due(stage, "soak")
    step = claim(run)
    now = timezone.now()
    record_result(step=step, token=step.lease_token, result=StepResult("again", again_after=60), now=now)
    assert claim_step(run_id=run.pk, holder="x", now=now + timedelta(seconds=59)) is None
    assert sweep(now=now + timedelta(seconds=59))["rung"] == 0
    assert sweep(now=now + timedelta(seconds=61))["rung"] == 1
    assert claim_step(run_id=run.pk, holder="x", now=now + timedelta(seconds=61)) is not None


def test_worker_of_another_host_leaves_the_step_alone(stage: Stage, rings: list[Any]) -> None:
    run = due(stage)
    now = timezone.now()
    assert claim_step(run_id=run.pk, holder="x", now=now, queue="host.elsewhere") is None
    assert claim_step(run_id=run.pk, holder="x", now=now, queue="common") is None
    assert claim_step(run_id=run.pk, holder="x", now=now, queue=stage.application.host_queue) is not None


@contextmanager
def _rolled_back() -> Iterator[None]:
    class Undo(Exception):
        pass

    try:
        with transaction.atomic():
            yield
            raise Undo
    except Undo:
        return


def test_work_starts_only_if_the_change_committed(committed_stage: Stage, rings: list[Any]) -> None:
    stage = committed_stage
    runs = [make.run(stage.plan, stage.who.ops, kind="rehearsal") for _ in range(2)]
    for _ in range(100):
        with _rolled_back():
            start_run(actor=stage.who.ops, run=MigrationRun.objects.get(pk=runs[0].pk))
    assert rings == []
    assert MigrationRun.objects.get(pk=runs[0].pk).state == "draft"
    start_run(actor=stage.who.ops, run=MigrationRun.objects.get(pk=runs[1].pk))
    assert [ring[:2] for ring in rings] == [("migrations_app.work", runs[1].pk)]


def test_ring_that_was_lost_after_the_commit_is_rung_again_by_the_sweep(
    committed_stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = make.run(committed_stage.plan, committed_stage.who.ops, kind="rehearsal")
    monkeypatch.setattr(doorbell, "_send", lambda *ring: None)  # killed between commit and send
    start_run(actor=committed_stage.who.ops, run=run)
    sent: list[tuple[Any, ...]] = []
    monkeypatch.setattr(doorbell, "_send", lambda *ring: sent.append(ring))
    assert sweep(now=timezone.now())["rung"] == 1
    assert ("migrations_app.work", run.pk, committed_stage.application.host_queue) in sent


def test_worker_that_died_between_a_result_and_what_follows_leaves_no_run_stuck(stage: Stage, rings: list[Any]) -> None:
    run = due(stage, "gate_go")
    MigrationRun.objects.filter(pk=run.pk).update(state="running")
    run.gates.filter(code="go").update(state="closed")
    sweep(now=timezone.now())
    run.refresh_from_db()
    assert run.state == "waiting"
    assert run.gates.get(code="go").state == "open"
