"""When an application may be changed (days, hours, zone), and who is told of what happens to it."""

from __future__ import annotations

import re
import zoneinfo
from collections.abc import Mapping, Sequence
from datetime import datetime, time, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MOST_RECIPIENTS = 20
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


def clean_window(given: Mapping[str, Any], errors: dict[str, str]) -> dict[str, Any]:
    """{"days": […], "opens": "22:00", "closes": "04:00", "zone": "Asia/Tokyo"}, or {} for any time."""
    days = [day for day in DAYS if day in (given.get("days") or [])]
    opens, closes = str(given.get("opens") or ""), str(given.get("closes") or "")
    zone = str(given.get("zone") or "")
    if not days and not opens and not closes:
        return {}
    if not days:
        errors["days"] = "On which days?"
    for field, text in (("opens", opens), ("closes", closes)):
        if not _CLOCK.fullmatch(text):
            errors[field] = "A time such as 22:00."
    if opens and opens == closes:
        errors["closes"] = "A window must have a length."
    if not _is_zone(zone):
        errors["zone"] = "The name of a time zone, such as Asia/Tokyo."
    return {"days": days, "opens": opens, "closes": closes, "zone": zone}


def next_window(window: Mapping[str, Any], now: datetime) -> tuple[datetime, datetime] | None:
    """The window that is open now, else the next one; None where none is declared. It may end on the day after."""
    if not window:
        return None
    zone = zoneinfo.ZoneInfo(window["zone"])
    opens, closes = (time.fromisoformat(window[name]) for name in ("opens", "closes"))
    today = now.astimezone(zone).date()
    for ahead in range(-1, 9):
        day = today + timedelta(days=ahead)
        if DAYS[day.weekday()] not in window["days"]:
            continue
        start = datetime.combine(day, opens, zone)
        end = datetime.combine(day if closes > opens else day + timedelta(days=1), closes, zone)
        if end > now:
            return start, end
    return None


def clean_recipients(given: Sequence[str], errors: dict[str, str]) -> list[str]:
    """One address each, without doubles. A comma or a line break inside one would make it two."""
    addresses = list(dict.fromkeys(text.strip() for text in given if text.strip()))
    for address in addresses:
        try:
            validate_email(address)
        except ValidationError:
            errors["recipients"] = f"{address[:80]!r} is no mail address. One a line."
    if len(addresses) > MOST_RECIPIENTS:
        errors["recipients"] = f"At most {MOST_RECIPIENTS}: a list of your mail server serves more people."
    return addresses


def _is_zone(name: str) -> bool:
    try:
        zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        return False
    return bool(name)
