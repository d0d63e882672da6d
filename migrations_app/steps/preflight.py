"""Before anything else: is the source sound, is the target fit, is there room, do the keys fit?"""

from __future__ import annotations

import shutil
from typing import Any

from migrations_app.applications.commands import run_command
from migrations_app.engine.errors import Failed, Refused
from migrations_app.engine.plan import MovePlan
from migrations_app.engine.planning.planning import check_plan
from migrations_app.engine.source.integrity_beside import checked_beside
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.source.still import open_still
from migrations_app.engine.target.target import inspect_target
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.engine.verify import decrypt_sample
from migrations_app.models.states import Phase, RunKind, Strategy
from migrations_app.steps import workplace
from migrations_app.steps.base import Step, StepContext, StepResult
from migrations_app.steps.online_preflight import look_online
from migrations_app.steps.untouched import look_at_production

# Backup, its restore test, the export and the final backup lie beside each other for a while.
_COPIES_ON_DISK = 5


class Preflight(Step):
    name = "preflight"
    title = "Preflight"
    phase = Phase.PREPARE

    def run(self, context: StepContext) -> StepResult:
        application = context.run.application
        plan = workplace.move_plan(context.run.plan)
        path = workplace.live_source(application)
        still = workplace.reading_directory(context.run)
        with open_still(path, context.control, still) as source, checked_beside(source, context.control):
            if source.schema.digest != plan.schema_digest:
                raise Refused(
                    "SCHEMA_CHANGED",
                    "The source's schema is not the one that the plan was made for.",
                    "Make a new revision of the plan, rehearse it, and have it approved.",
                )
            findings = [f for f in check_plan(plan, source, context.control) if f.needs_choice]
            online = self._online(context, source, plan) if not findings else {}
        if findings:
            first = findings[0]
            raise Refused(
                "PLAN_NO_LONGER_FITS",
                f"{len(findings)} findings: values no longer fit the plan; the first, {first.table}.{first.column}: "
                f"{first.message}",
                "Make a new revision of the plan.",
            )
        context.log(f"{path}: integrity_check ok, schema and values fit the plan")
        evidence: dict[str, Any] = {
            "source": {"path": str(path), "bytes": path.stat().st_size, "schema_digest": plan.schema_digest},
            "target": self._target(context),
            "disk": self._disk(context, path.stat().st_size),
            "driver": self._driver(context),
            "stop_and_start": self._stop_and_start(context),
            "encryption": decrypt_sample.check(path, plan.encrypted, workplace.key_environment(application)),
            **online,
        }
        return StepResult(
            "succeeded",
            f"PostgreSQL {evidence['target']['version']} is ready",
            evidence=evidence,
            facts={"production_before": look_at_production(context)},
        )

    def _online(self, context: StepContext, source: Source, plan: MovePlan) -> dict[str, Any]:
        if context.run.strategy != Strategy.ONLINE:
            return {}
        return {"online": look_online(context, source, plan, self._server(context))}

    def _server(self, context: StepContext) -> TargetUrl:
        application = context.run.application
        rehearsal = context.run.kind == RunKind.REHEARSAL
        return workplace.rehearsal_server(application) if rehearsal else workplace.target_of(application)

    def _target(self, context: StepContext) -> dict[str, Any]:
        application = context.run.application
        url = self._server(context)
        facts = inspect_target(url, schema=application.target_schema)
        context.log(f"{url.redacted}: PostgreSQL {facts.version_text}, {facts.encoding}, role {facts.role}")
        return {
            "url": url.redacted,
            "version": facts.version_text,
            "encoding": facts.encoding,
            "role": facts.role,
            "identity": facts.identity,
        }

    def _disk(self, context: StepContext, size: int) -> dict[str, Any]:
        free = shutil.disk_usage(workplace.run_directory(context.run)).free
        needed = size * _COPIES_ON_DISK
        if free < needed:
            raise Refused(
                "NO_SPACE",
                f"Backups and export need about {needed:,} bytes; {free:,} are free in the artefacts' folder.",
                "Free some space, or point CAUSEWAY_ARTIFACTS_DIR at a larger disk.",
            )
        return {"free_bytes": free, "needed_bytes": needed}

    def _stop_and_start(self, context: StepContext) -> dict[str, Any]:
        """Before anything is moved: a unit that systemd doesn't know, a file that the proxy's template doesn't make."""
        driver = workplace.production_driver(context.run.application)
        driver.check()
        return {"kind": driver.description.driver.kind}

    def _driver(self, context: StepContext) -> dict[str, Any]:
        """The application's own PostgreSQL driver: a missing one lets some applications stay on SQLite silently."""
        command = workplace.command_of(context.run.application, "driver")
        if command is None:
            return {"checked": False, "why": "no command 'driver' is named for this application"}
        result = run_command(command, control=context.control)
        if result.exit_status != 0:
            raise Failed(
                "DRIVER_MISSING",
                f"The application's check of its PostgreSQL driver ended with {result.exit_status}: "
                f"{result.output[-500:]}",
                "Install the driver (psycopg2-binary, say) in the application's environment.",
            )
        return {"checked": True, "command": command.name, "output": result.output[-500:]}
