"""What runs, how it is pointed at a database, and how it proves that it is well."""

from __future__ import annotations

from typing import Any

from django import forms

from controlplane.registry.models import Application
from migrations_app.forms.described import Choices, PairsField, RowForm, Rows, plain
from migrations_app.forms.sections import SectionForm
from migrations_app.services.sections import PURPOSES


class ProcessRow(RowForm):
    name = forms.CharField(max_length=63, widget=plain(), help_text="web, worker, cron …")
    command = forms.CharField(max_length=200, widget=plain(), help_text="Its name in the operator’s file.")
    order = forms.IntegerField(initial=1, help_text="Started from low to high.")
    port = forms.IntegerField(required=False, help_text="Where it listens; empty for none.")
    rehearsal_port = forms.IntegerField(label="Second copy’s port", required=False, help_text="Free, for rehearsals.")

    def __init__(self, *args: Any, commands: Choices | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if commands is not None:
            current = str(self.initial.get("command") or "")
            known = commands if current in dict(commands) else [*commands, (current, current)]
            self.fields["command"] = forms.ChoiceField(choices=known, help_text=self.fields["command"].help_text)
            self.dress()

    def entry(self) -> dict[str, Any]:
        said = super().entry()
        return said if set(said) - {"order"} else {}


class ProcessesForm(SectionForm):
    def build(self, application: Application, data: Any) -> None:
        for purpose, (label, help_text) in PURPOSES.items():
            current = str(application.commands.get(purpose, ""))
            choices = self._commands(current)
            kind: Any = forms.CharField if choices is None else forms.ChoiceField
            options: dict[str, Any] = {"widget": plain()} if choices is None else {"choices": choices}
            self.fields[f"commands_{purpose}"] = kind(label=label, help_text=help_text, required=False, **options)
            self.initial.setdefault(f"commands_{purpose}", current)
        for name, (form, kwargs) in self.rows_of().items():
            self.lists[name] = Rows(form, name, application.processes, data, **kwargs)

    def _grow(self, data: Any, more: str) -> None:
        super()._grow(data, more)
        self.initial |= {f"commands_{purpose}": data.get(f"commands_{purpose}") for purpose in PURPOSES}

    def rows_of(self) -> dict[str, tuple[type[RowForm], dict[str, Any]]]:
        return {"processes": (ProcessRow, {"commands": self._commands()})}

    def purposes(self) -> list[Any]:
        return [self[f"commands_{purpose}"] for purpose in PURPOSES]

    def values(self) -> dict[str, Any]:
        commands = {purpose: self.cleaned_data[f"commands_{purpose}"].strip() for purpose in PURPOSES}
        kept = {purpose: name for purpose, name in self.application.commands.items() if purpose not in PURPOSES}
        return {"processes": self.lists["processes"].entries(), "commands": {**kept, **commands}}


class KeyRow(RowForm):
    key = forms.CharField(max_length=128, widget=plain(), help_text="DATABASE_URL, say.")
    sqlite = forms.CharField(label="On SQLite", required=False, max_length=1000, widget=plain())
    postgresql = forms.CharField(label="On PostgreSQL", required=False, max_length=1000, widget=plain())


class PointingForm(SectionForm):
    mechanism = forms.ChoiceField(
        label="How is it told?",
        choices=[("file", "Lines of a file, such as .env"), ("environment", "Variables of its processes only")],
        widget=forms.RadioSelect,
        initial="file",
    )
    file = forms.CharField(
        label="The file", required=False, max_length=4096, widget=plain(), help_text="The whole path on its host."
    )

    def shown(self, application: Application) -> dict[str, Any]:
        given = application.pointing
        return {"mechanism": given.get("mechanism") or "file", "file": given.get("file", "")}

    def build(self, application: Application, data: Any) -> None:
        keys = [{"key": key, **templates} for key, templates in application.pointing.get("keys", {}).items()]
        self.lists["keys"] = Rows(KeyRow, "keys", keys, data)

    def rows_of(self) -> dict[str, tuple[type[RowForm], dict[str, Any]]]:
        return {"keys": (KeyRow, {})}

    def values(self) -> dict[str, Any]:
        typed = self.cleaned_data
        keys = self.lists["keys"].entries()
        return {"pointing": {"mechanism": typed["mechanism"], "file": typed["file"], "keys": keys}}


class EndpointRow(RowForm):
    name = forms.CharField(max_length=63, widget=plain())
    process = forms.ChoiceField()
    path = forms.CharField(max_length=500, widget=plain(), help_text="Such as /api/health.")
    status = forms.IntegerField(initial=200)
    length_equals_table = forms.CharField(
        label="As many entries as table", required=False, widget=plain(), help_text="For an answer that is a list."
    )
    max_ms = forms.IntegerField(label="Slower than, ms", required=False, help_text="Then it fails; empty: any time.")
    json = PairsField(
        label="Fields of the answer",
        plain=False,
        help_text="database={dialect}, one a line; {dialect} is what it runs on.",
    )

    def __init__(self, *args: Any, processes: Choices, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        field = self.fields["process"]
        assert isinstance(field, forms.ChoiceField)
        current = str(self.initial.get("process") or "")
        field.choices = processes if current in dict(processes) else [(current, current or "–"), *processes]

    def entry(self) -> dict[str, Any]:
        said = {name: value for name, value in super().entry().items() if value != {}}
        return said if set(said) - {"status", "process"} else {}


POOL_FIELDS = ("path", "size", "used", "configured", "most", "application_name")


class HealthForm(SectionForm):
    identity_process = forms.ChoiceField(label="Process", required=False)
    identity_path = forms.CharField(label="Path", required=False, widget=plain(), help_text="Such as /api/health.")
    identity_field = forms.CharField(
        label="Field of its answer", required=False, widget=plain(), help_text="database, or nested: db.kind"
    )
    identity_sqlite = forms.CharField(label="Says on SQLite", required=False, widget=plain())
    identity_postgresql = forms.CharField(label="Says on PostgreSQL", required=False, widget=plain())
    canary_path = forms.CharField(
        label="Rows at path", required=False, widget=plain(), help_text="An answer that is a list of rows."
    )
    canary_table = forms.CharField(label="of table", required=False, widget=plain())
    canary_key_field = forms.CharField(label="Key in the answer", required=False, widget=plain())
    canary_key_column = forms.CharField(label="Key’s column", required=False, widget=plain())
    canary_fields = PairsField(label="Compared", help_text="field=column, one a line. Never an encrypted column.")

    pool_path = forms.CharField(
        label="Its pool, at path", required=False, widget=plain(), help_text="An answer that tells of its connections."
    )
    pool_size = forms.CharField(
        label="Field of its size", required=False, widget=plain(), help_text="pool.size, say; a number."
    )
    pool_used = forms.CharField(
        label="Field of those in use", required=False, widget=plain(), help_text="pool.checked_out, say; a number."
    )
    pool_configured = forms.IntegerField(
        label="Its size shall be", required=False, min_value=1, max_value=10_000, help_text="As its settings say."
    )
    pool_most = forms.IntegerField(
        label="Connections at the most",
        required=False,
        min_value=1,
        max_value=10_000,
        help_text="Of the whole application, overflow and workers included.",
    )
    pool_application_name = forms.CharField(
        label="Sessions called",
        required=False,
        max_length=63,
        widget=plain(),
        help_text="Its application_name; empty: all that aren’t Causeway’s.",
    )

    def shown(self, application: Application) -> dict[str, Any]:
        given = application.identity
        canary, answers = given.get("canary") or {}, given.get("values") or {}
        pool = given.get("pool") or {}
        shown = {f"pool_{name}": pool.get(name, "") for name in POOL_FIELDS}
        shown |= {f"identity_{name}": given.get(name, "") for name in ("process", "path", "field")}
        shown |= {f"identity_{dialect}": answers.get(dialect, "") for dialect in ("sqlite", "postgresql")}
        return shown | {
            f"canary_{name}": canary.get(name, "") for name in ("path", "table", "key_field", "key_column", "fields")
        }

    def build(self, application: Application, data: Any) -> None:
        field = self.fields["identity_process"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "–"), *self._processes()]
        for name, (form, options) in self.rows_of().items():
            self.lists[name] = Rows(form, name, application.endpoints, data, **options)

    def rows_of(self) -> dict[str, tuple[type[RowForm], dict[str, Any]]]:
        return {"endpoints": (EndpointRow, {"processes": self._processes()})}

    def _processes(self) -> Choices:
        return [(row["name"], row["name"]) for row in self.application.processes if row.get("port")]

    def part(self, name: str) -> list[Any]:
        return [self[field] for field in self.fields if field.startswith(f"{name}_")]

    def identity_fields(self) -> list[Any]:
        return self.part("identity")

    def canary_fields_shown(self) -> list[Any]:
        return self.part("canary")

    def pool_fields(self) -> list[Any]:
        return self.part("pool")

    def values(self) -> dict[str, Any]:
        typed = self.cleaned_data
        identity: dict[str, Any] = {}
        canary = {n: typed[f"canary_{n}"] for n in ("path", "table", "key_field", "key_column", "fields")}
        pool = {name: value for name in POOL_FIELDS if (value := typed[f"pool_{name}"])}
        own_word = any(typed[f"identity_{name}"] for name in ("path", "field", "sqlite", "postgresql"))
        if own_word or any(canary.values()) or pool:
            identity = {name: typed[f"identity_{name}"].strip() for name in ("process", "path", "field")}
            identity["values"] = {dialect: typed[f"identity_{dialect}"] for dialect in ("sqlite", "postgresql")}
            if any(canary.values()):
                identity["canary"] = {**(self.application.identity.get("canary") or {}), **canary}
            if pool:
                known = self.application.identity.get("pool") or {}
                identity["pool"] = {**{n: v for n, v in known.items() if n not in POOL_FIELDS}, **pool}
        return {"endpoints": self.lists["endpoints"].entries(), "identity": identity}
