"""The audit trail: can I prove this? One's own applications, in keyset pages, verified and exported on demand."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import FileResponse, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from django.views.decorators.http import require_GET, require_POST

from controlplane.audit.actions import ACTIONS, families
from controlplane.audit.errors import AuditError
from controlplane.audit.export import export_trail
from controlplane.audit.models import AuditCheckpoint, AuditEvent
from controlplane.audit.verify import own_keys, verify_and_record
from controlplane.registry.models import Application, Role
from migrations_app.forms import AuditFilterForm
from migrations_app.models import MigrationRun
from migrations_app.services.errors import ServiceRefused
from migrations_app.views.common import page, person_of, render_page, run_frame, visible_run

PAGE = 50
EXPORT = "audit.export_auditevent"


@page
@require_GET
def show(request: HttpRequest) -> HttpResponse:
    return _render(request)


@page
@require_GET
def of_run(request: HttpRequest, number: int) -> HttpResponse:
    """The events of one run."""
    return _render(request, run=visible_run(request, number))


@page
@require_POST
def verify(request: HttpRequest) -> HttpResponse:
    """Check the whole chain and its signatures now; that someone did stands in the trail as well."""
    try:
        verdict = verify_and_record(actor=person_of(request), keys=own_keys())
    except AuditError as error:
        refusal = ServiceRefused(getattr(error, "code", "AUDIT"), str(error), hint=getattr(error, "hint", ""))
        return _render(request, refusal=refusal, status=409)
    return _render(request, verdict=verdict)


@page
@require_POST
def export(request: HttpRequest) -> HttpResponseBase:
    """The trail as a zip file, for who has the permission; of one application the others' content is left out."""
    if not request.user.has_perm(EXPORT):
        raise PermissionDenied("Exporting the trail needs the permission to export it.")
    names = _names(request)
    wanted = request.POST.get("application", "")
    application = wanted if wanted in names else None
    if application is None and not request.user.is_superuser:
        refusal = ServiceRefused(
            "APPLICATION_MISSING", "Choose one of your applications to export its part of the trail.", status=400
        )
        return _render(request, refusal=refusal, status=400)
    with tempfile.TemporaryDirectory(prefix="causeway-export-") as folder:
        path = Path(folder) / f"trail-{application or 'all'}-{timezone.now():%Y%m%dT%H%M%SZ}.zip"
        try:
            export_trail(output=path, actor=person_of(request), application=application)
        except AuditError as error:
            refusal = ServiceRefused(getattr(error, "code", "AUDIT"), str(error), hint=getattr(error, "hint", ""))
            return _render(request, refusal=refusal, status=409)
        # Opened before the folder goes: the file lives as long as the answer is being sent.
        return FileResponse(path.open("rb"), as_attachment=True, filename=path.name)


def _names(request: HttpRequest) -> list[str]:
    return list(Application.objects.visible_to(request.user).order_by("name").values_list("name", flat=True))


def _render(
    request: HttpRequest,
    *,
    run: MigrationRun | None = None,
    verdict: Any = None,
    refusal: ServiceRefused | None = None,
    status: int = 200,
) -> HttpResponse:
    names = _names(request)
    form = AuditFilterForm(request.GET or None, applications=names, families=families())
    events = _events(request, names, run, form.cleaned_data if form.is_bound and form.is_valid() else {})
    before = request.GET.get("before", "")
    last = int(before) if before.isascii() and before.isdigit() and len(before) < 19 else None
    found = list(events.before(last, PAGE + 1))
    context: dict[str, Any] = {
        "place": "audit",
        "form": form,
        "events": [_line(event) for event in found[:PAGE]],
        "older": found[PAGE - 1].sequence if len(found) > PAGE else None,
        "query": _query(request),
        "checkpoint": AuditCheckpoint.objects.order_by("-number").first(),
        "verdict": verdict,
        "applications": names,
        "may_export": request.user.has_perm(EXPORT),
        "refusal": refusal,
    }
    if run is not None:
        context |= {**run_frame(run, "audit"), "place": "runs"}
    return render_page(request, "audit/list.html", context, status=status)


def _events(request: HttpRequest, names: Iterable[str], run: MigrationRun | None, wanted: dict[str, Any]) -> Any:
    events = AuditEvent.objects.all()
    if run is not None:
        return events.of_applications([run.application.name]).of_run(run.pk)
    if wanted.get("application"):
        events = events.of_applications([wanted["application"]])
    elif not request.user.is_superuser:
        events = events.of_applications(names)
    if wanted.get("family"):
        events = events.filter(action__startswith=f"{wanted['family']}.")
    if wanted.get("actor"):
        events = events.filter(actor=wanted["actor"])
    return events


def _line(event: AuditEvent) -> dict[str, Any]:
    role = Role(event.role).label if event.role in Role.values else event.role
    return {"row": event, "said": ACTIONS.get(event.action, event.action), "role": role}


def _query(request: HttpRequest) -> str:
    """The filter as a query string, without the place in the list."""
    kept = request.GET.copy()
    kept.pop("before", None)
    return kept.urlencode()
