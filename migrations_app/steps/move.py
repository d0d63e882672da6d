"""Load the export into the target, and compare every cell."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from migrations_app.engine.errors import Refused
from migrations_app.engine.export.export_reader import open_export
from migrations_app.engine.load.load import load_export
from migrations_app.engine.source.fingerprint import fingerprint
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.target import lease as target_lease
from migrations_app.engine.target.outage import through_outages
from migrations_app.engine.verify.compare import VerifyResult, verify
from migrations_app.models.states import OnLapse, Phase
from migrations_app.steps import workplace
from migrations_app.steps.base import Step, StepContext, StepResult

# An older holder of the target may be a worker that was just killed: its lease lapses within 15 s.
_LEASE_WAIT = 20.0


def holder_of(context: StepContext) -> str:
    return f"causeway step {context.step.pk} attempt {context.token}"


def what_differs(result: VerifyResult) -> str:
    """One sentence for a comparison that did not find everything equal."""
    if result.difference_count:
        return f"{result.difference_count:,} things differ between SQLite and PostgreSQL."
    return f"Not everything could be proved: {'; '.join(result.inconclusive)}."


def load_made(context: StepContext) -> StepResult:
    """Load the export that the run made, under the target's lease; again after a kill it goes on."""
    run = context.run
    url = workplace.target_url_of(run)
    made = context.facts["export"]
    exported = open_export(Path(made["directory"]), made.get("manifest_sha256", ""))
    lease = through_outages(
        lambda: target_lease.claim(
            url, run.run_key, holder_of(context), wait_seconds=_LEASE_WAIT, control=context.control
        ),
        url,
        context.control,
    )
    try:
        with target_lease.kept(url, lease, context.control):
            result = load_export(
                exported,
                workplace.move_plan(run.plan),
                url,
                run_key=run.run_key,
                lease=lease,
                jobs=run.plan.settings["jobs"],
                control=context.control,
            )
    finally:
        target_lease.release(url, lease)
    rows = sum(result.tables.values())
    evidence: dict[str, Any] = {
        "rows": rows,
        "tables": dict(result.tables),
        "objects": [asdict(record) for record in result.objects],
        "seconds": dict(result.seconds),
    }
    return StepResult(
        "succeeded",
        f"{rows:,} rows of {len(result.tables)} tables",
        evidence=evidence,
        facts={"rows": dict(result.tables)},
    )


class Load(Step):
    name = "load"
    title = "Load"
    phase = Phase.DATA
    on_lapse = OnLapse.CONTINUE

    def run(self, context: StepContext) -> StepResult:
        return load_made(context)


class Verify(Step):
    name = "verify"
    title = "Verify every cell"
    phase = Phase.DATA

    def run(self, context: StepContext) -> StepResult:
        run = context.run
        path = workplace.source_of(run)
        taken = fingerprint(path, context.control)
        if taken.digest != context.facts["final_fingerprint"]["digest"]:
            raise Refused(
                "SOURCE_CHANGED",
                "The SQLite file is not the one that was fingerprinted after the stop: something wrote to it.",
                "Find who writes, then roll back or resume from the final backup.",
            )
        with open_source(path, context.control) as source:
            url = workplace.target_url_of(run)
            result = through_outages(
                lambda: verify(
                    source,
                    workplace.move_plan(run.plan),
                    url,
                    control=context.control,
                    environment=workplace.key_environment(run.application),
                ),
                url,
                context.control,
            )
        evidence = result.to_document()
        if not result.equal:
            return StepResult(
                "failed",
                what_differs(result),
                evidence=evidence,
                code="DIFFERENT",
                hint="Open the verification page; then roll back, or mend the cause and resume.",
            )
        cells = sum(table["cells"] for table in evidence["tables"])
        return StepResult("succeeded", f"{cells:,} cells equal", evidence=evidence)
