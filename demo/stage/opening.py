"""The first act, as the people would do it: plans, rehearsals, and production runs that wait for their approval.

Everything goes through the services, so what the demo shows was decided by the same rules as any other run. Each part
asks first whether it has been done, so that a demo that was ended in the middle goes on where it was.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import Any

from django.utils import timezone

from controlplane.registry.models import Application
from demo.stage.console import Console
from demo.stage.errors import StageError
from demo.stage.progress import Follower, reach
from migrations_app.models import MigrationPlan, MigrationRun
from migrations_app.models.states import RUN_ACTIVE, PlanState, RunKind, RunState, StepState
from migrations_app.services.errors import ServiceRefused
from migrations_app.services.looks import ask_look
from migrations_app.services.plans import request_plan
from migrations_app.services.rollback import request_rollback
from migrations_app.services.runs import create_run, start_run, submit_run
from migrations_app.services.sections import SECTIONS

PLAN_SECONDS = 180
REHEARSAL_SECONDS = 600
# Short, so that a crossing can be watched to its end; see docs/reference/settings.md for what fits production.
SETTINGS = {"soak_seconds": 20, "soak_interval_seconds": 2, "endpoint_limit_ms": 2000, "load_seconds": 4}
WINDOW = timedelta(days=7)  # as long as a rehearsal stays fresh
OVER = (RunState.FAILED, RunState.CANCELLED, RunState.ROLLED_BACK)


class Opening:
    """Brings applications to the point where a person must decide."""

    def __init__(self, people: dict[str, Any], console: Console) -> None:
        self._ops = people["ana"]
        self._console = console

    def prepare(self, applications: Iterable[Application]) -> list[StageError]:
        """Plan, rehearse, submit; side by side. Nothing for an application that ever had a production run.

        A run that is held waits for people, as any run does: that is said, answered, and ends nothing.
        """
        try:
            return self._prepare([each for each in applications if not _had_production_run(each)])
        except ServiceRefused as refused:
            raise StageError("demo.refused", refused.message, refused.hint or "See the run's page.") from None

    def _prepare(self, fresh: Sequence[Application]) -> list[StageError]:
        for application in fresh:
            self._look_at(application)
        plans = [self._ask_for_plan(application) for application in fresh]
        for plan in plans:
            self._wait_for_plan(plan)
        rehearsals = [self._start_rehearsal(plan) for plan in plans]
        follower = Follower(rehearsals, self._console)
        held: list[StageError] = []
        for plan, run in zip(plans, rehearsals, strict=True):
            try:
                self._wait_for_rehearsal(run, follower)
                self._submit(plan)
            except StageError as problem:
                if problem.code != "demo.held":
                    raise
                self._console.complain(str(problem))
                held.append(problem)
        return held

    def _look_at(self, application: Application) -> None:
        """As “Look again” does, so that its page says that what is described is there."""
        for section in SECTIONS.values():
            if section.look and not application.seen.get(section.look):
                ask_look(
                    actor=self._ops,
                    application=application,
                    kind=section.look,
                    values={},
                    address=None,
                    version=application.version,
                )

    def _ask_for_plan(self, application: Application) -> MigrationPlan:
        """The newest plan that can be used, or a new one; a worker makes it."""
        plan = application.plans.exclude(state__in=[PlanState.REFUSED, PlanState.SUPERSEDED]).first()
        if plan is not None:
            return plan
        now = timezone.now()
        return request_plan(
            actor=self._ops,
            application=application,
            settings=SETTINGS,
            window_start=now - timedelta(minutes=1),
            window_end=now + WINDOW,
        )

    def _wait_for_plan(self, plan: MigrationPlan) -> None:
        """Raises StageError demo.plan when it can't be made."""

        def made() -> bool:
            plan.refresh_from_db()
            return plan.state != PlanState.MAKING

        name = plan.application.name
        self._console.wait_for(f"the plan of {name}", made, PLAN_SECONDS)
        if plan.state == PlanState.REFUSED:
            raise StageError(
                "demo.plan",
                f"The plan of {name} could not be made: {plan.error_message} ({plan.error_code})",
                "See the worker's log.",
            )
        tables = len((plan.document or {}).get("tables", []))
        self._console.say(f"{name}: plan of {tables} tables, digest {plan.short_digest}, written by {self._ops}")

    def _start_rehearsal(self, plan: MigrationPlan) -> MigrationRun:
        """The plan's rehearsal, begun if it wasn't."""
        rehearsals = MigrationRun.objects.filter(plan=plan, kind=RunKind.REHEARSAL)
        for cut_off in rehearsals.filter(state__in=sorted(RUN_ACTIVE)):
            self._take_down(cut_off)
        run = rehearsals.exclude(state__in=OVER).first()
        if run is None:
            run = create_run(actor=self._ops, plan=plan, kind=RunKind.REHEARSAL)
        if run.state == RunState.DRAFT:
            start_run(actor=self._ops, run=run)
            self._console.say(f"{plan.application.name}: rehearsal (run {run.pk}) started by {self._ops}")
        return run

    def _take_down(self, run: MigrationRun) -> None:
        """A rehearsal that an earlier demo was ended in: its second copy of the application is gone."""
        name = run.application.name
        if run.state != RunState.ROLLING_BACK:
            reason = "The demo was ended in the middle of it."
            request_rollback(actor=self._ops, run=run, reason=reason, typed_name=name, reauthenticated=True)
        reach(run, (RunState.ROLLED_BACK,), REHEARSAL_SECONDS, self._console)
        self._console.say(f"{name}: rehearsal (run {run.pk}) was cut off with the last demo, and is taken down")

    def _wait_for_rehearsal(self, run: MigrationRun, follower: Follower) -> None:
        reach(run, (RunState.COMPLETED,), REHEARSAL_SECONDS, self._console, follower)
        measured = ", ".join(
            f"{label} {run.facts[name]:.1f} s"
            for name, label in (("downtime_seconds", "downtime"), ("rollback_seconds", "way back"))
            if run.facts.get(name) is not None
        )
        name = run.application.name
        self._console.say(f"{name}: rehearsal completed, {_verified_cells(run):,} cells equal; measured: {measured}")

    def _submit(self, plan: MigrationPlan) -> None:
        """A production run that waits at gate 1."""
        run = create_run(actor=self._ops, plan=plan, kind=RunKind.PRODUCTION)
        submit_run(actor=self._ops, run=run)
        self._console.say(f"{plan.application.name}: production run {run.pk} waits for its approval at gate 1")


def _had_production_run(application: Application) -> bool:
    return MigrationRun.objects.filter(application=application, kind=RunKind.PRODUCTION).exists()


def _verified_cells(run: MigrationRun) -> int:
    """What the verification compared. Raises StageError demo.not_verified when it did not find all equal."""
    verify = run.steps.filter(name="verify", state=StepState.SUCCEEDED).first()
    evidence = verify.evidence if verify else {}
    cells = sum(int(table["cells"]) for table in evidence.get("tables", []))
    if not evidence.get("equal") or not cells:
        raise StageError("demo.not_verified", f"{run} has no verification that found all equal.", "See its evidence.")
    return cells
