"""A target and the rehearsals' server, in parts."""

from __future__ import annotations

from typing import Any

from django import forms

from controlplane.registry.models import Application, SchemaMode
from migrations_app.engine.errors import Refused
from migrations_app.engine.target.target_url import SSL_MODES
from migrations_app.forms.described import PairsField, plain
from migrations_app.forms.sections import SectionForm
from migrations_app.services.addresses import FIELD_OF_CODE, Address, address_from, stored_address, stored_password

KEPT = "Stored encrypted, never shown. Left empty, it stays as it is; another host, port or user needs it typed anew."


class AddressForm(SectionForm):
    """A PostgreSQL server in parts; `kind` is which of the two addresses."""

    kind = ""
    host = forms.CharField(max_length=253, required=False, widget=plain(), help_text="One of the operator’s hosts.")
    port = forms.IntegerField(min_value=1, max_value=65535, initial=5432, required=False)
    database = forms.CharField(max_length=63, required=False, widget=plain())
    user = forms.CharField(max_length=63, required=False, widget=plain())
    password = forms.CharField(
        required=False,
        strip=False,
        max_length=1000,
        widget=forms.PasswordInput(attrs={"autocomplete": "off"}),
        help_text="Stored encrypted, never shown again.",
    )
    sslmode = forms.ChoiceField(
        label="TLS (sslmode)",
        choices=[(mode, mode) for mode in SSL_MODES],
        initial="prefer",
        help_text="Another machine needs verify-full, or the operator’s exception.",
    )
    sslrootcert = forms.CharField(
        label="Certificate (sslrootcert)",
        required=False,
        max_length=255,
        widget=plain(),
        help_text="“system”, or a file of the certificates’ folder. Empty: none.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._typed_address: Address | None = None
        super().__init__(*args, **kwargs)
        self.stored = stored_address(self.application, self.kind)
        if self.stored is not None:
            self.fields["password"].help_text = KEPT

    def shown(self, application: Application) -> dict[str, Any]:
        stored = stored_address(application, self.kind)
        return stored.shown if stored else {}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        if self.errors:
            return cleaned
        if not cleaned["host"].strip():
            for name in ("database", "user", "password"):
                if cleaned[name]:
                    self.add_error("host", "Which host?")
                    break
            return cleaned
        for name in ("database", "user"):
            if not cleaned[name].strip():
                self.add_error(name, "Needed to connect.")
        if not self.errors:
            self._read(cleaned)
        return cleaned

    def _read(self, cleaned: dict[str, Any]) -> None:
        """The address; a stored password goes only to the host, port and user that it was given for."""
        try:
            address = address_from(cleaned)
            if not address.password and self.stored is not None:
                if not self.stored.same_place(address):
                    self.add_error("password", "Type the password: host, port or user is another one than before.")
                    return
                address = address_from({**cleaned, "password": stored_password(self.application, self.kind)})
            self._typed_address = address
        except Refused as refused:
            self.add_error(FIELD_OF_CODE.get(refused.code, "host"), str(refused))

    def address(self) -> Address | None:
        return self._typed_address

    @property
    def takes_away(self) -> bool:
        """Whether a stored address was emptied on purpose."""
        return self.stored is not None and not self.cleaned_data["host"].strip()


class TargetForm(AddressForm):
    kind = "target"
    target_schema = forms.CharField(
        label="Schema",
        max_length=63,
        initial="public",
        widget=plain(),
        help_text="public where you don’t know better.",
    )
    schema_mode = forms.ChoiceField(
        label="Who makes the tables?",
        choices=SchemaMode.choices,
        widget=forms.RadioSelect,
        help_text="Choose the application where it has a command that makes them (Alembic, Django).",
    )

    def shown(self, application: Application) -> dict[str, Any]:
        own = {"target_schema": application.target_schema, "schema_mode": application.schema_mode}
        return {**super().shown(application), **own}

    def values(self) -> dict[str, Any]:
        return {
            "target_schema": self.cleaned_data["target_schema"],
            "schema_mode": self.cleaned_data["schema_mode"],
            "without_address": self.takes_away,
        }


class RehearsalForm(AddressForm):
    kind = "rehearsal"
    environment = PairsField(
        label="Variables of the second copy",
        help_text="NAME=value, one a line: what silences mail, cron and queues while it is rehearsed. No secrets.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.fields["host"].help_text = "Empty: the target’s own server. Its role must be able to create databases."

    def shown(self, application: Application) -> dict[str, Any]:
        return {**super().shown(application), "environment": application.rehearsal.get("environment", {})}

    def values(self) -> dict[str, Any]:
        return {"environment": self.cleaned_data["environment"], "without_address": self.takes_away}
