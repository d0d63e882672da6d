"""Requests that failed, from the web server's access log: common, combined or JSON lines.

A failure is a status of 500 or above: what a client did wrong (4xx) is no failure of the application. Lines that are
in no such format are counted and said, never guessed at.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monitoring_app.probes.measurement import FULL, PARTIAL, Measurement
from monitoring_app.probes.tailing import NoLog, added

SOURCE = {"source": "access log"}
# host ident user [time] "request" status bytes …; inside the quotes a quote is written \" or \x22.
_COMMON = re.compile(rb'^\S+ \S+ .*?\[[^\]]{1,60}\] "(?:[^"\\]|\\.)*" (\d{3})(?: |$)')
_JSON_KEYS = ("status", "status_code", "response_status", "http_status", "StatusCode", "DownstreamStatus")


def probe_access_log(
    path: Path, format: str, memory: Mapping[str, Any], seconds: float | None
) -> tuple[list[Measurement], dict[str, Any]]:
    """The error rate (%) and the requests per second since the last look. seconds: since then; None: never
    looked, or so long ago that its errors are no news."""
    try:
        found, place = added(path, memory)
    except NoLog as why:
        said = f"access log: {why}"
        return [Measurement.unknown(name, said, SOURCE) for name in ("error_rate", "requests")], dict(memory)
    if found.first or seconds is None:
        said = "access log: a first look only takes the place; there is a rate from the next on"
        return [Measurement.unknown(name, said, SOURCE) for name in ("error_rate", "requests")], place
    read = status_of_json if format == "json" else status_of_line
    statuses = [read(line) for line in found.lines]
    known = [status for status in statuses if status is not None]
    unread = len(statuses) - len(known)
    if unread and not known:
        said = f"access log: none of {unread} new lines is in the {format} format"
        return [Measurement.unknown(name, said, SOURCE) for name in ("error_rate", "requests")], place
    notes = [f"{unread} lines in another format were left out"] if unread else []
    notes += [f"{found.skipped:,} bytes of a long gap were passed over"] if found.skipped else []
    failed = sum(1 for status in known if status >= 500)
    return rates(SOURCE, failed, len(known), seconds, "; ".join(notes)), place


def rates(
    labels: Mapping[str, str], failed: float, requests: float, seconds: float, note: str = ""
) -> list[Measurement]:
    """Both measurements of a source. Without a request there is no failure: 0 %, of 0 requests."""
    view = PARTIAL if note else FULL
    share = 100.0 * failed / requests if requests else 0.0
    count = round(requests)
    return [
        Measurement("error_rate", share, labels, view, note, count=count),
        Measurement("requests", requests / seconds if seconds > 0 else 0.0, labels, view, note, count=count),
    ]


def status_of_line(line: bytes) -> int | None:
    """The status in a line of the common or the combined format; None in any other."""
    found = _COMMON.match(line)
    return _status(int(found[1])) if found else None


def status_of_json(line: bytes) -> int | None:
    """The status in a line that is one JSON object, under one of the usual names."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(entry, dict):
        return None
    for key in _JSON_KEYS:
        value = entry.get(key)
        if isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value[:4])
        if isinstance(value, int) and not isinstance(value, bool):
            return _status(value)
    return None


def _status(value: int) -> int | None:
    return value if 100 <= value <= 599 else None
