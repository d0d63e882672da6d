"""The proof that the person at the keyboard is still the same: password, and the second factor where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django import forms


@dataclass(frozen=True)
class Proof:
    """enrolled: the person has a second factor. until: what was given already holds until then; None: ask."""

    enrolled: bool = False
    until: datetime | None = None


class CodeInput(forms.TextInput):
    """A code is used up by being sent: it is never shown again."""

    def format_value(self, value: Any) -> None:
        return None


class ProofForm(forms.Form):
    """Fields for what the proof still lacks; none while an earlier one holds."""

    password = forms.CharField(
        label="Your password",
        strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "current-password"}),
        error_messages={"required": "Your password is needed again for this."},
    )
    code = forms.CharField(
        label="Your authenticator’s code",
        max_length=32,
        widget=CodeInput(
            attrs={"autocomplete": "one-time-code", "autocapitalize": "none", "spellcheck": "false", "size": 12}
        ),
        error_messages={"required": "The code that your authenticator shows now, or a recovery code."},
    )

    def __init__(self, *args: Any, proof: Proof, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.settle(proof)

    def settle(self, proof: Proof) -> None:
        """Ask for no more than the proof lacks; also after a proof was given and something else was refused."""
        self.proof = proof
        if proof.until is not None:
            self.fields.pop("password", None)
        if proof.until is not None or not proof.enrolled:
            self.fields.pop("code", None)
