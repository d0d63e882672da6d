"""A length of time as people type and read it: 90 s, 10 min, 1 h 30 min. Kept as whole seconds."""

from __future__ import annotations

import re
from typing import Any

from django import forms

_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
_NAMES = {"d": 86_400, "day": 86_400, "days": 86_400, "h": 3_600, "min": 60, "m": 60, "s": 1, "sec": 1}
_PART = re.compile(r"\s*(\d{1,9})\s*([a-z]*)\s*", re.ASCII)


def length_text(seconds: int) -> str:
    """Exact, in as many units as it takes: what is shown can be sent back unchanged."""
    parts, left = [], seconds
    for unit, size in _UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count} {unit}")
    return " ".join(parts) or "0"


def seconds_of(text: str) -> int:
    """Of '10 min', '1 h 30 min', '90' (seconds). Raises ValueError for anything else."""
    total, place, text = 0, 0, text.strip().lower()
    while place < len(text):
        part = _PART.match(text, place)
        unit = part.group(2) if part is not None else ""
        alone = part is not None and not unit and part.end() == len(text) and not total and place == 0
        if part is None or not (alone or unit in _NAMES):
            raise ValueError(text)
        total += int(part.group(1)) * (1 if alone else _NAMES[unit])
        place = part.end()
    if not text:
        raise ValueError(text)
    return total


class LengthField(forms.CharField):
    """Whole seconds between two bounds, typed and shown in words."""

    def __init__(self, *, min_value: int, max_value: int, **kwargs: Any) -> None:
        super().__init__(max_length=40, **kwargs)
        self.min_value, self.max_value = min_value, max_value

    def prepare_value(self, value: Any) -> Any:
        return length_text(value) if isinstance(value, int) else value

    def clean(self, value: Any) -> Any:
        typed = super().clean(value)
        try:
            seconds = seconds_of(typed)
        except ValueError:
            raise forms.ValidationError("Type a length of time: 90 s, 10 min, 1 h 30 min.") from None
        if not self.min_value <= seconds <= self.max_value:
            least, most = length_text(self.min_value), length_text(self.max_value)
            raise forms.ValidationError(f"From {least} to {most}.")
        return seconds
