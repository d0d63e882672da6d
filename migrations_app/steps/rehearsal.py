"""What only a rehearsal does: start the second instance, try the way back, take everything down again."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from typing import Any

from migrations_app.applications import configuration
from migrations_app.engine.errors import Failed
from migrations_app.engine.target.scratch import drop_database
from migrations_app.models import MigrationRun
from migrations_app.models.states import Phase
from migrations_app.steps import workplace
from migrations_app.steps.application import prove_application
from migrations_app.steps.base import Step, StepContext, StepResult
from migrations_app.steps.fresh_rehearsal import VERSION_FACT
from migrations_app.steps.untouched import prove_untouched
from migrations_app.steps.versions import version_now

# What a rehearsal measures: {fact: its word}.
MEASURED = {
    "downtime_seconds": "downtime",
    "load_seconds": "load",
    "verify_seconds": "verification",
    "rollback_seconds": "way back",
}


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
        version = version_now(context.run.application, context.control)
        return StepResult(
            "succeeded",
            f"ports {', '.join(str(p.port) for p in reality.processes if p.port)}",
            facts={} if version is None else {VERSION_FACT: version},
            evidence={
                "version": version,
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
        measured = measured_by(context.run)
        evidence: dict[str, Any] = {"dropped": url.database, "production": prove_untouched(context), **measured}
        return StepResult(
            "succeeded",
            f"production untouched, nothing left of the rehearsal{_in_words(measured)}",
            evidence=evidence,
            facts=measured,
        )


def measured_by(run: MigrationRun) -> dict[str, float | None]:
    """What a rehearsal is for, in seconds: how long the application was down, and how long load, verification and the
    way back took of it. None: that part didn't take place."""
    down, up = run.down_since, run.up_since
    return {
        "downtime_seconds": round((up - down).total_seconds(), 1) if down and up else None,
        "load_seconds": _took(run, ("load", "copy_online")),
        "verify_seconds": _took(run, ("verify", "full_check")),
        "rollback_seconds": run.facts.get("rollback_seconds"),
    }


def _took(run: MigrationRun, names: tuple[str, ...]) -> float | None:
    steps = run.steps.filter(name__in=names, started_at__isnull=False, finished_at__isnull=False)
    seconds = [(step.finished_at - step.started_at).total_seconds() for step in steps]
    return round(sum(seconds), 1) if seconds else None


def _in_words(measured: Mapping[str, float | None]) -> str:
    """'; downtime 3.1 s, load 1.0 s', or ''."""
    known = [f"{MEASURED[name]} {seconds:,.1f} s" for name, seconds in measured.items() if seconds is not None]
    return f"; {', '.join(known)}" if known else ""


class BackTearDown(TearDown):
    """A rehearsal that went wrong is taken down, nothing else."""

    name = "back_tear_down"
    phase = Phase.ROLLBACK
