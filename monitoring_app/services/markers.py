"""Markers: the changes that every chart draws."""

from __future__ import annotations

from datetime import datetime

from controlplane.registry.models import Application
from monitoring_app.models import Marker

CUT_OVER = "cut_over"
BACK = "back"
RUN = "run"
OTHER = "other"
KINDS = (CUT_OVER, BACK, RUN, OTHER)


def mark(*, application: Application, kind: str, at: datetime, text: str, about: str = "") -> Marker:
    """Write a change down; the same moment and kind again is the same marker. kind: one of KINDS."""
    if kind not in KINDS:
        raise ValueError(f"unknown kind of marker {kind!r}")
    marker, _ = Marker.objects.get_or_create(
        application=application, kind=kind, at=at, defaults={"text": text[:200], "about": about[:60]}
    )
    return marker


def cut_over_of(application: Application) -> datetime | None:
    """When the application was last pointed at PostgreSQL; None when it never was, or was pointed back since."""
    newest = Marker.objects.filter(application=application, kind__in=[CUT_OVER, BACK]).order_by("-at").first()
    return newest.at if newest is not None and newest.kind == CUT_OVER else None
