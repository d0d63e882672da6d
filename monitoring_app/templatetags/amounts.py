"""Amounts in templates: what probes saw beyond numbers has no metric to give its unit."""

from __future__ import annotations

from typing import Any

from django import template

from controlplane.pages.words import duration_text
from monitoring_app.metrics import Unit
from monitoring_app.services.amounts import amount_text
from monitoring_app.services.amounts import figures as figures_of

register = template.Library()


@register.filter
def milliseconds(value: Any) -> str:
    return amount_text(_number(value), Unit.MILLISECONDS)


@register.filter
def seconds_running(value: Any) -> str:
    """1.2 s below ten seconds, 2 min 10 s above."""
    number = _number(value)
    if number is None:
        return "–"
    return f"{number:.1f} s" if number < 10 else duration_text(number)


@register.filter
def figures(value: Any) -> str:
    number = _number(value)
    return "–" if number is None else figures_of(number)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
