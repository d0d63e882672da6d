"""Registering an application, the roles on it, and the form of each section of its description."""

from __future__ import annotations

from typing import Any

from django import forms

from controlplane.registry.models import Application, Role
from migrations_app.forms.described import PLAIN, Described, RowForm, Rows, lines_of, plain
from migrations_app.forms.section_addresses import RehearsalForm, TargetForm
from migrations_app.forms.section_driver import DriverForm
from migrations_app.forms.section_running import HealthForm, PointingForm, ProcessesForm
from migrations_app.forms.sections import SectionForm
from migrations_app.services.change_windows import DAYS

WEEK = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class RegisterForm(Described, forms.Form):
    name = forms.CharField(
        max_length=63,
        widget=plain(),
        help_text="Short, small letters. It stays for good, and is typed in to confirm dangerous actions.",
    )
    title = forms.CharField(max_length=200, required=False, help_text="What people call it.")
    host = forms.CharField(
        max_length=63,
        widget=plain(list="hosts"),
        help_text="The machine that it runs on, as its Causeway worker was started: …-worker@NAME.",
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()


class RoleForm(Described, forms.Form):
    """Give a person a role."""

    person = forms.CharField(
        label="Name of the account", max_length=150, widget=plain(list="people"), help_text="As the person signs in."
    )
    role = forms.ChoiceField(choices=Role.choices)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.dress()


class BasicsForm(SectionForm):
    title = forms.CharField(max_length=200, required=False, help_text="What people call it.")
    host = RegisterForm.base_fields["host"]

    def shown(self, application: Application) -> dict[str, Any]:
        return {"title": application.title, "host": application.host}

    def values(self) -> dict[str, Any]:
        return {"title": self.cleaned_data["title"], "host": self.cleaned_data["host"]}


class SourceForm(SectionForm):
    source_path = forms.CharField(
        label="SQLite file",
        max_length=4096,
        required=False,
        widget=plain(),
        help_text="The whole path on its host, under a folder that the operator allows.",
    )
    busy_timeout_ms = forms.IntegerField(
        label="The application waits for a lock, ms",
        initial=5000,
        help_text="Its own busy timeout: how long a writer may be kept waiting before it fails. The proof "
        "of the stop waits as long for the file's lock.",
    )

    def shown(self, application: Application) -> dict[str, Any]:
        return {"source_path": application.source_path, "busy_timeout_ms": application.busy_timeout_ms}

    def values(self) -> dict[str, Any]:
        return {name: self.cleaned_data[name] for name in ("source_path", "busy_timeout_ms")}


class EncryptedRow(RowForm):
    table = forms.CharField(max_length=255, widget=plain())
    column = forms.CharField(max_length=255, widget=plain())
    scheme = forms.ChoiceField(choices=[("fernet", "Fernet"), ("aes-256-gcm", "AES-256-GCM")], initial="fernet")
    key_env = forms.CharField(
        label="Variable of the key", max_length=128, widget=plain(), help_text="Its name, never the key."
    )
    pattern = forms.CharField(
        label="Opened text looks like",
        required=False,
        max_length=200,
        widget=plain(),
        help_text="Regular expression; empty: any.",
    )

    def entry(self) -> dict[str, Any]:
        said = super().entry()
        return {"pattern": "", **said} if set(said) - {"scheme"} else {}


class EncryptedForm(SectionForm):
    def build(self, application: Application, data: Any) -> None:
        self.lists["encrypted_columns"] = Rows(EncryptedRow, "encrypted_columns", application.encrypted_columns, data)

    def rows_of(self) -> dict[str, tuple[type[RowForm], dict[str, Any]]]:
        return {"encrypted_columns": (EncryptedRow, {})}

    def values(self) -> dict[str, Any]:
        return {"encrypted_columns": self.lists["encrypted_columns"].entries()}


class OperationsForm(SectionForm):
    days = forms.MultipleChoiceField(
        label="Days",
        required=False,
        choices=list(zip(DAYS, WEEK, strict=True)),
        widget=forms.CheckboxSelectMultiple,
    )
    opens = forms.CharField(label="Opens", required=False, max_length=5, widget=plain(placeholder="22:00"))
    closes = forms.CharField(
        label="Closes",
        required=False,
        max_length=5,
        widget=plain(placeholder="04:00"),
        help_text="May be on the next day.",
    )
    zone = forms.CharField(
        label="Time zone", required=False, max_length=64, widget=plain(list="zones"), help_text="Asia/Tokyo, say."
    )
    recipients = forms.CharField(
        label="Also told by mail",
        required=False,
        max_length=6000,
        widget=forms.Textarea(attrs={"rows": 3, **PLAIN}),
        help_text="One address a line, besides the people with a role.",
    )

    def shown(self, application: Application) -> dict[str, Any]:
        return {**application.change_window, "recipients": "\n".join(application.recipients)}

    def values(self) -> dict[str, Any]:
        window = {name: self.cleaned_data[name] for name in ("days", "opens", "closes", "zone")}
        return {"change_window": window, "recipients": lines_of(self.cleaned_data["recipients"])}


FORMS: dict[str, type[SectionForm]] = {
    "basics": BasicsForm,
    "source": SourceForm,
    "target": TargetForm,
    "rehearsal": RehearsalForm,
    "processes": ProcessesForm,
    "driver": DriverForm,
    "pointing": PointingForm,
    "health": HealthForm,
    "encrypted": EncryptedForm,
    "operations": OperationsForm,
}
