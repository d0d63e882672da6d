"""The last answer of the reality probe, as names and sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fact:
    """`strong` is the word that decides; `text` says the rest; `digest` proves it."""

    name: str
    strong: str = ""
    text: str = ""
    digest: str = ""


def facts_of(reality: Mapping[str, Any]) -> list[Fact]:
    """One line a fact. What can't be asked says why; what is not known by name is shown as it is called."""
    facts: list[Fact] = []
    for key, value in reality.items():
        if key == "at" or value in (None, "", [], {}):
            continue
        teller = _TELLERS.get(key)
        if teller is not None and isinstance(value, Mapping):
            facts.extend(teller(value))
        else:
            facts.append(Fact(key.replace("_", " ").capitalize(), text=_text(value)))
    return facts


def _unknown(name: str, value: Mapping[str, Any]) -> list[Fact]:
    return [Fact(name, "not known", str(value.get("why", "")))]


def _application(value: Mapping[str, Any]) -> list[Fact]:
    if value.get("state") == "unknown":
        return _unknown("Application", value)
    parts = [_text(value.get("processes")) or "no process"]
    ports = value.get("ports") or []
    parts.append(f"port {', '.join(str(port) for port in ports)} open" if ports else "no port open")
    holders = value.get("holders") or []
    if holders:
        parts.append(f"{len(holders)} {'process has' if len(holders) == 1 else 'processes have'} the SQLite file open")
    if value.get("message"):
        parts.append(str(value["message"]))
    facts = [Fact("Application", str(value.get("state", "")), ", ".join(parts))]
    if value.get("configuration"):
        facts.append(Fact("Configuration", str(value["configuration"]), _launched(value)))
    return facts


def _launched(value: Mapping[str, Any]) -> str:
    """Said only where it matters: a process that was started for another database than the file now names."""
    launched = value.get("launched_for")
    return f"but started for {launched}" if launched and launched != value.get("configuration") else ""


def _sqlite(value: Mapping[str, Any]) -> list[Fact]:
    if value.get("state") == "unknown":
        return _unknown("SQLite", value)
    return [Fact("SQLite", text=str(value.get("state", "")), digest=str(value.get("fingerprint", "")))]


def _postgresql(value: Mapping[str, Any]) -> list[Fact]:
    if value.get("state") == "unknown":
        return _unknown("PostgreSQL", value)
    return [Fact("PostgreSQL", str(value.get("state", "")), str(value.get("version", "")))]


_TELLERS: dict[str, Callable[[Mapping[str, Any]], list[Fact]]] = {
    "application": _application,
    "sqlite": _sqlite,
    "postgresql": _postgresql,
}


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{str(key).replace('_', ' ')} {_text(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(inner) for inner in value)
    return "" if value is None else str(value)
