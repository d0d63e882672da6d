"""An application as people read it: a line a section, with its state, what it says, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.utils.dateparse import parse_datetime

from controlplane.pages.words import size_text
from controlplane.registry.models import Application, Host
from migrations_app.services.addresses import has_address, stored_address
from migrations_app.services.change_windows import DAYS
from migrations_app.services.gaps import Gap
from migrations_app.services.permissions import Offer
from migrations_app.services.registration import change_offers
from migrations_app.services.sections import SECTIONS, Section

JOURNALS = {"wal": "write-ahead log", "delete": "rollback journal"}


@dataclass(frozen=True)
class SectionLine:
    """state: described, checked, unchecked, wrong, missing or empty; lines say what is described."""

    section: Section
    state: str
    lines: tuple[str, ...]
    gaps: tuple[str, ...]
    problem: str
    hint: str
    seen_at: datetime | None
    offer: Offer
    may_look: bool


def section_lines(user: Any, application: Application, host: Host | None, gaps: Sequence[Gap]) -> list[SectionLine]:
    offers = change_offers(user, application)
    return [_line(application, host, section, gaps, offers[name]) for name, section in SECTIONS.items()]


def _line(
    application: Application, host: Host | None, section: Section, gaps: Sequence[Gap], offer: Offer
) -> SectionLine:
    seen = application.seen.get(section.look, {}) if section.look else {}
    problem: Mapping[str, Any] = seen.get("problem") or {}
    lines = tuple(line for line in _TELLERS[section.name](application, host) if line)
    missing = tuple(gap.text for gap in gaps if gap.section == section.name and gap.text != problem.get("message"))
    return SectionLine(
        section=section,
        state=_state(application, section, lines, missing, seen),
        lines=lines,
        gaps=missing,
        problem=str(problem.get("message", "")),
        hint=str(problem.get("hint", "")),
        seen_at=parse_datetime(seen["at"]) if seen.get("at") else None,
        offer=offer,
        may_look=offer.allowed and _can_be_looked_at(application, section),
    )


def _can_be_looked_at(application: Application, section: Section) -> bool:
    if section.look == "source":
        return bool(application.source_path)
    return bool(section.look) and has_address(application, section.look)


def _state(
    application: Application,
    section: Section,
    lines: Sequence[str],
    missing: Sequence[str],
    seen: Mapping[str, Any],
) -> str:
    if seen.get("problem"):
        return "wrong"
    if missing:
        return "missing"
    if not lines:
        return "empty"
    if _can_be_looked_at(application, section):
        return "checked" if seen else "unchecked"
    return "described"


def source_facts(facts: Mapping[str, Any]) -> str:
    if not facts:
        return ""
    journal = JOURNALS.get(facts["journal_mode"], facts["journal_mode"])
    tables = f"{facts['table_count']:,} {'table' if facts['table_count'] == 1 else 'tables'}"
    return f"{size_text(facts['bytes'])}, {journal}, {facts['encoding']}, {tables}"


def target_facts(facts: Mapping[str, Any]) -> str:
    """PostgreSQL 18.6, TLSv1.3, role yukyu, empty."""
    if not facts:
        return ""
    tls = facts["tls"] or "not encrypted"
    count, filled = facts["table_count"], len(facts["filled"])
    holds = "empty" if not count else f"{count} tables, {filled or 'none'} with rows"
    return f"PostgreSQL {facts['version']}, {tls}, role {facts['role']}, {holds}"


def rehearsal_facts(facts: Mapping[str, Any]) -> str:
    if not facts:
        return ""
    return f"PostgreSQL {facts['version']}, {facts['tls'] or 'not encrypted'}, may create scratch databases"


FACTS = {"source": source_facts, "target": target_facts, "rehearsal": rehearsal_facts}


def _facts(application: Application, kind: str) -> str:
    return FACTS[kind]((application.seen.get(kind) or {}).get("facts") or {})


def _basics(application: Application, host: Host | None) -> list[str]:
    return [application.title, f"on {application.host}: {host_word(host)}"]


def host_word(host: Host | None) -> str:
    """Whether its worker has told anything."""
    if host is None or host.seen_at is None:
        return "no worker has answered from there yet"
    return host.problem or f"its worker knows {len(host.commands)} commands"


def _source(application: Application, host: Host | None) -> list[str]:
    return [application.source_path, _facts(application, "source")]


def _target(application: Application, host: Host | None) -> list[str]:
    if not has_address(application, "target"):
        return []
    mode = "the application" if application.schema_mode == "existing" else "Causeway"
    made = f"schema {application.target_schema}; {mode} makes the tables"
    return [_place(application, "target"), _facts(application, "target"), made]


def _place(application: Application, kind: str) -> str:
    address = stored_address(application, kind)
    if address is None:
        return "The stored address can’t be opened: type it anew."
    return f"{address.user} at {address.host}:{address.port}, database {address.database}, sslmode {address.sslmode}"


def _rehearsal(application: Application, host: Host | None) -> list[str]:
    server = _place(application, "rehearsal") if has_address(application, "rehearsal") else ""
    names = ", ".join(application.rehearsal.get("environment", {}))
    where = server or ("on the target’s own server" if has_address(application, "target") else "")
    return [where, _facts(application, "rehearsal"), f"set for the second copy: {names}" if names else ""]


def _processes(application: Application, host: Host | None) -> list[str]:
    processes = [
        entry["name"] + (f" on port {entry['port']}" if entry.get("port") else "") for entry in application.processes
    ]
    commands = [f"{purpose.replace('_', ' ')}: {name}" for purpose, name in application.commands.items()]
    return [", ".join(processes), "; ".join(commands)]


DRIVERS = {
    "process": "Causeway runs its processes",
    "systemd": "units of systemd",
    "command": "the operator’s commands",
    "manual": "a person, when asked",
    "blue_green": "two instances behind a proxy",
}


def _driver(application: Application, host: Host | None) -> list[str]:
    given = application.driver
    upstream = given.get("upstream") or {}
    named = {
        "systemd": ", ".join(given.get("units") or []),
        "command": ", ".join(f"{verb}: {given[verb]}" for verb in ("start", "stop", "status") if verb in given),
        "manual": str(given.get("instructions", "")),
        "blue_green": f"{upstream.get('file', '')}, reloaded by {upstream.get('reload', '')}" if upstream else "",
    }
    kind = str(given.get("kind") or "process")
    return [DRIVERS.get(kind, kind), named.get(kind, "")]


def _pointing(application: Application, host: Host | None) -> list[str]:
    given = application.pointing
    if not given:
        return []
    where = given.get("file") if given.get("mechanism") == "file" else "variables of its processes"
    return [str(where or ""), ", ".join(given.get("keys", {}))]


def _health(application: Application, host: Host | None) -> list[str]:
    identity = application.identity
    says = f"says itself which database it uses: {identity['path']}" if identity.get("path") else ""
    return [", ".join(str(entry["path"]) for entry in application.endpoints), says]


def _encrypted(application: Application, host: Host | None) -> list[str]:
    columns = [f"{entry['table']}.{entry['column']}" for entry in application.encrypted_columns]
    keys = sorted({entry["key_env"] for entry in application.encrypted_columns})
    return [", ".join(columns), f"keys from {', '.join(keys)}" if keys else ""]


def _operations(application: Application, host: Host | None) -> list[str]:
    window = application.change_window
    when = ""
    if window:
        days = ", ".join(day.capitalize() for day in DAYS if day in window["days"])
        when = f"{days}, {window['opens']} to {window['closes']}, {window['zone']}"
    return [when, ", ".join(application.recipients)]


_TELLERS = {
    "basics": _basics,
    "source": _source,
    "target": _target,
    "rehearsal": _rehearsal,
    "processes": _processes,
    "driver": _driver,
    "pointing": _pointing,
    "health": _health,
    "encrypted": _encrypted,
    "operations": _operations,
}
