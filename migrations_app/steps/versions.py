"""Which version of the application is there now? Its own command says so, asked at the moment when it matters."""

from __future__ import annotations

from controlplane.registry.models import Application
from migrations_app.applications.commands import run_command
from migrations_app.engine.control import Control
from migrations_app.engine.errors import Failed, Refused
from migrations_app.steps import workplace
from migrations_app.steps.base import StepContext

LONGEST = 200  # characters, as the plan's field


def version_now(application: Application, control: Control) -> str | None:
    """What its command 'version' says; None when none is named. Raises Failed VERSION_COMMAND_FAILED."""
    command = workplace.command_of(application, "version")
    if command is None:
        return None
    result = run_command(command, control=control)
    if not result.succeeded:
        raise Failed("VERSION_COMMAND_FAILED", f"{command.name} ended with {result.exit_status}.", "Mend the command.")
    return result.output.strip()[:LONGEST]


def require_planned_version(context: StepContext) -> str | None:
    """The version now. Raises Refused VERSION_CHANGED when the plan was made, and rehearsed, for another one."""
    planned = context.run.plan.application_version
    now = version_now(context.run.application, context.control)
    if now is not None and now != planned:
        raise Refused(
            "VERSION_CHANGED",
            f"The application is version {now or '“”'} now; the plan was made, and rehearsed, for {planned or '“”'}.",
            "Make a new revision of the plan, rehearse it, and have it approved; or put the old version back.",
        )
    return now
