"""What QA and ops record."""

from __future__ import annotations

from typing import Any

from django import forms

from migrations_app.forms.common import Styled
from migrations_app.models.states import ItemState

OUTCOMES = (
    (ItemState.PASSED, "Passed: the criterion holds"),
    (ItemState.FAILED, "Failed: it doesn't"),
    (ItemState.INCONCLUSIVE, "Inconclusive: I can't tell"),
    (ItemState.NOT_APPLICABLE, "Not applicable here"),
)


class ResultForm(Styled, forms.Form):
    """What a person saw when testing an item."""

    outcome = forms.ChoiceField(choices=OUTCOMES, widget=forms.RadioSelect, label="What did you see?")
    note = forms.CharField(
        label="Note",
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="What you did and what you saw: this is the evidence.",
        error_messages={"required": "Say what you saw: a result without a note proves nothing."},
    )
    link = forms.URLField(
        label="Link to evidence",
        required=False,
        assume_scheme="https",
        max_length=200,
        help_text="A screenshot, a ticket, a recording; optional.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()
