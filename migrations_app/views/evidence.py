"""The evidence: what every step proved, by digest, and the files that it made, by SHA-256."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from django.db.models import Prefetch
from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from migrations_app.models import Approval, StepLogLine
from migrations_app.models.states import StepState
from migrations_app.services import evidence
from migrations_app.views.common import page, render_page, run_frame, visible_run

KINDS = {
    "backup": "Backup",
    "final_backup": "Final backup",
    "export": "Export",
    "report": "Report",
    "delta": "Rows saved before a rollback",
    "rollback_script": "rollback.sh",
    "config_copy": "Copy of the configuration",
    "certificate": "Certificate",
}
LINES = 200


@page
@require_GET
def show(request: HttpRequest, number: int) -> HttpResponse:
    run = visible_run(request, number)
    log = Prefetch("log", queryset=StepLogLine.objects.order_by("id"))
    steps = list(run.steps.exclude(state=StepState.PENDING).order_by("position").prefetch_related(log))
    files = list(run.artifacts.select_related("step"))
    artifacts = [
        {
            "row": row,
            "kind": KINDS.get(row.kind, row.kind.replace("_", " ").capitalize()),
            # The name is enough to find the file in the run's folder; where that is, is the operator's business.
            "name": PurePath(row.path).name,
        }
        for row in files
    ]
    approvals = Approval.objects.filter(gate__run=run).select_related("gate").order_by("signed_at")
    context: dict[str, Any] = {
        **run_frame(run, "evidence"),
        "steps": [{"row": step, "lines": list(step.log.all())[-LINES:]} for step in steps],
        "artifacts": artifacts,
        "total_size": sum(row.size for row in files),
        "approvals": list(approvals),
        "evidence_digest": evidence.evidence_digest(run),
    }
    return render_page(request, "runs/evidence.html", context)
