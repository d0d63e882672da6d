"""What every page shares: who looks, in which time zone, at which run; and how a refusal is shown."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from controlplane.pages.frame import frame_of, note_refusal, page, person_of, role_words
from migrations_app.models import MigrationRun
from migrations_app.models.states import ItemState

__all__ = [
    "note_refusal",
    "page",
    "person_of",
    "polled_run",
    "render_page",
    "role_words",
    "run_frame",
    "visible_run",
]


def render_page(
    request: HttpRequest,
    template: str,
    context: Mapping[str, Any],
    *,
    status: int = 200,
    needs: list[Any] | None = None,
) -> HttpResponse:
    """Render with what the frame shows: my roles, and how many runs need me."""
    run = context.get("run")
    frame = {"place": "runs", **frame_of(request, run.application if run is not None else None)}
    if needs is not None:
        frame["needs_count"] = len(needs)  # else the rail counts them
    return render(request, template, {**frame, **context}, status=status)


def visible_run(request: HttpRequest, number: int) -> MigrationRun:
    """The run, where it belongs to one of the viewer's applications; 404 otherwise, as if it weren't there."""
    # A plan's document has every column of every table: who needs it asks for it.
    runs = MigrationRun.objects.visible_to(request.user)
    runs = runs.select_related(
        *("application__replication", "plan__author", "plan__application", "requested_by", "started_by", "rehearsal")
    )
    runs = runs.defer("plan__document", "rehearsal__reality", "application__replication__inverse_forms")
    try:
        return runs.get(pk=number)
    except MigrationRun.DoesNotExist:
        raise Http404(f"There is no run {number} among your applications.") from None


def polled_run(request: HttpRequest, number: int) -> MigrationRun:
    """The run with what tells whether it has changed, and no more: a hundred viewers ask every two seconds."""
    rows = MigrationRun.objects.visible_to(request.user).select_related("application__replication")
    rows = rows.only("version", "application__name", "application__replication__version")
    found = rows.filter(pk=number).first()
    if found is None:
        raise Http404(f"There is no run {number} among your applications.")
    return found


def run_frame(run: MigrationRun, tab: str) -> dict[str, Any]:
    """What every page of a run shows: its tabs and their counts."""
    unproved = [ItemState.OPEN, ItemState.FAILED, ItemState.STALE, ItemState.INCONCLUSIVE]
    return {
        "run": run,
        "tab": tab,
        "open_items": 0
        if run.is_finished  # nothing is asked of anybody any more
        else run.items.filter(state__in=unproved, level="mandatory").exclude(prover="system").count(),
        "open_findings": run.plan.findings.filter(severity="refuse", choice="").count(),
    }
