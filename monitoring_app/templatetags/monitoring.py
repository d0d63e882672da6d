"""What templates say of alerts, and the rail's number on every page."""

from __future__ import annotations

from django import template

from monitoring_app.services.alert_lines import count_nobodys

register = template.Library()

# What happens to an alert, in words; an unknown one says its own name.
_EVENTS = {
    "began": "the value went beyond its limit",
    "fired": "it became an alert",
    "told": "mails were written",
    "acknowledged": "somebody took charge of it",
    "given_back": "it was given back",
    "expired": "taking charge of it ran out",
    "escalated": "nobody took charge: it was escalated",
    "resolved": "it ended",
    "cleared": "the value was well again before it became an alert",
    "held_back": "held back: another alert explains it",
    "let_go": "no longer held back",
    "told_again": "it was told again",
    "told_over": "its end was told",
    "told_late": "it was told late: nobody judged meanwhile",
}


@register.filter
def event_words(what: str) -> str:
    return _EVENTS.get(what, what.replace("_", " "))


@register.simple_tag(takes_context=True)
def alerts_of_nobody(context: template.Context) -> int:
    """How many alerts fire that nobody has; 0 where nobody is signed in."""
    request = context.get("request")
    user = getattr(request, "user", None)
    return count_nobodys(user) if user is not None and user.is_authenticated else 0
