"""The evidence: what every step proved, by digest, and the files that it made, by SHA-256."""

from __future__ import annotations

from pathlib import PurePath
from typing import Any

from django.db.models import Prefetch
from django.http import FileResponse, Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_GET

from migrations_app.models import Approval, ResultFile, StepLogLine
from migrations_app.models.states import StepState
from migrations_app.services import evidence
from migrations_app.services.checklist_files import open_file
from migrations_app.services.errors import ServiceRefused
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
    given = ResultFile.objects.filter(result__item__run=run).select_related("result__item", "result__recorded_by")
    context: dict[str, Any] = {
        **run_frame(run, "evidence"),
        "steps": [{"row": step, "lines": list(step.log.all())[-LINES:]} for step in steps],
        "artifacts": artifacts,
        "total_size": sum(row.size for row in files),
        "approvals": list(approvals),
        "given": list(given.order_by("-result__recorded_at", "pk")),
        "evidence_digest": evidence.evidence_digest(run),
    }
    return render_page(request, "runs/evidence.html", context)


@page
@require_GET
def file(request: HttpRequest, number: int, key: int) -> HttpResponseBase:
    """A file that a person gave as evidence: to be saved, never to be run by a browser in our name."""
    run = visible_run(request, number)
    row = ResultFile.objects.filter(pk=key, result__item__run=run).first()
    if row is None:
        raise Http404(f"Run {number} has no such file.")
    try:
        content = open_file(run, row)
    except ServiceRefused as refused:
        context = {**run_frame(run, "evidence"), "refusal": refused}
        return render_page(request, "runs/file_gone.html", context, status=refused.status)
    answer = FileResponse(content, as_attachment=True, filename=row.name, content_type=row.content_type)
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Content-Security-Policy"] = "default-src 'none'; sandbox"
    answer.headers["Cross-Origin-Resource-Policy"] = "same-origin"
    return answer
