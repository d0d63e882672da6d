"""Advice after a move: what the database says could be better. Nothing here is applied by itself."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_GET

from monitoring_app.services.markers import cut_over_of
from monitoring_app.views.common import page, render_page, target_frame, target_of
from monitoring_app.views.queries import seen_of


@page
@require_GET
def show(request: HttpRequest, name: str) -> HttpResponse:
    target = target_of(request, name)
    parts = {part: seen_of(target.seen, part) for part in ("indexes", "tables", "sequences", "connections")}
    missing = len(parts["indexes"].get("foreign_keys") or [])
    context = {
        **target_frame(request, target, "advice"),
        **parts,
        "cut_over": cut_over_of(target.application),
        "answer": f"{missing} indexes may be missing" if missing else "Nothing stands out",
        "tone": "care" if missing else "good",
        "shape": "outline" if missing else "disc",
        "meaning": "Nothing here is applied by itself.",
    }
    return render_page(request, "monitoring/advice.html", context)
