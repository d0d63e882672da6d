"""Data integrity on PostgreSQL, looked at while the application works on it."""

from __future__ import annotations

from migrations_app.engine.errors import EngineError
from migrations_app.engine.source.still import open_still
from migrations_app.engine.verify.date_columns import DateColumn, find_date_columns
from migrations_app.engine.verify.integrity import check_integrity
from migrations_app.models.states import Phase
from migrations_app.steps import workplace
from migrations_app.steps.base import Step, StepContext, StepResult


class CheckIntegrity(Step):
    name = "check_integrity"
    title = "Data integrity"
    phase = Phase.VERIFICATION

    def run(self, context: StepContext) -> StepResult:
        dates, undated = _date_columns(context)
        report = check_integrity(
            workplace.target_url_of(context.run),
            workplace.move_plan(context.run.plan),
            environment=workplace.key_environment(context.run.application),
            control=context.control,
            dates=dates,
        )
        evidence = {**report.to_document(), "dates_why_not": undated}
        if report.problems:
            return StepResult(
                "failed",
                f"{len(report.problems)} problems in the target: {'; '.join(report.problems[:5])}",
                evidence=evidence,
                code="INTEGRITY",
                hint="Open the step's evidence; roll back, or mend the data and resume.",
            )
        return StepResult("succeeded", report.sentence, evidence=evidence)


def _date_columns(context: StepContext) -> tuple[tuple[DateColumn, ...], str]:
    """Which columns were dates as text, asked of the SQLite file that was left behind; or why it can't be asked."""
    plan = workplace.move_plan(context.run.plan)
    try:
        path = workplace.source_of(context.run)
        with open_still(path, context.control, workplace.reading_directory(context.run)) as source:
            return find_date_columns(source, plan, context.control), ""
    except EngineError as error:
        context.log(f"which columns held dates as text can't be asked of the SQLite file ({error.code})")
        return (), error.message
