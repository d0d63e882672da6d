"""An application's live crossing by itself: are both sides in step? And its end, which removes every trace."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from controlplane.registry.models import Application, Role
from migrations_app.forms import EndReplicationForm
from migrations_app.models import Replication
from migrations_app.models.states import RUN_ACTIVE
from migrations_app.services import permissions, replication
from migrations_app.services.errors import ServiceRefused
from migrations_app.services.permissions import Offer
from migrations_app.views.common import note_refusal, page, render_page
from migrations_app.views.confirm import confirm, proof_of
from migrations_app.views.found import visible_application
from migrations_app.views.reality import facts_of_crossing, recovery_of
from migrations_app.views.replication import flow_of, replication_of, window_of

ENDERS = (Role.OPS,)


@page
@require_http_methods(["GET", "POST"])
def show(request: HttpRequest, name: str) -> HttpResponse:
    application = visible_application(request, name)
    row = replication_of(application)
    if row is None and request.method == "GET":
        context = {"place": "applications", "application": application, "row": None}
        return render_page(request, "applications/replication.html", context)
    if row is None:
        raise Http404(f"Nothing of {name} is replicated.")
    if request.method == "GET":
        return _render(request, row)
    form = EndReplicationForm(request.POST, proof=proof_of(request))
    if not form.is_valid():
        return _render(request, row, form=form, status=400)
    if not confirm(request, form):
        return _render(request, row, form=form, status=403)
    try:
        replication.end_replication(
            actor=request.user,
            application=application,
            reason=form.cleaned_data["reason"],
            typed_name=form.cleaned_data["typed_name"].strip(),
            reauthenticated=True,
        )
    except ServiceRefused as refused:
        note_refusal(request, refused, about=application, application=name, tried="end the replication")
        row.refresh_from_db()
        return _render(request, row, form=form, refusal=refused, status=refused.status)
    messages.success(request, "The replication ends: its traces are being removed on both sides.")
    return HttpResponseRedirect(reverse("application_replication", args=[name]))


def _render(
    request: HttpRequest,
    row: Replication,
    *,
    form: EndReplicationForm | None = None,
    refusal: ServiceRefused | None = None,
    status: int = 200,
) -> HttpResponse:
    context = {
        "place": "applications",
        "application": row.application,
        "row": row,
        "flow": flow_of(row, timezone.now()),
        "window": window_of(row),
        "facts": facts_of_crossing(row.facts),
        "recovery": recovery_of(row.facts),
        "offer": end_offer(request.user, row),
        "form": form or EndReplicationForm(proof=proof_of(request)),
        "refusal": refusal,
    }
    return render_page(request, "applications/replication.html", context, status=status)


def end_offer(user: Any, row: Replication) -> Offer:
    """Whether the viewer can end it now, and else why not; the service has the last word."""
    said = _why_not(row)
    mine = permissions.roles_of(user, row.application) & set(ENDERS)
    if said:
        return Offer("end", "End the replication", False, said)
    if not mine:
        who = permissions.who_can(row.application, ENDERS)
        return Offer("end", "End the replication", False, "You don't have the role for it.", who)
    return Offer("end", "End the replication", True)


def _why_not(row: Replication) -> str:
    if not row.is_live:
        return "It has ended already."
    if row.facts.get("live") == "postgresql":
        return "The application runs on PostgreSQL: the way back would be lost. Sign-off ends it, or roll back first."
    active = _active_run(row.application)
    return f"Run {active} is under way." if active else ""


def _active_run(application: Application) -> int | None:
    return application.runs.filter(state__in=RUN_ACTIVE, kind="production").values_list("pk", flat=True).first()
