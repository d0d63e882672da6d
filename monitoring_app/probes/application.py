"""An application's own word: does its health endpoint answer, and which database does it say?"""

from __future__ import annotations

import http.client
import json
import time
from typing import Any

from monitoring_app.probes.reading import Health, Reading

_LIMIT = 64 * 1024


def probe_application(host: str, port: int, path: str, field: str) -> Reading:
    """One GET, no redirects, three seconds, at most 64 KB. field: dotted name of the database in its JSON answer."""
    begun = time.monotonic()
    connection = http.client.HTTPConnection(host, port, timeout=3)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(_LIMIT)
    except (OSError, http.client.HTTPException) as error:
        return Reading("application", Health.CRITICAL, f"port {port} does not answer ({type(error).__name__})")
    finally:
        connection.close()
    milliseconds = round((time.monotonic() - begun) * 1000)
    if answer.status != 200:
        return Reading("application", Health.CRITICAL, f"{path} answers {answer.status}")
    database = _field(body, field)
    detail = {"milliseconds": milliseconds, "database": database}
    if not field:
        return Reading("application", Health.FINE, f"answers in {milliseconds} ms", "partial", detail)
    if database is None:
        return Reading("application", Health.UNKNOWN, f"{path} has no field {field}", "partial", detail)
    return Reading("application", Health.FINE, f"answers in {milliseconds} ms, says {database}", detail=detail)


def _field(body: bytes, dotted: str) -> str | None:
    try:
        value: Any = json.loads(body)
    except ValueError:
        return None
    for part in dotted.split(".") if dotted else []:
        value = value.get(part) if isinstance(value, dict) else None
    return str(value) if isinstance(value, str | int) else None
