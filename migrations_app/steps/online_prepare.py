"""A live crossing before gate 2: changes are captured, a snapshot copied, PostgreSQL follows, every cell is compared.

The application goes on all the while; what these steps leave behind belongs to the application, not to the run.
"""

from __future__ import annotations

from typing import Any

from migrations_app.engine.capture import capture
from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.online import copying
from migrations_app.engine.online.full_check import full_check
from migrations_app.engine.replay.forward import Follower, Lag
from migrations_app.models import MigrationRun, RunStep
from migrations_app.models.states import OnLapse, Phase, StepState
from migrations_app.steps import workplace
from migrations_app.steps.base import MadeFile, Step, StepContext, StepResult
from migrations_app.steps.crossing import follows, forms_of, pair_of
from migrations_app.steps.move import load_made, what_differs

_CLOSE = 200  # rows of lag under which the freeze's last apply is short
_TIMES = 3  # in a row
_MOST_ROUNDS = 200
_PAUSE = 0.5  # seconds between two rounds


class InstallCapture(Step):
    """From here on the file itself notes the key of every changed row; one short write transaction."""

    name = "install_capture"
    title = "Capture changes"
    phase = Phase.PREPARE
    on_lapse = OnLapse.CONTINUE

    def run(self, context: StepContext) -> StepResult:
        run = context.run
        path, plan = workplace.source_of(run), workplace.move_plan(run.plan)
        before = capture.read_state(path)
        if before is not None and before.mode != "capture":
            raise Refused(
                "ALREADY_CROSSED",
                "The SQLite file is fenced: the application lives on PostgreSQL, or a crossing of it was cut off.",
                "Look at the replication on the application's page; fall back first, or end the replication.",
            )
        state = capture.install(path, plan, busy_timeout_ms=run.application.busy_timeout_ms, control=context.control)
        there = before is not None and before.identity == state.identity
        return StepResult(
            "succeeded",
            "captured already, and goes on" if there else f"{len(state.tables)} tables captured",
            evidence={
                "identity": state.identity,
                "tables": [table.name for table in state.tables],
                "schema": state.schema,
                "continued": there,
            },
            facts={"replication": {"identity": state.identity, "continued": there}},
        )


class SnapshotOnline(Step):
    """A snapshot of the source that names its position in the log; not needed where PostgreSQL follows already."""

    name = "snapshot_online"
    title = "Snapshot with its position"
    phase = Phase.PREPARE
    on_lapse = OnLapse.CONTINUE

    def run(self, context: StepContext) -> StepResult:
        pair = pair_of(context.run)
        position = follows(pair)
        if position is not None:
            return StepResult(
                "succeeded",
                f"PostgreSQL follows already, at position {position:,}: no new copy",
                evidence={"continued": True, "position": position},
                facts={"snapshot": {"continued": True, "position": position}},
            )
        directory = workplace.run_directory(context.run) / "export"
        made = copying.export_snapshot(
            pair,
            directory,
            context.control,
            folder=workplace.reading_directory(context.run),
            jobs=context.run.plan.settings["jobs"],
        )
        manifest = directory / "manifest.json"
        rows = sum(made.tables.values())
        return StepResult(
            "succeeded",
            f"{rows:,} rows of {len(made.tables)} tables, at position {made.moment.position:,}",
            evidence={
                "continued": False,
                "position": made.moment.position,
                "manifest_sha256": made.manifest_sha256,
                "tables": dict(made.tables),
            },
            facts={
                "snapshot": {"continued": False, "position": made.moment.position},
                "export": {"directory": str(directory), "manifest_sha256": made.manifest_sha256},
            },
            files=(MadeFile("export", manifest, made.manifest_sha256, manifest.stat().st_size),),
        )


class CopyOnline(Step):
    """The snapshot is loaded; with it the position in PostgreSQL, from which on it follows."""

    name = "copy_online"
    title = "Copy"
    phase = Phase.PREPARE
    on_lapse = OnLapse.CONTINUE

    def run(self, context: StepContext) -> StepResult:
        pair = pair_of(context.run)
        snapshot = context.facts["snapshot"]
        position = follows(pair)
        if position is not None:
            return StepResult(
                "succeeded",
                f"PostgreSQL follows, at position {position:,}: no new copy",
                evidence={**copied_before(context.run, pair.identity), "continued": True, "position": position},
            )
        if snapshot["continued"]:
            raise Failed(
                "NOT_FOLLOWING",
                "PostgreSQL followed when this run began, and does not any more.",
                "End the replication on the application's page, roll this run back and begin a new one.",
            )
        result = load_made(context)
        copying.begin_following(pair, snapshot["position"])
        return StepResult(
            "succeeded",
            result.message,
            evidence={
                **result.evidence,
                "identity": pair.identity,
                "continued": False,
                "position": snapshot["position"],
                "manifest_sha256": context.facts["export"]["manifest_sha256"],
            },
            facts=result.facts,
        )


def copied_before(run: MigrationRun, identity: str) -> dict[str, Any]:
    """What the run that made the copy proved of it; {} where that run is gone."""
    copies = RunStep.objects.filter(run__application=run.application, name=CopyOnline.name, state=StepState.SUCCEEDED)
    made = copies.filter(evidence__identity=identity, evidence__continued=False).order_by("-pk").first()
    return {**made.evidence, "copied_by": made.run_id} if made is not None else {}


class CatchUp(Step):
    """What changed since the snapshot is applied, until only the newest rows are under way."""

    name = "catch_up"
    title = "Catch up"
    phase = Phase.PREPARE
    on_lapse = OnLapse.CONTINUE

    def run(self, context: StepContext) -> StepResult:
        pair = pair_of(context.run)
        applied_rows = deletes = rounds = 0
        with Follower(pair, control=context.control) as follower:
            close = 0
            while close < _TIMES:
                rounds += 1
                if rounds > _MOST_ROUNDS:
                    raise _never_close(follower.lag())
                applied = follower.catch_up()
                applied_rows, deletes = applied_rows + applied.rows, deletes + applied.deletes
                lag = follower.lag()
                context.control.progress("catch up", "", applied.position, max(applied.position, lag.head))
                close = close + 1 if lag.rows < _CLOSE else 0
                if close < _TIMES:
                    context.control.stop.wait(_PAUSE if close else 0)
                    context.control.checkpoint()
        return StepResult(
            "succeeded",
            f"{applied_rows:,} rows and {deletes:,} deletes applied; {lag.rows:,} rows behind",
            evidence={
                "rows": applied_rows,
                "deletes": deletes,
                "rounds": rounds,
                "position": lag.position,
                "lag_rows": lag.rows,
            },
        )


def _never_close(lag: Lag) -> Failed:
    return Failed(
        "ONLINE_LAG",
        f"PostgreSQL stays {lag.rows:,} rows behind: the application writes faster than they are applied.",
        "Resume at a quieter time, or give PostgreSQL and this host more to work with.",
    )


class FullCheck(Step):
    """Every cell, of a snapshot at its position. What gate 2 signs."""

    name = "full_check"
    title = "Verify every cell"
    phase = Phase.PREPARE

    def run(self, context: StepContext) -> StepResult:
        check = full_check(
            pair_of(context.run),
            environment=workplace.key_environment(context.run.application),
            control=context.control,
            folder=workplace.reading_directory(context.run),
            forms=forms_of(context.run),
        )
        evidence: dict[str, Any] = {**check.verify.to_document(), "position": check.position}
        if not check.verify.equal:
            return StepResult(
                "failed",
                what_differs(check.verify),
                evidence=evidence,
                code="DIFFERENT",
                hint="Open the verification page; then roll back, or mend the cause and resume.",
            )
        cells = sum(table["cells"] for table in evidence["tables"])
        return StepResult(
            "succeeded",
            f"{cells:,} cells equal at position {check.position:,}",
            evidence=evidence,
            facts={"full_check": {"position": check.position, "cells": cells}},
        )
