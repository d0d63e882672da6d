"""What every form shares: our look, a reason."""

from __future__ import annotations

from typing import Any

from django import forms

from controlplane.pages.styled import Styled


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


__all__ = ["ReasonForm", "Styled"]
