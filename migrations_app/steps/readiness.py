"""The last steps that need no engine: is there a fresh rehearsal, and the end of a run."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from migrations_app.applications import disk_reserve
from migrations_app.engine.back import change_queue
from migrations_app.engine.errors import Refused
from migrations_app.engine.load import clean
from migrations_app.engine.online import ending
from migrations_app.models.states import Phase, Strategy
from migrations_app.steps import workplace
from migrations_app.steps.base import MadeFile, Step, StepContext, StepResult
from migrations_app.steps.crossing import pair_of, word_of
from migrations_app.steps.fresh_rehearsal import look_for_rehearsal
from migrations_app.steps.rehearsal import MEASURED
from migrations_app.steps.versions import require_planned_version


class RehearsalIsFresh(Step):
    """On the application's host, since only its own command knows which version is there now."""

    name = "rehearsal_is_fresh"
    title = "A fresh rehearsal succeeded"
    phase = Phase.PREPARE

    def run(self, context: StepContext) -> StepResult:
        run = context.run
        found = look_for_rehearsal(run.plan, run.strategy, context.now())
        rehearsal = found.run
        if rehearsal is None or rehearsal.finished_at is None:
            raise Refused("NO_FRESH_REHEARSAL", found.why, "Rehearse this plan, then resume.")
        version = require_planned_version(context)
        measured = {name: rehearsal.facts.get(name) for name in MEASURED}
        return StepResult(
            "succeeded",
            f"rehearsal {rehearsal.pk} of {rehearsal.finished_at:%Y-%m-%d %H:%M} UTC",
            evidence={
                "rehearsal": rehearsal.pk,
                "finished_at": rehearsal.finished_at.isoformat(),
                "plan": run.plan.digest,
                "strategy": run.strategy,
                "application_version": version if version is not None else "not asked: no command is named for it",
                **measured,
            },
        )


class Complete(Step):
    """The run stays on PostgreSQL: the queue and our traces leave the target, a report of everything is kept."""

    name = "complete"
    title = "Complete"
    phase = Phase.SIGN_OFF

    def run(self, context: StepContext) -> StepResult:
        url = workplace.target_url_of(context.run)
        disk_reserve.free(workplace.run_directory(context.run))
        report = self._report(context)
        if context.run.strategy == Strategy.ONLINE:
            pair = pair_of(context.run)
            ending.end(pair, word_of(context.run), busy_timeout_ms=context.run.application.busy_timeout_ms)
            clean.forget_loads(url, pair.plan)  # another run may have copied, before a fall-back
        change_queue.disarm(url)
        clean.remove_traces(url, context.run.run_key)
        return StepResult(
            "succeeded",
            "no trace of the crossing is left; the report is kept",
            evidence={"report_sha256": report.sha256},
            files=(report,),
        )

    def _report(self, context: StepContext) -> MadeFile:
        run = context.run
        steps: list[dict[str, Any]] = [
            {
                "name": step.name,
                "title": step.title,
                "state": step.state,
                "started_at": step.started_at.isoformat() if step.started_at else None,
                "finished_at": step.finished_at.isoformat() if step.finished_at else None,
                "message": step.message,
                "evidence": step.evidence,
                "evidence_digest": step.evidence_digest,
            }
            for step in run.steps.order_by("position")
        ]
        signatures = [
            {
                "gate": gate.code,
                "name": a.user_name,
                "role": a.role,
                "state": a.state,
                "reason": a.reason,
                "signed_at": a.signed_at.isoformat(),
                "plan": a.plan_digest,
                "evidence": a.evidence_digest,
            }
            for gate in run.gates.all()
            for a in gate.approvals.all()
        ]
        document = {
            "run": run.pk,
            "application": run.application.name,
            "plan": run.plan.digest,
            "steps": steps,
            "signatures": signatures,
            "artifacts": [{"kind": a.kind, "sha256": a.sha256, "size": a.size} for a in run.artifacts.all()],
        }
        text = json.dumps(document, indent=1, ensure_ascii=False, default=str).encode()
        path = workplace.run_directory(run) / "report.json"
        part = path.with_suffix(".part")
        part.write_bytes(text)
        part.replace(path)
        return MadeFile("report", path, hashlib.sha256(text).hexdigest(), len(text))
