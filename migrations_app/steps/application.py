"""Stop the application and prove it, point it at PostgreSQL, start it, and hear from itself where it is."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from migrations_app.applications import configuration
from migrations_app.applications.commands import run_command
from migrations_app.applications.description import ApplicationDescription, CommandSpec, Dialect
from migrations_app.applications.drivers.interface import PersonNeeded
from migrations_app.applications.endpoints import EndpointResult, check_endpoints, counted_around
from migrations_app.applications.identity import prove_identity
from migrations_app.engine.back import change_queue
from migrations_app.engine.capture.capture import read_state
from migrations_app.engine.errors import Failed
from migrations_app.engine.source.fingerprint import fingerprint, fingerprint_from_document
from migrations_app.engine.verify.counts import count_rows
from migrations_app.models.states import OnLapse, Phase, Strategy
from migrations_app.steps import workplace
from migrations_app.steps.base import Step, StepContext, StepResult
from migrations_app.steps.driving import wait_for_person
from migrations_app.steps.versions import require_planned_version

_LOOKS = 3


def run_hook(context: StepContext, command: CommandSpec | None, purpose: str) -> StepResult:
    """Run an optional command of the operator's; skipped when none is named."""
    if command is None:
        return StepResult("skipped", f"no command “{purpose}” is named for this application")
    result = run_command(command, control=context.control)
    context.log(result.output[-2000:])
    if not result.succeeded:
        raise Failed(
            "COMMAND_FAILED",
            f"{command.name} ended with {result.exit_status}: {result.output[-500:]}",
            "Mend what it says, then resume.",
        )
    return StepResult(
        "succeeded", command.name, evidence={"command": command.name, "seconds": result.seconds, "exit_status": 0}
    )


def prove_application(context: StepContext, dialect: Dialect) -> dict[str, Any]:
    """Endpoints green, counts equal, its own word about its database. Raises Failed naming each thing that isn't."""
    run = context.run
    description = workplace.description_of(run)
    endpoints, counts = _green(context, description, dialect)
    for result in endpoints:
        context.log(f"{result.name}: {'ok' if result.passed else result.problem}")
    kept = context.facts.get("final_fingerprint")
    online = run.strategy == Strategy.ONLINE
    identity = prove_identity(
        description,
        dialect,
        workplace.target_url_of(run),
        state_dir=workplace.instance_directory(run),
        baseline=fingerprint_from_document(kept) if kept and dialect == "postgresql" else None,
        fenced=online and dialect == "postgresql",
    )
    failed = [f"{result.name} {result.problem}" for result in endpoints if not result.passed]
    if not identity.proved:
        failed += identity.reasons
    if failed:
        raise Failed(
            "APPLICATION_NOT_PROVED",
            f"The application can't be trusted to run on {dialect}: {'; '.join(failed)}.",
            "Roll back, or mend the application and resume.",
        )
    return {
        "dialect": dialect,
        "endpoints": [asdict(result) for result in endpoints],
        "identity": asdict(identity),
        "rows": counts,
    }


def _green(
    context: StepContext, description: ApplicationDescription, dialect: Dialect
) -> tuple[tuple[EndpointResult, ...], dict[str, int]]:
    """A live application writes between the count and the answer: what only differs in length is counted again, and
    asked again where that doesn't explain it."""
    where = workplace.target_url_of(context.run) if dialect == "postgresql" else workplace.source_of(context.run)
    plan = workplace.move_plan(context.run.plan)
    for _ in range(_LOOKS):
        counts = count_rows(plan, where)
        results = check_endpoints(description, dialect, counts)
        if any(result.code == "ENDPOINT_LENGTH" for result in results):
            results = counted_around(description, results, counts, count_rows(plan, where))
        if {result.code for result in results if not result.passed} != {"ENDPOINT_LENGTH"}:
            break
    return results, counts


class BeforeStop(Step):
    name = "before_stop"
    title = "Before the stop"
    phase = Phase.DATA
    owner = "ops"

    def run(self, context: StepContext) -> StepResult:
        require_planned_version(context)  # a deployment since gate 2: what was rehearsed is not what would be stopped
        return run_hook(context, workplace.description_of(context.run).before_stop, "before_stop")


class StopApplication(Step):
    name = "stop_application"
    title = "Stop the application"
    phase = Phase.DATA

    def run(self, context: StepContext) -> StepResult:
        driver = workplace.driver_of(context.run)
        begun = context.run.down_since or context.now()
        try:
            stopped = driver.stop()
        except PersonNeeded as needed:
            return wait_for_person(context, needed)
        proof = driver.prove_stopped()
        if not proof.stopped:
            raise Failed(
                "NOT_STOPPED",
                f"The application is not stopped: {'; '.join(proof.reasons)}",
                "End what is named, then resume; nothing was moved.",
            )
        for caveat in proof.caveats:
            context.log(caveat)
        return StepResult(
            "succeeded",
            "no process, port closed, no lock",
            evidence={"proof": asdict(proof), "stopped": asdict(stopped)},
            moments={"down_since": begun},
        )


class ArmChangeQueue(Step):
    """From before the start every change in the target is known, so that a rollback has its price."""

    name = "arm_change_queue"
    title = "Count changes from here on"
    phase = Phase.RESTART

    def run(self, context: StepContext) -> StepResult:
        plan = workplace.move_plan(context.run.plan)
        change_queue.arm(workplace.target_url_of(context.run), plan)
        tables = [table.name for table in plan.tables if table.is_loaded]
        return StepResult("succeeded", f"{len(tables)} tables watched", evidence={"tables": sorted(tables)})


class SwitchConfiguration(Step):
    name = "switch_configuration"
    title = "Switch the configuration"
    phase = Phase.RESTART

    def run(self, context: StepContext) -> StepResult:
        description = workplace.description_of(context.run)
        result = configuration.switch(description.pointing, "postgresql", workplace.pointing_values(context.run))
        for note in result.notes:
            context.log(note)
        return StepResult(
            "succeeded",
            f"{', '.join(description.pointing.keys)} say postgresql",
            evidence={
                "keys": sorted(description.pointing.keys),
                "mechanism": description.pointing.mechanism,
                "sha256_before": result.digest_before,
                "sha256_after": result.digest_after,
            },
            moments={"switched_at": context.run.switched_at or context.now()},
        )


class StartApplication(Step):
    name = "start_application"
    title = "Start the application"
    phase = Phase.RESTART

    def run(self, context: StepContext) -> StepResult:
        driver = workplace.driver_of(context.run)
        try:
            reality = driver.start("postgresql", workplace.pointing_values(context.run))
        except PersonNeeded as needed:
            return wait_for_person(context, needed)
        return StepResult(
            "succeeded",
            f"{len(reality.processes)} processes up",
            evidence={"processes": [{"name": p.name, "state": p.state, "port": p.port} for p in reality.processes]},
            moments={"up_since": context.now()},
        )


class CheckApplication(Step):
    """Endpoints, counts, its own word; and the SQLite file must stay as it was at the stop."""

    name = "check_application"
    title = "The application says postgresql"
    phase = Phase.RESTART

    def run(self, context: StepContext) -> StepResult:
        evidence = prove_application(context, "postgresql")
        if context.run.strategy == Strategy.ONLINE:
            return self._behind_the_fence(context, evidence)
        now = fingerprint(workplace.source_of(context.run), context.control)
        if now.digest != context.facts["final_fingerprint"]["digest"]:
            raise Failed(
                "STILL_WRITES_TO_SQLITE",
                "The SQLite file changed after the switch: the application, or another process, still writes to it.",
                "Roll back: the application goes on with SQLite. Then find out why it ignores its configuration.",
            )
        return StepResult("succeeded", "endpoints green, counts equal, SQLite still", evidence=evidence)

    def _behind_the_fence(self, context: StepContext, evidence: dict[str, Any]) -> StepResult:
        """Rows flow back to the SQLite file, so it changes; but whoever else writes to it is refused."""
        state = read_state(workplace.source_of(context.run))
        if state is None or state.mode != "fenced":
            raise Failed(
                "FENCE_GONE",
                "The SQLite file no longer refuses writers: it was restored, or somebody took the fence away.",
                "Find out who did it. Rows that were written there meanwhile are not in PostgreSQL.",
            )
        return StepResult("succeeded", "endpoints green, counts equal, SQLite fenced", evidence=evidence)


class AfterStart(Step):
    name = "after_start"
    title = "After the start"
    phase = Phase.RESTART
    on_lapse = OnLapse.REDO
    owner = "ops"

    def run(self, context: StepContext) -> StepResult:
        return run_hook(context, workplace.description_of(context.run).after_start, "after_start")
