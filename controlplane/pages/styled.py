"""Our look of form fields."""

from __future__ import annotations

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
