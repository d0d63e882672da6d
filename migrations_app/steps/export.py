"""Export, and the guard against a stale one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from migrations_app.engine.errors import Refused
from migrations_app.engine.export.export import ExportResult, export_source
from migrations_app.engine.plan import MODE_EXISTING, Finding, MovePlan
from migrations_app.engine.planning.planning import check_plan_with_profile
from migrations_app.engine.profile.profile import Profile
from migrations_app.engine.source.fingerprint import Fingerprint, fingerprint
from migrations_app.engine.source.opening import open_source
from migrations_app.engine.source.sqlite_source import Source
from migrations_app.engine.source.still import open_still
from migrations_app.engine.target.outage import through_outages
from migrations_app.engine.target.target import application_name, connect, transaction
from migrations_app.engine.target.target_catalog import read_schema
from migrations_app.engine.target.target_schema import TargetSchema
from migrations_app.engine.target.target_url import TargetUrl
from migrations_app.models.states import OnLapse, Phase
from migrations_app.steps import workplace
from migrations_app.steps.base import MadeFile, Step, StepContext, StepResult


def _export(context: StepContext, source: Source, taken: Fingerprint) -> ExportResult:
    """Closes the source."""
    with source:
        plan = workplace.move_plan(context.run.plan)
        directory = workplace.run_directory(context.run) / "export"
        profile = _profile_of(context, source)
        return export_source(
            source, plan, directory, context.control, taken, profile=profile, jobs=context.run.plan.settings["jobs"]
        )


def _profile_of(context: StepContext, source: Source) -> Profile:
    """Whether schema and values still are what the plan was made for. Raises Refused; the profile speeds the load up.

    Looked at in the snapshot that is exported: a value that came since the plan and doesn't fit is told with table,
    column and row before anything is loaded, and what is known to fit loads without being parsed.
    """
    plan = workplace.move_plan(context.run.plan)
    if source.schema.digest != plan.schema_digest:
        # A table or column that came since the plan was made would be left behind, and nothing would miss it.
        raise Refused(
            "SCHEMA_CHANGED",
            "The source's schema is not the one that the plan was made for.",
            "Roll back, make a new revision of the plan, rehearse it, and have it approved.",
        )
    misfits, profile = check_plan_with_profile(plan, source, context.control, _target_schema(context, plan))
    if misfits:
        raise _refusal(misfits)
    return profile


def _target_schema(context: StepContext, plan: MovePlan) -> TargetSchema | None:
    """In mode existing, as the application has made it: its foreign keys are tried on the rows before they travel."""
    if plan.mode != MODE_EXISTING:
        return None
    url = workplace.target_url_of(context.run)
    return through_outages(lambda: _read_schema(url, plan.target_schema), url, context.control)


def _read_schema(url: TargetUrl, name: str) -> TargetSchema:
    connection = connect(url, application_name=application_name("keys", 0))
    try:
        with transaction(connection, "reading the target's keys") as cursor:
            return read_schema(cursor, name, count_rows=False)
    finally:
        connection.close()


def _refusal(misfits: Sequence[Finding]) -> Refused:
    first = misfits[0]
    row = f" The first is in row {first.row_key}." if first.row_key else ""
    more = f" {len(misfits) - 1} more column(s) have such values." if len(misfits) > 1 else ""
    return Refused(
        first.code,
        f"{first.message}{row}{more}",
        "Correct the values in the application, or make a new revision of the plan, rehearse it, and have it approved.",
    )


def _result(context: StepContext, exported: ExportResult, taken: Fingerprint, message: str) -> StepResult:
    evidence: dict[str, Any] = {
        "manifest_sha256": exported.sha256,
        "source_fingerprint": taken.digest,
        "tables": dict(exported.tables),
    }
    return StepResult(
        "succeeded",
        message,
        evidence=evidence,
        facts={
            "export": {
                "directory": str(exported.directory),
                "fingerprint": taken.digest,
                "manifest_sha256": exported.sha256,
            }
        },
        files=(MadeFile("export", exported.manifest_path, exported.sha256, exported.manifest_path.stat().st_size),),
    )


class Export(Step):
    name = "export"
    title = "Export"
    phase = Phase.PREPARE
    on_lapse = OnLapse.CONTINUE

    def run(self, context: StepContext) -> StepResult:
        path = workplace.source_of(context.run)
        taken = fingerprint(path, context.control)
        # The application is still at work.
        source = open_still(path, context.control, workplace.reading_directory(context.run))
        exported = _export(context, source, taken)
        rows = sum(exported.tables.values())
        return _result(context, exported, taken, f"{rows:,} rows of {len(exported.tables)} tables")


class RefreshExport(Step):
    """If the source changed since the export, it is exported again; the application is stopped now."""

    name = "refresh_export"
    title = "Source unchanged since export"
    phase = Phase.DATA
    on_lapse = OnLapse.CONTINUE

    def run(self, context: StepContext) -> StepResult:
        path = workplace.source_of(context.run)
        taken = fingerprint(path, context.control)
        unchanged = taken.digest == context.facts.get("export", {}).get("fingerprint")
        exported = _export(context, open_source(path, context.control), taken)
        message = "unchanged since the export" if unchanged else "changed since the export: exported again"
        return _result(context, exported, taken, message)
