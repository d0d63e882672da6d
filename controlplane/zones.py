"""Times as the viewer's clock shows them, on our pages and in the admin."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

ZONE_COOKIE: Final = "zone"
_LONGEST: Final = 64


def zone_of(request: HttpRequest) -> zoneinfo.ZoneInfo:
    """The viewer's zone, from the cookie that the page's script sets; UTC where there is none or nonsense."""
    wanted = unquote(request.COOKIES.get(ZONE_COOKIE, ""))[:_LONGEST]
    try:
        return zoneinfo.ZoneInfo(wanted) if wanted else zoneinfo.ZoneInfo("UTC")
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return zoneinfo.ZoneInfo("UTC")


class ViewersZone:
    """Middleware: renders every answer in the viewer's zone."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with timezone.override(zone_of(request)):
            return self.get_response(request)
