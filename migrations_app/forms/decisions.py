"""Signing in, signing a gate, rolling back."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.auth.forms import AuthenticationForm
from django.contrib.auth.password_validation import validate_password

from migrations_app.forms.common import ReasonForm, Styled
from migrations_app.forms.proof import CodeInput, ProofForm

_EXACTLY = {"autocomplete": "off", "autocapitalize": "none", "spellcheck": "false"}


class SignInForm(Styled, AuthenticationForm):
    error_messages = {
        "invalid_login": "That name and password don't match. After five failures, wait a quarter of an hour.",
        "inactive": "This account is switched off. Whoever runs this installation can switch it on.",
    }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()


class CodeForm(Styled, forms.Form):
    """The second step of signing in."""

    code = forms.CharField(
        label="Code",
        max_length=32,
        widget=CodeInput(
            attrs={"autocomplete": "one-time-code", "autocapitalize": "none", "spellcheck": "false", "autofocus": True}
        ),
        error_messages={"required": "Type the code that your authenticator shows now."},
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()


class ProvenForm(ProofForm, ReasonForm):
    """A reason and a proof: what every decision asks for."""


class OnlyProofForm(Styled, ProofForm):
    """A proof alone."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()


class SignForm(ProvenForm):
    """A signature; the digests are those that the page showed."""

    role = forms.CharField(max_length=8, widget=forms.HiddenInput)
    plan_digest = forms.CharField(max_length=64, widget=forms.HiddenInput)
    evidence_digest = forms.CharField(max_length=64, widget=forms.HiddenInput)
    typed_name = forms.CharField(
        label="Application's name", required=False, max_length=63, widget=forms.TextInput(attrs=_EXACTLY)
    )
    field_order = ["reason", "typed_name", "password", "code", "role", "plan_digest", "evidence_digest"]


class RefuseForm(ReasonForm):
    role = forms.CharField(max_length=8, widget=forms.HiddenInput)


class WithdrawForm(ReasonForm):
    """Taking one's own signature back: with a reason of its own, since the others counted on it."""

    field_order = ["reason"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].label = "Why you take it back"
        self.fields["reason"].help_text = "The others counted on it. Kept in the audit trail."


class RollbackForm(ProvenForm):
    typed_name = forms.CharField(
        label="Application's name",
        max_length=63,
        widget=forms.TextInput(attrs=_EXACTLY),
        error_messages={"required": "Type the application's name to confirm."},
    )
    rows_typed = forms.CharField(
        label="Rows that leave",
        required=False,
        max_length=20,
        widget=forms.TextInput(attrs={"autocomplete": "off", "inputmode": "numeric"}),
    )
    field_order = ["reason", "rows_typed", "typed_name", "password", "code"]

    def clean_rows_typed(self) -> int | None:
        text = self.cleaned_data["rows_typed"].replace(",", "").replace(" ", "").strip()
        if not text:
            return None
        if not text.isascii() or not text.isdigit():
            raise forms.ValidationError("Type the number of rows, in digits.")
        return int(text)


class EndReplicationForm(ProvenForm):
    """The end of what a live crossing keeps on both sides."""

    typed_name = forms.CharField(
        label="Application's name",
        max_length=63,
        widget=forms.TextInput(attrs=_EXACTLY),
        error_messages={"required": "Type the application's name to confirm."},
    )
    field_order = ["reason", "typed_name", "password", "code"]


class BreakGlassForm(RollbackForm):
    """A rollback that two people should decide, decided by one."""

    understood = forms.BooleanField(
        label="I decide this alone. Everyone is told, and a second person countersigns within a day.",
        error_messages={"required": "Tick it: without it, a second person must agree."},
    )
    field_order = ["reason", "rows_typed", "typed_name", "understood", "password", "code"]


class AgreeForm(OnlyProofForm):
    """The second person agrees to a rollback."""


class CountersignForm(ProvenForm):
    """The second person looked at what one had decided alone."""

    field_order = ["reason", "password", "code"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["reason"].label = "What you looked at"


class NewPasswordForm(OnlyProofForm):
    """A person's own new password; the old one is always asked, whatever was proved before."""

    new_password = forms.CharField(
        label="New password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        error_messages={"required": "Type the new password."},
    )
    again = forms.CharField(
        label="The new password again",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}),
        error_messages={"required": "Type it a second time."},
    )
    field_order = ["password", "code", "new_password", "again"]

    def __init__(self, *args: Any, person: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.person = person
        self.fields["password"].label = "Your password now"

    def clean_new_password(self) -> str:
        typed: str = self.cleaned_data["new_password"]
        validate_password(typed, self.person)
        return typed

    def clean(self) -> dict[str, Any]:
        typed = super().clean() or self.cleaned_data
        if "new_password" in typed and "again" in typed and typed["new_password"] != typed["again"]:
            self.add_error("again", "That is not the same.")
        return typed


class EnrolForm(OnlyProofForm):
    """The first code of a new authenticator."""

    first_code = forms.CharField(
        label="The code that it shows now",
        max_length=16,
        widget=CodeInput(attrs={"autocomplete": "one-time-code", "inputmode": "numeric", "spellcheck": "false"}),
        error_messages={"required": "Type the six digits that your authenticator shows."},
    )
    field_order = ["first_code", "password", "code"]
