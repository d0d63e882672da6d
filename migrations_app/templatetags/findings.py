"""What the plan page needs to know of the engine's findings."""

from __future__ import annotations

from django import template

from migrations_app.engine.planning.findings import CATALOGUE

register = template.Library()


@register.filter
def worded(code: str) -> str:
    """How a choice begins that goes on in a person's own words ('follow:'), '' where all choices are offered."""
    kind = CATALOGUE.get(code)
    return kind.worded if kind else ""
