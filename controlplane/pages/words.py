"""Numbers, durations and times in the words that people use."""

from __future__ import annotations

from datetime import UTC, datetime

from django.utils import timezone

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def duration_text(seconds: float | None) -> str:
    """8 s, 2 min 10 s, 1 h 14 min, 3 d 2 h: at most two units; '–' where there is none."""
    if seconds is None:
        return "–"
    if 0 < abs(seconds) < 1:
        return "under 1 s"
    left = round(abs(seconds))
    if left >= 86_400:
        left -= left % 3_600
    elif left >= 3_600:
        left -= left % 60
    parts = []
    for size, unit in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts[:2]) or "0 s"


def relative_text(moment: datetime, now: datetime | None = None) -> str:
    """4 min ago, in 41 min, in 1 h 57 min: below an hour one unit is enough for a glance."""
    seconds = ((now or timezone.now()) - moment).total_seconds()
    distance = abs(seconds)
    if distance < 1:
        return "now"
    size, unit = next(entry for entry in _UNITS if distance >= entry[0])
    text = duration_text(int(distance)) if distance >= 3_600 else f"{int(distance // size)} {unit}"
    return f"{text} ago" if seconds > 0 else f"in {text}"


def moment_text(moment: datetime, now: datetime | None = None) -> str:
    """21:56 today, 21 Nov 21:56 on another day, with the year in another year; in the active time zone."""
    local = timezone.localtime(moment)
    today = timezone.localtime(now or timezone.now())
    if local.date() == today.date():
        return f"{local:%H:%M}"
    if local.year == today.year:
        return f"{local.day} {local:%b %H:%M}"
    return f"{local.day} {local:%b %Y %H:%M}"


def day_text(moment: datetime, now: datetime | None = None) -> str:
    """The time today, else the day."""
    local = timezone.localtime(moment)
    today = timezone.localtime(now or timezone.now())
    if local.date() == today.date():
        return f"{local:%H:%M}"
    return f"{local.day} {local:%b}" if local.year == today.year else f"{local.day} {local:%b %Y}"


def utc_title(moment: datetime) -> str:
    """What stands in a time's tooltip: the full time in UTC."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC"


def size_text(size: int | None) -> str:
    """4.1 GB, 38 kB, 812 bytes: powers of ten, as disks are sold."""
    if size is None:
        return "–"
    if size < 1000:
        return f"{size} bytes"
    amount = float(size)
    for unit in ("kB", "MB", "GB", "TB"):
        amount /= 1000
        if amount < 1000 or unit == "TB":
            return f"{amount:.1f} {unit}" if amount < 10 else f"{amount:,.0f} {unit}"
    return f"{size} bytes"


def milliseconds_text(amount: float | None) -> str:
    """212 ms, 3.4 ms, 1,240 ms: one decimal where that is a tenth or more; '–' where there is none."""
    if amount is None:
        return "–"
    return f"{amount:.1f} ms" if 0 < amount < 10 else f"{amount:,.0f} ms"


def lag_text(seconds: float | None) -> str:
    """0.4 s, 3.0 s, 2 min 10 s: how far something is behind; '' where that isn't known."""
    if seconds is None:
        return ""
    return f"{seconds:.1f} s" if seconds < 10 else duration_text(seconds)
