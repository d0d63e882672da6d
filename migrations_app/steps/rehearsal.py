"""What only a rehearsal does: start the second instance, try the way back, take everything down again."""

from __future__ import annotations

import shutil
import time
from typing import Any

from migrations_app.applications import configuration
from migrations_app.engine.errors import Failed
from migrations_app.engine.target.scratch import drop_database
from migrations_app.models.states import Phase
from migrations_app.steps import workplace
from migrations_app.steps.application import prove_application
from migrations_app.steps.base import Step, StepContext, StepResult
from migrations_app.steps.untouched import prove_untouched


class StartCopy(Step):
    """The second instance, on the copy of the source, with its outside effects silenced."""

    name = "start_copy"
    title = "Start a second instance on SQLite"
    phase = Phase.PREPARE

    def run(self, context: StepContext) -> StepResult:
        description = workplace.description_of(context.run)
        driver = workplace.driver_of(context.run)
        driver.stop()  # one that an attempt left behind
        configuration.switch(description.pointing, "sqlite", workplace.pointing_values(context.run))
        reality = driver.start("sqlite", workplace.pointing_values(context.run))
        return StepResult(
            "succeeded",
            f"ports {', '.join(str(p.port) for p in reality.processes if p.port)}",
            evidence={
                "overrides": sorted(context.run.application.rehearsal.get("environment", {})),
                "application": prove_application(context, "sqlite"),
            },
        )


class RehearseRollback(Step):
    """The way back, for real, on the second instance: how long it takes is what the last safe moment rests on."""

    name = "rehearse_rollback"
    title = "Rehearse the rollback"
    phase = Phase.VERIFICATION

    def run(self, context: StepContext) -> StepResult:
        description = workplace.description_of(context.run)
        driver = workplace.driver_of(context.run)
        values = workplace.pointing_values(context.run)
        begun = time.monotonic()
        driver.stop()
        proof = driver.prove_stopped()
        if not proof.stopped:
            raise Failed("NOT_STOPPED", f"The second instance did not stop: {'; '.join(proof.reasons)}", "Look at it.")
        configuration.switch(description.pointing, "sqlite", values)
        driver.start("sqlite", values)
        evidence = prove_application(context, "sqlite")
        seconds = round(time.monotonic() - begun, 1)
        return StepResult(
            "succeeded",
            f"{seconds:,.1f} s until the application answered on SQLite again",
            evidence={"seconds": seconds, "application": evidence},
            facts={"rollback_seconds": seconds},
        )


class TearDown(Step):
    """Nothing of the rehearsal is left; production was not touched, and this says how that is known."""

    name = "tear_down"
    title = "Take the rehearsal down"
    phase = Phase.SIGN_OFF

    def run(self, context: StepContext) -> StepResult:
        workplace.driver_of(context.run).stop()
        url = workplace.target_url_of(context.run)
        drop_database(workplace.rehearsal_server(context.run.application), url.database)
        shutil.rmtree(workplace.source_of(context.run).parent, ignore_errors=True)
        evidence: dict[str, Any] = {"dropped": url.database, "production": prove_untouched(context)}
        evidence["downtime_seconds"] = self._downtime(context)
        return StepResult(
            "succeeded",
            "production untouched, nothing left of the rehearsal",
            evidence=evidence,
            facts={"downtime_seconds": evidence["downtime_seconds"]},
        )

    def _downtime(self, context: StepContext) -> float | None:
        down, up = context.run.down_since, context.run.up_since
        return round((up - down).total_seconds(), 1) if down and up else None


class BackTearDown(TearDown):
    """A rehearsal that went wrong is taken down, nothing else."""

    name = "back_tear_down"
    phase = Phase.ROLLBACK
