"""Numbers of a metric in the words that people use: 612 ms, 82%, 3.1 MB, 2 min 10 s."""

from __future__ import annotations

from controlplane.pages.words import duration_text, size_text
from monitoring_app.metrics import METRICS, Metric, Unit

_INFINITE = 1e15  # bytes; probes say so of what never ends, a lost slot's lag


def metric_of(name: str) -> Metric:
    """The metric; one that is not in the list any more (an old series) is told by its name."""
    return METRICS.get(name) or Metric(name, name.replace("_", " ").capitalize(), Unit.COUNT)


def amount_text(value: float | None, unit: Unit) -> str:
    """The value with its unit, two or three figures where more would only look exact; '–' where there is none."""
    if value is None:
        return "–"
    match unit:
        case Unit.PERCENT:
            return f"{figures(value)}%"
        case Unit.MILLISECONDS:
            return f"{figures(value)} ms" if abs(value) < 10_000 else duration_text(value / 1000)
        case Unit.BYTES:
            return "without end" if value >= _INFINITE else size_text(round(value))
        case Unit.SECONDS:
            return duration_text(value)
        case Unit.PER_SECOND:
            return f"{figures(value)}/s"
        case Unit.STATE:
            return "yes" if value >= 1 else "no"
        case _:
            return figures(value)


def figures(value: float) -> str:
    """0.12, 3.1, 41, 2,480: decimals only where they say something."""
    size = abs(value)
    if size >= 10 or value == int(value):
        return f"{value:,.0f}"
    return f"{value:.2f}" if size < 1 else f"{value:.1f}"


def value_text(metric: str, value: float | None) -> str:
    return amount_text(value, metric_of(metric).unit)


def series_title(metric: str, labels: dict[str, str]) -> str:
    """'Disk in use, archive': the metric and what tells this series from its sisters."""
    told = ", ".join(str(labels[name]) for name in sorted(labels))
    title = metric_of(metric).title
    return f"{title}, {told}" if told else title
