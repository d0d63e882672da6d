"""How a rehearsal proves that production was not touched."""

from __future__ import annotations

import hashlib
from typing import Any

from migrations_app.engine.errors import Failed
from migrations_app.engine.source.fingerprint import fingerprint
from migrations_app.steps import workplace
from migrations_app.steps.base import StepContext


def look_at_production(context: StepContext) -> dict[str, Any]:
    """File, configuration and processes of the production instance as they are now."""
    application = context.run.application
    description = workplace.describe(application)
    reality = workplace.production_driver(application).status()
    file = description.pointing.file
    return {
        "source_fingerprint": fingerprint(description.source_path, context.control).digest,
        "configuration": str(reality.configuration),
        "configuration_sha256": hashlib.sha256(file.read_bytes()).hexdigest() if file and file.is_file() else "",
        "processes": [[p.name, p.pid] for p in reality.processes if p.alive],
    }


def prove_untouched(context: StepContext) -> dict[str, Any]:
    """Compare with what preflight saw. The live application may have written by itself; we opened its file read-only.

    Raises Failed PRODUCTION_CHANGED when its configuration is not what it was.
    """
    before = context.facts.get("production_before")
    if before is None:  # preflight itself was refused: nothing was done
        return {"before": None, "why": "the rehearsal ended before it touched anything"}
    now = look_at_production(context)
    if now["configuration_sha256"] != before.get("configuration_sha256"):
        raise Failed(
            "PRODUCTION_CHANGED",
            "The production instance's configuration changed during the rehearsal.",
            "Find out who changed it; rehearse again.",
        )
    same_file = now["source_fingerprint"] == before.get("source_fingerprint")
    return {
        "before": before,
        "after": now,
        "file": "byte-identical"
        if same_file
        else "written by the application itself; opened read-only by the rehearsal",
        "processes": "the same" if now["processes"] == before.get("processes") else "others than before",
    }
