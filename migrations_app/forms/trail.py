"""Looking for events in the trail."""

from __future__ import annotations

from typing import Any

from django import forms

from migrations_app.forms.common import Styled


class AuditFilterForm(Styled, forms.Form):
    """Narrows the trail; every field is optional."""

    application = forms.ChoiceField(required=False)
    family = forms.ChoiceField(required=False, label="Kind of action")
    actor = forms.CharField(required=False, max_length=150, label="Person")

    def __init__(self, *args: Any, applications: list[str], families: list[str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        names = self.fields["application"]
        kinds = self.fields["family"]
        assert isinstance(names, forms.ChoiceField) and isinstance(kinds, forms.ChoiceField)
        names.choices = [("", "All of mine"), *((name, name) for name in applications)]
        kinds.choices = [("", "Every action"), *((name, name.replace("_", " ")) for name in families)]
        self.dress()
