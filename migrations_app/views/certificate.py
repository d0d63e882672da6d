"""The certificate of a run that is over: can I show this to somebody who wasn't there?"""

from __future__ import annotations

import json
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.http import require_GET, require_POST

from migrations_app.models import Certificate, MigrationRun
from migrations_app.models.states import RunKind, RunState
from migrations_app.services.certificate.bundle import MAY_EXPORT, make_bundle, may_export
from migrations_app.services.certificate.layout import lay_out
from migrations_app.services.errors import ServiceRefused
from migrations_app.services.permissions import who_can
from migrations_app.views.common import note_refusal, page, person_of, render_page, run_frame, visible_run

FORMS = {"html": "text/html; charset=utf-8", "pdf": "application/pdf", "json": "application/json"}


@page
@require_GET
def show(request: HttpRequest, number: int) -> HttpResponse:
    return _render(request, visible_run(request, number))


@page
@require_GET
def download(request: HttpRequest, number: int, form: str) -> HttpResponse:
    """The very bytes that were issued, to be kept: never shown as a page of ours."""
    run = visible_run(request, number)
    certificate = _newest(run)
    if certificate is None or form not in FORMS:
        raise Http404(f"Run {number} has no certificate as {form}.")
    data = {"html": certificate.html, "pdf": certificate.pdf, "json": certificate.content.encode("ascii")}[form]
    name = f"certificate-{run.application.name}-run-{run.pk}.{form}"
    return HttpResponse(
        bytes(data),
        content_type=FORMS[form],
        headers={"Content-Disposition": f'attachment; filename="{name}"', "X-Content-Type-Options": "nosniff"},
    )


@page
@require_POST
def bundle(request: HttpRequest, number: int) -> HttpResponseBase:
    """The evidence bundle, streamed; that it was made, and what is in it, stands in the trail before the first byte."""
    run = visible_run(request, number)
    try:
        made = make_bundle(actor=person_of(request), run=run)
    except ServiceRefused as refused:
        note_refusal(request, refused, about=run, application=run.application.name, tried="export the evidence")
        return _render(request, run, refusal=refused, status=refused.status)
    return StreamingHttpResponse(
        made,
        content_type="application/zip",
        headers={
            "Content-Disposition": f'attachment; filename="{made.name}"',
            "X-Content-Type-Options": "nosniff",
        },
    )


def _newest(run: MigrationRun) -> Certificate | None:
    return run.certificates.order_by("-revision").first()


def _render(
    request: HttpRequest, run: MigrationRun, *, refusal: ServiceRefused | None = None, status: int = 200
) -> HttpResponse:
    certificate = _newest(run)
    context: dict[str, Any] = {
        **run_frame(run, "certificate"),
        "certificate": certificate,
        "layout": lay_out(json.loads(certificate.content)) if certificate is not None else None,
        "is_due": run.kind == RunKind.PRODUCTION and run.state in (RunState.COMPLETED, RunState.ROLLED_BACK),
        "may_export": may_export(request.user, run),
        "who_exports": who_can(run.application, MAY_EXPORT),
        "refusal": refusal,
    }
    return render_page(request, "runs/certificate.html", context, status=status)
