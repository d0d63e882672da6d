"""The last answer of the reality probe, as names and sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Fact:
    """`strong` is the word that decides; `text` says the rest; `digest` proves it. alarm: a person must know it."""

    name: str
    strong: str = ""
    text: str = ""
    digest: str = ""
    alarm: bool = False


@dataclass(frozen=True)
class Recovery:
    """settled: both sides are as they should be."""

    label: str
    sentence: str
    settled: bool


def facts_of(reality: Mapping[str, Any]) -> list[Fact]:
    """One line a fact. What can't be asked says why; what is not known by name is shown as it is called."""
    facts: list[Fact] = []
    # A file that is followed or flowed back to goes on changing: whether it is as it was at a stop says nothing there.
    left_out = {"at", "sqlite"} if reality.get("crossing") else {"at"}
    for key, value in reality.items():
        if key in left_out or value in (None, "", [], {}):
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


_LIVE = {
    "sqlite": ("SQLite", "the application's writes are in its file"),
    "postgresql": ("PostgreSQL", "the application's writes are there"),
    "nobody": ("nobody", "both sides refuse the application's writes: the crossing stopped half-way"),
    "in_doubt": ("not known", "what was found fits no point of a crossing: nothing is done before a person decides"),
}
_SQLITE_SIDE = {
    "capture": ("no fence", "it takes writes, and notes each touched key"),
    "fenced": ("fenced", "it refuses every writer but the way back"),
    "none": ("no fence", "nothing of a crossing is in the file"),
    "unknown": ("not known", "the file can't be asked"),
}
_POSTGRESQL_SIDE = {
    "following": ("fenced", "it follows SQLite, and refuses every other writer"),
    "taken_over": ("no fence", "it takes writes, and counts them for the way back"),
    "given_back": ("fenced", "it was given back, and refuses every writer"),
    "none": ("no fence", "nothing of a crossing is in the database"),
    "unknown": ("not known", "PostgreSQL can't be asked"),
}
# What recovery would do, by the word of the engine's table (engine/online/decisions.py); else it mends by itself.
_SETTLED = "Recovery has nothing to do."
_RECOVERY = {
    **dict.fromkeys(("nothing", "copy", "follow", "flow_back"), _SETTLED),
    **dict.fromkeys(("wait", "ask"), "Recovery does nothing: a person decides."),
}


def facts_of_crossing(value: Mapping[str, Any]) -> list[Fact]:
    """Which side is live, the fence of each, what waits: the durable facts of a live crossing.

    value: as services/reality.py and Replication.facts hold it; {} where there is none.
    """
    if not value:
        return []
    if value.get("state") == "unknown":
        return _unknown("Crossing", value)
    live = str(value.get("live", ""))
    strong, text = _LIVE.get(live, (live or "not known", ""))
    facts = [Fact("Live", strong, text, alarm=live in ("nobody", "in_doubt"))]
    if "sqlite" in value:
        facts.append(_side("SQLite's fence", _SQLITE_SIDE, value["sqlite"]))
    if "postgresql" in value:
        facts.append(_side("PostgreSQL's fence", _POSTGRESQL_SIDE, value["postgresql"]))
    waits = [
        f"{value[name]:,} {words}"
        for name, words in (("queue", "rows on the way back"), ("lag", "rows on the way to PostgreSQL"))
        if isinstance(value.get(name), int)
    ]
    return [*facts, Fact("Queues", text=", ".join(waits))] if waits else facts


def recovery_of(crossing: Any) -> Recovery | None:
    """What would be done if the worker were gone; None where nothing of a live crossing is known."""
    if not isinstance(crossing, Mapping) or not crossing.get("sentence"):
        return None
    label = _RECOVERY.get(str(crossing.get("action")), "Recovery would go on:")
    return Recovery(label, str(crossing["sentence"]), label == _SETTLED)


def _side(name: str, words: Mapping[str, tuple[str, str]], state: Any) -> Fact:
    found = str(state or "none")
    return Fact(name, *words.get(found, (found, "")))


_TELLERS: dict[str, Callable[[Mapping[str, Any]], list[Fact]]] = {
    "application": _application,
    "sqlite": _sqlite,
    "postgresql": _postgresql,
    "crossing": facts_of_crossing,
}


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{str(key).replace('_', ' ')} {_text(inner)}" for key, inner in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(inner) for inner in value)
    return "" if value is None else str(value)
