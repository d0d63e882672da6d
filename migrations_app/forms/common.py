"""What every form shares: our look, a reason."""

from __future__ import annotations

from typing import Any

from django import forms


class Styled:
    """Gives every field our look, and ties its hint and its errors to it for screen readers."""

    fields: dict[str, forms.Field]
    auto_id: bool | str

    def dress(self) -> None:
        names = self.auto_id if isinstance(self.auto_id, str) else "id_%s"
        for name, field in self.fields.items():
            widget = field.widget
            if not isinstance(widget, forms.RadioSelect | forms.HiddenInput | forms.CheckboxInput):
                widget.attrs.setdefault("class", "input")
            if field.help_text:
                widget.attrs.setdefault("aria-describedby", f"{names % name}-help")


class ReasonForm(Styled, forms.Form):
    reason = forms.CharField(
        label="Reason",
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Kept in the audit trail.",
        error_messages={"required": "Give a reason: it stays beside your name."},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()
