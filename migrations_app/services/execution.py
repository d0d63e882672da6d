"""Claim a step, run it, record its result, and see what comes next.

The row is the queue. A claim is one conditional update that raises the token; only the holder of that token may
record. Nothing here trusts the broker: any number of rings give one execution.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import DatabaseError, transaction
from django.db.models import F, QuerySet
from django.utils import timezone

from controlplane.audit.trail import record
from controlplane.redaction import redact
from migrations_app.engine.control import Control, Progress
from migrations_app.engine.errors import Cancelled, EngineError, Fenced
from migrations_app.models import MigrationRun, RunStep, StepLogLine
from migrations_app.models.states import RunState, StepState
from migrations_app.services import watching
from migrations_app.services.advance import advance_run, next_step
from migrations_app.services.automatic_rollback import decide_automatic_rollback
from migrations_app.services.checklist_items import stale_items
from migrations_app.services.gates import ask_for_go_again
from migrations_app.services.heartbeat import Heartbeat
from migrations_app.services.recording import record_result
from migrations_app.services.signatures import go_is_over
from migrations_app.services.transitions import touch_run
from migrations_app.steps.base import StepContext, StepResult
from migrations_app.steps.sequence import step_named

logger = logging.getLogger("causeway.execution")


def this_worker() -> str:
    return f"{socket.gethostname()}:{os.getpid()}"


def work_on_run(*, run_id: int, queue: str = "") -> bool:
    """Run the run's next step if it is due and free; answers whether a step was run. `queue` limits to that queue."""
    step = claim_step(run_id=run_id, holder=this_worker(), now=timezone.now(), queue=queue)
    if step is None:
        if queue != "common":  # only on the application's host can be asked what would be lost
            decide_automatic_rollback(run_id=run_id, now=timezone.now())
        return False
    result = execute(step)
    recorded = record_result(step=step, token=step.lease_token, result=result, now=timezone.now())
    if not recorded:
        logger.warning("step %s: its lease went to another worker; the result is dropped", step.pk)
    elif result.outcome == "failed" and queue != "common":
        decide_automatic_rollback(run_id=run_id, now=timezone.now())
    return True


def claim_step(*, run_id: int, holder: str, now: datetime, queue: str = "") -> RunStep | None:
    """The run's next step, claimed for `holder`, or None when there is none to do or someone was faster."""
    with transaction.atomic():
        # Locked, so that a hold or a rollback that begins now sees either a running step or a step that won't run.
        run = MigrationRun.objects.select_for_update(of=("self",)).select_related("application").get(pk=run_id)
        step = next_step(run)
        if step is None or step.is_gate or step.state != StepState.PENDING or (queue and step.queue != queue):
            return None
        if go_is_over(run, now):
            ask_for_go_again(run=run, now=now)
            return None
        if step.not_before is not None and step.not_before > now:
            return None
        first = step.started_at is None
        claimed = _still_free(step).update(
            state=StepState.RUNNING,
            lease_token=F("lease_token") + 1,
            lease_holder=holder,
            lease_expires_at=now + timedelta(seconds=settings.CAUSEWAY_LEASE_SECONDS),
            attempts=F("attempts") + 1,
            started_at=step.started_at or now,
            error_code="",
            error_message="",
            error_hint="",
            progress={},
        )
        if claimed != 1:
            return None
        touch_run(run_id)
        step.refresh_from_db()
        if not first:
            stale_items(run=run, step=step, now=now)
        watching.step_began(run=run, step=step, now=now)
        if first or step.attempts > 1:  # a soak's hundredth look is not an event
            record(
                action="step.started",
                actor="system",
                obj=step,
                application=run.application.name,
                payload={"run": run_id, "step": step.name, "attempt": step.attempts, "worker": holder},
            )
    return step


def _still_free(step: RunStep) -> QuerySet[RunStep]:
    """The row, if it still stands as it was read: updating it tells whether someone was faster."""
    return RunStep.objects.filter(
        pk=step.pk,
        state=StepState.PENDING,
        lease_token=step.lease_token,
        run__state__in=[RunState.RUNNING, RunState.ROLLING_BACK],
    )


def execute(step: RunStep) -> StepResult:
    """Run a claimed step under its heartbeat. Never raises for what the step did: that becomes its result."""
    run = MigrationRun.objects.select_related("application", "plan").get(pk=step.run_id)
    board = _Board()
    control = Control(report=board.report)
    context = StepContext(
        run=run,
        step=step,
        control=control,
        log=_logger_of(step),
        now=timezone.now,
        alerts=lambda: watching.alerts_of(run, timezone.now()),
        database_errors=lambda: watching.database_errors_of(run),
    )
    with Heartbeat(control, lambda: renew(step, board.snapshot())):
        try:
            return step_named(step.name).run(context)
        except Cancelled as stopped:
            return StepResult("failed", stopped.message, code=stopped.code, hint=stopped.hint)
        except Fenced as lost:
            return StepResult("failed", lost.message, code=lost.code, hint=lost.hint)
        except EngineError as error:
            return StepResult("failed", error.message, code=error.code, hint=error.hint, evidence=_findings(error))
        except Exception as error:  # a step's bug must be recorded as one, or the run would hang
            logger.exception("step %s of run %s errored", step.name, step.run_id)
            where = f"{type(error).__name__} in step {step.name}"
            return StepResult(
                "failed",
                f"A fault of Causeway itself stopped this step: {where}.",
                code="ERRORED",
                hint="Nothing was assumed. The worker's log has the details; send it to whoever maintains Causeway.",
            )


def renew(step: RunStep, progress: dict[str, Any]) -> str:
    """Prolong the lease and publish the progress. '' while it is ours and wanted, else why the work must stop."""
    now = timezone.now()
    kept = RunStep.objects.filter(pk=step.pk, state=StepState.RUNNING, lease_token=step.lease_token).update(
        lease_expires_at=now + timedelta(seconds=settings.CAUSEWAY_LEASE_SECONDS), progress=progress
    )
    if kept != 1:
        return "Another worker has taken this step over."
    touch_run(step.run_id)
    state = MigrationRun.objects.filter(pk=step.run_id).values_list("state", flat=True).get()
    if step.phase != "rollback" and state != RunState.RUNNING:
        return "The run is being rolled back." if state == RunState.ROLLING_BACK else f"The run is {state}."
    return ""


class _Board:
    """Collects progress from the engine's threads for the heartbeat to publish."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._phase = ""
        self._tables: dict[str, list[int]] = {}

    def report(self, progress: Progress) -> None:
        with self._lock:
            if progress.phase != self._phase:
                self._phase = progress.phase
                if progress.phase not in ("index", "load"):
                    self._tables = {}
            self._tables[progress.table] = [progress.done, progress.total]

    def snapshot(self) -> dict[str, Any]:
        with self._lock:
            return {"phase": self._phase, "tables": {name: list(counts) for name, counts in self._tables.items()}}


def _logger_of(step: RunStep) -> Any:
    def log(text: str) -> None:
        try:
            StepLogLine.objects.create(step_id=step.pk, at=timezone.now(), text=redact(text)[:4000])
        except DatabaseError:
            # The step must not fail for want of a log line; the heartbeat decides whether the database is gone.
            logger.warning("log line of step %s not written: %s", step.pk, redact(text))

    return log


def _findings(error: EngineError) -> dict[str, Any]:
    findings = getattr(error, "findings", ())
    return (
        {
            "findings": [
                {"code": f.code, "table": f.table, "column": f.column, "count": f.count, "message": f.message}
                for f in findings[:100]
            ]
        }
        if findings
        else {}
    )


__all__ = ["advance_run", "claim_step", "execute", "renew", "this_worker", "work_on_run"]
