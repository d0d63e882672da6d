"""What a description's forms share: fields dressed for screen readers, lists of rows, texts of pairs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from django import forms
from django.forms import BaseFormSet, formset_factory

MOST_ROWS = 100
PLAIN = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}
Choices = list[tuple[str, str]]


def plain(**options: Any) -> forms.TextInput:
    return forms.TextInput(attrs={**PLAIN, **options})


class Described:
    """Our look for every field, with or without a prefix; a field that is wrong is tied to its sentence."""

    fields: dict[str, forms.Field]

    def dress(self) -> None:
        for name, field in self.fields.items():
            widget = field.widget
            boxes = (forms.RadioSelect, forms.HiddenInput, forms.CheckboxInput, forms.CheckboxSelectMultiple)
            if not isinstance(widget, boxes):
                widget.attrs.setdefault("class", "input")
            if field.help_text:
                widget.attrs.setdefault("aria-describedby", f"id_{self.add_prefix(name)}-help")  # type: ignore[attr-defined]


class RowForm(Described, forms.Form):
    """One row of a list. An untouched extra row says nothing."""

    use_required_attribute = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()

    def entry(self) -> dict[str, Any]:
        """The row as it is stored: without what was left empty."""
        return {
            name: value for name, value in self.cleaned_data.items() if name != "DELETE" and value not in ("", None)
        }


class Rows:
    """A list of rows that grows by a button and needs no script."""

    def __init__(
        self,
        form: type[RowForm],
        prefix: str,
        current: Sequence[Mapping[str, Any]],
        data: Any = None,
        more: int = 0,
        **options: Any,
    ) -> None:
        blank = 1 if current else 2
        made = formset_factory(form, extra=blank + more, can_delete=True, max_num=MOST_ROWS, absolute_max=MOST_ROWS)
        self.formset: BaseFormSet[Any] = made(
            data=data, prefix=prefix, initial=[dict(row) for row in current], form_kwargs=options
        )
        for row in self.formset.forms:
            row.fields["DELETE"].label = "Remove"
        self.used: list[Any] = []

    def is_valid(self) -> bool:
        return bool(self.formset.is_valid())

    def entries(self) -> list[dict[str, Any]]:
        """The rows that say something and aren't removed, in order."""
        self.used = [row for row in self.formset.forms if row.has_changed() or row.initial]
        self.used = [row for row in self.used if not row.cleaned_data.get("DELETE") and row.entry()]
        return [row.entry() for row in self.used]

    def mark(self, row: int, field: str, sentence: str) -> bool:
        """Show what is wrong beside the field; False where there is none."""
        if row >= len(self.used):
            return False
        form = self.used[row]
        form.add_error(field if field in form.fields else None, sentence)
        return True


def pairs_to_text(pairs: Mapping[str, Any]) -> str:
    """NAME=value, a line each. A value that is no text is JSON; so is a text that would read as JSON."""
    return "\n".join(f"{name}={_value_text(value)}" for name, value in pairs.items())


def _value_text(value: Any) -> str:
    if not isinstance(value, str):
        return json.dumps(value)
    return json.dumps(value) if _is_json(value) else value


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


class PairsField(forms.CharField):
    """Lines of NAME=value as a mapping. plain: values stay text, whatever they look like."""

    def __init__(self, *, plain: bool = True, **options: Any) -> None:
        self.plain = plain
        options.setdefault("widget", forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}))
        super().__init__(required=False, max_length=10_000, **options)

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, Mapping):
            return value
        return "\n".join(f"{k}={v}" for k, v in value.items()) if self.plain else pairs_to_text(value)

    def clean(self, value: Any) -> dict[str, Any]:
        text = super().clean(value)
        pairs: dict[str, Any] = {}
        for number, line in enumerate(text.splitlines(), start=1):
            name, separator, rest = line.strip().partition("=")
            if not line.strip():
                continue
            if not separator or not name.strip():
                raise forms.ValidationError(f"Line {number} is not of the kind name=value.")
            if name.strip() in pairs:
                raise forms.ValidationError(f"{name.strip()[:60]} stands here twice.")
            pairs[name.strip()] = rest.strip() if self.plain else _read(rest.strip())
        return pairs


def _read(text: str) -> Any:
    """JSON where it is some (true, 5, "true"), else the text itself."""
    return json.loads(text) if _is_json(text) else text


def lines_of(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]
