"""Which mails a person wants: a tick for each topic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from django import forms


class Topic(Protocol):
    """What the form needs of a switch."""

    @property
    def topic(self) -> str: ...


class MailSettingsForm(forms.Form):
    """One field, the topics that are ticked; an unticked box is not sent by browsers."""

    topics = forms.MultipleChoiceField(required=False)

    def __init__(self, *args: Any, topics: Sequence[Topic], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._names = [row.topic for row in topics]
        field = self.fields["topics"]
        assert isinstance(field, forms.MultipleChoiceField)
        field.choices = [(name, name) for name in self._names]

    def wanted(self) -> dict[str, bool]:
        """Every topic, and whether it is ticked."""
        ticked = set(self.cleaned_data["topics"])
        return {name: name in ticked for name in self._names}
