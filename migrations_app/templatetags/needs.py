"""What the rail says of runs, on every page of every app."""

from __future__ import annotations

from django import template

from migrations_app.services.needs import count_needs

register = template.Library()


@register.simple_tag(takes_context=True)
def runs_that_need_me(context: template.Context) -> int:
    """How many runs need the viewer; a page that has asked already says so as `needs_count`."""
    known = context.get("needs_count")
    return int(known) if known is not None else count_needs(context["request"].user)
