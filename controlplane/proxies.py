"""Whose address a request comes from, behind a known number of proxies."""

from django.conf import settings
from django.http import HttpRequest


def client_address(request: HttpRequest) -> str:
    """The address that our own outermost proxy saw.

    X-Forwarded-For grows to the right, and only as many entries as there are proxies of ours can be trusted:
    what stands further left is the client's own claim, by which a guesser would get a new address at will.
    """
    direct = str(request.META.get("REMOTE_ADDR", ""))
    count = settings.CAUSEWAY_PROXY_COUNT
    if not count:
        return direct
    seen = [part.strip() for part in request.META.get("HTTP_X_FORWARDED_FOR", "").split(",") if part.strip()]
    return seen[-count] if len(seen) >= count else direct
