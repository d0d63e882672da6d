"""One section of a description: what is stored, what was typed, and beside which field a sentence belongs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms

from controlplane.registry.models import Application, Host
from migrations_app.forms.described import Choices, Described, RowForm, Rows
from migrations_app.services.addresses import Address


class SectionForm(Described, forms.Form):
    """One section. version: of the application when the page was opened."""

    version = forms.IntegerField(widget=forms.HiddenInput)
    lists: dict[str, Rows]

    def __init__(self, data: Any, application: Application, host: Host | None, more: str = "") -> None:
        self.application, self.host, self.lists = application, host, {}
        # A row more: what was typed is shown again, unjudged.
        typed = data if more else None
        shown = {name: _typed(data, name) for name in self.base_fields} if typed else self.shown(application)
        super().__init__(None if more else data, initial={"version": application.version, **shown})
        if typed:
            self.initial["version"] = data.get("version")
        self.build(application, None if more else data)
        if typed:
            self._grow(data, more)
        self.dress()

    def shown(self, application: Application) -> dict[str, Any]:
        """What is stored, as the fields show it."""
        return {}

    def build(self, application: Application, data: Any) -> None:
        """Lists of rows, and choices."""

    def rows_of(self) -> dict[str, tuple[type[RowForm], dict[str, Any]]]:
        """The section's lists: the form of a row, and what it needs."""
        return {}

    def _grow(self, data: Any, more: str) -> None:
        for name, (form, options) in self.rows_of().items():
            total = data.get(f"{name}-TOTAL_FORMS", "0")
            count = min(int(total), 100) if str(total).isascii() and str(total).isdigit() else 0
            typed = [{field: _typed(data, f"{name}-{n}-{field}") for field in form.base_fields} for n in range(count)]
            said = [row for row in typed if any(value not in ("", None) for value in row.values())]
            self.lists[name] = Rows(form, name, said, more=1 if name == more else 0, **options)

    def is_valid(self) -> bool:
        # All lists are judged, so that everything that is wrong is marked at once.
        lists = [rows.is_valid() for rows in self.lists.values()]
        return super().is_valid() and all(lists)

    def values(self) -> dict[str, Any]:
        """What the services take."""
        raise NotImplementedError

    def address(self) -> Address | None:
        """The address that was typed; None for a section without one, or where it is left as it is."""
        return None

    def mark(self, places: Mapping[str, str]) -> None:
        """Put the services' sentences beside the fields they are about."""
        for place, sentence in places.items():
            head, _, rest = place.partition(".")
            row, _, field = rest.partition(".")
            if head in self.lists and row.isdigit() and self.lists[head].mark(int(row), field, sentence):
                continue
            name = next((n for n in (place.replace(".", "_"), rest, head) if n in self.fields), None)
            self.add_error(name, sentence)

    def _commands(self, current: str = "", empty: str = "–") -> Choices | None:
        """The names of the host's commands; None while no worker has told them."""
        if self.host is None or not self.host.is_known:
            return None
        names = sorted({*self.host.commands, *([current] if current else [])})
        return [("", empty), *((name, name) for name in names)]


def _typed(data: Any, name: str) -> Any:
    values = data.getlist(name)
    return values if len(values) > 1 else data.get(name)
