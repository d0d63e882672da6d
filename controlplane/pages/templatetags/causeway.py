"""Tags and filters of our pages. Everything that shows a state goes through `status`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.conf import settings
from django.templatetags.static import static
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from controlplane.pages.looks import SHAPES, TONES, look_of
from controlplane.pages.words import (
    day_text,
    duration_text,
    lag_text,
    milliseconds_text,
    moment_text,
    relative_text,
    size_text,
    utc_title,
)

register = template.Library()


@register.simple_tag
def shape(name: str) -> SafeString:
    """A shape alone, for headings whose sentence is the word."""
    # Safe: the drawings are constants of looks.py, chosen by name.
    drawing = mark_safe(SHAPES.get(name, SHAPES["question"]))
    return format_html('<svg viewBox="0 0 12 12" width="12" height="12" aria-hidden="true">{}</svg>', drawing)


@register.simple_tag
def status(kind: str, state: str, word: str = "") -> SafeString:
    """Word, shape and colour of a state; `word` says it more exactly where the page knows more."""
    look = look_of(kind, state)
    return format_html('<span class="status tone-{}">{}{}</span>', look.tone, shape(look.shape), word or look.word)


@register.simple_tag
def answer(tone: str, shape_name: str, text: str) -> SafeString:
    """The answer to a page's question: its heading. The sentence says it, the shape has the colour."""
    drawing = shape(shape_name)
    return format_html('<h1 class="page-answer tone-{}">{}<span>{}</span></h1>', tone, drawing, text)


@register.filter
def tone(name: str) -> str:
    """A tone that the stylesheet knows."""
    return name if name in TONES else "quiet"


@register.filter
def duration(seconds: float | None) -> str:
    return duration_text(seconds)


@register.filter
def ms(amount: float | None) -> str:
    return milliseconds_text(amount)


@register.filter
def lag(seconds: float | None) -> str:
    return lag_text(seconds)


@register.filter
def size(amount: int | None) -> str:
    return size_text(amount)


def _time(value: datetime | None, text: str, extra: str = "") -> SafeString:
    if value is None:
        return mark_safe("–")
    # Safe: `extra` is one of the constant attributes below.
    attributes = mark_safe(extra)
    return format_html(
        '<time datetime="{}" title="{}"{}>{}</time>', value.isoformat(), utc_title(value), attributes, text
    )


@register.filter
def moment(value: datetime | None) -> SafeString:
    """21:56, or 21 Nov 21:56; UTC on hover."""
    return _time(value, moment_text(value) if value else "")


@register.filter
def day(value: datetime | None) -> SafeString:
    """21:56 today, else 21 Nov."""
    return _time(value, day_text(value) if value else "")


@register.filter
def clock(value: datetime | None) -> SafeString:
    """21:56:14, for logs: the day where it isn't today."""
    if value is None:
        return _time(None, "")
    from django.utils import timezone

    text = moment_text(value)
    return _time(value, f"{text}:{timezone.localtime(value):%S}")


@register.filter
def ago(value: datetime | None) -> SafeString:
    """4 min ago, in 41 min; ticks where the page's script runs."""
    return _time(value, relative_text(value) if value else "", " data-ago")


@register.filter
def short(digest: str) -> str:
    """The first eight characters of a digest."""
    return (digest or "")[:8]


@register.filter
def pretty(document: Any) -> str:
    """JSON to be read by people; what is no JSON shows as text."""
    return json.dumps(document, indent=2, ensure_ascii=False, default=str)


@register.filter
def get(mapping: Mapping[str, Any], key: str) -> Any:
    """mapping[key], or nothing."""
    return mapping.get(key, "") if isinstance(mapping, Mapping) else ""


@register.filter
def plural(count: int | None, forms: str) -> str:
    """{{ 3|plural:"row,rows" }}: 3 rows, with the thousands separated."""
    one, many = forms.split(",")
    amount = count or 0
    return f"{amount:,} {one if amount == 1 else many}"


@register.simple_tag(takes_context=True)
def theme(context: template.Context) -> str:
    """light, dark, or nothing where the browser's own preference counts."""
    request = context.get("request")
    wanted = request.COOKIES.get("theme", "") if request is not None else ""
    return wanted if wanted in ("light", "dark") else ""


@register.simple_tag
def htmx_script() -> str:
    """The address of htmx as django-htmx ships it."""
    return static("django_htmx/htmx-2.min.js")


@register.simple_tag
def production_mode() -> bool:
    return bool(settings.PRODUCTION)
