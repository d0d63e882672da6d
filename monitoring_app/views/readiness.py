"""Liveness and readiness of Causeway itself, and its numbers for Prometheus."""

from __future__ import annotations

import secrets

from django.conf import settings
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.utils import timezone
from django.views.decorators.http import require_safe

from monitoring_app.services.exposition import CONTENT_TYPE, exposition
from monitoring_app.services.readiness import readiness


@require_safe
def healthz(request: HttpRequest) -> HttpResponse:
    """The process answers. Touches nothing."""
    return HttpResponse("ok\n", content_type="text/plain")


@require_safe
def readyz(request: HttpRequest) -> HttpResponse:
    """Database, broker and loop, each within three seconds. Details would help an attacker: they need the token."""
    found = readiness(now=timezone.now())
    ready = all(one.well for one in found)
    status = 200 if ready else 503
    if _has_token(request):
        checks = {one.name: {"well": one.well, "said": one.said} for one in found}
        return JsonResponse({"ready": ready, "checks": checks}, status=status)
    return HttpResponse("ready\n" if ready else "not ready\n", status=status, content_type="text/plain")


@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """The newest numbers of all targets, for whoever has the token; they name applications, so for nobody else."""
    if not settings.CAUSEWAY_METRICS_TOKEN:
        return HttpResponse("No token is set (CAUSEWAY_METRICS_TOKEN).\n", status=404, content_type="text/plain")
    if not _has_token(request):
        answer = HttpResponse("The token is missing or wrong.\n", status=401, content_type="text/plain")
        answer["WWW-Authenticate"] = "Bearer"
        return answer
    return HttpResponse(exposition(now=timezone.now()), content_type=CONTENT_TYPE)


def _has_token(request: HttpRequest) -> bool:
    """`Authorization: Bearer <token>`; never in the address, which logs keep."""
    scheme, _, given = request.headers.get("Authorization", "").partition(" ")
    wanted = settings.CAUSEWAY_METRICS_TOKEN
    if not wanted or scheme.lower() != "bearer":
        return False
    return secrets.compare_digest(given.strip().encode(), wanted.encode())
