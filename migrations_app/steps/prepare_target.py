"""The target's schema: made by the application's own command in mode `existing`, then compared with the plan."""

from __future__ import annotations

from migrations_app.applications.commands import run_command
from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.plan import MODE_EXISTING
from migrations_app.engine.target.scratch import create_database, drop_database
from migrations_app.engine.target.target import inspect_target
from migrations_app.engine.target.target_digest import schema_digest
from migrations_app.models.states import OnLapse, Phase
from migrations_app.steps import workplace
from migrations_app.steps.base import Step, StepContext, StepResult


class CreateScratch(Step):
    """A scratch database for the rehearsal; one that an attempt left behind is made anew."""

    name = "create_scratch"
    title = "Create the scratch database"
    phase = Phase.PREPARE

    def run(self, context: StepContext) -> StepResult:
        server = workplace.rehearsal_server(context.run.application)
        scratch = workplace.target_url_of(context.run)
        drop_database(server, scratch.database)
        create_database(server, scratch.database)
        return StepResult("succeeded", f"{scratch.database} created", evidence={"database": scratch.redacted})


class PrepareTarget(Step):
    name = "prepare_target"
    title = "Prepare the target"
    phase = Phase.PREPARE
    on_lapse = OnLapse.CONTINUE  # schema commands are made to be run again

    def run(self, context: StepContext) -> StepResult:
        application = context.run.application
        plan = workplace.move_plan(context.run.plan)
        url = workplace.target_url_of(context.run)
        facts = inspect_target(url, schema=plan.target_schema)
        if plan.mode != MODE_EXISTING:
            return StepResult(
                "succeeded",
                "The tables are created while loading",
                evidence={"mode": plan.mode, "version": facts.version_text},
            )
        command = workplace.command_of(application, "schema")
        if command is None:
            raise Refused(
                "NO_SCHEMA_COMMAND",
                "The application makes its own schema, but no command 'schema' is named for it.",
                "Name one of the operator's commands (alembic upgrade head, manage.py migrate).",
            )
        result = run_command(
            command, workplace.pointing_environment(context.run, "postgresql"), control=context.control
        )
        context.log(result.output[-2000:])
        if result.exit_status != 0:
            raise Failed(
                "SCHEMA_COMMAND_FAILED",
                f"{command.name} ended with {result.exit_status}: {result.output[-500:]}",
                "Mend it in the application, then resume.",
            )
        digest = schema_digest(url, plan.target_schema)
        if digest != context.run.plan.target_schema_digest:
            raise Refused(
                "TARGET_SCHEMA_CHANGED",
                "The schema that the application made is not the one that the plan was made for.",
                "The application's version changed, or the target held other tables: make a new revision of the plan.",
            )
        return StepResult(
            "succeeded",
            f"{command.name} made the schema that the plan expects",
            evidence={"mode": plan.mode, "command": command.name, "schema_digest": digest, "seconds": result.seconds},
        )
