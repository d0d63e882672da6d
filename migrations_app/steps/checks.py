"""What is measured: the application's own checks, integrity in the target, answers in time, and the soak."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from datetime import datetime
from typing import Any

from migrations_app.applications.commands import CommandResult, run_command
from migrations_app.applications.description import ApplicationDescription
from migrations_app.applications.endpoints import check_endpoints, measure
from migrations_app.engine.errors import Failed
from migrations_app.engine.verify.integrity import check_integrity
from migrations_app.models.states import Phase
from migrations_app.steps import workplace
from migrations_app.steps.base import AlertsSeen, Step, StepContext, StepResult

_REQUESTS = 10  # to each endpoint, one after the other
_KEPT_OUTPUT = 8_000  # characters of a command's output, of its end, where the verdict stands


def _measure_together(description: ApplicationDescription, clients: int) -> list[dict[str, Any]]:
    """One request to each endpoint by each of `clients` at the same time: what a pool that is too small refuses."""
    with ThreadPoolExecutor(clients) as pool:
        rounds = list(pool.map(lambda _: measure(description, requests=1), range(clients)))
    return [
        {
            "name": one[0].name,
            "requests": len(one),
            "failures": sum(times.failures for times in one),
            "max_ms": max(times.max_ms for times in one),
        }
        for one in zip(*rounds, strict=True)
    ]


class Baseline(Step):
    """How fast the endpoints answer on SQLite: what the times afterwards are held against."""

    name = "baseline"
    title = "Endpoint times on SQLite"
    phase = Phase.PREPARE

    def run(self, context: StepContext) -> StepResult:
        description = workplace.description_of(context.run)
        measured = measure(description, requests=_REQUESTS)
        answered = [asdict(one) for one in measured]
        if not answered:
            return StepResult("skipped", "the application has no endpoints to measure")
        if any(one["failures"] for one in answered):
            return StepResult(
                "succeeded",
                "some endpoints did not answer: no baseline for them",
                evidence={"endpoints": answered, "inconclusive": True},
                facts={"baseline": answered},
            )
        return StepResult(
            "succeeded",
            f"p95 {max(one['p95_ms'] for one in answered):,.0f} ms at most",
            evidence={"endpoints": answered},
            facts={"baseline": answered},
        )


class CheckIntegrity(Step):
    name = "check_integrity"
    title = "Data integrity"
    phase = Phase.VERIFICATION

    def run(self, context: StepContext) -> StepResult:
        report = check_integrity(
            workplace.target_url_of(context.run),
            workplace.move_plan(context.run.plan),
            environment=workplace.key_environment(context.run.application),
            control=context.control,
        )
        evidence = report.to_document()
        if report.problems:
            raise Failed(
                "INTEGRITY",
                f"{len(report.problems)} problems in the target: {'; '.join(report.problems[:5])}",
                "Open the step's evidence; roll back, or mend the data and resume.",
            )
        if report.inconclusive:
            evidence["inconclusive"] = True
        return StepResult("succeeded", report.sentence, evidence=evidence)


class CheckPerformance(Step):
    name = "check_performance"
    title = "Answers in time, pool holds"
    phase = Phase.VERIFICATION

    def run(self, context: StepContext) -> StepResult:
        description = workplace.description_of(context.run)
        limits = context.run.plan.settings
        alone = [asdict(one) for one in measure(description, requests=_REQUESTS)]
        together = _measure_together(description, limits["parallel_clients"])
        evidence: dict[str, Any] = {
            "limit_ms": limits["endpoint_limit_ms"],
            "alone": alone,
            "parallel": together,
            "clients": limits["parallel_clients"],
            "baseline": context.facts.get("baseline", []),
        }
        if not alone:
            return StepResult("skipped", "the application has no endpoints to measure")
        slow = [one["name"] for one in alone if one["p95_ms"] > limits["endpoint_limit_ms"]]
        refused = [one["name"] for one in (*alone, *together) if one["failures"]]
        if slow or refused:
            said = [f"{name} is slower than {limits['endpoint_limit_ms']} ms at the 95th percentile" for name in slow]
            said += [f"{name} did not serve every request" for name in sorted(set(refused))]
            return StepResult(
                "failed",
                "; ".join(said),
                evidence=evidence,
                code="TOO_SLOW",
                hint="Look for missing indexes or a pool that is too small; then resume, or roll back.",
            )
        worst = max(one["p95_ms"] for one in alone)
        return StepResult(
            "succeeded", f"p95 {worst:,.0f} ms, {limits['parallel_clients']} clients served", evidence=evidence
        )


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


class OwnChecks(Step):
    """The application's own commands that prove items of the checklist: its tests, `alembic current`, …

    Only commands that the operator's file has and the application names are run; their output is masked and bounded.
    """

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
