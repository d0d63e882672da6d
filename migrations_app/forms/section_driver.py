"""Who stops and starts an application: one kind is chosen, and only its fields are kept."""

from __future__ import annotations

from typing import Any

from django import forms

from controlplane.registry.models import Application
from migrations_app.forms.described import Choices, lines_of, plain
from migrations_app.forms.sections import SectionForm

KINDS = [
    ("process", "Causeway itself: it runs the commands of the processes, under a supervisor of its own"),
    ("systemd", "Units of systemd"),
    ("command", "Commands of the operator’s file, for containers, say"),
    ("manual", "A person, when asked; what was done is looked at"),
    ("blue_green", "Two instances behind a proxy: the second one takes over the traffic"),
]
COMMANDS = {
    "start": ("Starts it", "docker compose start, say. What it starts stays."),
    "stop": ("Stops it", "It has to end with 0 once all has stopped; that is looked at, too."),
    "status": ("Says what runs", "Prints a line for each thing that runs, and nothing when nothing does."),
    "signal": ("Only tells it to end", "Doesn’t wait: for a live crossing. Empty: the stop command is used."),
}


class DriverForm(SectionForm):
    kind = forms.ChoiceField(label="Who does it?", choices=KINDS, widget=forms.RadioSelect, initial="process")
    units = forms.CharField(
        label="Units",
        required=False,
        max_length=4000,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="One a line, in the order in which they are started. Timers and sockets that start them, too.",
    )
    manager = forms.ChoiceField(
        label="Whose systemd?",
        required=False,
        choices=[("system", "The machine’s"), ("user", "That of the worker’s own user")],
    )
    instructions = forms.CharField(
        label="How to reach them",
        required=False,
        max_length=600,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Shown with the request: whom to call, what to type.",
    )
    upstream_file = forms.CharField(
        label="The proxy’s file", required=False, max_length=4096, widget=plain(), help_text="The whole path."
    )
    upstream_template = forms.CharField(
        label="What it says",
        required=False,
        max_length=2000,
        widget=forms.Textarea(attrs={"rows": 3, "spellcheck": "false"}),
        help_text="upstream yukyu { server {host}:{port}; }",
    )
    upstream_process = forms.ChoiceField(label="People reach", required=False)
    upstream_front_port = forms.IntegerField(
        label="The proxy’s own port",
        required=False,
        help_text="Plain HTTP on this machine: asked to see that the traffic arrived. Empty: not looked at.",
    )

    def shown(self, application: Application) -> dict[str, Any]:
        given = application.driver
        upstream = given.get("upstream") or {}
        shown = {name: given.get(name, "") for name in (*COMMANDS, "instructions")}
        shown |= {f"upstream_{name}": upstream.get(name, "") for name in ("file", "template", "process", "reload")}
        shown |= {f"ports_{name}": port for name, port in (given.get("ports") or {}).items()}
        return shown | {
            "kind": given.get("kind") or "process",
            "units": "\n".join(given.get("units") or []),
            "manager": given.get("manager") or "system",
            "upstream_front_port": upstream.get("front_port"),
        }

    def build(self, application: Application, data: Any) -> None:
        for name, (label, help_text) in COMMANDS.items():
            self._add_command(name, label, help_text)
        self._add_command("upstream_reload", "Reloads the proxy", "nginx -s reload, say.")
        for name in self._names():
            self.fields[f"ports_{name}"] = forms.IntegerField(
                label=f"Second port of {name}", required=False, help_text="Where green listens."
            )
        field = self.fields["upstream_process"]
        assert isinstance(field, forms.ChoiceField)
        field.choices = [("", "–"), *((name, name) for name in self._names())]

    def command_fields(self) -> list[Any]:
        return [self[name] for name in COMMANDS]

    def port_fields(self) -> list[Any]:
        return [self[f"ports_{name}"] for name in self._names()]

    def chosen(self) -> str:
        return str(self["kind"].value() or "process")

    def allowed_units(self) -> list[str]:
        return list(self.host.units) if self.host is not None and self.host.is_known else []

    def values(self) -> dict[str, Any]:
        typed = self.cleaned_data
        upstream = {name: typed[f"upstream_{name}"] for name in ("file", "template", "process", "reload", "front_port")}
        return {
            "driver": {
                "kind": typed["kind"],
                "units": lines_of(typed["units"]),
                "manager": typed["manager"],
                **{name: typed[name] for name in COMMANDS},
                "instructions": typed["instructions"],
                "ports": {name: typed[f"ports_{name}"] for name in self._names()},
                "upstream": upstream,
            }
        }

    def _add_command(self, name: str, label: str, help_text: str) -> None:
        current = str(self.initial.get(name) or "")
        choices: Choices | None = self._commands(current)
        kind: Any = forms.CharField if choices is None else forms.ChoiceField
        options: dict[str, Any] = {"widget": plain()} if choices is None else {"choices": choices}
        self.fields[name] = kind(label=label, help_text=help_text, required=False, **options)

    def _names(self) -> list[str]:
        return [str(row["name"]) for row in self.application.processes if row.get("port")]
