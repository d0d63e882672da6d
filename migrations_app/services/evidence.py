"""Digests that signatures are bound to, and what they were made of."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime
from typing import Any

from migrations_app.models import MigrationRun

# What of a plan counts beside its mapping, which has a digest of its own.
_OF_THE_PLAN = {
    "settings": "settings",
    "window_start": "window",
    "window_end": "window",
    "source_schema_digest": "source's schema",
    "target_schema_digest": "target's schema",
    "application_version": "application's version",
}


def digest_of(document: Any) -> str:
    """SHA-256 (hex) of the canonical JSON of a document."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def evidence_of(run: MigrationRun) -> dict[str, Any]:
    """What has been proved so far, as JSON: {"steps": {name: [title, state, digest]}, "items": {code: [title, state,
    proof]}, "plan": {...}}.

    proof: the step's digest or the recorded result, so that a new one of the same state is a change as well.
    """
    steps = run.steps.order_by("position").values_list("name", "title", "state", "evidence_digest")
    items = run.items.order_by("position").values_list("code", "title", "state", "evidence")
    plan = {name: getattr(run.plan, name) for name in _OF_THE_PLAN}
    document = {
        # Gates are left out: a signature must not void its neighbour's. What runs or waits has proved nothing yet.
        "steps": {
            name: [title, state, digest]
            for name, title, state, digest in steps
            if not name.startswith("gate_") and state not in ("pending", "running")
        },
        "items": {
            code: [title, state, str(evidence.get("result") or evidence.get("digest") or "")]
            for code, title, state, evidence in items
        },
        "plan": plan,
    }
    kept: dict[str, Any] = json.loads(json.dumps(document, default=_text))
    return kept


def _text(value: Any) -> str:
    """A moment in UTC, so that one moment has one digest."""
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)


def evidence_digest(run: MigrationRun) -> str:
    """SHA-256 (hex) of `evidence_of` the run, as it stands now."""
    return digest_of(evidence_of(run))


def what_changed(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Each difference between two evidences as a sentence, the plan's first."""
    lines = [f"The plan's {word} changed." for word in _changed_words(before, now)]
    lines += _changed_rows(before, now, "steps", "Step “{0}”")
    return lines + _changed_rows(before, now, "items", "Item {1} “{0}”")


def _changed_words(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    old, new = before.get("plan", {}), now["plan"]
    return list(dict.fromkeys(word for name, word in _OF_THE_PLAN.items() if old.get(name) != new.get(name)))


def _changed_rows(before: dict[str, Any], now: dict[str, Any], kind: str, name: str) -> list[str]:
    old, new = before.get(kind, {}), now[kind]
    lines = []
    for key in [*new, *(key for key in old if key not in new)]:
        was, is_now = old.get(key), new.get(key)
        if was == is_now:
            continue
        called = name.format((is_now or was)[0], key)
        lines.append(f"{called} {_transition(was, is_now)}.")
    return lines


def _transition(was: list[str] | None, is_now: list[str] | None) -> str:
    if is_now is None:
        return "has nothing to show any more"
    state = is_now[1].replace("_", " ")
    if was is None:
        return f"is {state} now"
    if was[1] == is_now[1]:
        return f"was proved anew and is {state} again"
    return f"is {state}, was {was[1].replace('_', ' ')}"
