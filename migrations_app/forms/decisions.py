"""Signing in, signing a gate, rolling back."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm

from migrations_app.forms.common import PasswordMixin, ReasonForm, Styled


class SignInForm(Styled, AuthenticationForm):
    error_messages = {
        "invalid_login": "That name and password don't match. After five failures, wait a quarter of an hour.",
        "inactive": "This account is switched off. Whoever runs this installation can switch it on.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()


class SignForm(PasswordMixin, ReasonForm):
    """A signature; the digests are those that the page showed."""

    role = forms.CharField(max_length=8, widget=forms.HiddenInput)
    plan_digest = forms.CharField(max_length=64, widget=forms.HiddenInput)
    evidence_digest = forms.CharField(max_length=64, widget=forms.HiddenInput)
    typed_name = forms.CharField(
        label="Application's name",
        required=False,
        max_length=63,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
    )
    field_order = ["reason", "typed_name", "password", "role", "plan_digest", "evidence_digest"]


class RefuseForm(ReasonForm):
    role = forms.CharField(max_length=8, widget=forms.HiddenInput)


class RollbackForm(PasswordMixin, ReasonForm):
    typed_name = forms.CharField(
        label="Application's name",
        max_length=63,
        widget=forms.TextInput(attrs={"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}),
        error_messages={"required": "Type the application's name to confirm."},
    )
    rows_typed = forms.CharField(
        label="Rows that leave",
        required=False,
        max_length=20,
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "numeric"}),
    )
    field_order = ["reason", "rows_typed", "typed_name", "password"]

    def clean_rows_typed(self) -> int | None:
        text = self.cleaned_data["rows_typed"].replace(",", "").replace(" ", "").strip()
        if not text:
            return None
        if not text.isascii() or not text.isdigit():
            raise forms.ValidationError("Type the number of rows, in digits.")
        return int(text)


class AgreeForm(PasswordMixin, Styled):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()
