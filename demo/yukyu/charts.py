"""The dashboard's two bar charts, computed here and drawn as SVG by a template: no scripts, no other servers."""

import math
from dataclasses import dataclass

WIDTH, HEIGHT = 560, 220
LEFT, RIGHT, TOP, BOTTOM = 44, 8, 18, 28
MONTHS = tuple(f"{month}月" for month in range(1, 13))


@dataclass(frozen=True)
class Bar:
    """A bar in the units of the drawing; `label` is under it, `value` above it."""

    x: float
    y: float
    width: float
    height: float
    label: str
    value: str


@dataclass(frozen=True)
class Chart:
    """What the template draws. `ticks` are (y, text)."""

    title: str
    unit: str
    bars: tuple[Bar, ...]
    ticks: tuple[tuple[float, str], ...]
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    right: int = WIDTH - RIGHT
    base: int = HEIGHT - BOTTOM


def round_up(value: float) -> float:
    """The next of 1, 2, 4, 5, 10 times a power of ten: a top for an axis of four steps."""
    if value <= 0:
        return 4
    power = 10.0 ** math.floor(math.log10(value))
    return next(step * power for step in (1, 2, 4, 5, 10) if step * power >= value)


def bar_chart(title: str, unit: str, labels: tuple[str, ...], values: list[float]) -> Chart:
    """A chart with one bar for each label."""
    top = round_up(max(values, default=0))
    room = HEIGHT - TOP - BOTTOM
    slot = (WIDTH - LEFT - RIGHT) / max(1, len(labels))
    bars = []
    for number, (label, value) in enumerate(zip(labels, values, strict=True)):
        height = round(room * value / top, 1)
        x = round(LEFT + slot * number + slot * 0.16, 1)
        bars.append(Bar(x, HEIGHT - BOTTOM - height, round(slot * 0.68, 1), height, label, f"{value:,g}"))
    ticks = tuple((round(HEIGHT - BOTTOM - room * part / 4, 1), f"{top * part / 4:,g}") for part in range(5))
    return Chart(title, unit, tuple(bars), ticks)


def usage_by_month(days: list[float]) -> Chart:
    """Days taken from January to December."""
    return bar_chart("Days taken by month", "days", MONTHS, [round(value, 1) for value in days])


def balance_distribution(balances: list[float]) -> Chart:
    """How many accounts have 0 to 5, 5 to 10 … days left; the last bar has all from 35 on."""
    starts = range(0, 40, 5)
    counts = [0.0] * len(starts)
    for balance in balances:
        counts[min(max(int(balance // 5), 0), len(counts) - 1)] += 1
    labels = tuple(f"{start}–{start + 5}" if start < 35 else "35+" for start in starts)
    return bar_chart("Accounts by days left", "accounts", labels, counts)
