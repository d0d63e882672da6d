"""The application's own commands that prove items of the checklist: its tests, `alembic current`, …"""

from __future__ import annotations

from typing import Any

from migrations_app.applications.commands import CommandResult, run_command
from migrations_app.models.states import Phase
from migrations_app.steps import workplace
from migrations_app.steps.base import Step, StepContext, StepResult

_KEPT_OUTPUT = 8_000  # characters of a command's output, of its end, where the verdict stands


class OwnChecks(Step):
    """Only commands that the operator's file has and the application names; their output is masked and bounded."""

    name = "own_checks"
    title = "The application's own checks"
    phase = Phase.PREPARE

    def run(self, context: StepContext) -> StepResult:
        items = list(context.run.items.filter(prover="system", step_name=self.name).exclude(command=""))
        found: dict[str, Any] = {}
        for purpose in dict.fromkeys(item.command for item in items):
            command = workplace.command_of(context.run.application, purpose)
            if command is not None:
                result = run_command(command, control=context.control)
                context.log(f"{purpose} ({command.name}): exit status {result.exit_status}")
                found[purpose] = _said_by(result)
        if not found:
            return StepResult("skipped", "no command of the application's own proves an item")
        failed = [purpose for purpose, said in found.items() if said["exit_status"] != 0]
        needed = {item.command for item in items if item.level == "mandatory"}
        evidence = {"commands": found}
        if needed & set(failed):
            return StepResult(
                "failed",
                f"{', '.join(failed)} did not pass.",
                evidence=evidence,
                code="OWN_CHECK_FAILED",
                hint="Its output is in the evidence. Mend it in the application, then resume: it runs again.",
            )
        passed = f"{len(found) - len(failed)} of {len(found)} passed"
        return StepResult("succeeded", f"{passed}: {', '.join(found)}", evidence=evidence)


def _said_by(result: CommandResult) -> dict[str, Any]:
    return {
        "command": result.name,
        "exit_status": result.exit_status,
        "seconds": round(result.seconds, 2),
        "output": result.output[-_KEPT_OUTPUT:],
        "truncated": result.truncated or len(result.output) > _KEPT_OUTPUT,
    }
