"""The first act, as the people would do it: plan, rehearsal, and a production run that waits for its approval.

Everything goes through the services, so what the demo shows was decided by the same rules as any other run. Each part
asks first whether it has been done, so that a demo that was ended in the middle goes on where it was.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.utils import timezone

from controlplane.registry.models import Application
from demo.stage.console import Console
from demo.stage.errors import StageError
from migrations_app.models import MigrationPlan, MigrationRun
from migrations_app.models.states import PlanState, RunKind, RunState, StepState
from migrations_app.services.plans import request_plan
from migrations_app.services.runs import create_run, start_run, submit_run

PLAN_SECONDS = 120
REHEARSAL_SECONDS = 420
# Short, so that a crossing can be watched to its end; see docs/reference/settings.md for what fits production.
SETTINGS = {"soak_seconds": 20, "soak_interval_seconds": 2, "endpoint_limit_ms": 2000}
WINDOW = timedelta(days=7)  # as long as a rehearsal stays fresh


class Opening:
    """Brings one application to the point where a person must decide."""

    def __init__(self, people: dict[str, Any], console: Console) -> None:
        self._ops = people["ana"]
        self._console = console

    def prepare(self, application: Application) -> None:
        """Plan, rehearsal, production run; nothing of it when a production run was ever made."""
        if MigrationRun.objects.filter(application=application, kind=RunKind.PRODUCTION).exists():
            return
        plan = self.plan(application)
        self.rehearse(plan)
        self.submit(plan)

    def plan(self, application: Application) -> MigrationPlan:
        """The newest plan that can be used; made when there is none."""
        plan = application.plans.exclude(state__in=[PlanState.REFUSED, PlanState.SUPERSEDED]).first()
        if plan is None:
            now = timezone.now()
            plan = request_plan(
                actor=self._ops,
                application=application,
                settings=SETTINGS,
                window_start=now - timedelta(minutes=1),
                window_end=now + WINDOW,
            )
        return self.planned(plan)

    def planned(self, plan: MigrationPlan) -> MigrationPlan:
        """Wait until the worker has made the plan. Raises StageError demo.plan."""

        def made() -> bool:
            plan.refresh_from_db()
            return plan.state != PlanState.MAKING

        name = plan.application.name
        seconds = self._console.wait_for(f"the plan of {name}", made, PLAN_SECONDS)
        if plan.state == PlanState.REFUSED:
            raise StageError(
                "demo.plan",
                f"The plan of {name} could not be made: {plan.error_message} ({plan.error_code})",
                "See the worker's log.",
            )
        tables = len((plan.document or {}).get("tables", []))
        self._console.say(
            f"{name}: plan, revision {plan.revision}, of {tables} tables, {plan.findings.count()} findings, "
            f"digest {plan.short_digest} ({seconds:.1f} s)"
        )
        return plan

    def rehearse(self, plan: MigrationPlan) -> MigrationRun:
        """A completed rehearsal of the plan; started when there is none. Raises StageError demo.held."""
        rehearsals = MigrationRun.objects.filter(plan=plan, kind=RunKind.REHEARSAL)
        run = rehearsals.exclude(state__in=[RunState.FAILED, RunState.CANCELLED, RunState.ROLLED_BACK]).first()
        if run is None:
            run = create_run(actor=self._ops, plan=plan, kind=RunKind.REHEARSAL)
        if run.state == RunState.DRAFT:
            start_run(actor=self._ops, run=run)
            self._console.say(f"{plan.application.name}: rehearsal (run {run.pk}) started by {self._ops}")
        reach(run, (RunState.COMPLETED,), REHEARSAL_SECONDS, self._console)
        facts = run.facts
        measured = ", ".join(
            f"{label} {facts[name]:.1f} s"
            for name, label in (("downtime_seconds", "downtime"), ("rollback_seconds", "rollback"))
            if facts.get(name) is not None
        )
        cells = _verified_cells(run)
        self._console.say(
            f"{plan.application.name}: rehearsal completed, {cells:,} cells equal"
            + (f"; {measured}" if measured else "")
        )
        return run

    def submit(self, plan: MigrationPlan) -> MigrationRun:
        """A production run that waits at gate 1."""
        run = create_run(actor=self._ops, plan=plan, kind=RunKind.PRODUCTION)
        submit_run(actor=self._ops, run=run)
        self._console.say(f"{plan.application.name}: production run {run.pk} waits for its approval at gate 1")
        return run


def reach(run: MigrationRun, states: tuple[str, ...], seconds: float, console: Console) -> float:
    """Wait until the run is in one of the states; the seconds. Raises StageError demo.held when it stops before."""

    def there() -> bool:
        run.refresh_from_db()
        if run.state in states:
            return True
        refuse_if_stopped(run)
        return False

    wanted = " or ".join(RunState(state).label.lower() for state in states)
    return console.wait_for(f"{run} to be {wanted}", there, seconds)


def refuse_if_stopped(run: MigrationRun) -> None:
    """Raises StageError demo.held when the run can't come any further by itself."""
    if run.state == RunState.HELD or run.is_finished:
        raise StageError("demo.held", f"{run} is {run.get_state_display().lower()}: {_why(run)}", "See its page.")


def _why(run: MigrationRun) -> str:
    failed = run.steps.filter(state__in=[StepState.FAILED, StepState.ERRORED, StepState.IN_DOUBT]).first()
    if failed is None:
        return run.held_reason
    return f"{failed.title}: {failed.error_message} {failed.error_hint} [{failed.error_code}]"


def _verified_cells(run: MigrationRun) -> int:
    """What the verification compared. Raises StageError demo.not_verified when it did not find all equal."""
    verify = run.steps.filter(name="verify", state=StepState.SUCCEEDED).first()
    evidence = verify.evidence if verify else {}
    cells = sum(int(table["cells"]) for table in evidence.get("tables", []))
    if not evidence.get("equal") or not cells:
        raise StageError("demo.not_verified", f"{run} has no verification that found all equal.", "See its evidence.")
    return cells
