"""The soak: the application is watched for a while on PostgreSQL."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from migrations_app.applications.endpoints import check_endpoints
from migrations_app.models.states import Phase
from migrations_app.steps import workplace
from migrations_app.steps.base import AlertsSeen, Step, StepContext, StepResult


class Soak(Step):
    """Repeats the endpoint checks and looks at the alerts. One missed sample is tolerated, two in a row are a gap.

    A sample is missed when an endpoint isn't green, or a critical alert fires. An application that is not under watch
    has no alerts to look at: the evidence says so instead of calling it quiet.
    """

    name = "soak"
    title = "Soak"
    phase = Phase.MONITORING

    def run(self, context: StepContext) -> StepResult:
        settings = context.run.plan.settings
        before = context.step.evidence or {}
        now = context.now()
        samples = int(before.get("samples", 0)) + 1
        results = check_endpoints(workplace.description_of(context.run), "postgresql", None)
        alerts = context.alerts()
        missed = [f"{result.name} {result.problem}" for result in results if not result.passed]
        missed += [f"alert: {title}" for title in alerts.critical]
        row = int(before.get("missed_in_a_row", 0)) + 1 if missed else 0
        evidence = {
            "since": before.get("since", now.isoformat()),
            "samples": samples,
            "missed": int(before.get("missed", 0)) + bool(missed),
            "missed_in_a_row": row,
            "last": missed or [_quiet(alerts)],
            **_looked_at(alerts, before),
        }
        if row >= 2:
            return StepResult(
                "failed",
                f"Two samples in a row failed: {'; '.join(missed)}",
                evidence=evidence,
                code="SOAK_GAP",
                hint="Look at the application and its alerts; resume starts the soak anew, or roll back.",
            )
        since = datetime.fromisoformat(str(evidence["since"]))
        lasted = (now - since).total_seconds()
        message = f"{samples} samples, {evidence['missed']} missed; {evidence['alerts']}"
        if lasted < settings["soak_seconds"]:
            left = settings["soak_seconds"] - lasted
            return StepResult(
                "again",
                f"{message}; {left:,.0f} s left",
                evidence=evidence,
                again_after=min(settings["soak_interval_seconds"], max(left, 0.5)),
            )
        return StepResult("succeeded", message, evidence=evidence)


def _quiet(alerts: AlertsSeen) -> str:
    return "all endpoints green, no critical alert" if alerts.watched else "all endpoints green"


def _looked_at(alerts: AlertsSeen, before: Mapping[str, Any]) -> dict[str, Any]:
    """How many samples saw the alerts, and the sentence about it: a soak that was watched in part says so."""
    watched = int(before.get("samples_with_alerts", 0)) + alerts.watched
    samples = int(before.get("samples", 0)) + 1
    if not watched:
        said = f"alerts not watched: {alerts.why}"
    elif watched < samples:
        said = f"alerts watched in {watched} of them"
    else:
        said = "alerts watched"
    return {"samples_with_alerts": watched, "alerts": said}
