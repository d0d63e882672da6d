"""An application's description, in the sections that people fill in one by one; each may be left for later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.redaction import redact
from controlplane.registry.models import Application, LookKind


@dataclass(frozen=True)
class Section:
    """fields: of the row. look: what a worker on the host is asked before the section is saved, '' for nothing."""

    name: str
    title: str
    question: str
    fields: tuple[str, ...]
    look: str = ""


SECTIONS: dict[str, Section] = {
    section.name: section
    for section in (
        Section("basics", "Name and host", "What is it called, and where does it run?", ("title", "host")),
        Section(
            "source",
            "SQLite file",
            "Where is the file that moves?",
            ("source_path", "busy_timeout_ms"),
            look=LookKind.SOURCE,
        ),
        Section(
            "target",
            "Target",
            "Which PostgreSQL database shall it live in?",
            ("target_schema", "schema_mode"),
            look=LookKind.TARGET,
        ),
        Section(
            "rehearsal",
            "Rehearsals",
            "Where is it rehearsed, and what must stay silent meanwhile?",
            ("rehearsal",),
            look=LookKind.REHEARSAL,
        ),
        Section("processes", "Processes and commands", "What runs, and what runs it?", ("processes", "commands")),
        Section("driver", "Stop and start", "Who stops and starts it?", ("driver",)),
        Section("pointing", "Configuration", "How is it told which database to use?", ("pointing",)),
        Section("health", "Proofs of health", "How does it prove that it is well?", ("endpoints", "identity")),
        Section("encrypted", "Encrypted columns", "Which cells must still open afterwards?", ("encrypted_columns",)),
        Section("operations", "When, and who is told", "When may it change?", ("change_window", "recipients")),
    )
}
# What no run depends on: it may be changed at any time.
FREE = frozenset({"title", "change_window", "recipients", "busy_timeout_ms"})
PURPOSES: dict[str, tuple[str, str]] = {
    "schema": ("Makes the schema", "alembic upgrade head, manage.py migrate; needed when the application makes it."),
    "schema_heads": ("Says the schema’s version", "alembic current, say."),
    "driver": ("Checks its PostgreSQL driver", "A missing one lets some applications stay on SQLite silently."),
    "version": ("Says the application’s version", "A rehearsal counts for the same version only."),
    "before_stop": ("Before the stop", "A maintenance page, say."),
    "after_start": ("After the start", "Takes the maintenance page down."),
    # Those that prove items of the checklist by their exit status: docs/reference/checklist.md.
    "unit_tests": ("Runs its unit tests", "Proves an item of the checklist; QA does where none is named."),
    "integration_tests": ("Runs its tests on PostgreSQL", "On a database of their own: it runs beside production."),
    "pool_tests": ("Runs its tests of the pool", "As above."),
    "own_check": ("Checks something of yours", "For an item that your team adds to its checklist."),
}
OFTEN_CHANGED = 100  # changes that one event tells; more are counted


def values_of(application: Application, section: str) -> dict[str, Any]:
    """What the section holds now."""
    return {name: getattr(application, name) for name in SECTIONS[section].fields}


def changes_between(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[dict[str, Any]]:
    """[{"what": "processes.web.port", "old": 8010, "new": 8020}], in order of the names; equal values are left out.

    What a variable of the rehearsal is set to, and a template, may be what an operator keeps to himself: named only.
    """
    before, after = _flat(old), _flat(new)
    changed = [name for name in sorted({*before, *after}) if before.get(name) != after.get(name)]
    lines: list[dict[str, Any]] = []
    for name in changed[:OFTEN_CHANGED]:
        if name.startswith(("rehearsal.environment.", "pointing.keys.")):
            lines.append({"what": name})
        else:
            lines.append({"what": name, "old": _clear(before.get(name)), "new": _clear(after.get(name))})
    if len(changed) > OFTEN_CHANGED:
        lines.append({"what": f"and {len(changed) - OFTEN_CHANGED} more"})
    return lines


def _clear(value: Any) -> Any:
    """People put credentials where none belong: into a title, a path."""
    return redact(value) if isinstance(value, str) else value


def _flat(value: Any, place: str = "") -> dict[str, Any]:
    """Nested descriptions as dotted places; members of a list by their name where they have one."""
    if isinstance(value, Mapping):
        parts = [(str(name), inner) for name, inner in value.items()]
    elif isinstance(value, list) and any(isinstance(inner, Mapping) for inner in value):
        parts = [(_name(inner, number), inner) for number, inner in enumerate(value)]
    else:
        return {place: value}
    found: dict[str, Any] = {}
    for name, inner in parts:
        found |= _flat(inner, f"{place}.{name}" if place else name)
    return found


def _name(entry: Any, number: int) -> str:
    if isinstance(entry, Mapping):
        if entry.get("name"):
            return str(entry["name"])
        if entry.get("table") and entry.get("column"):
            return f"{entry['table']}.{entry['column']}"
    return str(number + 1)
